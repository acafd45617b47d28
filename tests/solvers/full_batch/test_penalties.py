"""A penalty for each label."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.datasets import make_multilabel_classification

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.losses import LOSSES

PRECISE = {"tol": 1e-10, "max_iter": 5000}
LABELWISE = [name for name in LOSSES if LOSSES[name].labelwise and LOSSES[name]().convex and name != "hinge"]
C = [0.01, 1.0, 30.0, 0.3]


@pytest.fixture(scope="module")
def rows():
    """Return counts, and four labels."""
    return make_multilabel_classification(150, 12, n_classes=4, random_state=0)


@pytest.mark.parametrize(
    ("loss", "as_format"), [*((loss, np.asarray) for loss in LABELWISE), ("bce_with_logits", sparse.csr_array)]
)
def test_each_label_is_fitted_as_alone(loss, as_format, rows):
    """For a loss that is a sum over labels."""
    X, Y = rows
    clf = QuadrantMultiLabelClassifier(loss, C=C, **PRECISE).fit(as_format(X), Y)
    for label, value in enumerate(C):
        alone = QuadrantMultiLabelClassifier(loss, C=value, **PRECISE).fit(as_format(X), Y[:, label])
        assert_allclose(clf.coef_[label], alone.coef_[0], atol=1e-8 * np.abs(alone.coef_).max())
        assert_allclose(clf.intercept_[label], alone.intercept_[0], rtol=1e-7)


@pytest.mark.parametrize("loss", ["bce_with_logits", "zlpr"])
@pytest.mark.parametrize("n_rows", [150, 10], ids=["many rows", "few rows"])
def test_equal_values_are_one_value(loss, n_rows, rows):
    """Also for a set-wise loss, and in the space of the rows."""
    X, Y = rows[0][:n_rows], rows[1][:n_rows]
    one, each = (QuadrantMultiLabelClassifier(loss, C=C, tol=1e-6).fit(X, Y) for C in (2.0, [2.0] * 4))
    assert_allclose(each.coef_, one.coef_, rtol=1e-10)


def test_the_penalty_of_a_label_is_that_of_its_weights_for_a_set_wise_loss(rows):
    """The gradient of the documented objective is zero."""
    import torch

    X, Y = rows
    clf = QuadrantMultiLabelClassifier("zlpr", C=C, **PRECISE).fit(X, Y)
    coef, intercept = (torch.tensor(part, requires_grad=True) for part in (clf.coef_, clf.intercept_))
    scores = torch.as_tensor(X) @ coef.T + intercept
    value = clf.loss_.per_sample(scores, torch.as_tensor(Y).double()).sum()
    (value + 0.5 * (coef.square().sum(dim=1) / torch.tensor(C)).sum()).backward()
    assert_allclose(coef.grad, 0, atol=1e-6)
    assert_allclose(intercept.grad, 0, atol=1e-6)


def test_values_with_names_are_read_by_name(rows):
    """A Series or dict in any order, for a DataFrame y."""
    X, Y = rows
    y = pd.DataFrame(Y, columns=list("abcd"))
    expected = QuadrantMultiLabelClassifier(C=C).fit(X, Y).coef_
    named = pd.Series(C, index=list("abcd"))[list("dbca")]
    for values in (named, named.to_dict()):
        assert_allclose(QuadrantMultiLabelClassifier(C=values).fit(X, y).coef_, expected)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"C": [1.0, 2.0]}, r"C must be one number or have shape \(4,\)"),
        ({"C": [1.0, 2.0, 0.0, 1.0]}, "C must be positive for every label"),
        ({"C": [1.0, 2.0, np.nan, 1.0]}, "C must be positive for every label"),
        ({"C": C, "solver": "adamw"}, r"C=\[.*\] is not possible with solver='adamw', whose penalty.*\['lbfgs'\]"),
    ],
)
def test_bad_values_are_refused(params, match, rows):
    """With what is allowed and what came."""
    with pytest.raises(ValueError, match=match):
        QuadrantMultiLabelClassifier(**params).fit(*rows)
