"""Each feature that scikit-learn has for all estimators, on each public one; the user guide shows the same table.

A law must hold where the table says yes, and must fail where it says no, with a reason.
"""

import pickle
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from joblib import parallel_backend
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.fixes import parse_version

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier, LabelHierarchy

PAGE = Path(__file__).parents[1] / ".docs" / "user_guide" / "scikit_learn_features.rst"
ONE = QuadrantMultiLabelClassifier(missing_labels="ignore", tol=1e-6)
ESTIMATORS = {
    "classifier": ONE,
    "CV": QuadrantMultiLabelClassifierCV(
        "bce_with_logits", Cs=[1.0], cv=2, thresholds="natural", calibration=None, estimator=ONE
    ),
    "tuned": TunedThresholdMultiLabelClassifierCV(ONE, cv=2),
    "fixed": FixedThresholdMultiLabelClassifier(ONE),
    "calibrated": CalibratedMultiLabelClassifierCV(ONE, cv=2),
    "hierarchical": HierarchicalMultiLabelClassifier(ONE, hierarchy=LabelHierarchy((-1, 0))),
}
INNER = {name: f"{'' if name == 'classifier' else 'estimator__'}C" for name in ESTIMATORS} | {"CV": "min_positives"}
X, Y = make_quadrants(80, slope=2.0, random_state=0)
FRAME, LABELS = pd.DataFrame(X, columns=["a", "b"]), pd.DataFrame(Y, columns=["u", "v"])

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")


# %% The laws: each takes the name of an estimator and an unfitted one


def parameters_and_clones(name, estimator):
    """Parameters go through `set_params` and `clone`, nested ones included."""
    estimator.set_params(**{INNER[name]: 2})
    assert clone(estimator).get_params()[INNER[name]] == 2


def checked_parameters(name, estimator):
    """Wrong values are refused with the name of the parameter."""
    wrong = {"classifier": "max_iter", "hierarchical": "method", "fixed": "threshold"}.get(name, "cv")
    with pytest.raises(ValueError, match=f"The '{wrong}' parameter of {type(estimator).__name__} must be"):
        estimator.set_params(**{wrong: object()}).fit(X, Y)


def pickles(name, estimator):
    """Pickles predict the same."""
    fitted = estimator.fit(X, Y)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))


def html(name, estimator):
    """Notebooks show whether it is fitted, and its fitted attributes."""
    unfitted = estimator._repr_html_()
    assert type(estimator).__name__ in unfitted
    assert "Not fitted" in unfitted
    fitted = estimator.fit(X, Y)._repr_html_()
    assert "Not fitted" not in fitted
    if parse_version(sklearn.__version__) >= parse_version("1.9"):  # which shows fitted attributes
        assert "n_features_in_" in fitted


def tags(name, estimator):
    """Tags say that it is a multi-label classifier, and what X may be."""
    found = get_tags(estimator)
    assert found.estimator_type == "classifier"
    assert found.classifier_tags.multi_label
    assert found.input_tags.sparse


def feature_names(name, estimator):
    """Names of columns, also those that a transformer before it gives out, are remembered and checked."""
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), estimator).fit(FRAME, Y)
    assert model[-1].feature_names_in_.tolist() == ["a", "b"]
    assert model[-1].n_features_in_ == 2
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        model[-1].predict(FRAME[["b", "a"]])


def label_names(name, estimator):
    """Columns of y are remembered, and brought into the order of fit."""
    fitted = estimator.fit(X, LABELS)
    assert fitted.label_names_in_.tolist() == ["u", "v"]
    assert fitted.score(X, LABELS[["v", "u"]]) == fitted.score(X, Y)


def set_output(name, estimator):
    """Containers of what is returned can be chosen."""
    assert hasattr(estimator, "set_output")


def feature_names_out(name, estimator):
    """Names of the columns that are returned."""
    assert estimator.get_feature_names_out() is not None


def metadata_routing(name, estimator):
    """Weights that are requested reach the classifier through a search."""
    scorer = make_scorer(f1_score, average="macro")
    with sklearn.config_context(enable_metadata_routing=True):
        for part in (estimator, getattr(estimator, "estimator", estimator)):
            if "sample_weight" in signature(part.fit).parameters:
                part.set_fit_request(sample_weight=True)
        scorer.set_score_request(sample_weight=False)
        if name == "tuned":
            estimator.set_params(scoring=scorer)
        grid = GridSearchCV(estimator, {INNER[name]: [1]}, cv=2, scoring=scorer)
        weighted = grid.fit(X, Y, sample_weight=np.r_[np.ones(40), np.full(40, 1e-9)]).best_estimator_
    assert np.abs(scores_of(weighted) - scores_of(clone(estimator).fit(X, Y))).max() > 1e-3


def scores_of(model):
    """Return scores, those of the classifier inside where there are none."""
    return (model if hasattr(model, "decision_function") else model.estimator_).decision_function(X)


def sample_weight(name, estimator):
    """`fit` has weights of rows by name: without rows of weight 0 the model is the same."""
    weight = np.r_[np.ones(60), np.zeros(20)]
    whole = estimator.fit(X, Y, sample_weight=weight)
    assert np.isfinite(whole.score(X, Y, sample_weight=weight))


def class_weight(name, estimator):
    """Weights of presence and absence are a parameter."""
    heavier = clone(estimator).set_params(class_weight={0: 1.0, 1: 10.0}).fit(X, Y)
    assert heavier.predict(X).sum() > estimator.fit(X, Y).predict(X).sum()


def n_jobs(name, estimator):
    """Jobs in parallel give the same."""
    expected = clone(estimator).fit(X, Y).predict(X)
    with parallel_backend("threading"):
        assert_array_equal(estimator.set_params(n_jobs=2).fit(X, Y).predict(X), expected)


def warm_start(name, estimator):
    """Second fits begin at the solution of the first."""
    estimator.set_params(warm_start=True).fit(X, Y)
    assert estimator.fit(X, Y).n_iter_ <= 1


def partial_fit(name, estimator):
    """Learning goes on with other rows."""
    learning = estimator.set_params(**({"solver": "adamw"} if name == "classifier" else {}))
    assert learning.partial_fit(X[:40], Y[:40]).partial_fit(X[40:], Y[40:]).predict(X).shape == Y.shape


def random_state(name, estimator):
    """Chance is a parameter."""
    assert "random_state" in estimator.get_params(deep=False)


def verbose(name, estimator):
    """Progress of its own is a parameter; tests/test_progress.py has what it shows."""
    assert estimator.get_params(deep=False)["verbose"] == 0


def callbacks(name, estimator):
    """Callbacks of scikit-learn 1.9 can be set; tests/test_callback_support.py has what they see."""
    pytest.importorskip("sklearn.callback", reason="from scikit-learn 1.9 on")
    assert estimator.set_callbacks().fit(X, Y) is estimator


def array_api(name, estimator):
    """PyTorch tensors go in and come out; tests/test_array_api.py has other arrays."""
    if parse_version(sklearn.__version__) < parse_version("1.9"):
        pytest.skip("tested from scikit-learn 1.9 on")
    with sklearn.config_context(array_api_dispatch=True):
        fitted = estimator.fit(torch.tensor(X), torch.tensor(Y))
        assert isinstance(fitted.predict(torch.tensor(X)), torch.Tensor)


def sparse_X(name, estimator):
    """Sparse rows give the predictions of dense ones."""
    found = clone(estimator).fit(sparse.csr_array(X), Y).predict(sparse.csr_array(X))
    assert_array_equal(found, estimator.fit(X, Y).predict(X))


def sparse_y(name, estimator):
    """Predictions are sparse where y is; tests/test_sparse_interface.py has the setting of scikit-learn 1.9."""
    found = clone(estimator).fit(X, sparse.csr_array(Y)).predict(X)
    assert isinstance(found, sparse.csr_array)
    assert_array_equal(found.toarray(), estimator.fit(X, Y).predict(X))


def nan_in_X(name, estimator):
    """NaN among features goes to a classifier inside that takes it."""
    gaps = np.where(X > 1.5, np.nan, X)
    if "estimator" in estimator.get_params(deep=False) and name != "CV":
        estimator.set_params(estimator=make_pipeline(SimpleImputer(), ONE))
    assert estimator.fit(gaps, Y).predict(gaps).shape == Y.shape


def unknown_labels(name, estimator):
    """NaN in y is an unknown label."""
    unknown = np.where(np.arange(Y.size).reshape(Y.shape) % 7 == 0, np.nan, Y)
    assert estimator.fit(X, unknown).score(X, unknown) > 0


def soft_labels(name, estimator):
    """Targets are probabilities."""
    assert estimator.fit(X, Y * 0.8 + 0.1).predict(X).shape == Y.shape


def one_label(name, estimator):
    """Two classes in a 1-D y."""
    words = np.array(["no", "yes"])[Y[:, 0]]
    assert estimator.fit(X, words).score(X, words) > 0.6


def classes(name, estimator):
    """Four classes in a 1-D y."""
    kinds = Y[:, 0] + 2 * Y[:, 1]
    assert estimator.fit(X, kinds).score(X, kinds) > 0.4


def data_frames(name, estimator):
    """Frames of pandas and Polars, and lists, give the predictions of arrays."""
    polars = pytest.importorskip("polars")
    expected = clone(estimator).fit(X, Y).predict(X)
    for rows, labels in ((FRAME, LABELS), (polars.DataFrame(FRAME.to_dict("list")), Y), (X.tolist(), Y.tolist())):
        assert_array_equal(clone(estimator).fit(rows, labels).predict(rows), expected)


def searches(name, estimator):
    """Cross-validation and searches take it as any classifier."""
    search = GridSearchCV(estimator, {INNER[name]: [2]}, cv=2, scoring="f1_macro", error_score="raise").fit(X, Y)
    assert search.predict(X).shape == Y.shape
    found = cross_val_score(clone(estimator).set_params(**{INNER[name]: 2}), X, Y, cv=2, scoring="f1_macro")
    assert_allclose(found.mean(), search.best_score_)


INSIDE = "a parameter of the classifier inside"
NO_TRANSFORMER = "a classifier transforms nothing; y and the predictions are matrices of labels"
ONE_FIT = "it fits one classifier once"
HELD_OUT = "it needs all rows, to hold some of them out"
METAS = ("CV", "tuned", "fixed", "calibrated", "hierarchical")


def none_of(reason, *names):
    """Return a reason for each of some estimators."""
    return dict.fromkeys(names, reason)


FEATURES = {  # law: what the table says, and why not, by estimator
    parameters_and_clones: ("``get_params``, ``set_params``, ``clone``", {}),
    checked_parameters: ("checked parameters", {}),
    pickles: ("pickle, joblib", {}),
    html: ("HTML representation", {}),
    tags: ("``__sklearn_tags__``", {}),
    searches: ("searches, cross-validation", {}),
    metadata_routing: ("metadata routing", {}),
    feature_names: ("``feature_names_in_``, ``n_features_in_``", {}),
    label_names: ("names of labels", {}),
    data_frames: ("pandas, Polars, lists", {}),
    set_output: ("``set_output``", none_of(NO_TRANSFORMER, *ESTIMATORS)),
    feature_names_out: ("``get_feature_names_out``", none_of(NO_TRANSFORMER, *ESTIMATORS)),
    sparse_X: ("sparse ``X``", {}),
    sparse_y: ("sparse ``y``, ``sparse_interface``", {}),
    array_api: ("array API", {}),
    nan_in_X: (
        "NaN in ``X``",
        none_of("impute before it, for example by SimpleImputer in a pipeline", "classifier", "CV"),
    ),
    unknown_labels: ("NaN in ``y``: unknown labels", {}),
    soft_labels: (
        "probabilities as ``y``",
        none_of("scores of label sets need labels that are 0 or 1", "CV", "tuned")
        | none_of("ancestors are those of labels that are present", "hierarchical"),
    ),
    one_label: ("1-D ``y``, two classes", none_of("one label has no hierarchy", "hierarchical")),
    classes: (
        "1-D ``y``, more classes",
        none_of("use the estimators of scikit-learn, which are for classes", *METAS),
    ),
    sample_weight: (
        "``fit(sample_weight=...)``",
        none_of("weights go to the classifier inside by metadata routing", "tuned", "fixed", "hierarchical"),
    ),
    class_weight: ("``class_weight``", none_of(INSIDE, *METAS)),
    random_state: (
        "``random_state``",
        none_of("a parameter of the splitter ``cv``", "calibrated") | none_of(INSIDE, "fixed", "hierarchical"),
    ),
    n_jobs: (
        "``n_jobs``",
        none_of("all labels are one fit, with the threads of PyTorch", "classifier")
        | none_of(ONE_FIT, "fixed", "hierarchical"),
    ),
    verbose: ("``verbose``", none_of(INSIDE, "fixed", "hierarchical")),
    callbacks: ("callbacks (scikit-learn 1.9)", {}),
    warm_start: ("``warm_start``", none_of(INSIDE, *METAS)),
    partial_fit: (
        "``partial_fit``",
        none_of(HELD_OUT, *METAS[:2], "calibrated") | none_of(ONE_FIT, "fixed", "hierarchical"),
    ),
}
CASES = [(law, name) for law in FEATURES for name in ESTIMATORS]


@pytest.mark.parametrize(("law", "name"), CASES, ids=[f"{law.__name__}-{name}" for law, name in CASES])
def test_a_feature_is_there_unless_there_is_a_reason(law, name):
    """The law holds where the table says yes, and fails where it says no."""
    estimator = clone(ESTIMATORS[name])
    if name not in FEATURES[law][1]:
        law(name, estimator)
        return
    with pytest.raises((ValueError, TypeError, AttributeError, KeyError, AssertionError)):
        law(name, estimator)


def table():
    """Return the table of the user guide, and the reasons below it."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 34 11 11 11 11 11 11", "", "   * - Feature"]
    lines += [f"     - {name}" for name in ESTIMATORS]
    reasons = list(dict.fromkeys(reason for _, why in FEATURES.values() for reason in why.values()))
    for feature, why in FEATURES.values():
        lines.append(f"   * - {feature}")
        lines += [f"     - no ({reasons.index(why[name]) + 1})" if name in why else "     - yes" for name in ESTIMATORS]
    return "\n".join([*lines, "", *(f"{number}. {reason}." for number, reason in enumerate(reasons, start=1))])


def test_the_user_guide_has_the_table():
    """As it is tested here."""
    if not PAGE.exists():
        pytest.skip("no documentation")
    assert table() in PAGE.read_text(encoding="utf-8"), table()
