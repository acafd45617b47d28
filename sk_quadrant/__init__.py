"""Multi-label classification for scikit-learn in which the loss owns its link and its threshold."""

from sk_quadrant import losses
from sk_quadrant._classifier import QuadrantMultiLabelClassifier
from sk_quadrant.datasets import make_quadrants

__version__ = "0.1.0.dev0"

__all__ = ["QuadrantMultiLabelClassifier", "losses", "make_quadrants"]
