"""Arrays of other libraries than NumPy, with ``array_api_dispatch=True``: estimators, meta-estimators and metrics."""

import copy
import pickle
import re
from unittest import SkipTest

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _array_api
from sklearn.utils.estimator_checks import estimator_checks_generator

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
    top_k_labels,
)
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier, LabelHierarchy, hierarchical_f1_score
from sk_quadrant.io import load_safetensors, save_safetensors
from sk_quadrant.metrics import (
    expected_calibration_error,
    get_scorer,
    label_propensities,
    multilabel_f1_score,
    multilabel_log_loss,
    precision_at_k_score,
    psp_at_k_score,
)
from sk_quadrant.model_selection import MultilabelStratifiedKFold, multilabel_cross_val_predict

array_api_strict = pytest.importorskip("array_api_strict")
if not hasattr(_array_api, "move_to"):
    pytest.skip("scikit-learn before 1.9 does not move arrays between libraries", allow_module_level=True)

STRICT_DEVICE = array_api_strict.Device("device1")  # which NumPy cannot read
NAMESPACES = {
    "torch": (torch, torch.device("cpu")),
    "array_api_strict": (array_api_strict, STRICT_DEVICE),
}
MODELS = {
    "lbfgs": {},
    "adamw": {"solver": "adamw", "max_iter": 5},
    "sgd": {"solver": "sgd", "max_iter": 5, "mixup_alpha": 0.2},
    "network": {"solver": "adamw", "max_iter": 5, "hidden_layer_sizes": 5},
    "module": {"solver": "adamw", "max_iter": 5, "module": torch.nn.Linear(4, 3)},
    "validated": {"solver": "adamw", "max_iter": 5, "early_stopping": True, "scoring": "neg_multilabel_log_loss"},
}
METHODS = ("decision_function", "predict", "predict_proba", "predict_log_proba")

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # few epochs, on purpose
    pytest.mark.filterwarnings("ignore:.*no positive or no negative row:UserWarning"),
]


@pytest.fixture(params=NAMESPACES)
def library(request):
    """Return a function that makes arrays of a library, on a device of it."""
    return maker(request.param)


def maker(name):
    xp, device = NAMESPACES[name]
    return lambda array: xp.asarray(array, device=device)


@pytest.fixture
def data():
    """Features, labels with unknown ones, and weights of rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(120, 3)) > 0).astype(float)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    return X, Y, rng.uniform(0.5, 1.5, 120)


def classifier(**params):
    return QuadrantMultiLabelClassifier(missing_labels="ignore", random_state=0, **params)


def in_numpy(array):
    """Return an array of any library as a NumPy array."""
    with config_context(array_api_dispatch=True):
        return _array_api.move_to(array, xp=np, device="cpu")


def assert_same(found, expected, like, **tolerance):
    """Assert that an array has the values and dtype of a NumPy array, and the namespace and device of another."""
    with config_context(array_api_dispatch=True):
        assert _array_api.get_namespace_and_device(found) == _array_api.get_namespace_and_device(like)
    found = in_numpy(found)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, **tolerance)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("torch", "float32"),
        ("array_api_strict", "float64"),
        pytest.param("torch", "float64", marks=pytest.mark.slow),
        pytest.param("array_api_strict", "float32", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("params", MODELS.values(), ids=MODELS)
def test_predictions_are_those_of_numpy_in_the_namespace_of_X(params, name, dtype, data):
    """Each kind of model takes X, y and weights of a library, and gives scores, labels and attributes of it."""
    X, Y, weight = data
    X, library = X.astype(dtype), maker(name)
    expected = classifier(**params).fit(X, Y, sample_weight=weight)
    with config_context(array_api_dispatch=True):
        clf = classifier(**params).fit(library(X), library(Y), sample_weight=library(weight))
        score = clf.score(library(X), library(Y), sample_weight=library(weight))

        tolerance = 1e-9 if dtype == "float64" and "module" not in params else 1e-3
        for method in METHODS:
            found = getattr(clf, method)(library(X))
            assert_same(found, getattr(expected, method)(X), library(X), rtol=tolerance, atol=tolerance)
    assert score == expected.score(X, Y, sample_weight=weight)
    assert_same(clf.threshold_, expected.threshold_, library(X))
    if hasattr(expected, "coef_"):
        assert_same(clf.coef_, expected.coef_, library(X), rtol=tolerance, atol=tolerance)
        assert_same(clf.intercept_, expected.intercept_, library(X), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("params", MODELS.values(), ids=MODELS)
def test_features_of_pytorch_are_not_copied_through_numpy(params, data, monkeypatch):
    """Nothing as large as X is made a NumPy array of, or handed to another library, in fit and in predictions."""
    X, Y, weight = data
    X = torch.as_tensor(np.repeat(X, 2, axis=1), dtype=torch.float32)  # 960 values, more than labels or weights have
    if "module" in params:
        params = params | {"module": torch.nn.Linear(8, 3)}

    def refuse_large(method):
        def refusing(self, *args, **kwargs):
            if self.numel() > 400:
                raise AssertionError(f"{method.__name__} of a tensor of shape {tuple(self.shape)}")
            return method(self, *args, **kwargs)

        return refusing

    for name in ("numpy", "__array__", "__dlpack__", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, refuse_large(getattr(torch.Tensor, name)))
    with config_context(array_api_dispatch=True):
        clf = classifier(**params).fit(X, Y, weight)
        for method in METHODS:
            assert isinstance(getattr(clf, method)(X), torch.Tensor)


def test_full_batch_solver_works_on_the_memory_of_the_tensor(data, monkeypatch):
    """The tensor that the solver is given shares its memory with X."""
    from sk_quadrant._solvers.full_batch import fit

    X, Y, _ = data
    X, seen = torch.as_tensor(X, dtype=torch.float32), []
    minimize = fit.minimize

    def spy(rows, *args, **kwargs):
        seen.append(rows.X.data_ptr())
        return minimize(rows, *args, **kwargs)

    monkeypatch.setattr(fit, "minimize", spy)
    with config_context(array_api_dispatch=True):
        classifier().fit(X, torch.as_tensor(Y))

    assert seen == [X.data_ptr()]


@pytest.mark.parametrize(
    "make_y",
    [
        pytest.param(lambda X: (X[:, 0] > 0).astype(np.int64), id="binary"),
        pytest.param(lambda X: X[:, :3].argmax(axis=1), id="multiclass"),
        pytest.param(lambda X: np.clip(0.5 + 0.3 * X[:, :2], 0, 1), id="soft"),
    ],
)
def test_every_form_of_y_is_taken(make_y, library, data):
    """Predictions have the form of y, whatever it is."""
    X = data[0]
    y = make_y(X)
    with config_context(array_api_dispatch=True):
        clf = QuadrantMultiLabelClassifier().fit(library(X), library(y))
        expected = QuadrantMultiLabelClassifier().fit(X, y)
        for method in METHODS:
            assert_same(
                getattr(clf, method)(library(X)), getattr(expected, method)(X), library(X), rtol=1e-7, atol=1e-7
            )


def test_classes_that_are_strings_stay_in_numpy(library, data):
    """No other library has strings; probabilities are in the namespace of X all the same."""
    X = data[0]
    y = np.where(X[:, 0] > 0, "yes", "no")
    with config_context(array_api_dispatch=True):
        clf = QuadrantMultiLabelClassifier().fit(library(X), y)
        labels, proba = clf.predict(library(X)), clf.predict_proba(library(X))

        assert clf.score(library(X), y) > 0.95
    assert isinstance(labels, np.ndarray)
    assert type(proba) is type(library(X))


def test_sparse_labels_give_sparse_predictions(data):
    """There are no sparse arrays in the array API, so predictions in the form of a sparse y are of SciPy."""
    X, Y, _ = data
    Y = np.nan_to_num(Y)
    with config_context(array_api_dispatch=True):
        predicted = QuadrantMultiLabelClassifier().fit(torch.as_tensor(X), sparse.csr_array(Y)).predict(torch.tensor(X))
    assert isinstance(predicted, sparse.csr_array)
    np.testing.assert_array_equal(predicted.toarray(), QuadrantMultiLabelClassifier().fit(X, Y).predict(X))


def test_everything_follows_X(library, data):
    """Y and weights may be of another library than X, and X decides where results are."""
    X, Y, weight = data
    expected = classifier().fit(X, Y, weight).predict_proba(X)
    with config_context(array_api_dispatch=True):
        assert_same(classifier().fit(X, library(Y), library(weight)).predict_proba(X), expected, X, rtol=1e-9)
        clf = classifier().fit(library(X), Y, weight)
        assert_same(clf.predict_proba(library(X)), expected, library(X), rtol=1e-9)
        assert clf.score(library(X), Y) == classifier().fit(X, Y, weight).score(X, Y)


def test_validation_rows_and_parts_may_be_tensors(library, data):
    """X_val, y_val and sample_weight_val, and the rows of partial_fit, are taken like those of fit."""
    X, Y, weight = data
    params = {"solver": "adamw", "max_iter": 5, "early_stopping": True}
    val = {"X_val": X[:30], "y_val": Y[:30], "sample_weight_val": weight[:30]}
    expected = classifier(**params).fit(X[30:], Y[30:], **val)
    with config_context(array_api_dispatch=True):
        clf = classifier(**params).fit(
            library(X[30:]), library(Y[30:]), **{name: library(part) for name, part in val.items()}
        )
        part = classifier(solver="sgd").partial_fit(library(X), library(Y)).partial_fit(library(X), library(Y))

        assert_same(clf.predict_proba(library(X)), expected.predict_proba(X), library(X), rtol=1e-9)
        assert_same(
            part.predict_proba(library(X)),
            classifier(solver="sgd").partial_fit(X, Y).partial_fit(X, Y).predict_proba(X),
            library(X),
            rtol=1e-9,
        )


def test_warm_start_goes_on_from_coefficients_of_a_library(library, data):
    """A second fit starts where the first has ended, and so takes no iteration."""
    X, Y, _ = data
    with config_context(array_api_dispatch=True):
        clf = classifier(warm_start=True).fit(library(X), library(Y))
        first = clf.n_iter_
        again = clf.fit(library(X), library(Y)).n_iter_

    assert again < first


def test_tensors_that_require_gradients_are_detached(data):
    """Predictions are values: no graph hangs on them, and fit does not use the gradient of X."""
    X, Y, _ = data
    X = torch.tensor(X, requires_grad=True)
    Y = torch.tensor(Y, requires_grad=True)
    with config_context(array_api_dispatch=True):
        proba = classifier().fit(X, Y).predict_proba(X)

        assert not proba.requires_grad
        assert multilabel_log_loss(Y, (X[:, :3] * 0 + 0.5)) == pytest.approx(np.log(2))
    assert X.grad is None


def test_without_dispatch_tensors_become_numpy_arrays(data):
    """As in scikit-learn, arrays that NumPy can read are read as such."""
    X, Y, _ = data
    clf = classifier().fit(torch.as_tensor(X), torch.as_tensor(Y))

    assert isinstance(clf.coef_, np.ndarray)
    np.testing.assert_array_equal(clf.predict_proba(torch.as_tensor(X)), classifier().fit(X, Y).predict_proba(X))


def test_another_namespace_than_in_fit_is_an_error(library, data):
    """The message names both, and what moves the estimator, with dispatch and without."""
    X, Y, _ = data
    with config_context(array_api_dispatch=True):
        clf = classifier().fit(library(X), library(Y))
        with pytest.raises(ValueError, match=r"QuadrantMultiLabelClassifier.predict\(\) must use the same namespace"):
            clf.predict(X)
        with pytest.raises(ValueError, match=r"predict_proba\(\) must use the same namespace"):
            clf.predict_proba(X.tolist())
        with pytest.raises(ValueError, match=r"decision_function\(\) must use the same namespace"):
            classifier().fit(X, Y).decision_function(library(X))
    with pytest.raises(ValueError, match="array_api_dispatch=True"):
        clf.predict(X)


@pytest.mark.parametrize("params", [{"coef_threshold": 0.1}, {"batch_size": 50}], ids=["coef_threshold", "batch_size"])
def test_parameters_that_need_numpy_are_refused(params, data):
    """Sparse coefficients and reading in chunks are of SciPy and NumPy; the estimator stays as it was."""
    X, Y, _ = data
    clf = classifier(**params)
    with (
        config_context(array_api_dispatch=True),
        pytest.raises(ValueError, match=f"{next(iter(params))}=.* needs X of NumPy"),
    ):
        clf.fit(torch.as_tensor(X), Y)
    assert not hasattr(clf, "model_")


@pytest.mark.parametrize("make", [torch.asarray, array_api_strict.asarray], ids=NAMESPACES)
@pytest.mark.parametrize("name", ["lbfgs", "network", "module"])
def test_saved_models_come_back_in_their_namespace(name, make, data):
    """A file holds NumPy arrays; the loaded model and copies take the arrays that the saved one took."""
    X, Y, _ = data
    with config_context(array_api_dispatch=True):
        clf = classifier(**MODELS[name]).fit(make(X), make(Y))
    state = clf.__getstate__()["model_"]
    assert all(isinstance(array, np.ndarray) for layer in state["layers"] for array in layer)
    copies = pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf), copy.copy(clf)
    with config_context(array_api_dispatch=True):
        expected = in_numpy(clf.predict_proba(make(X)))
        for other in copies:
            assert_same(other.predict_proba(make(X)), expected, make(X))


@pytest.mark.parametrize("device", ["cuda:99", "xpu:99"])
def test_model_of_a_missing_gpu_comes_back_on_the_cpu(device, data):
    """A warning says so, and predictions are possible; the machine may have fewer GPUs than the one of the fit."""
    X, Y, _ = data
    with config_context(array_api_dispatch=True):
        clf = classifier().fit(torch.as_tensor(X), Y)
    state = clf.__getstate__()
    state["model_"]["namespace"]["device"] = device
    loaded = QuadrantMultiLabelClassifier()
    with pytest.warns(UserWarning, match=f"{device}, which is not available"):
        loaded.__setstate__(state)

    assert loaded.coef_.device == torch.device("cpu")


def test_safetensors_hold_a_model_for_numpy(library, data, tmp_path):
    """The file knows no libraries: the loaded model takes NumPy arrays."""
    X, Y, _ = data
    with config_context(array_api_dispatch=True):
        clf = classifier().fit(library(X), library(Y))
    save_safetensors(clf, tmp_path / "model.safetensors")

    loaded = load_safetensors(tmp_path / "model.safetensors")

    np.testing.assert_allclose(loaded.predict_proba(X), classifier().fit(X, Y).predict_proba(X), rtol=1e-9)


META = {
    "fixed": FixedThresholdMultiLabelClassifier(QuadrantMultiLabelClassifier(), threshold=0.3, min_labels=1),
    "tuned": TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2),
    "calibrated": CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2),
    "cv": QuadrantMultiLabelClassifierCV("bce_with_logits", Cs=2, cv=2, estimator=QuadrantMultiLabelClassifier()),
    "networks": QuadrantMultiLabelClassifierCV("bce_with_logits", Cs=2, cv=2, random_state=0),  # among what is tried
}


@pytest.mark.parametrize(
    "estimator",
    [pytest.param(each, id=name, marks=[pytest.mark.slow] * (name == "networks")) for name, each in META.items()],
)
def test_meta_estimators_follow_X(estimator, library, data):
    """Predictions, probabilities and attributes are those of NumPy, in the namespace of X, also when moved."""
    X, Y, _ = data
    Y = np.nan_to_num(Y).astype(np.int64)
    expected = clone(estimator).fit(X, Y)
    with config_context(array_api_dispatch=True):
        clf = clone(estimator).fit(library(X), library(Y))
        moved = _array_api.move_estimator_to(clf, np, "cpu")
        for method in ("predict", "predict_proba", "decision_function"):
            wanted = getattr(expected, method)(X)
            assert_same(getattr(clf, method)(library(X)), wanted, library(X), rtol=1e-6)
            assert_same(getattr(moved, method)(X), wanted, X, rtol=1e-6)
        with pytest.raises(ValueError, match=rf"{type(clf).__name__}.predict\(\) must use the same namespace"):
            clf.predict(X)
        assert clf.score(library(X), library(Y)) == expected.score(X, Y)
    if hasattr(expected, "best_threshold_"):
        assert_same(clf.best_threshold_, expected.best_threshold_, library(X), rtol=1e-6)
    if isinstance(library(X), torch.Tensor):
        loaded = pickle.loads(pickle.dumps(clf))
        with config_context(array_api_dispatch=True):
            assert_same(loaded.predict(library(X)), expected.predict(X), library(X))


def test_hierarchical_predictions_follow_X(library, data):
    """A parent is predicted with its children, in the namespace of X."""
    X, Y, _ = data
    Y = np.nan_to_num(Y).astype(np.int64)
    model = HierarchicalMultiLabelClassifier(QuadrantMultiLabelClassifier(), hierarchy=LabelHierarchy((-1, 0, 0)))
    expected = clone(model).fit(X, Y)
    with config_context(array_api_dispatch=True):
        clf = clone(model).fit(library(X), library(Y))
        for method in ("predict", "predict_proba"):
            assert_same(getattr(clf, method)(library(X)), getattr(expected, method)(X), library(X), rtol=1e-6)
        assert hierarchical_f1_score(library(Y), clf.predict(library(X)), model.hierarchy) > 0.8


def test_top_labels_are_those_of_numpy(library, data):
    """They are NumPy arrays, since names of labels may be among them."""
    X, Y, _ = data
    expected = top_k_labels(classifier().fit(X, Y), X, k=2)
    with config_context(array_api_dispatch=True):
        found = top_k_labels(classifier().fit(library(X), library(Y)), library(X), k=2)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_splitters_and_propensities_read_labels_of_any_library(library, data):
    """Folds and propensities are those of NumPy."""
    _, Y, _ = data
    folds = list(MultilabelStratifiedKFold(3).split(Y, Y))
    with config_context(array_api_dispatch=True):
        found = list(MultilabelStratifiedKFold(3).split(np.zeros(len(Y)), library(Y)))
        propensities = label_propensities(library(Y))
    for one, other in zip(folds, found, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(propensities, label_propensities(Y))


def test_tuned_thresholds_around_an_estimator_of_scikit_learn(library, data):
    """RidgeClassifier takes label matrices of other libraries, too."""
    X, Y, _ = data
    Y = np.nan_to_num(Y).astype(np.int64)
    tuned = TunedThresholdMultiLabelClassifierCV(RidgeClassifier(solver="svd"), cv=2)
    expected = clone(tuned).fit(X, Y).predict(X)
    with config_context(array_api_dispatch=True):
        assert_same(clone(tuned).fit(library(X), library(Y)).predict(library(X)), expected, library(X))


def test_tools_of_scikit_learn_take_tensors(data):
    """Pipelines, searches, cross-validated predictions and our scorers work on tensors from end to end."""
    X, Y, _ = data
    X, Y = torch.as_tensor(X), torch.as_tensor(np.nan_to_num(Y))
    pipeline = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier())
    name = "quadrantmultilabelclassifier__C"
    with config_context(array_api_dispatch=True):
        for scoring in ("accuracy", get_scorer("neg_multilabel_log_loss"), get_scorer("neg_hamming_loss")):
            search = GridSearchCV(pipeline, {name: [0.1, 1.0]}, cv=2, scoring=scoring).fit(X, Y)
            assert isinstance(search.predict(X), torch.Tensor)
            assert np.isfinite(search.best_score_)
        predicted = cross_val_predict(pipeline, X, Y, cv=2)
        proba = multilabel_cross_val_predict(QuadrantMultiLabelClassifier(), X, Y, cv=2)
    assert isinstance(predicted, torch.Tensor)
    assert isinstance(proba, torch.Tensor)


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        pytest.param(multilabel_log_loss, {}, id="log loss"),
        pytest.param(multilabel_log_loss, {"average": None}, id="log loss of labels"),
        pytest.param(expected_calibration_error, {"average": None}, id="calibration error of labels"),
        pytest.param(precision_at_k_score, {"k": 2}, id="precision at k"),
        pytest.param(psp_at_k_score, {"k": 2, "propensities": np.array([0.5, 0.9, 1.0])}, id="psp at k"),
    ],
)
def test_metrics_take_arrays_of_any_library(metric, options, library, data):
    """Numbers are floats, arrays with a value for each label are in the namespace of the scores."""
    X, Y, weight = data
    proba = classifier().fit(X, Y).predict_proba(X)
    expected = metric(Y, proba, sample_weight=weight, **options)
    if "propensities" in options:
        options = options | {"propensities": library(options["propensities"])}
    with config_context(array_api_dispatch=True):
        found = metric(library(Y), library(proba), sample_weight=library(weight), **options)
        mixed = metric(Y, library(proba), sample_weight=weight, **options)
    if np.ndim(expected):
        assert_same(found, expected, library(X))
        assert_same(mixed, expected, library(X))
    else:
        assert found == mixed == expected
        assert isinstance(found, float)


def test_f1_of_labels_is_in_the_namespace_of_predictions(library, data):
    """It is that of NumPy."""
    _, Y, _ = data
    predicted = np.nan_to_num(Y)[::-1].copy()
    expected = multilabel_f1_score(Y, predicted, average=None)
    with config_context(array_api_dispatch=True):
        found = multilabel_f1_score(library(Y), library(predicted), average=None)
    assert_same(found, expected, library(Y))


def test_threshold_can_be_assigned_and_coefficients_too(library, data):
    """Assigned arrays may be of the library of X."""
    X, Y, _ = data
    with config_context(array_api_dispatch=True):
        clf = classifier().fit(library(X), library(Y))
        clf.threshold_ = library(np.full(3, 0.9))
        fewer = in_numpy(clf.predict(library(X)))
        clf.coef_ = library(np.zeros((3, 4)))
        clf.intercept_ = library(np.zeros(3))

        assert fewer.sum() < classifier().fit(X, Y).predict(X).sum()
        np.testing.assert_array_equal(in_numpy(clf.predict_proba(library(X))), 0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("params", MODELS.values(), ids=MODELS)
def test_tensors_on_a_gpu_are_trained_on_and_predicted_there(params, data):
    """Nothing but labels, weights and coefficients leaves the GPU, where results are, too."""
    X, Y, weight = data
    expected = classifier(**params).fit(X.astype("float32"), Y, weight).predict_proba(X.astype("float32"))
    X = torch.as_tensor(X, dtype=torch.float32, device="cuda")
    with config_context(array_api_dispatch=True):
        clf = classifier(**params).fit(X, torch.as_tensor(Y, device="cuda"), torch.as_tensor(weight, device="cuda"))
        for method in METHODS:
            assert getattr(clf, method)(X).device == X.device
        assert next(clf.net_.module_.parameters()).is_cuda
        np.testing.assert_allclose(in_numpy(clf.predict_proba(X)), expected, atol=0.01)
    assert pickle.loads(pickle.dumps(clf)).threshold_.device == X.device


def test_estimators_are_moved_without_dispatch_too(data):
    """`move_estimator_to` does not ask for it."""
    X, Y, _ = data
    clf = classifier().fit(X, Y)
    with config_context(array_api_dispatch=True):
        xp, _, device = _array_api.get_namespace_and_device(torch.as_tensor(X))
    moved = _array_api.move_estimator_to(clf, xp, device)

    assert isinstance(moved.coef_, torch.Tensor)
    np.testing.assert_array_equal(moved.coef_, clf.coef_)
    with config_context(array_api_dispatch=True):
        assert isinstance(moved.predict(torch.as_tensor(X)), torch.Tensor)


def test_other_dtypes_become_doubles(data):
    """Integers and half precision are computed with in double precision, as integers are in NumPy."""
    X, Y, _ = data
    with config_context(array_api_dispatch=True):
        for dtype in (torch.int32, torch.float16):
            clf = classifier().fit(torch.as_tensor(X).to(dtype), Y)
            assert clf.coef_.dtype == torch.float64
            assert clf.predict_proba(torch.as_tensor(X).float()).dtype == torch.float64


def test_precision_that_numpy_does_not_have_is_read(data):
    """Labels, weights, features, inputs of a module and probabilities may be bfloat16."""
    X, Y, _ = (torch.as_tensor(part) for part in data)
    half, tables = X.bfloat16(), {"input": X.bfloat16()}
    with config_context(array_api_dispatch=True):
        clf = classifier().fit(half, Y.bfloat16(), torch.ones(120, dtype=torch.bfloat16))
        expected = classifier().fit(half.double(), Y)

        torch.testing.assert_close(clf.predict_proba(half), expected.predict_proba(half.double()))
        assert multilabel_log_loss(Y, half[:, :3] * 0 + 0.5) == pytest.approx(np.log(2))
        for inputs in (half, tables):
            module = classifier(**MODELS["module"]).fit(inputs, Y)
            np.testing.assert_allclose(
                in_numpy(module.predict_proba(inputs)),
                in_numpy(classifier(**MODELS["module"]).fit(half.float(), Y).predict_proba(half.float())),
            )


@pytest.mark.parametrize("scoring", ["f1_macro", "neg_multilabel_log_loss"])
def test_scores_stop_a_module(scoring, library, data):
    """Scorers of scikit-learn and of the package take the rows that are held out, as with NumPy."""
    X, Y = data[0].astype(np.float32), np.nan_to_num(data[1]).astype(np.int64)
    params = MODELS["module"] | {"early_stopping": True, "scoring": scoring}
    expected = classifier(**params).fit(X, Y).history_
    with config_context(array_api_dispatch=True):
        for make in (library, np.asarray):
            found = classifier(**params).fit(make(X), make(Y)).history_
            assert [row["valid_score"] for row in found] == pytest.approx([row["valid_score"] for row in expected])


@pytest.mark.parametrize("params", [{}, MODELS["module"]], ids=["lbfgs", "module"])
def test_complex_features_are_refused(params, library, data):
    """As they are without dispatch: no imaginary part is dropped in silence."""
    with config_context(array_api_dispatch=True), pytest.raises(ValueError, match=r"X must hold real numbers.*complex"):
        classifier(**params).fit(library(data[0] + 1j), library(data[1]))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
@pytest.mark.parametrize("name", ["lbfgs", "network", "module"])
def test_fits_do_not_depend_on_a_switch_of_gradients(name, context, data):
    """The code around a fit may have switched them off; parameters can be trained further all the same."""
    X, Y, _ = (torch.as_tensor(part) for part in data)
    with config_context(array_api_dispatch=True):
        expected = classifier(**MODELS[name]).fit(X, Y).predict_proba(X)
        with context():
            clf = classifier(**MODELS[name]).fit(X, Y)

        torch.testing.assert_close(clf.predict_proba(X), expected)
        if name != "lbfgs":
            assert clf.partial_fit(X, Y).n_iter_ == 6


def test_empty_tensor_of_sizes_is_no_hidden_layer(data):
    """Parameters that are tensors are read like arrays."""
    sizes = torch.zeros(0, dtype=torch.int64)
    clf = classifier(hidden_layer_sizes=sizes).fit(*data[:2])
    np.testing.assert_array_equal(clf.coef_, classifier().fit(*data[:2]).coef_)


CHECKED = {
    "module": QuadrantMultiLabelClassifier(module=torch.nn.LazyLinear(1), solver="adamw", max_iter=5, random_state=0),
    "network": QuadrantMultiLabelClassifier(hidden_layer_sizes=3, solver="sgd", max_iter=5, random_state=0),
    "fixed": FixedThresholdMultiLabelClassifier(QuadrantMultiLabelClassifier()),
    "tuned": TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2),
    "calibrated": CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2),
}
ABSENT = re.compile("cupy|dpnp|cuda|XPU|MPS")
SLOW = re.compile("numpy-None-None|CPU_DEVICE-float64|torch-cpu-float32")  # one of each precision and library is left


def checks():
    """Yield scikit-learn's checks of arrays; losses, solvers and the CV estimator have them among all their checks."""
    for name, estimator in CHECKED.items():
        for _, check in estimator_checks_generator(estimator):
            if "array_api" in check.func.__name__:
                values = "-".join(map(str, check.keywords.values()))
                marks = pytest.mark.slow if SLOW.search(values) else ()
                yield pytest.param(estimator, check, id=f"{name}-{check.func.__name__}-{values}", marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_array_api_checks_of_scikit_learn(estimator, check):
    """Networks, modules and meta-estimators pass them; skipped ones are of libraries and devices that are missing."""
    try:
        check(estimator)
    except SkipTest as skip:
        if not ABSENT.search(str(skip)):
            pytest.fail(f"skipped: {skip}")
        raise
