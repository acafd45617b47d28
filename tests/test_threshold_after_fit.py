"""The threshold of a fitted classifier: a new value of the parameter, or of `threshold_`, is used by predictions."""

import pickle
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.io import save_safetensors

VALUES = {
    "bayes": "bayes",
    "float": 0.9,
    "list": [0.9, 0.2, 0.5, 0.7],
    "array": np.array([0.9, 0.2, 0.5, 0.7]),
    "Series": pd.Series({"d": 0.7, "c": 0.5, "b": 0.2, "a": 0.9}),
    "dict": {"d": 0.7, "c": 0.5, "b": 0.2, "a": 0.9},
}


@pytest.fixture(scope="module")
def data():
    """120 rows with four named labels."""
    X, Y = make_multilabel_classification(120, n_features=8, n_classes=4, random_state=0)
    return X, pd.DataFrame(Y, columns=list("abcd"))


@pytest.mark.filterwarnings("ignore:The adamw solver did not converge")
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(
    "options", [{}, {"hidden_layer_sizes": 4, "solver": "adamw", "max_iter": 3}], ids=["linear", "network"]
)
def test_a_new_value_gives_the_predictions_of_a_fit_with_it(value, options, data):
    """`set_params` after fit is as good as before fit, and survives pickle and copies; the old value comes back."""
    X, Y = data
    model = QuadrantMultiLabelClassifier("asymmetric", random_state=0, **options).fit(X, Y)
    natural = model.predict(X)
    expected = clone(model).set_params(threshold=value).fit(X, Y)
    model.set_params(threshold=value)
    for each in (pickle.loads(pickle.dumps(model)), deepcopy(model), model):
        assert_array_equal(each.predict(X), expected.predict(X))
        assert_allclose(each.threshold_, expected.threshold_)
        assert_allclose(each.model_.score_threshold, expected.model_.score_threshold)
    assert_array_equal(model.set_params(threshold="natural").predict(X), natural)


def test_a_value_that_does_not_fit_is_refused_by_predictions_and_not_by_the_next_fit(data):
    """A list for other labels has no effect on the fitted model, and none on a fit to these labels."""
    X, Y = data
    model = QuadrantMultiLabelClassifier().fit(X, Y)
    model.set_params(threshold=[0.5, 0.9])
    with pytest.raises(ValueError, match=r"threshold must be one number or have shape \(4,\), got \(2,\)"):
        model.predict(X)
    assert_array_equal(model.fit(X, Y[["a", "b"]]).threshold_, [0.5, 0.9])


def test_an_array_that_is_changed_in_place_counts(data):
    """The estimator keeps the array that it was given, as scikit-learn does, and what it holds now."""
    X, Y = data
    threshold = np.full(4, 0.5)
    model = QuadrantMultiLabelClassifier(threshold=threshold).fit(X, Y)
    threshold[:] = 0.9
    assert_array_equal(model.predict(X), model.predict_proba(X) > 0.9)


def test_threshold_can_be_assigned(data):
    """Until the next fit, by order or by name, as a probability or as a score of a loss without probabilities."""
    X, Y = data
    model = QuadrantMultiLabelClassifier("asymmetric").fit(X, Y)
    model.threshold_ = 0.9
    assert_array_equal(model.predict(X), model.predict_proba(X) > 0.9)
    model.threshold_ = VALUES["Series"]
    assert_array_equal(model.predict(X), model.predict_proba(X) > VALUES["array"])
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    with pytest.raises(ValueError, match=r"threshold must be probabilities in \[0, 1\]"):
        model.threshold_ = 1.5
    hinge = QuadrantMultiLabelClassifier("hinge").fit(X, Y)
    hinge.threshold_ = [0.1, 0.2, 0.3, 0.4]
    assert_array_equal(hinge.predict(X), hinge.decision_function(X) > [0.1, 0.2, 0.3, 0.4])
    assert_allclose(model.fit(X, Y).threshold_, QuadrantMultiLabelClassifier("asymmetric").fit(X, Y).threshold_)


def test_a_file_holds_the_threshold_of_now(data, tmp_path):
    """Saved after the change."""
    load_file = pytest.importorskip("safetensors.numpy").load_file
    X, Y = data
    save_safetensors(QuadrantMultiLabelClassifier().fit(X, Y).set_params(threshold=0.9), tmp_path / "model")
    assert_allclose(load_file(tmp_path / "model")["threshold"], 0.9)


def test_one_row_of_a_binary_y_follows_too(data):
    """The decision function of two classes is 0 at the threshold."""
    X, y = data[0], data[1]["a"]
    model = QuadrantMultiLabelClassifier().fit(X, y).set_params(threshold=0.9)
    assert_array_equal(model.predict(X), model.predict_proba(X)[:, 1] > 0.9)
    assert_array_equal(model.decision_function(X) > 0, model.predict(X))
