"""Where "yes" begins: the threshold parameter, threshold_, and what predictions make of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import hamming_loss
from sklearn.multiclass import OneVsRestClassifier

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import LOSSES, ZLPR, Asymmetric, BCEWithLogits, Focal

WITH_LINK = [name for name in LOSSES if LOSSES[name]().link is not None]
WITH_BAYES = [name for name in LOSSES if LOSSES[name]().bayes_threshold is not None]
# of those that are not 1/2; that of the hinge is a score
OTHER_NATURAL = {"shifted_sigmoid_bce": 1 / 3, "asymmetric": 0.14729, "hinge": 0.0, "hill": 0.19618}


@pytest.fixture(scope="module")
def data():
    """Noisy quadrants, so that probabilities of all sizes occur."""
    return make_quadrants(n_samples=400, n_features=3, slope=1.0, random_state=0)


def fitted(data, loss="bce_with_logits", **params):
    """Return a fitted model."""
    return QuadrantMultiLabelClassifier(loss, **params).fit(*data)


@pytest.mark.parametrize("name", LOSSES)
def test_natural_threshold_is_a_score_above_that_of_the_loss(name, data):
    """By default the loss decides, and threshold_ is what that score means."""
    X, _ = data
    clf = fitted(data, name)
    assert_array_equal(clf.predict(X), clf.decision_function(X) > LOSSES[name]().threshold)
    assert_allclose(clf.threshold_, np.full(3, OTHER_NATURAL.get(name, 0.5)), rtol=1e-4)


@pytest.mark.parametrize("name", WITH_BAYES)
def test_bayes_threshold_is_a_probability_above_one_half(name, data):
    """It is the cut of the smallest expected Hamming loss."""
    X, _ = data
    clf = fitted(data, name, threshold="bayes")
    assert_array_equal(clf.predict(X), clf.predict_proba(X) > 0.5)
    assert_allclose(clf.threshold_, np.full(3, 0.5))


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("name", WITH_LINK)
def test_a_number_is_a_probability_to_exceed(name, threshold, data):
    """Whatever the link, also where its range ends before."""
    X, _ = data
    clf = fitted(data, name, threshold=threshold)
    assert_array_equal(clf.predict(X), clf.predict_proba(X) > threshold)
    assert_array_equal(clf.threshold_, np.full(3, threshold))


@pytest.mark.parametrize("name", WITH_LINK)
@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_each_label_may_have_its_own(name, kind, data):
    """An array holds one probability a label."""
    X, _ = data
    thresholds = kind([0.1, 0.4, 0.9])
    clf = fitted(data, name, threshold=thresholds)
    assert_array_equal(clf.predict(X), clf.predict_proba(X) > np.array(thresholds))
    assert_array_equal(clf.threshold_, thresholds)


@pytest.mark.parametrize("threshold", ["natural", "bayes", 0.2, [0.1, 0.4, 0.9]], ids=str)
def test_thresholds_do_not_change_the_model(threshold, data):
    """Coefficients, scores and probabilities are those of any other threshold."""
    X, _ = data
    clf, other = fitted(data, "asymmetric", threshold=threshold), fitted(data, "asymmetric")
    assert_array_equal(clf.coef_, other.coef_)
    assert_array_equal(clf.decision_function(X), other.decision_function(X))
    assert_array_equal(clf.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("threshold", ["natural", "bayes", 0.2, [0.1, 0.4, 0.9]], ids=str)
def test_a_fitted_model_takes_other_thresholds(threshold, data):
    """The same predictions as of a classifier with this threshold; the model that was asked stays as it was."""
    X, _ = data
    model = fitted(data, "asymmetric").model_
    assert_array_equal(
        model.with_threshold(threshold).predict(X), fitted(data, "asymmetric", threshold=threshold).predict(X)
    )
    assert_array_equal(model.predict(X), fitted(data, "asymmetric").predict(X))
    with pytest.raises(ValueError, match="one number or have shape"):
        model.with_threshold([0.1, 0.2])


def test_the_array_of_thresholds_is_copied(data):
    """A model has thresholds of its own; an array that is written to is a new parameter, as set_params makes it."""
    X, _ = data
    thresholds = np.array([0.1, 0.4, 0.9])
    clf = fitted(data, threshold=thresholds)
    assert not np.shares_memory(clf.threshold_, thresholds)
    thresholds[:] = 0.5
    assert_array_equal(clf.predict(X), clf.predict_proba(X) > 0.5)


@pytest.mark.parametrize(
    ("loss", "score"),
    [
        (BCEWithLogits(pos_weight=3.0), np.log(3.0)),
        (ZLPR(threshold=1.5), 1.5),
        (Focal(alpha=0.25), -0.41037),
        (Asymmetric(), 0.568652078005),
    ],
    ids=repr,
)
def test_bayes_cut_of_losses_with_parameters(loss, score, data):
    """The score of probability 1/2 follows the parameters of the loss (values computed for each link)."""
    X, _ = data
    clf = fitted(data, loss, threshold="bayes")
    assert_array_equal(clf.predict(X), clf.decision_function(X) > loss.bayes_threshold)
    assert loss.bayes_threshold == pytest.approx(score, rel=1e-5)


def test_bayes_beats_natural_where_they_differ(data):
    """On noisy labels the asymmetric loss at its natural cut gets more entries wrong than at probability 1/2."""
    X, Y = data
    natural, bayes = (fitted(data, "asymmetric", threshold=threshold).predict(X) for threshold in ("natural", "bayes"))
    assert hamming_loss(Y, bayes) < hamming_loss(Y, natural) - 0.05


def test_a_fitted_model_follows_its_threshold_and_keeps_its_loss_until_it_is_fitted_again(data):
    """set_params after fit moves the threshold at once; another loss waits for the next fit."""
    X, Y = data
    clf = fitted(data, "focal")
    expected = clf.predict_proba(X)
    clf.set_params(threshold=0.9, loss="hinge")
    assert_array_equal(clf.predict_proba(X), expected)
    assert_array_equal(clf.predict(X), expected > 0.9)
    clf.set_params(loss="bce_with_logits").fit(X, Y)
    assert_array_equal(clf.predict(X), clf.predict_proba(X) > 0.9)


@pytest.mark.parametrize("name", LOSSES)
def test_binary_decision_function_is_positive_where_the_second_class_is_predicted(name, data):
    """With two classes scikit-learn's tools compare with 0, so the score of the threshold is subtracted."""
    X, Y = data
    thresholds = ["natural"] if name == "hinge" else ["natural", 0.3]
    for threshold in thresholds:
        clf = QuadrantMultiLabelClassifier(name, threshold=threshold).fit(X.astype(np.float32), Y[:, 0])
        assert_array_equal(clf.predict(X), clf.decision_function(X) > 0)
        assert clf.decision_function(X.astype(np.float32)).dtype == np.float32
    if name != "hinge":
        assert_array_equal(clf.predict(X), clf.predict_proba(X)[:, 1] > 0.3)
        scores = X @ clf.coef_[0] + clf.intercept_
        assert_allclose(clf.decision_function(X), scores - clf.loss_.link.cut(0.3), rtol=1e-4, atol=1e-5)


def test_one_vs_rest_honours_the_threshold(data):
    """OneVsRestClassifier, which looks at decision functions, predicts what the model itself predicts."""
    X, _ = data
    clf = QuadrantMultiLabelClassifier("asymmetric", threshold=0.35)
    assert_array_equal(OneVsRestClassifier(clf).fit(*data).predict(X), clf.fit(*data).predict(X))


def test_more_classes_are_decided_by_the_largest_score(data):
    """A threshold has no say in a 1-D y of several classes."""
    X, Y = data
    y = Y[:, 0] + Y[:, 1]
    low, high = (QuadrantMultiLabelClassifier(threshold=t).fit(X, y).predict(X) for t in (0.01, 0.99))
    assert_array_equal(low, high)


@pytest.mark.parametrize("name", WITH_LINK)
def test_probabilities_are_the_link_of_scores(name, data):
    """One array (n_samples, n_labels), strictly inside (0, 1), and its logarithm."""
    X, _ = data
    clf = fitted(data, name)
    probabilities = clf.predict_proba(X)
    assert_allclose(probabilities, clf.loss_.link.inverse(clf.decision_function(X)), rtol=1e-12)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert_allclose(clf.predict_log_proba(X), np.log(probabilities))
    assert_allclose(clf.decision_function(X), X @ clf.coef_.T + clf.intercept_)


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
@pytest.mark.parametrize("loss", ["hinge", LOSSES["hinge"]()], ids=["string", "instance"])
def test_probabilities_are_absent_with_the_reason_where_there_is_no_link(method, loss, data):
    """The hinge loss has none, before fit and after, and the error says what to use."""
    for clf in (QuadrantMultiLabelClassifier(loss), fitted(data, loss)):
        assert not hasattr(clf, method)
        with pytest.raises(AttributeError) as error:
            getattr(clf, method)
        assert "Use decision_function, or CalibratedMultiLabelClassifierCV" in str(error.value.__cause__)
