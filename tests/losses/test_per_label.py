"""Parameters with one value for each label, in the estimator and what follows from it."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_quadrant import CalibratedMultiLabelClassifierCV, QuadrantMultiLabelClassifier
from sk_quadrant.io import load_safetensors, save_safetensors
from sk_quadrant.losses import BCEWithLogits, Focal, NegativeTolerant

LOSSES = [
    BCEWithLogits(pos_weight=[2.2, 1.3, 3.2]),
    Focal(alpha=[0.2, 0.5, 0.7]),
    NegativeTolerant(shift=[-0.5, 0.0, 1.0]),
]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)


@pytest.fixture(scope="module")
def data():
    """Features and three labels of different frequencies."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    return X, (X[:, :3] + rng.normal(size=(300, 3)) > [0.5, 0, 1]).astype(int)


@each_loss
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_each_label_is_fitted_with_its_value(loss, form, data):
    """Coefficients, probabilities and thresholds are those of one fit for each label with the value of that label."""
    X, Y = data
    model = QuadrantMultiLabelClassifier(loss, tol=1e-8).fit(form(X), Y)
    ((name, values),) = loss.per_label_parameters().items()
    for j, value in enumerate(values):
        scalar = type(loss)(**{**loss.get_params(), name: value})
        one = QuadrantMultiLabelClassifier(scalar, tol=1e-8).fit(form(X), Y[:, j])
        assert_allclose(model.coef_[j], one.coef_[0], rtol=1e-6, atol=1e-8)
        assert_allclose(model.predict_proba(form(X))[:, j], one.predict_proba(form(X))[:, 1], rtol=1e-6)
        assert_allclose(model.threshold_[j], one.threshold_[0], rtol=1e-12)
    assert_allclose(model.predict_proba(form(X)).mean(axis=0), Y.mean(axis=0), atol=0.01)  # the link undoes the weights


@each_loss
def test_values_with_names_are_refused(loss):
    """A loss cannot sort them into the order of the labels; the default names of pandas are positions."""
    ((name, values),) = loss.per_label_parameters().items()
    series = pd.Series(values, index=["cat", "dog", "owl"])
    with pytest.raises(ValueError, match=rf"{name} is read by position.* got names .*dog.*Pass {name}\[y.columns\]"):
        type(loss)(**{name: series})
    assert type(loss)(**{name: series.reset_index(drop=True)}) == loss


@each_loss
def test_thresholds_follow_labels(loss, data):
    """The Bayes threshold is a probability of 1/2 for every label, the natural one its own."""
    X, Y = data
    natural, bayes = (QuadrantMultiLabelClassifier(loss, threshold=name).fit(X, Y) for name in ("natural", "bayes"))
    assert_allclose(bayes.threshold_, 0.5)
    assert_allclose(natural.threshold_, [loss.take([j]).link.inverse([0.0])[0] for j in range(3)])
    assert_array_equal(bayes.predict(X), bayes.predict_proba(X) > 0.5)


@each_loss
def test_saved_models_keep_values(loss, data, tmp_path):
    """Pickle and safetensors give the same loss and probabilities; calibration works."""
    pytest.importorskip("safetensors")
    X, Y = data
    model = QuadrantMultiLabelClassifier(loss).fit(X, Y)
    save_safetensors(model, tmp_path / "model")
    for other in (pickle.loads(pickle.dumps(model)), load_safetensors(tmp_path / "model")):
        assert other.loss_ == loss
        assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    calibrated = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(loss), cv=3).fit(X, Y)
    assert_allclose(calibrated.predict_proba(X).mean(axis=0), Y.mean(axis=0), atol=0.02)


@each_loss
def test_another_number_of_labels_is_refused(loss, data):
    """The message has the parameter and both numbers."""
    (name,) = loss.per_label_parameters()
    with pytest.raises(ValueError, match=f"{name} must be one number, or have one for each of the 2 labels, got 3"):
        QuadrantMultiLabelClassifier(loss).fit(data[0], data[1][:, :2])


def test_weight_zero_of_a_label_is_an_unknown_label(data):
    """For the set-wise loss, too."""
    X, Y = data
    weight = (np.random.default_rng(0).random(Y.shape) < 0.7).astype(float)
    weighted = QuadrantMultiLabelClassifier("zlpr", tol=1e-8).fit(X, Y, sample_weight=weight)
    unknown = QuadrantMultiLabelClassifier("zlpr", tol=1e-8, missing_labels="ignore")
    unknown.fit(X, np.where(weight == 0, np.nan, Y))
    assert_allclose(weighted.coef_, unknown.coef_, atol=1e-6)
