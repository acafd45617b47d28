"""A user's own losses, one for each label and one for the row, work everywhere without touching the package."""

from dataclasses import dataclass

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant.displays import DecisionRegionDisplay, LossDisplay
from sk_quadrant.losses import LOSSES, LabelwiseLoss, Link, LogitLink, Loss
from sk_quadrant.metrics import neg_multilabel_log_loss_scorer


@dataclass(frozen=True)
class AtLeastOneLink(Link):
    """Complementary log-log link."""

    def _link(self, p):
        return np.log(-np.log1p(-p))

    def _inverse(self, s):
        return -np.expm1(-np.exp(s))


@dataclass(frozen=True)
class AtLeastOne(LabelwiseLoss):
    """Labelwise, its natural threshold 0 at another probability than 1/2, with a parameter."""

    name = "at_least_one"
    link = AtLeastOneLink()
    present_weight: float = 1.0

    def per_label(self, scores, targets):
        """Return the loss of each row and label."""
        rate = scores.clamp(-60, 60).exp()
        return -self.present_weight * targets * torch.log(-torch.expm1(-rate)) + (1 - targets) * rate


@dataclass(frozen=True)
class OwnLogistic(LabelwiseLoss):
    """Logistic loss written with what autograd has, to be held to that of the package."""

    name = "own_logistic"
    link = LogitLink()

    def per_label(self, scores, targets):
        """Return the loss of each row and label."""
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")


@dataclass(frozen=True)
class Subset(Loss):
    """Set-wise, without a link, for hard targets only, with a parameter."""

    name = "subset"
    soft_targets = False
    temperature: float = 1.0

    def per_sample(self, scores, targets, mask=None, weight=None):
        """Return the loss of each row."""
        margins = (2 * targets - 1) * scores / self.temperature
        if weight is not None:
            margins = (margins - weight.log()).clamp(max=1e30)
        if mask is not None:
            margins = margins.masked_fill(~mask, 1e30)
        return self.temperature * torch.nn.functional.softplus((-margins).logsumexp(dim=1))


OWN = [AtLeastOne(), AtLeastOne(present_weight=2.0), OwnLogistic(), Subset(), Subset(temperature=0.5)]
SOLVERS = ["lbfgs", "adamw"]
pytestmark = pytest.mark.filterwarnings("ignore:The adamw solver did not converge")  # enough for what is asked here
each_loss = pytest.mark.parametrize("loss", OWN, ids=str)
each_solver = pytest.mark.parametrize("solver", SOLVERS)


@pytest.fixture(scope="module")
def counts():
    """Return rows, labels that are present where a Poisson count is not zero, and their probabilities."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 4))
    rate = np.exp(X @ rng.normal(scale=0.7, size=(4, 3)) - 0.5)
    return X, (rng.poisson(rate) > 0).astype(int), -np.expm1(-rate)


@pytest.fixture(scope="module")
def quadrants():
    """Return points with noisy labels of their two signs."""
    return make_quadrants(400, slope=4.0, random_state=0)


def fitted(loss, X, y, *, solver="lbfgs", **options):
    """Return a fitted classifier."""
    if solver == "adamw":
        options = {"max_iter": 50, "learning_rate_init": 0.05, "random_state": 0, **options}
    return QuadrantMultiLabelClassifier(loss, solver=solver, **options).fit(X, y)


def test_own_losses_are_listed_nowhere():
    """No test here rests on a loss that the package knows."""
    assert not set(LOSSES) & {loss.name for loss in OWN}


@each_solver
@each_loss
def test_fit_and_predict(loss, solver, quadrants):
    """Every solver trains every own loss to an accuracy near that of the best classifier, 0.86."""
    X, Y = quadrants
    model = fitted(loss, X, Y, solver=solver, threshold="natural" if loss.link is None else "bayes")

    assert model.loss_ == loss
    assert np.mean(model.predict(X) == Y) > 0.85


def test_full_batch_reaches_the_minimum(counts):
    """The gradient of the objective, by autograd, is zero at what L-BFGS returns."""
    X, Y, _ = counts
    for loss in OWN:
        model = fitted(loss, X, Y, C=2.0, tol=1e-7, max_iter=500)
        coef = torch.tensor(model.coef_, requires_grad=True)
        intercept = torch.tensor(model.intercept_, requires_grad=True)
        scores = torch.from_numpy(X) @ coef.T + intercept
        objective = 2.0 * loss.per_sample(scores, torch.from_numpy(Y).double()).sum() + 0.5 * (coef**2).sum()
        objective.backward()

        assert_allclose(coef.grad, 0, atol=1e-3 * len(X) ** 0.5)
        assert_allclose(intercept.grad, 0, atol=1e-3 * len(X) ** 0.5)


def test_own_logistic_is_that_of_the_package(quadrants):
    """The same formula without closed-form derivatives has the same coefficients, masks and weights included."""
    X, Y = quadrants
    Y = Y.astype(float)
    Y[::7, 1] = np.nan
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=Y.shape)
    own, known = (
        QuadrantMultiLabelClassifier(loss, missing_labels="ignore", tol=1e-6).fit(X, Y, sample_weight=weight)
        for loss in (OwnLogistic(), "bce_with_logits")
    )

    assert_allclose(own.coef_, known.coef_, atol=1e-5)
    assert_allclose(own.intercept_, known.intercept_, atol=1e-5)


def test_probabilities_are_those_of_the_link(counts):
    """Probabilities are 1 - exp(-exp(score)) and come near the true ones."""
    X, Y, proba = counts
    model = fitted(AtLeastOne(), X, Y, C=np.inf)

    assert_allclose(model.predict_proba(X), 1 - np.exp(-np.exp(model.decision_function(X))), rtol=1e-10)
    assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)))
    assert np.abs(model.predict_proba(X) - proba).mean() < 0.02


def test_complementary_log_log_is_poisson_regression_of_rare_counts():
    """Where counts are 0 or 1, the loss without its log term is that of scikit-learn's PoissonRegressor."""

    @dataclass(frozen=True)
    class Poisson(LabelwiseLoss):
        name = "poisson"

        def per_label(self, scores, targets):
            return scores.exp() - targets * scores

    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    Y = (rng.random((500, 2)) < np.exp(0.4 * X[:, :2] - 1.5)).astype(int)
    own = fitted(Poisson(), X, Y, C=0.05, tol=1e-7)
    for j in range(2):
        peer = PoissonRegressor(alpha=1 / (0.05 * len(X)), tol=1e-10, max_iter=1000).fit(X, Y[:, j])
        assert_allclose(own.coef_[j], peer.coef_, rtol=1e-4)
        assert_allclose(own.intercept_[j], peer.intercept_, rtol=1e-4)


@pytest.mark.parametrize(
    ("threshold", "probability"),
    [("natural", 1 - np.exp(-1)), ("bayes", 0.5), (0.3, 0.3)],
    ids=["natural", "bayes", "0.3"],
)
def test_thresholds_follow_the_link(threshold, probability, counts):
    """A label is predicted above the probability that its link gives to the threshold."""
    X, Y, _ = counts
    model = fitted(AtLeastOne(), X, Y, threshold=threshold)

    assert_allclose(model.threshold_, probability)
    assert_array_equal(model.predict(X), model.predict_proba(X) > probability)


def test_loss_without_a_link_says_what_it_lacks(quadrants):
    """A loss without a link predicts by its natural threshold, has no probabilities and refuses the Bayes threshold."""
    model = fitted(Subset(), *quadrants)

    assert_array_equal(model.predict(quadrants[0]), model.decision_function(quadrants[0]) > 0)
    assert not hasattr(model, "predict_proba")
    with pytest.raises(ValueError, match=r"threshold='bayes' is not possible for 'subset'"):
        fitted(Subset(), *quadrants, threshold="bayes")


def test_missing_probabilities_name_the_loss(quadrants):
    """The error of asking for probabilities has the loss in its cause, as scikit-learn's available_if puts it."""
    with pytest.raises(AttributeError, match="predict_proba") as error:
        _ = fitted(Subset(), *quadrants).predict_proba
    assert "not available for loss='subset'" in str(error.value.__cause__)


def test_loss_for_hard_targets_refuses_soft_ones(quadrants):
    """The declaration `soft_targets = False` is enough to refuse probabilities as targets."""
    X, Y = quadrants
    with pytest.raises(ValueError, match=r"loss='subset' takes targets 0 and 1 only"):
        fitted(Subset(), X, np.clip(Y, 0.1, 0.9))


@each_solver
@each_loss
def test_unknown_labels_have_no_influence(loss, solver, quadrants):
    """Rows without a known label change nothing."""
    X, Y = quadrants
    rng = np.random.default_rng(0)
    Y = np.where(rng.random(Y.shape) < 0.1, np.nan, Y)
    extended = np.vstack([X, rng.normal(size=(20, 2))]), np.vstack([Y, np.full((20, 2), np.nan)])
    plain, longer = (
        fitted(loss, *data, solver=solver, missing_labels="ignore", batch_size=1000, tol=1e-6, max_iter=200)
        for data in ((X, Y), extended)
    )

    assert np.isfinite(plain.coef_).all()
    assert_allclose(longer.decision_function(X), plain.decision_function(X), rtol=1e-2, atol=1e-2)


@each_loss
def test_clone_keeps_the_loss(loss, quadrants):
    """A clone has an equal loss and, being deterministic, equal coefficients."""
    model = fitted(loss, *quadrants)
    copy = clone(model)

    assert copy.loss == loss
    assert_array_equal(copy.fit(*quadrants).coef_, model.coef_)


@each_solver
@each_loss
def test_pickle_keeps_predictions(loss, solver, quadrants, tmp_path):
    """Predictions, loss and thresholds survive joblib's and cloudpickle's files."""
    X, _ = quadrants
    model = fitted(loss, *quadrants, solver=solver)
    joblib.dump(model, tmp_path / "model")
    for again in (joblib.load(tmp_path / "model"), cloudpickle.loads(cloudpickle.dumps(model))):
        assert again.loss_ == loss
        assert_array_equal(again.predict(X), model.predict(X))
        assert_array_equal(again.threshold_, model.threshold_)


def test_grid_search_finds_the_loss_of_the_data(counts):
    """Among all losses with a link, own instances beside strings, the search takes the one the labels came from."""
    X, Y, _ = counts
    losses = [AtLeastOne(), AtLeastOne(present_weight=2.0), *(name for name in LOSSES if LOSSES[name]().link)]
    search = GridSearchCV(
        QuadrantMultiLabelClassifier(), {"loss": losses}, scoring=neg_multilabel_log_loss_scorer, cv=3
    ).fit(X, Y)

    assert search.best_params_ == {"loss": AtLeastOne()}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_grid_search_over_a_pipeline(quadrants):
    """Losses with their parameters are searched inside a pipeline."""
    pipeline = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier())
    grid = {"quadrantmultilabelclassifier__loss": [Subset(), Subset(temperature=0.1), OwnLogistic()]}
    search = GridSearchCV(pipeline, grid, scoring="accuracy", cv=2).fit(*quadrants)

    assert search.cv_results_["mean_test_score"].min() > 0.65


def test_subset_loss_gets_more_rows_right():
    """Where labels exclude each other, the loss of the row beats cross-entropy on subset accuracy."""
    rng = np.random.default_rng(0)
    W, X = rng.normal(size=(8, 6)), rng.normal(size=(3000, 8))
    Y = np.eye(6, dtype=int)[np.argmax(X @ W + rng.gumbel(size=(3000, 6)), axis=1)]
    right = {
        name: cross_val_score(QuadrantMultiLabelClassifier(loss), X, Y, cv=3).mean()
        for name, loss in {"own": Subset(), "bce": "bce_with_logits"}.items()
    }

    assert right["own"] > right["bce"] + 0.01


def test_meta_estimators_take_own_losses(counts):
    """Calibration gives probabilities to the loss without a link; tuned thresholds beat the natural ones."""
    X, Y, proba = counts
    calibrated = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(Subset()), cv=3).fit(X, Y)
    tuned = TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(AtLeastOne()), cv=3).fit(X, Y)

    assert np.abs(calibrated.predict_proba(X) - proba).mean() < 0.05
    assert (tuned.best_threshold_ < 1 - np.exp(-1)).all()


@pytest.mark.parametrize("kind", ["sparse X", "sparse y", "1-D y", "float32"])
@each_loss
def test_data_of_every_form(loss, kind, quadrants):
    """Own losses never see the form of the data."""
    X, Y = quadrants
    forms = {
        "sparse X": (sparse.csr_array(X), Y),
        "sparse y": (X, sparse.csr_array(Y)),
        "1-D y": (X, np.where(Y[:, 0], "yes", "no")),
        "float32": (X.astype(np.float32), Y),
    }
    model = fitted(loss, *forms[kind], threshold="natural" if loss.link is None else "bayes")
    predicted = model.predict(forms[kind][0])

    if kind == "1-D y":
        assert np.mean(predicted == forms[kind][1]) > 0.85
    else:
        assert np.mean((predicted.toarray() if kind == "sparse y" else predicted) == Y) > 0.85
        assert model.coef_.dtype == (np.float32 if kind == "float32" else np.float64)


@each_loss
def test_display_draws_an_own_loss(loss, quadrants):
    """The display takes the loss by itself or from a classifier; curves, link and thresholds are the loss's own."""
    plt = pytest.importorskip("matplotlib.pyplot")
    display = LossDisplay.from_estimator(fitted(loss, *quadrants), score_range=(-2, 2), n_points=5)
    same = LossDisplay.from_loss({"mine": loss}, score_range=(-2, 2), n_points=5)

    assert same.names == ["mine"]
    assert display.names[0].startswith(type(loss).__name__)
    assert_array_equal(display.values, same.values)
    assert_allclose(display.thresholds, 0)
    if loss.link is None:
        assert np.isnan(display.probabilities).all()
        assert np.isnan(display.bayes_thresholds).all()
    else:
        assert_allclose(display.probabilities[0], loss.link.inverse(display.scores))
        assert_allclose(display.bayes_thresholds, loss.link.link(0.5))
        scores = torch.from_numpy(display.scores)[:, None]
        assert_allclose(display.values[0, 1], loss.per_label(scores, torch.ones_like(scores))[:, 0])
    plt.close("all")


@each_loss
def test_regions_are_drawn(loss, quadrants):
    """The regions of a classifier with an own loss are drawn, with probabilities or with scores."""
    plt = pytest.importorskip("matplotlib.pyplot")
    X, Y = quadrants
    display = DecisionRegionDisplay.from_estimator(fitted(loss, X, Y), X, Y)

    assert len(display.cut_lines_) == 2
    plt.close("all")
