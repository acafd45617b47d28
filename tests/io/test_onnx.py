"""Conversion to ONNX: what a runtime computes is what the model predicts."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
)
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier, LabelHierarchy
from sk_quadrant.io import register_onnx_converters, verify_onnx
from sk_quadrant.losses import (
    LOSSES,
    ZLPR,
    Asymmetric,
    BCEWithLogits,
    Focal,
    LabelwiseLoss,
    Link,
    LogitLink,
    Poly1,
    ShiftedSigmoidBCE,
)

onnxruntime = pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")
data_types = pytest.importorskip("skl2onnx.common.data_types")

VARIANTS = [
    BCEWithLogits(pos_weight=3.0),
    ShiftedSigmoidBCE(offset=1.25),
    ZLPR(temperature=2.0, threshold=0.5),
    Focal(alpha=0.25),
    Focal(gamma=0.0),
    Asymmetric(clip=0.0),
    Asymmetric(gamma_pos=0.0),
    Asymmetric(gamma_pos=2.0, gamma_neg=0.5, clip=0.2),
    Poly1(epsilon=2.0),
    Poly1(epsilon=-1.0),
]
ALL = [loss() for loss in LOSSES.values()] + VARIANTS
LINKED = [loss for loss in ALL if loss.link is not None]


@pytest.fixture(scope="module", autouse=True)
def converters():
    """Register once."""
    register_onnx_converters()


@pytest.fixture(scope="module")
def data():
    """Rows with eight features and five labels, none of which is certain."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8))
    return X, (X @ rng.normal(size=(8, 5)) + 2 * rng.logistic(size=(600, 5)) > 0).astype(np.int64)


def converted(model, X, **options):
    """Return what ONNX Runtime computes: a dictionary of outputs."""
    graph = skl2onnx.to_onnx(model, X[:1], **options)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: X}), strict=True))


def assert_same(model, X, atol=1e-6, **options):
    """Check that labels are equal, and probabilities close."""
    found, labels = converted(model, X, **options), model.predict(X)
    assert_array_equal(found["label"], labels.toarray() if sparse.issparse(labels) else labels)
    assert_allclose(found["probabilities"], model.predict_proba(X), rtol=0, atol=atol)


@pytest.mark.parametrize("fitted", [np.float32, np.float64], ids=lambda dtype: f"fitted in {dtype.__name__}")
@pytest.mark.parametrize("loss", LINKED, ids=str)
def test_probabilities_and_labels_are_those_of_the_model(loss, fitted, data):
    """With every link, in single precision, near and far from the boundary."""
    X, Y = data
    model = QuadrantMultiLabelClassifier(loss).fit(X.astype(fitted), Y)
    assert_same(model, np.concatenate([X, 20 * X]).astype(np.float32))


@pytest.mark.parametrize("loss", LINKED, ids=str)
def test_a_link_is_exact_wherever_a_score_may_fall(loss):
    """From one end of the doubles to the other: a model of one feature whose coefficient is 1."""
    scores = np.concatenate([np.linspace(-60, 60, 2001), [0.0, 1e-12, 1e3, -1e3, 1e30, -1e30, 1e300, -1e300]])[:, None]
    model = QuadrantMultiLabelClassifier(loss).fit([[-1.0], [1.0]], [[0, 1], [1, 0]])
    model.coef_, model.intercept_ = np.ones((2, 1)), np.zeros(2)
    assert_same(model, scores, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_a_loss_without_a_link_gives_scores(dtype, data):
    """The hinge, whose second output is the decision function."""
    X, Y = data
    model = QuadrantMultiLabelClassifier("hinge").fit(X, Y)
    found = converted(model, X.astype(dtype))
    assert_array_equal(found["label"], model.predict(X.astype(dtype)))
    assert_allclose(found["scores"], model.decision_function(X), rtol=1e-5, atol=1e-5)


THRESHOLDS = ["natural", "bayes", 0.3, [0.1, 0.9, 0.5, 0.0, 1.0]]


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=str)
@pytest.mark.parametrize("loss", ["asymmetric", "squared_hinge"])
def test_thresholds_of_labels_are_converted(loss, threshold, data):
    """Those that every row exceeds, and no row, among them."""
    X, Y = data
    assert_same(QuadrantMultiLabelClassifier(loss, threshold=threshold).fit(X, Y), X.astype(np.float32))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("fitted", [np.float32, np.float64], ids=lambda dtype: f"fitted in {dtype.__name__}")
@pytest.mark.parametrize("activation", ["identity", "relu", "gelu", "tanh"])
def test_networks_are_converted(activation, fitted, data):
    """With every activation, and hidden layers with and without their input added."""
    X, Y = data[0].astype(fitted), data[1]
    model = QuadrantMultiLabelClassifier(
        "focal", solver="adamw", hidden_layer_sizes=(8, 6, 6), residual=True, activation=activation, max_iter=5,
        random_state=0,
    )  # fmt: skip
    model.fit(X, Y)
    assert_same(model, X.astype(np.float32))


FORMS = {
    "sparse": sparse.csr_array,
    "binary": lambda Y: Y[:, 0],
    "booleans": lambda Y: Y[:, 0] > 0,
    "two strings": lambda Y: np.array(["yes", "no"])[Y[:, 0]],
    "three strings": lambda Y: np.array(["b", "a", "ü"], dtype=object)[Y[:, :2].sum(axis=1)],
    "three numbers": lambda Y: np.array([-3, 7, 5], dtype=np.int8)[Y[:, :2].sum(axis=1)],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_labels_are_of_the_form_of_y(form, data):
    """Classes of a 1-D y as well, with a probability each."""
    X, y = data[0], form(data[1])
    assert_same(QuadrantMultiLabelClassifier("asymmetric").fit(X, y), X.astype(np.float32))


def test_binary_scores_are_those_of_the_second_class(data):
    """One score a row, as decision_function has it."""
    X, y = data[0], data[1][:, 0]
    model = QuadrantMultiLabelClassifier("hinge").fit(X, y)
    found = converted(model, X)
    assert_allclose(found["scores"], model.decision_function(X), rtol=1e-12)
    assert_array_equal(found["label"], model.predict(X))


def test_classes_that_onnx_does_not_know_are_refused(data):
    """Labels in ONNX are integers or strings."""
    model = QuadrantMultiLabelClassifier().fit(data[0], data[1][:, 0] * 2.0)
    with pytest.raises(TypeError, match="classes_ must be integers or strings"):
        converted(model, data[0])


def test_integers_are_taken_for_doubles(data):
    """As scikit-learn takes them."""
    X = (4 * data[0]).astype(np.int64)
    assert_same(QuadrantMultiLabelClassifier().fit(X, data[1]), X)


def test_sparse_coefficients_are_converted(data):
    """Those of sparsify."""
    assert_same(QuadrantMultiLabelClassifier().fit(*data).sparsify(), data[0].astype(np.float32))


def test_columns_may_come_one_by_one(data):
    """Several inputs are joined in their order."""
    X, Y = data[0][:, :3].astype(np.float32), data[1]
    model = QuadrantMultiLabelClassifier().fit(X, Y)
    types = [(name, data_types.FloatTensorType([None, width])) for name, width in (("a", 1), ("bc", 2))]
    graph = skl2onnx.to_onnx(model, initial_types=types)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    label, proba = session.run(None, {"a": X[:, :1], "bc": X[:, 1:]})
    assert_array_equal(label, model.predict(X))
    assert_allclose(proba, model.predict_proba(X), rtol=0, atol=1e-6)


def test_a_pipeline_with_a_scaler_is_converted(data):
    """And agrees in single precision with scikit-learn in single precision."""
    X, Y = (50 * data[0] + 7).astype(np.float32), data[1]
    assert_same(make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier("focal")).fit(X, Y), X)


def test_a_pipeline_of_texts_is_converted():
    """From strings to labels."""
    rng = np.random.default_rng(0)
    texts = [" ".join(f"word{k}" for k in rng.integers(0, 200, size=rng.integers(3, 60))) for _ in range(300)]
    Y = np.array([[f"word{k} " in text for k in range(6)] for text in texts], dtype=np.int64)
    pipeline = make_pipeline(TfidfVectorizer(lowercase=False), QuadrantMultiLabelClassifier("zlpr", C=100)).fit(
        texts, Y
    )

    graph = skl2onnx.to_onnx(pipeline, initial_types=[("text", data_types.StringTensorType([None, 1]))])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    label, proba = session.run(None, {"text": np.array(texts, dtype=object)[:, None]})

    assert_array_equal(label, pipeline.predict(texts))
    assert_allclose(proba, pipeline.predict_proba(texts), rtol=0, atol=1e-6)


@pytest.mark.parametrize("opset", [13, 15, 18])
def test_older_runtimes_are_served(opset, data):
    """Down to the operators of 2020."""
    X = data[0].astype(np.float32)
    assert_same(QuadrantMultiLabelClassifier("asymmetric").fit(*data), X, target_opset={"": opset, "ai.onnx.ml": 3})


@pytest.mark.parametrize("in_pipeline", [False, True], ids=["alone", "in a pipeline"])
def test_scores_come_when_they_are_asked_for(in_pipeline, data):
    """By the option that classifiers of scikit-learn have; zipmap is taken and ignored."""
    X, Y = data
    model = QuadrantMultiLabelClassifier().fit(X, Y)
    converted_model = make_pipeline(model) if in_pipeline else model
    found = converted(converted_model, X, options={id(model): {"raw_scores": True, "zipmap": False}})
    assert_array_equal(found["label"], model.predict(X))
    assert_allclose(found["scores"], model.decision_function(X), rtol=1e-12)


# meta-estimators

TARGETS = {
    "labels": lambda Y: Y,
    "two classes": lambda Y: Y[:, 0],
    "two strings": lambda Y: np.array(["no", "yes"])[Y[:, 0]],
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("response", ["predict_proba", "decision_function"])
def test_tuned_thresholds_are_converted(response, target, data):
    """With a pipeline below, whose answers are cut where the cross-validation says."""
    X, y = data[0], target(data[1])
    below = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier("asymmetric"))
    model = TunedThresholdMultiLabelClassifierCV(below, response_method=response, cv=2, random_state=0).fit(X, y)

    found = converted(model, X)

    assert_array_equal(found["label"], model.predict(X))
    shown = found["probabilities"] if response == "predict_proba" else found["scores"]
    assert_allclose(shown, getattr(model, response)(X).reshape(shown.shape), rtol=1e-9)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("response", ["predict_proba", "decision_function"])
def test_given_thresholds_are_converted(response, target, data):
    """Those of the parameter at the time of the conversion."""
    X, y = data[0], target(data[1])
    model = FixedThresholdMultiLabelClassifier(QuadrantMultiLabelClassifier(), response_method=response).fit(X, y)
    assert_array_equal(converted(model.set_params(threshold=0.7), X)["label"], model.predict(X))


BOUNDS = [{"min_labels": 1}, {"max_labels": 2}, {"min_labels": 2, "max_labels": 3}, {"min_labels": 5}]


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
@pytest.mark.parametrize("response", ["predict_proba", "decision_function"])
@pytest.mark.parametrize("threshold", [0.5, [0.2, 0.9, np.inf, -np.inf, 0.5]], ids=str)
def test_bounds_on_the_number_of_labels_are_converted(bounds, response, threshold, data):
    """Also with thresholds of labels that are never or always predicted."""
    model = QuadrantMultiLabelClassifier().fit(*data)
    fixed = FixedThresholdMultiLabelClassifier(model, threshold=threshold, response_method=response, **bounds)
    assert_array_equal(converted(fixed.fit(*data), data[0])["label"], fixed.predict(data[0]))


def test_equal_margins_are_ordered_by_scores_and_then_by_place():
    """Every row is a tie: the first label of the largest score comes first."""
    X, Y = np.zeros((6, 1)), np.tile([[1, 0, 0], [0, 1, 1]], (3, 1))
    model = QuadrantMultiLabelClassifier().fit(X, Y)
    model.intercept_ = np.array([1.0, 2.0, 2.0])
    fixed = FixedThresholdMultiLabelClassifier(FrozenEstimator(model), response_method="decision_function")
    fixed.set_params(threshold=[-1.0, 0.0, 0.0], max_labels=1).fit(X, Y)
    assert_array_equal(fixed.predict(X[:1]), [[0, 1, 0]])
    assert_array_equal(converted(fixed, X)["label"], fixed.predict(X))


def test_the_rule_of_expected_f1_is_refused(data):
    """With what to do instead."""
    model = FixedThresholdMultiLabelClassifier(QuadrantMultiLabelClassifier(), rule="expected_f1").fit(*data)
    with pytest.raises(ValueError, match="Convert estimator_ instead, and apply the rule to its probabilities"):
        converted(model, data[0])


CHOSEN = {
    "link": {"calibration": None},
    "sigmoid": {"calibration": "sigmoid"},
    "isotonic": {"calibration": "isotonic"},
    "scores": {"losses": "hinge", "calibration": None},
    "pooled": {"losses": "hinge"},
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("choice", CHOSEN.values(), ids=CHOSEN)
def test_what_one_fit_has_chosen_is_converted(choice, target, data):
    """Thresholds in the units of scores, and the link or the map for probabilities."""
    X, y = data[0][:200], target(data[1][:200])
    scoring = "f1_macro" if y.ndim == 2 else "accuracy"
    model = QuadrantMultiLabelClassifierCV(**({"losses": "zlpr", "Cs": [0.1], "cv": 2} | choice), scoring=scoring)
    assert verify_onnx(skl2onnx.to_onnx(model.fit(X, y), X[:1]), model, X, rtol=1e-9, atol=1e-9) < 1e-9


def test_rules_around_what_one_fit_has_chosen_are_converted(data):
    """On its probabilities as well as on its scores."""
    X, Y = data
    chosen = QuadrantMultiLabelClassifierCV("zlpr", [0.1], cv=2).fit(X, Y)
    for method in ("predict_proba", "decision_function"):
        fixed = FixedThresholdMultiLabelClassifier(FrozenEstimator(chosen), min_labels=1, response_method=method)
        verify_onnx(skl2onnx.to_onnx(fixed.fit(X, Y), X[:1]), fixed, X, rtol=1e-9)


@pytest.mark.parametrize("method", ["raise_parents", "lower_children"])
def test_hierarchies_are_converted(method, data):
    """A tree of three levels, and a root without children, around tuned thresholds and a frozen classifier."""
    X, Y = data
    hierarchy = LabelHierarchy((-1, 0, 1, 0, -1))
    tuned = TunedThresholdMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2)
    frozen = FrozenEstimator(QuadrantMultiLabelClassifier().fit(X, Y))
    for below in (tuned, frozen):
        model = HierarchicalMultiLabelClassifier(below, hierarchy=hierarchy, method=method).fit(X, Y)
        for opset in (13, 18):
            verify_onnx(skl2onnx.to_onnx(model, X[:1], target_opset=opset), model, X, rtol=1e-9)


def test_a_hierarchy_without_probabilities_is_refused(data):
    """With what gives probabilities."""
    model = HierarchicalMultiLabelClassifier(QuadrantMultiLabelClassifier("hinge"), hierarchy=LabelHierarchy((-1,) * 5))
    with pytest.raises(ValueError, match="must give probabilities to be converted to ONNX, got scores"):
        converted(model.fit(*data), data[0])


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize(("method", "scope"), [("sigmoid", "label"), ("isotonic", "label"), ("isotonic", "pooled")])
def test_calibration_maps_are_converted(method, scope, target, data):
    """The mean of the maps of all folds, of a loss without probabilities of its own."""
    X, y = data[0], target(data[1])
    model = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier("hinge"), method=method, scope=scope, cv=2)
    assert_same(model.fit(X, y), X, atol=1e-12)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_log_odds_of_calibrated_probabilities_come_when_they_are_asked_for(target, data):
    """As decision_function has them."""
    X, y = data[0], target(data[1])
    model = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2).fit(X, y)
    found = converted(model, X, options={id(model): {"raw_scores": True}})
    assert_array_equal(found["label"], model.predict(X))
    assert_allclose(found["scores"], model.decision_function(X), rtol=1e-9, atol=1e-9)


def test_calibration_is_converted_in_single_precision(data):
    """The calibrated model may be frozen."""
    X, Y = data
    frozen = FrozenEstimator(make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier("zlpr")).fit(X, Y))
    assert_same(CalibratedMultiLabelClassifierCV(frozen, method="temperature").fit(X, Y), X.astype(np.float32))


def test_isotonic_maps_of_constant_labels_are_converted(data):
    """A map of a single step."""
    X, Y = data[0], data[1].copy()
    Y[:, 0] = 0
    model = CalibratedMultiLabelClassifierCV(
        FrozenEstimator(QuadrantMultiLabelClassifier().fit(X, data[1])), method="isotonic"
    )
    assert_same(model.fit(X, Y), X, atol=1e-12)


def nest(order, below, params):
    """Return meta-estimators around each other, from the outermost."""
    kinds = {
        "tuned": TunedThresholdMultiLabelClassifierCV,
        "fixed": FixedThresholdMultiLabelClassifier,
        "calibrated": CalibratedMultiLabelClassifierCV,
    }
    for name in reversed(order.split(" of ")):
        below = kinds[name](below, **params.get(name, {}))
    return below


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize(
    ("order", "calibration", "loss"),
    [
        ("tuned of calibrated", "sigmoid", "hinge"),
        ("tuned of calibrated", "isotonic", "asymmetric"),
        ("calibrated of tuned", "sigmoid", "asymmetric"),
        ("calibrated of tuned", "isotonic", "hinge"),
        ("fixed of calibrated of tuned", "sigmoid", "zlpr"),
        ("calibrated of calibrated", "sigmoid", "hinge"),
    ],
)
def test_meta_estimators_around_each_other_are_converted(order, calibration, loss, target, data):
    """In both orders that the guide shows, around a pipeline, with and without probabilities of its own."""
    X, y = data[0][:150], target(data[1])[:150]
    params = {"tuned": {"cv": 2}, "calibrated": {"cv": 2, "method": calibration}, "fixed": {"threshold": 0.3}}
    below = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier(loss))
    assert_same(nest(order, below, params).fit(X, y), X, atol=1e-9)


def test_meta_estimators_in_pipelines_are_converted_below_each_other(data):
    """A frozen pipeline that ends in a meta-estimator."""
    X, Y = data
    calibrated = CalibratedMultiLabelClassifierCV(QuadrantMultiLabelClassifier(), cv=2)
    frozen = FrozenEstimator(make_pipeline(StandardScaler(), calibrated).fit(X, Y))
    model = TunedThresholdMultiLabelClassifierCV(frozen).fit(X, Y)
    assert_same(make_pipeline(StandardScaler(), model).fit(X, Y), X, atol=1e-9)


def test_meta_estimators_around_others_are_refused(data):
    """With the class that was found."""
    model = TunedThresholdMultiLabelClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=2).fit(*data)
    with pytest.raises(TypeError, match=r"must be a QuadrantMultiLabelClassifier, another .* got OneVsRestClassifier"):
        converted(model, data[0])


# losses of a user


@dataclass(frozen=True)
class NumPyLink(Link):
    """A link in functions and methods of NumPy."""

    def _link(self, p):
        return np.arctanh(2 * p - 1)

    def _inverse(self, s):
        halves = np.where((s > -30) & ~(s >= 30), np.tanh(s), np.sqrt(np.square(s)) / s)
        return np.clip(((halves + 1) / 2).clip(min=1e-9), None, a_max=1 - 1e-9) ** 1.0


@dataclass(frozen=True)
class OtherLink(NumPyLink):
    """A link with a function that ONNX has not got."""

    def _inverse(self, s):
        return np.arctan(s) / np.pi + 0.5


@dataclass(frozen=True)
class PlaceLink(NumPyLink):
    """A link that asks for something else than values."""

    def _inverse(self, s):
        return np.sort(s)


@dataclass(frozen=True)
class Own(LabelwiseLoss):
    """A user's loss."""

    name = "own"
    link: Link = None

    def per_label(self, scores, targets):
        """Return the squared error."""
        return (scores - 2 * targets + 1) ** 2


@pytest.mark.parametrize("link", [LogitLink(slope=3.0, center=0.1), NumPyLink()], ids=lambda link: type(link).__name__)
def test_the_link_of_an_own_loss_is_converted(link, data):
    """Out of its formula, if that is made of functions of NumPy."""
    X, Y = data
    assert_same(QuadrantMultiLabelClassifier(Own(link)).fit(X, Y), X, atol=1e-12)


@pytest.mark.parametrize(("link", "name"), [(OtherLink(), "arctan"), (PlaceLink(), "sort")], ids=["ufunc", "function"])
def test_a_link_that_onnx_has_no_functions_for_is_refused(link, name, data):
    """With the function that is missing, and those that there are."""
    model = QuadrantMultiLabelClassifier(Own(link)).fit(*data)
    with pytest.raises(TypeError, match=rf"link of 'own' cannot be converted: numpy\.{name} has no .*'log1p'"):
        converted(model, data[0])


def test_scikit_learn_models_still_convert(data):
    """Registering ours leaves the others alone, and may be done twice."""
    register_onnx_converters()
    X = data[0].astype(np.float32)
    assert_allclose(converted(StandardScaler().fit(X), X)["variable"], StandardScaler().fit_transform(X), atol=1e-5)
