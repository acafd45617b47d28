"""Splitters that spread the positives of every label, and cross-validated predictions."""

from sk_quadrant.model_selection._prediction import multilabel_cross_val_predict
from sk_quadrant.model_selection._split import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

__all__ = ["MultilabelStratifiedKFold", "MultilabelStratifiedShuffleSplit", "multilabel_cross_val_predict"]
