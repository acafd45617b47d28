"""Models that are saved and loaded: pickle, joblib, cloudpickle, skops, and what other versions have saved."""

import copy
import json
import pickle
import warnings
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sk_quadrant
from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant.io import load_safetensors
from sk_quadrant.losses import LOSSES, ZLPR, Asymmetric, Focal, LabelwiseLoss

OWN_TYPE = "sk_quadrant._classifier.QuadrantMultiLabelClassifier"


@pytest.fixture(scope="module")
def data():
    """Rows and two labels whose probabilities are known to nobody here."""
    return make_quadrants(n_samples=200, slope=3.0, random_state=0)


def through_joblib(model, folder, **options):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", **options)


def through_skops(model, own_types=(OWN_TYPE,)):
    """Return what skops loads when it trusts the types of this package alone, and those it had to trust."""
    skops_io = pytest.importorskip("skops.io")
    stored = skops_io.dumps(model)
    untrusted = skops_io.get_untrusted_types(data=stored)
    return skops_io.loads(stored, trusted=list(own_types)), untrusted


WAYS = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "oldest pickle": lambda model, folder: pickle.loads(pickle.dumps(model, protocol=2)),
    "cloudpickle": lambda model, folder: cloudpickle.loads(cloudpickle.dumps(model)),
    "joblib": through_joblib,
    "joblib with mmap": lambda model, folder: through_joblib(model, folder, mmap_mode="r"),
    "skops": lambda model, folder: through_skops(model)[0],
    "copy": lambda model, folder: copy.copy(model),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}
adamw = {"solver": "adamw", "max_iter": 3, "tol": 0.0, "random_state": 0}
MODELS = {
    "no link": {"loss": "hinge"},
    "loss object": {"loss": Focal(gamma=3.0, alpha=0.25)},
    "thresholds": {"loss": "asymmetric", "threshold": np.array([0.2, 0.7])},
    "batches": adamw,
    "warm": adamw | {"warm_start": True},
    "network": adamw | {"hidden_layer_sizes": (4, 4), "residual": True, "activation": "tanh"},
}


@pytest.mark.filterwarnings("error", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("parameters", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_is_loaded_is_what_was_saved(way, parameters, data, tmp_path):
    """Predictions, parameters and fitted attributes come back, and so does the net, without a warning."""
    X, Y = data
    model = QuadrantMultiLabelClassifier(**parameters).fit(X, Y)

    loaded = way(model, tmp_path)

    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.decision_function(X), model.decision_function(X))
    assert_array_equal(loaded.threshold_, model.threshold_)
    assert loaded.loss_ == model.loss_
    assert loaded.history_ == model.history_
    assert repr(loaded).replace("memmap(", "array(") == repr(model)
    assert vars(loaded).keys() | {"net_"} == vars(model).keys() | {"net_"}
    assert_allclose(loaded.net_.forward(X), model.decision_function(X), rtol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("hidden_layer_sizes", [(), (3,)], ids=["linear", "network"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_training_goes_on_where_it_was_saved(way, hidden_layer_sizes, data, tmp_path):
    """partial_fit of a loaded model takes the step that it would have taken, even with arrays mapped read-only."""
    X, Y = data
    model = QuadrantMultiLabelClassifier(solver="adamw", random_state=0, hidden_layer_sizes=hidden_layer_sizes)
    model.partial_fit(X, Y)

    loaded = way(model, tmp_path)

    assert_array_equal(loaded.partial_fit(X, Y).decision_function(X), model.partial_fit(X, Y).decision_function(X))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_warm_fit_starts_from_loaded_coefficients(way, data, tmp_path):
    """A solved model needs no further iteration, even with arrays mapped read-only."""
    X, Y = data
    model = QuadrantMultiLabelClassifier(warm_start=True).fit(X, Y)
    loaded = way(model, tmp_path)
    assert loaded.fit(X, Y).n_iter_ <= 1
    assert_allclose(loaded.coef_, model.coef_, rtol=1e-4)


def test_large_arrays_stay_on_disk_until_they_are_read(data, tmp_path):
    """Joblib maps coefficients to the file, which predicting leaves as it is."""
    X, Y = data
    model = QuadrantMultiLabelClassifier().fit(X, Y)

    loaded = through_joblib(model, tmp_path, mmap_mode="r")
    before = (tmp_path / "model.joblib").read_bytes()
    loaded.predict_proba(X)

    assert isinstance(loaded.coef_, np.memmap)
    assert (tmp_path / "model.joblib").read_bytes() == before


FORMS = {
    "sparse labels": lambda Y: sparse.csr_array(Y),
    "two classes": lambda Y: Y[:, 0],
    "strings": lambda Y: np.array(["no", "one", "both"])[Y.sum(axis=1)],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("way", ["pickle", "skops"])
def test_predictions_keep_the_form_of_y(way, form, data, tmp_path):
    """Sparse labels, classes and names of classes are predicted as before."""
    X, y = data[0], form(data[1])
    model = QuadrantMultiLabelClassifier().fit(X, y)

    wanted, found = model.predict(X), WAYS[way](model, tmp_path).predict(X)

    assert type(found) is type(wanted)
    dense = [labels.toarray() if sparse.issparse(labels) else labels for labels in (found, wanted)]
    assert_array_equal(*dense)


def test_names_of_a_data_frame_are_kept(data):
    """Names of features and labels survive pickle and skops."""
    pd = pytest.importorskip("pandas")
    X, Y = pd.DataFrame(data[0], columns=["a", "b"]), pd.DataFrame(data[1], columns=["right", "upper"])
    model = QuadrantMultiLabelClassifier().fit(X, Y)

    for loaded in (pickle.loads(pickle.dumps(model)), through_skops(model)[0]):
        assert_array_equal(loaded.feature_names_in_, ["a", "b"])
        assert_array_equal(loaded.label_names_in_, ["right", "upper"])


# skops


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("parameters", [*MODELS.values(), *({"loss": name} for name in LOSSES)], ids=[*MODELS, *LOSSES])
def test_skops_asks_for_a_single_type(parameters, data):
    """Of a fitted model skops has to be told to trust the estimator, and nothing else."""
    model = QuadrantMultiLabelClassifier(**parameters).fit(*data)
    assert through_skops(make_pipeline(StandardScaler(), model))[1] == [OWN_TYPE]


def test_skops_asks_for_a_single_type_of_sparse_coefficients(data):
    """Those of sparsify are saved as arrays, and come back sparse."""
    model = QuadrantMultiLabelClassifier().fit(*data).sparsify()
    loaded, untrusted = through_skops(model)
    assert untrusted == [OWN_TYPE]
    assert sparse.issparse(loaded.coef_)
    assert_array_equal(loaded.predict(data[0]), model.predict(data[0]))


METAS = {
    "tuned": TunedThresholdMultiLabelClassifierCV(OneVsRestClassifier(LogisticRegression()), scoring="f1_macro", cv=2),
    "sigmoid": CalibratedMultiLabelClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=2),
    "isotonic": CalibratedMultiLabelClassifierCV(
        OneVsRestClassifier(LogisticRegression()), method="isotonic", ensemble=False, cv=2
    ),
}


@pytest.mark.parametrize("make_sparse", [np.asarray, sparse.csr_matrix, sparse.csr_array], ids=lambda f: f.__name__)
@pytest.mark.parametrize("meta", METAS.values(), ids=METAS)
@pytest.mark.parametrize("way", ["pickle", "skops"])
def test_meta_estimators_are_saved_as_plainly(way, meta, make_sparse, data):
    """A meta-estimator around a model of scikit-learn comes back, and is the only type that skops asks for."""
    X, Y = data[0], make_sparse(data[1])
    model = clone(meta).fit(X, Y)
    own_type = f"{type(meta).__module__}.{type(meta).__name__}"

    if way == "pickle":
        loaded = pickle.loads(pickle.dumps(model))
    else:
        loaded, untrusted = through_skops(model, [own_type])
        assert untrusted == [own_type]

    wanted, found = model.predict(X), loaded.predict(X)
    assert type(found) is type(wanted)
    assert (found != wanted).sum() == 0
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


class Cauchy(LabelwiseLoss):
    """A loss of a user, importable."""

    name = "cauchy"

    def per_label(self, scores, targets):
        """Return the loss of each row and label."""
        return ((scores - 2 * targets + 1) ** 2).log1p()


def test_a_loss_of_a_user_is_saved_as_it_is(data):
    """It is an object in the pickle, and one more type that skops asks for."""
    model = QuadrantMultiLabelClassifier(Cauchy()).fit(*data)
    skops_io = pytest.importorskip("skops.io")
    assert skops_io.get_untrusted_types(data=skops_io.dumps(model)) == sorted([OWN_TYPE, f"{__name__}.Cauchy"])
    assert type(copy.deepcopy(model).loss_) is Cauchy


def test_a_loss_of_a_user_with_a_name_of_ours_is_not_mistaken_for_ours(data):
    """What counts is the class."""

    class Other(Focal):
        pass

    model = cloudpickle.loads(cloudpickle.dumps(QuadrantMultiLabelClassifier(Other()).fit(*data)))
    assert type(model.loss_).__name__ == "Other"


def test_pickles_name_no_private_class_but_the_estimator(data):
    """Nothing of the inside shows that another version may have moved."""
    model = QuadrantMultiLabelClassifier(ZLPR(temperature=2.0)).fit(*data)
    stored = pickle.dumps(model)
    assert stored.count(b"sk_quadrant.") == stored.count(b"sk_quadrant._classifier") == 1


# versions


@pytest.mark.parametrize(
    "model", [QuadrantMultiLabelClassifier(), METAS["tuned"], METAS["sigmoid"]], ids=["model", "tuned", "calibrated"]
)
@pytest.mark.parametrize("way", ["pickle", "joblib", "cloudpickle", "skops"])
def test_a_model_of_another_version_is_loaded_with_a_warning(way, model, data, tmp_path, monkeypatch):
    """It says who saved it, in the category of scikit-learn, and the model predicts."""
    skops_io = pytest.importorskip("skops.io")
    trusted = [OWN_TYPE, f"{type(model).__module__}.{type(model).__name__}"]
    save, load = {
        "pickle": (pickle.dumps, pickle.loads),
        "joblib": (lambda model: joblib.dump(model, tmp_path / "model"), lambda stored: joblib.load(stored[0])),
        "cloudpickle": (cloudpickle.dumps, cloudpickle.loads),
        "skops": (skops_io.dumps, lambda stored: skops_io.loads(stored, trusted=trusted)),
    }[way]
    model = clone(model).fit(*data)
    monkeypatch.setattr(sk_quadrant, "__version__", "0.0.7")
    stored = save(model)
    monkeypatch.setattr(sk_quadrant, "__version__", "0.0.8")

    with pytest.warns(InconsistentVersionWarning, match=r"saved by sk_quadrant 0\.0\.7 .* sk_quadrant 0\.0\.8") as seen:
        loaded = load(stored)

    assert [warning.message.original_version for warning in seen] == ["0.0.7"]
    assert seen[0].message.estimator_name == type(model).__name__
    assert_array_equal(loaded.predict(data[0]), model.predict(data[0]))


def test_a_model_without_a_version_is_loaded_with_a_warning(data):
    """As those from before versions were written."""
    model = QuadrantMultiLabelClassifier().fit(*data)
    state = model.__getstate__()
    del state["_sk_quadrant_version"]
    with pytest.warns(InconsistentVersionWarning, match="saved by sk_quadrant before 0.1"):
        QuadrantMultiLabelClassifier().__setstate__(state)


SAVED = [
    pytest.param(path, id=f"{path.parent.name}/{path.name}")
    for path in sorted((Path(__file__).parent / "saved_models").glob("*/model*"))
]


def load_saved(path):
    """Return the model in a file of any kind, without warnings of its age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        if path.suffix == ".pickle":
            return pickle.loads(path.read_bytes())
        if path.suffix == ".skops":
            return pytest.importorskip("skops.io").load(path, trusted=[OWN_TYPE])
        pytest.importorskip("safetensors")
        return load_safetensors(path)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("path", SAVED)
def test_saved_models_predict_what_they_did(path):
    """Files that released versions have written are read, and give the numbers that were written down with them."""
    expected = json.loads((path.parent / "expected.json").read_text(encoding="utf-8"))
    wanted = expected[path.stem]

    model = load_saved(path)

    assert_allclose(model.predict_proba(expected["X"]), wanted["predict_proba"], rtol=1e-12)
    assert_array_equal(model.predict(expected["X"]), wanted["predict"])
    assert_allclose(model.threshold_, wanted["threshold"], rtol=1e-12)
    assert list(model.feature_names_in_) == ["east", "north"]
    assert list(model.label_names_in_) == ["right", "upper"]


@pytest.mark.parametrize("path", [param for param in SAVED if param.values[0].stem == "model"])
def test_saved_models_can_be_trained_again(path):
    """Their parameters are there, too."""
    model = load_saved(path)
    X, Y = make_quadrants(n_samples=40, random_state=0)
    assert (model.loss, model.C) == (Asymmetric(gamma_neg=3.0), 10.0)
    assert model.fit(X, Y).score(X, Y) > 0.8


def test_there_are_saved_models_of_each_format_and_of_this_release():
    """A version in development has them once it is released: python tests/saved_models/make.py."""
    assert {param.values[0].suffix for param in SAVED} == {".pickle", ".skops", ".safetensors"}
    versions = {param.values[0].parent.name for param in SAVED}
    assert sk_quadrant.__version__ in versions or ".dev" in sk_quadrant.__version__
