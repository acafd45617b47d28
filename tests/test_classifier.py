"""How fits begin, go on, report and end: warm starts, seeds, progress, parameters and attributes."""

import inspect
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant._solvers.full_batch import lbfgs
from sk_quadrant._solvers.registry import SOLVERS
from sk_quadrant.losses import LOSSES, Focal

QUICK = {"max_iter": 5, "tol": 1e3, "n_iter_no_change": 5}
few_epochs = pytest.mark.filterwarnings("ignore:The .* solver did not converge:sklearn.exceptions.ConvergenceWarning")
STOCHASTIC = [name for name, solver in SOLVERS.items() if solver.random]


@pytest.fixture(scope="module")
def data():
    """Noisy quadrants in three dimensions."""
    return make_quadrants(n_samples=200, n_features=3, slope=2.0, random_state=0)


def fitted(data, loss="bce_with_logits", **params):
    """Return a fitted model."""
    return QuadrantMultiLabelClassifier(loss, **params).fit(*data)


# parameters


def test_every_parameter_is_documented_validated_and_kept():
    """The docstring, the constraints and the signature name the same parameters; get_params gives them back."""
    signature = inspect.signature(QuadrantMultiLabelClassifier).parameters
    section = QuadrantMultiLabelClassifier.__doc__.split("Attributes\n")[0]
    documented = re.findall(r"^    (\w+) : ", section, flags=re.MULTILINE)
    clf = QuadrantMultiLabelClassifier()
    assert documented == list(signature)
    assert set(QuadrantMultiLabelClassifier._parameter_constraints) == set(signature) == set(clf.get_params())
    assert all(parameter.kind == parameter.KEYWORD_ONLY for name, parameter in signature.items() if name != "loss")


def test_every_default_is_documented():
    """Each parameter's line ends with the default of the signature."""
    for name, parameter in inspect.signature(QuadrantMultiLabelClassifier).parameters.items():
        line = re.search(rf"^    {name} : .*default=(.*)$", QuadrantMultiLabelClassifier.__doc__, flags=re.MULTILINE)
        written = eval(line.group(1))
        assert written == parameter.default, name


def test_every_fitted_attribute_is_documented(data):
    """What fit sets and does not begin with an underscore is in the docstring, and the other way round."""
    section = QuadrantMultiLabelClassifier.__doc__.split("Attributes\n")[1].split("See Also")[0]
    documented = set(re.findall(r"^    (\w+) : ", section, flags=re.MULTILINE))
    X, Y = data
    clf = fitted((pd.DataFrame(X, columns=["a", "b", "c"]), pd.DataFrame(Y)))
    found = {name for name in dir(clf) if name.endswith("_") and not name.startswith("_")}
    assert found == documented


def test_set_params_reaches_the_next_fit(data):
    """Parameters are used as they are when fit is called; the constructor copies and changes nothing."""
    loss, threshold = Focal(gamma=3.0), np.array([0.1, 0.2, 0.3])
    clf = QuadrantMultiLabelClassifier(loss, threshold=threshold)
    assert clf.loss is loss
    assert clf.threshold is threshold
    clf.set_params(C=0.1, loss="zlpr").fit(*data)
    assert_array_equal(clf.coef_, fitted(data, "zlpr", C=0.1).coef_)
    assert clf.loss == "zlpr"


def test_fit_does_not_change_parameters(data):
    """After fit all parameters are those of before."""
    clf = QuadrantMultiLabelClassifier(Focal(), threshold=[0.1, 0.2, 0.3], class_weight=["balanced", None, {1: 2.0}])
    before = clf.get_params()
    clf.fit(*data)
    assert all(clf.get_params()[name] is value for name, value in before.items())


def test_a_clone_is_unfitted_and_equal(data):
    """Clones have equal parameters, losses included, and give the same model."""
    clf = fitted(data, Focal(gamma=3.0), C=0.3)
    copied = clone(clf)
    assert not hasattr(copied, "coef_")
    assert copied.get_params() == clf.get_params()
    assert_array_equal(copied.fit(*data).coef_, clf.coef_)


def test_representation_shows_what_differs_from_the_default():
    """As in scikit-learn, repr is what one would type."""
    clf = QuadrantMultiLabelClassifier(Focal(gamma=3.0), C=0.3)
    assert repr(clf) == "QuadrantMultiLabelClassifier(C=0.3, loss=Focal(gamma=3.0, alpha=None))"


@few_epochs
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["bce_with_logits", "zlpr"])
def test_without_intercept_intercepts_are_zero(name, solver, data):
    """fit_intercept=False keeps them at zero, and scores are the products."""
    clf = fitted(data, name, solver=solver, fit_intercept=False, **QUICK)
    assert_array_equal(clf.intercept_, np.zeros(3))
    assert_allclose(clf.decision_function(data[0]), data[0] @ clf.coef_.T)


@pytest.mark.parametrize("name", LOSSES)
def test_no_penalty_on_separable_data_stays_finite(name):
    """With C=inf on data without an optimum the fit ends, finite, and separates, with no other warning than one."""
    X, Y = make_quadrants(n_samples=80, random_state=0)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        clf = QuadrantMultiLabelClassifier(name, C=np.inf).fit(X, Y)
    assert np.isfinite(clf.coef_).all()
    assert np.isfinite(clf.intercept_).all()
    assert clf.score(X, Y) > 0.95
    assert [warning.category for warning in record] in ([], [ConvergenceWarning])


def test_a_weaker_penalty_gives_larger_coefficients(data):
    """Coefficients grow with C up to those without a penalty."""
    norms = [np.linalg.norm(fitted(data, C=C).coef_) for C in (1e-3, 1e-2, 0.1, 1, 10, np.inf)]
    assert norms == sorted(norms)


# seeds


@pytest.mark.parametrize("name", LOSSES)
def test_full_batch_fits_are_deterministic(name, data):
    """Two fits are equal to the last bit, whatever the seed."""
    one, other = (fitted(data, name, random_state=seed) for seed in (0, None))
    assert_array_equal(one.coef_, other.coef_)
    assert_array_equal(one.intercept_, other.intercept_)


@few_epochs
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_mini_batch_fits_depend_on_the_seed_alone(solver, data):
    """The same seed gives the same model, another seed another one; a RandomState goes on between fits."""
    params = {"solver": solver, "batch_size": 50, **QUICK}
    first, again, other = (fitted(data, random_state=seed, **params).coef_ for seed in (0, 0, 1))
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    state = np.random.RandomState(0)
    one, two = (fitted(data, random_state=state, **params).coef_ for _ in range(2))
    assert_array_equal(one, first)
    assert not np.array_equal(one, two)


# warm starts


@pytest.mark.parametrize("name", LOSSES)
def test_a_warm_start_at_the_optimum_is_done_at_once(name, data):
    """Fitting again from the solution takes no steps, or a few for the stages of the hinge, and changes little."""
    clf = fitted(data, name, warm_start=True, tol=1e-6)
    coef, steps = clf.coef_.copy(), clf.n_iter_
    clf.fit(*data)
    assert clf.n_iter_ <= (steps if name == "hinge" else 1)
    assert_allclose(clf.coef_, coef, rtol=0, atol=1e-4 * np.abs(coef).max())


@pytest.mark.parametrize("name", ["bce_with_logits", "zlpr"])
def test_a_warm_start_goes_on_where_it_was(name, data):
    """Interrupted by max_iter, fits add up to the optimum, on other data and with other parameters too."""
    clf = QuadrantMultiLabelClassifier(name, warm_start=True, max_iter=2, tol=1e-8)
    values = []
    for _ in range(4):
        with pytest.warns(ConvergenceWarning):
            clf.fit(*data)
        values.append(clf.loss_curve_[-1])
    assert (np.diff(values) < 0).all()
    clf.set_params(C=0.1, max_iter=200).fit(*data)
    assert_allclose(clf.coef_, fitted(data, name, C=0.1, tol=1e-8).coef_, rtol=1e-5, atol=1e-7)


def test_without_a_warm_start_fits_forget(data):
    """By default a fit is the same whether or not another one came before."""
    clf = fitted((data[0] * 3, data[1][:, ::-1]))
    assert_array_equal(clf.fit(*data).coef_, fitted(data).coef_)


def test_a_warm_start_of_a_sparse_model(data):
    """Coefficients made sparse are where a warm start begins, and come back dense."""
    clf = fitted(data, warm_start=True).sparsify()
    clf.fit(*data)
    assert isinstance(clf.coef_, np.ndarray)
    assert clf.n_iter_ == 0


# progress


@few_epochs
@pytest.mark.parametrize("solver", SOLVERS)
def test_verbose_prints_a_line_for_each_iteration(solver, data, capsys):
    """With verbose=1 there is progress to read; without there is nothing, on any channel."""
    clf = fitted(data, solver=solver, verbose=0, **QUICK)
    assert capsys.readouterr() == ("", "")
    clf.set_params(verbose=1, tol=1e-4, max_iter=4).fit(*data)
    printed = capsys.readouterr().out
    assert len(re.findall(r"^.*\d", printed, flags=re.MULTILINE)) >= clf.n_iter_ == 4


@pytest.mark.parametrize("solver", SOLVERS)
def test_curve_and_history_tell_of_every_iteration(solver, data):
    """loss_curve_ and history_ have an entry for each, the full-batch one also for the start."""
    clf = QuadrantMultiLabelClassifier(solver=solver, max_iter=4)
    with pytest.warns(ConvergenceWarning):
        clf.fit(*data)
    start = 0 if SOLVERS[solver].random else 1
    assert clf.n_iter_ == 4
    assert len(clf.loss_curve_) == len(clf.history_) == 4 + start
    assert all(isinstance(value, float) for value in clf.loss_curve_)
    assert clf.loss_curve_[-1] < clf.loss_curve_[0]


def test_an_interrupted_fit_is_usable(data, monkeypatch):
    """Ctrl-C ends a fit with a warning, and the model is what it was then."""
    step = lbfgs.Minimizer._step

    def interrupt(self, *args, **kwargs):
        if self.trace.n_iter == 2:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(lbfgs.Minimizer, "_step", interrupt)
    clf = QuadrantMultiLabelClassifier(tol=1e-8)
    with pytest.warns(ConvergenceWarning, match="interrupted after 2 iterations; the model is usable"):
        clf.fit(*data)
    assert clf.score(*data) > 0.3


# the net


@few_epochs
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_net_is_a_trained_skorch_net(solver, data):
    """net_ is a skorch net with the scores, probabilities and labels of the model, also once it is built again."""
    X, _ = data
    trained = fitted(data, "focal", solver=solver, **QUICK)
    for clf in (trained, pickle.loads(pickle.dumps(trained))):
        assert isinstance(clf.net_, NeuralNet)
        assert clf.net_ is clf.net_
        assert_allclose(clf.net_.forward(X).detach().numpy(), clf.decision_function(X), rtol=1e-6)
        assert_allclose(clf.net_.predict_proba(X), clf.predict_proba(X), rtol=1e-6)
        assert_array_equal(clf.net_.predict(X), clf.predict(X))


@pytest.mark.parametrize("name", LOSSES)
def test_scores_need_no_net(name, data):
    """Linear models predict from coefficients, so changing those changes predictions."""
    X, _ = data
    clf = fitted(data, name)
    clf.coef_, clf.intercept_ = -clf.coef_, -clf.intercept_
    assert_allclose(clf.decision_function(X), -fitted(data, name).decision_function(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X[:, :-1], "expecting 3 features"),
        (lambda X: X[0], "Expected 2D array"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X * np.array([np.nan, 1, 1], X.dtype), "contains NaN"),
        (lambda X: X * np.array([1, np.inf, 1], X.dtype), "contains infinity"),
    ],
    ids=["columns", "dimensions", "no rows", "NaN", "infinity"],
)
def test_single_rows_are_validated(spoil, message, dtype, data):
    """However fast, prediction refuses what scikit-learn's validation refuses, in its words."""
    X, Y = (part[:50] for part in data)
    X = X.astype(dtype)
    clf = QuadrantMultiLabelClassifier().fit(X, Y)
    for method in (clf.predict, clf.predict_proba, clf.decision_function):
        with pytest.raises(ValueError, match=message):
            method(spoil(X[:1]))


def test_rows_predicted_one_by_one_are_those_predicted_together(data):
    """Scores of many rows, taken in blocks, are those of single rows."""
    X, Y = data
    clf = QuadrantMultiLabelClassifier().fit(X, Y)
    many = np.resize(X, (80_000, X.shape[1]))
    for method in (clf.predict, clf.predict_proba, clf.decision_function):
        together = method(many)
        assert together.shape == (80_000, Y.shape[1])
        assert_allclose(np.vstack([method(row[None]) for row in many[-3:]]), together[-3:], rtol=1e-12)


@pytest.mark.parametrize("as_format", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("total", [1.0, 40.0])
def test_an_absent_label_has_the_probability_of_its_number_of_rows(total, as_format):
    """1 / (2 n + 2), also where weights sum to 1; rows of weight 0 are not there."""
    X, y = np.random.default_rng(0).normal(size=(50, 3)), np.zeros((50, 2))
    y[::2, 1] = 1
    weight = np.repeat([total / 40, 0.0], [40, 10])

    model = QuadrantMultiLabelClassifier().fit(as_format(X), y, sample_weight=weight)

    np.testing.assert_allclose(model.predict_proba(as_format(X))[:, 0], 1 / 82)
