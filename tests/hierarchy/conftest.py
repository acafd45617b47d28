"""Data of the tests of hierarchies."""

import pandas as pd
import pytest
from sklearn.datasets import make_multilabel_classification

NAMES = ["H04L", "A01B", "A", "A01", "H", "A01C", "H04"]


@pytest.fixture(scope="module")
def data():
    """100 rows with seven labels that keep to no hierarchy."""
    X, Y = make_multilabel_classification(100, n_features=8, n_classes=7, random_state=0)
    return X, pd.DataFrame(Y, columns=NAMES)
