"""Splitters for cross-validation that spread the positives of every label."""

from sk_quadrant.model_selection._split import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

__all__ = ["MultilabelStratifiedKFold", "MultilabelStratifiedShuffleSplit"]
