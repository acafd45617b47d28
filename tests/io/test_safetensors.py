"""Linear models as safetensors files: what is in them, what comes back, and files that are broken or hostile."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import sk_quadrant
from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.io import load_safetensors, save_safetensors
from sk_quadrant.io._safetensors import check_sum
from sk_quadrant.losses import LOSSES, ZLPR, Asymmetric, BCEWithLogits, Focal, LabelwiseLoss, Poly1

safetensors = pytest.importorskip("safetensors")
safetensors_numpy = pytest.importorskip("safetensors.numpy")


@pytest.fixture(scope="module")
def data():
    """Rows and two labels."""
    return make_quadrants(n_samples=200, slope=3.0, random_state=0)


@pytest.fixture
def path(tmp_path):
    """Return a file that does not exist yet."""
    return tmp_path / "model.safetensors"


def saved_and_loaded(model, path):
    save_safetensors(model, path)
    return load_safetensors(path)


def read(path):
    """Return arrays and metadata by the library alone."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def write(path, arrays, metadata):
    """Write a file with a check sum that fits."""
    metadata = {name: value for name, value in metadata.items() if name != "sha256"}
    safetensors_numpy.save_file(arrays, path, metadata | {"sha256": check_sum(arrays, metadata)})


LOSS_OBJECTS = [Focal(gamma=3.0, alpha=0.25), Asymmetric(gamma_pos=0), Poly1(epsilon=-1.0), ZLPR(bound=4.0)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("loss", [*LOSSES, *LOSS_OBJECTS], ids=str)
def test_a_loaded_model_predicts_bit_by_bit_the_same(loss, dtype, data, path):
    """With every loss, in both precisions."""
    X, Y = data[0].astype(dtype), data[1]
    model = QuadrantMultiLabelClassifier(loss).fit(X, Y)

    loaded = saved_and_loaded(model, path)

    assert_array_equal(loaded.decision_function(X), model.decision_function(X))
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.threshold_, model.threshold_)
    assert loaded.coef_.dtype == dtype
    assert loaded.loss_ == model.loss_
    assert repr(loaded) == repr(model)
    if loaded.loss_.link is not None:
        assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("threshold", ["bayes", 0.3, [0.0, 1.0], np.array([0.9, 0.2])], ids=str)
def test_thresholds_are_kept(threshold, data, path):
    """Of every kind, those that all or no rows exceed among them, and even when the parameter was changed after fit."""
    X, Y = data
    model = QuadrantMultiLabelClassifier("asymmetric", threshold=threshold).fit(X, Y)
    model.set_params(threshold=0.123)

    loaded = saved_and_loaded(model, path)

    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.threshold_, model.threshold_)
    assert loaded.threshold == 0.123


FORMS = {
    "sparse": sparse.csr_matrix,
    "binary": lambda Y: Y[:, 0],
    "booleans": lambda Y: Y[:, 0] > 0,
    "strings": lambda Y: np.array(["yes", "no"])[Y[:, 0]],
    "strings as objects": lambda Y: np.array(["b", "a", "ü"], dtype=object)[Y.sum(axis=1)],
    "small integers": lambda Y: np.array([-3, 7, 5], dtype=np.int8)[Y.sum(axis=1)],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_classes_are_kept(form, data, path):
    """Of every type, and sparse predictions after a sparse y."""
    X, y = data[0], form(data[1])
    model = QuadrantMultiLabelClassifier().fit(X, y)

    loaded = saved_and_loaded(model, path)

    wanted, found = model.predict(X), loaded.predict(X)
    assert type(found) is type(wanted)
    assert found.dtype == wanted.dtype
    assert (found != wanted).sum() == 0
    assert_array_equal(loaded.classes_, model.classes_)
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_names_are_kept(data, path):
    """Of features and labels; the loaded model checks the former."""
    pd = pytest.importorskip("pandas")
    X, Y = pd.DataFrame(data[0], columns=["east", "north"]), pd.DataFrame(data[1], columns=["right", 2])
    loaded = saved_and_loaded(QuadrantMultiLabelClassifier().fit(X, Y), path)
    assert list(loaded.feature_names_in_) == ["east", "north"]
    assert list(loaded.label_names_in_) == ["right", 2]
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(X[["north", "east"]])


def test_parameters_are_kept_as_far_as_json_holds_them(data, path):
    """So that a loaded model can be fitted again; objects have their defaults."""
    model = QuadrantMultiLabelClassifier(
        Focal(gamma=np.float64(3.0)),
        C=np.inf,
        tol=1e-3,
        max_iter=np.int64(50),
        class_weight={0: 1.0, 1: 2.0},
        random_state=np.random.RandomState(0),
    )
    loaded = saved_and_loaded(model.fit(*data), path)
    assert (loaded.C, loaded.tol, loaded.max_iter) == (np.inf, 1e-3, 50)
    assert (loaded.class_weight, loaded.random_state) == (None, None)
    assert loaded.fit(*data).score(*data) > 0.5


def test_a_loaded_model_can_be_trained_further(data, path):
    """By partial_fit and by a warm start."""
    model = QuadrantMultiLabelClassifier(solver="adamw", random_state=0).partial_fit(*data)
    assert saved_and_loaded(model, path).partial_fit(*data).n_iter_ == 2
    model = QuadrantMultiLabelClassifier(warm_start=True, fit_intercept=False).fit(*data)
    assert saved_and_loaded(model, path).fit(*data).n_iter_ <= 1


def test_the_format_is_what_the_documentation_says(data, path):
    """Four arrays and JSON, enough to predict in a few lines of another language."""
    X, Y = data
    model = QuadrantMultiLabelClassifier(BCEWithLogits(pos_weight=2.0), threshold=[0.3, 0.6]).fit(X, Y)
    save_safetensors(model, path)

    arrays, metadata = read(path)

    assert set(arrays) == {"coef", "intercept", "threshold", "cut"}
    scores = X @ arrays["coef"].T + arrays["intercept"]
    assert_array_equal(scores > arrays["cut"], model.predict(X))
    loss = json.loads(metadata["loss"])
    assert loss == {"name": "bce_with_logits", "pos_weight": 2.0}
    assert_array_equal(expit(scores - np.log(loss["pos_weight"])) > arrays["threshold"], model.predict(X))
    assert json.loads(metadata["classes"]) == [0, 1]
    assert json.loads(metadata["feature_names"]) is None
    assert json.loads(metadata["parameters"])["C"] == 1.0
    assert metadata["sk_quadrant_version"] == sk_quadrant.__version__


def test_sparse_coefficients_stay_sparse(data, path):
    """Those of sparsify."""
    model = QuadrantMultiLabelClassifier().fit(*data).sparsify()
    loaded = saved_and_loaded(model, path)
    assert sparse.issparse(loaded.coef_)
    assert_array_equal(loaded.coef_.toarray(), model.coef_.toarray())


def test_sparse_coefficients_beyond_the_matrix_are_refused(data, path):
    """Write an index that no feature has, with a right check sum."""
    save_safetensors(QuadrantMultiLabelClassifier().fit(*data).sparsify(), path)
    arrays, metadata = read(path)
    arrays["coef.indices"] = arrays["coef.indices"] + 1000
    write(path, arrays, metadata)
    with pytest.raises(ValueError, match="does not describe a model"):
        load_safetensors(path)


class Own(LabelwiseLoss):
    """A user's loss."""

    name = "focal"  # that of another one

    def per_label(self, scores, targets):
        """Return the loss of each row and label."""
        return (scores - targets) ** 2


def with_pairs_for_names(data):
    pd = pytest.importorskip("pandas")
    return QuadrantMultiLabelClassifier().fit(data[0], pd.DataFrame(data[1], columns=[("a", 1), ("b", 2)]))


REFUSED = {
    "pipeline": (lambda d: make_pipeline(QuadrantMultiLabelClassifier()).fit(*d), TypeError, "got Pipeline. Of a"),
    "other": (lambda d: LogisticRegression(), TypeError, "must be a QuadrantMultiLabelClassifier, got Logistic"),
    "not fitted": (lambda d: QuadrantMultiLabelClassifier(), NotFittedError, "not fitted yet"),
    "own loss": (
        lambda d: QuadrantMultiLabelClassifier(Own()).fit(*d),
        TypeError,
        "one of sk_quadrant.losses, got Own",
    ),
    "names": (with_pairs_for_names, TypeError, "label_names_in_ must hold numbers or strings"),
    "network": (
        lambda d: QuadrantMultiLabelClassifier(solver="adamw", hidden_layer_sizes=(3,), max_iter=1, tol=9.0).fit(*d),
        ValueError,
        r"must be linear, got hidden layers of \(3,\) units. Save networks by",
    ),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("make", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_is_refused(make, error, message, data, path):
    """With the reason, and without a file."""
    model = make(data)
    with pytest.raises(error, match=message):
        save_safetensors(model, path)
    assert not path.exists()


# files of others


@pytest.fixture
def saved(data, path):
    """Return a good file."""
    save_safetensors(QuadrantMultiLabelClassifier("zlpr").fit(*data), path)
    return path


def test_a_missing_file_is_called_missing(path):
    """Rather than truncated."""
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_safetensors(path)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, 0.5, 0.9, -1])
def test_a_truncated_file_is_refused(length, saved):
    """Wherever it ends."""
    content = saved.read_bytes()
    saved.write_bytes(content[: int(length * len(content)) if isinstance(length, float) else length])
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated or not a safetensors file"):
        load_safetensors(saved)


def test_no_altered_byte_goes_unnoticed(saved):
    """A changed bit anywhere makes the file be refused, in words of ours."""
    content = saved.read_bytes()
    messages = "is truncated or not a safetensors file|was altered after it was saved|holds no model of this package"
    for position in range(0, len(content), 5):
        saved.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(ValueError, match=messages):
            load_safetensors(saved)


def test_the_file_of_another_package_is_refused(path):
    """A safetensors file without our mark."""
    safetensors_numpy.save_file({"weight": np.ones((2, 2))}, path)
    with pytest.raises(ValueError, match="holds no model of this package in the form 'sk_quadrant 1'"):
        load_safetensors(path)


def test_a_pickle_is_refused_and_not_run(path):
    """Whatever the name of the file says."""
    path.write_bytes(b"cos\nsystem\n(S'echo run'\ntR.")
    with pytest.raises(ValueError, match="is truncated or not a safetensors file"):
        load_safetensors(path)


HOSTILE = {
    "unknown loss": ({}, {"loss": '{"name": "os.system"}'}),
    "loss without a name": ({}, {"loss": "{}"}),
    "loss of text": ({}, {"loss": '"zlpr"'}),
    "parameters that the loss has not got": ({}, {"loss": '{"name": "zlpr", "link": 3}'}),
    "impossible parameters of the loss": ({}, {"loss": '{"name": "zlpr", "temperature": -1}'}),
    "unknown parameters": ({}, {"parameters": '{"__class__": "x"}'}),
    "no JSON": ({}, {"parameters": "__import__('os')"}),
    "deep JSON": ({}, {"parameters": "[" * 100_000}),
    "unknown kind": ({}, {"kind": '"regression"'}),
    "objects": ({}, {"classes_dtype": '"V8"'}),
    "too few classes": ({}, {"classes": "[0]"}),
    "too many names": ({}, {"feature_names": '["a", "b", "c"]'}),
    "wrong shape": ({"coef": np.ones((2, 2, 2))}, {}),
    "a number": ({"coef": np.array(1.0)}, {}),
    "integers": ({"coef": np.ones((2, 2), dtype=np.int64)}, {}),
    "too few thresholds": ({"cut": np.ones(1)}, {}),
}


@pytest.mark.parametrize(("arrays", "metadata"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_made_up_is_refused(arrays, metadata, saved):
    """Its check sum may fit; what it says has to fit as well."""
    own_arrays, own_metadata = read(saved)
    write(saved, own_arrays | arrays, own_metadata | metadata)
    with pytest.raises(ValueError, match=r"model\.safetensors does not describe a model: \w+: "):
        load_safetensors(saved)


def test_an_array_too_few_is_refused(saved):
    """And named."""
    arrays, metadata = read(saved)
    write(saved, {name: array for name, array in arrays.items() if name != "cut"}, metadata)
    with pytest.raises(ValueError, match=r"arrays must have the shapes .*'cut'"):
        load_safetensors(saved)


def test_a_model_of_another_version_is_loaded_with_a_warning(data, path, monkeypatch):
    """In the category of scikit-learn."""
    model = QuadrantMultiLabelClassifier().fit(*data)
    with monkeypatch.context() as older:
        older.setattr(sk_quadrant, "__version__", "0.0.7")
        save_safetensors(model, path)
    with pytest.warns(InconsistentVersionWarning, match=r"saved by sk_quadrant 0\.0\.7"):
        loaded = load_safetensors(path)
    assert_array_equal(loaded.predict(data[0]), model.predict(data[0]))
