"""Labels in a tree, such as the classes A, A01 and A01B of patents: consistent probabilities and label sets."""

from sk_quadrant.hierarchy._classifier import HierarchicalMultiLabelClassifier
from sk_quadrant.hierarchy._labels import LabelHierarchy
from sk_quadrant.hierarchy._score import hierarchical_f1_score

__all__ = ["HierarchicalMultiLabelClassifier", "LabelHierarchy", "hierarchical_f1_score"]
