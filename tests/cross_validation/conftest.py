"""Data of the tests of cross-validation."""

import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.preprocessing import StandardScaler


@pytest.fixture(scope="module")
def data():
    """200 rows with four labels."""
    X, Y = make_multilabel_classification(200, n_features=8, n_classes=4, random_state=0)
    return StandardScaler().fit_transform(X), Y
