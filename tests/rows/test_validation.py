"""Validation rows of early stopping: passed to fit, or held out by a splitter."""

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit, KFold, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sk_quadrant import QuadrantMultiLabelClassifier, TunedThresholdMultiLabelClassifierCV, make_quadrants
from sk_quadrant.losses import BCEWithLogits
from sk_quadrant.model_selection import MultilabelStratifiedShuffleSplit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HELD_OUT = np.arange(200) >= 150


class HardOnly(BCEWithLogits):
    """A loss that has no meaning between 0 and 1."""

    soft_targets = False


def make_classifier(**params):
    """Return a classifier that stops early."""
    defaults = {"solver": "adamw", "early_stopping": True, "max_iter": 8, "learning_rate_init": 0.05, "random_state": 0}
    return QuadrantMultiLabelClassifier(**defaults | params)


@pytest.fixture(scope="module")
def rows():
    """200 rows with two features and two labels."""
    return make_quadrants(200, slope=2.0, random_state=0)


def as_frame(Y):
    """Return a DataFrame of labels."""
    return pd.DataFrame(Y, columns=["a", "b"])


def with_unknown(Y):
    """Return labels of which a fifth is unknown."""
    return np.where(np.random.default_rng(1).random(Y.shape) < 0.2, np.nan, Y)


@pytest.mark.parametrize(
    ("convert_X", "convert_y", "params"),
    [
        (np.asarray, np.asarray, {}),
        (np.asarray, np.asarray, {"scoring": "f1_macro"}),
        (np.asarray, np.asarray, {"solver": "sgd", "hidden_layer_sizes": 3, "label_smoothing": 0.1}),
        (sparse.csr_matrix, sparse.csr_array, {}),
        (pd.DataFrame, as_frame, {"scoring": "neg_hamming_loss"}),
        (np.float32, with_unknown, {"missing_labels": "ignore", "scoring": "neg_multilabel_log_loss"}),
        (np.asarray, lambda Y: Y[:, 0], {"class_weight": {0: 1, 1: 3}}),
        (np.asarray, lambda Y: np.array(["n", "one", "two"])[Y.sum(axis=1)], {"scoring": "accuracy"}),
    ],
    ids=["loss", "score", "network", "sparse", "frames", "unknown", "two classes", "three classes"],
)
def test_validation_rows_passed_are_used_as_rows_held_out(convert_X, convert_y, params, rows):
    """The rest is trained on alone, to the same coefficients and the same history."""
    X, y = convert_X(rows[0]), convert_y(rows[1])

    def part(array, which):
        return array.loc[which] if hasattr(array, "loc") else array[np.flatnonzero(which)]

    splitter = PredefinedSplit(np.where(HELD_OUT, 0, -1))
    held_out = make_classifier(validation_fraction=splitter, **params).fit(X, y)
    passed = make_classifier(**params)
    passed.fit(part(X, ~HELD_OUT), part(y, ~HELD_OUT), X_val=part(X, HELD_OUT), y_val=part(y, HELD_OUT))
    assert passed.history_ == held_out.history_
    for (weight, bias), (expected, expected_bias) in zip(passed.model_.layers, held_out.model_.layers, strict=True):
        assert_array_equal(weight, expected)
        assert_array_equal(bias, expected_bias)


def test_weights_and_balanced_classes_of_validation_rows(rows):
    """The validation loss is weighted by sample_weight_val and by the class weights of the rows trained on."""
    X, Y = rows
    Y = np.c_[np.arange(200) % 4 == 0, Y[:, 1]].astype(int)
    weight = np.random.default_rng(0).random(50)
    model = make_classifier(class_weight="balanced", max_iter=1)
    model.fit(X[:150], Y[:150], X_val=X[150:], y_val=Y[150:], sample_weight_val=weight)
    share = Y[:150].mean(axis=0)
    entries = np.where(Y[150:], 0.5 / share, 0.5 / (1 - share)) * weight[:, None]
    losses = np.logaddexp(0, np.where(Y[150:], -1, 1) * model.decision_function(X[150:]))
    expected = (entries * losses).sum() / (entries.mean(axis=1).sum())
    assert model.history_[0]["valid_loss"] == pytest.approx(expected, rel=1e-6)


def test_validation_labels_are_read_by_name(rows):
    """Columns of y_val in another order are those of y."""
    X, Y = rows[0], as_frame(rows[1])
    for scoring in (None, "f1_macro"):
        fits = [
            make_classifier(scoring=scoring).fit(X[:150], Y[:150], X_val=X[150:], y_val=Y.loc[150:, list(names)])
            for names in ("ab", "ba")
        ]
        assert fits[0].history_ == fits[1].history_


def test_validation_rows_are_transformed_in_a_pipeline(rows):
    """With transform_input and metadata routing, as for HistGradientBoostingClassifier."""
    X, Y = rows
    scaler = StandardScaler().fit(X[:150])
    expected = make_classifier().fit(scaler.transform(X[:150]), Y[:150], X_val=scaler.transform(X[150:]), y_val=Y[150:])
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_classifier().set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        pipeline.fit(X[:150], Y[:150], X_val=X[150:], y_val=Y[150:])
        search = GridSearchCV(pipeline, {"quadrantmultilabelclassifier__C": [1.0]}, cv=KFold(3))
        search.fit(X[:150], Y[:150], X_val=X[150:], y_val=Y[150:])
        tuned = TunedThresholdMultiLabelClassifierCV(pipeline, cv=3)
        tuned.fit(X[:150], Y[:150], X_val=X[150:], y_val=Y[150:])
    for fitted in (pipeline, search.best_estimator_, tuned.estimator_):
        assert fitted[-1].history_ == expected.history_


class Spy:
    """Scorer that remembers the rows it was called with."""

    def __init__(self):
        self.rows = []

    def __call__(self, estimator, X, y):
        """Return the macro-averaged F1 score."""
        self.rows.append(X)
        return f1_score(y, estimator.predict(X), average="macro")


def test_groups_are_held_out_whole(rows):
    """No group has rows on both sides, in a search with metadata routing either."""
    X, Y = rows
    groups, spy = np.random.default_rng(0).integers(20, size=200), Spy()
    splitter = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    make_classifier(validation_fraction=splitter, scoring=spy).fit(X, Y, groups=groups)
    is_held_out = (X[:, None] == spy.rows[0]).all(axis=2).any(axis=1)
    assert set(groups[is_held_out]).isdisjoint(groups[~is_held_out])
    assert len(set(groups[is_held_out])) == 4
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_classifier(validation_fraction=splitter).set_fit_request(groups=True)
        search = GridSearchCV(model, {"C": [1.0]}, cv=KFold(2), error_score="raise")
        assert np.isfinite(search.fit(X, Y, groups=groups).best_score_)


def test_groups_that_are_routed_go_to_the_splitter_unless_fit_requests_them(rows):
    """A search or meta-estimator over groups works without set_fit_request."""
    X, Y = rows
    groups = np.arange(200) // 10
    with sklearn.config_context(enable_metadata_routing=True):
        for searched in (
            GridSearchCV(QuadrantMultiLabelClassifier(), {"C": [1.0]}, cv=GroupKFold(3)),
            TunedThresholdMultiLabelClassifierCV(make_classifier(), cv=GroupKFold(3)),
        ):
            assert np.isfinite(searched.fit(X, Y, groups=groups).best_score_)


def test_a_splitter_of_this_package_holds_out_rows(rows):
    """Unknown labels included, which scikit-learn's own stratified splitters refuse."""
    X, Y = rows[0], with_unknown(rows[1])
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=0.3, random_state=0)
    spy = Spy()
    make_classifier(validation_fraction=splitter, missing_labels="ignore", max_iter=2).fit(X, Y)
    make_classifier(validation_fraction=splitter, scoring=spy, max_iter=2).fit(X, rows[1])
    assert len(spy.rows[0]) == 60


def fit_with(rows, params=None, **options):
    """Fit with some options that are functions of the rows."""
    X, Y = rows
    make_classifier(**params or {}).fit(X, Y, **{name: make(X, Y) for name, make in options.items()})


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ({}, {"X_val": lambda X, Y: X}, "X_val and y_val must be passed together, got X_val"),
        ({}, {"y_val": lambda X, Y: Y}, "X_val and y_val must be passed together, got y_val"),
        ({}, {"sample_weight_val": lambda X, Y: X[:, 0]}, "must be passed together, got sample_weight_val"),
        (
            {"early_stopping": False},
            {"X_val": lambda X, Y: X, "y_val": lambda X, Y: Y},
            "X_val and y_val need early_stopping=True, got False",
        ),
        ({}, {"groups": lambda X, Y: Y[:, 0]}, "groups need a splitter as validation_fraction, such as .*, got 0.1"),
        (
            {"validation_fraction": GroupShuffleSplit(1)},
            {"X_val": lambda X, Y: X, "y_val": lambda X, Y: Y, "groups": lambda X, Y: Y[:, 0]},
            "groups say which rows to hold out, and cannot be passed with X_val",
        ),
        ({}, {"X_val": lambda X, Y: X[:, :1], "y_val": lambda X, Y: Y}, "In X_val, .* X has 1 features, but .* 2 feat"),
        ({}, {"X_val": lambda X, Y: X[:0], "y_val": lambda X, Y: Y[:0]}, "In X_val, .* Found array with 0 sample"),
        (
            {"loss": HardOnly()},
            {"X_val": lambda X, Y: X, "y_val": lambda X, Y: Y * 0.9},
            "targets 0 and 1 only, got soft",
        ),
        (
            {},
            {"X_val": lambda X, Y: X, "y_val": lambda X, Y: Y[:, :1]},
            "In X_val, y_val and sample_weight_val: y must",
        ),
        ({}, {"X_val": lambda X, Y: X, "y_val": lambda X, Y: Y[:9]}, "In X_val, .* same number of rows, got 200 and 9"),
        (
            {"missing_labels": "ignore"},
            {"X_val": lambda X, Y: X, "y_val": lambda X, Y: np.full(Y.shape, np.nan)},
            "In X_val, y_val and sample_weight_val: y must have a known label",
        ),
        (
            {},
            {"X_val": lambda X, Y: X, "y_val": lambda X, Y: Y, "sample_weight_val": lambda X, Y: np.zeros(len(X))},
            "sample_weight must have a positive value",
        ),
        (
            {"validation_fraction": PredefinedSplit([-1] * 200)},
            {},
            "must give training and validation rows, got 0",
        ),
        (
            {"solver": "lbfgs"},
            {"X_val": lambda X, Y: X, "y_val": lambda X, Y: Y},
            "early_stopping=True is not possible",
        ),
    ],
)
def test_invalid_validation_data_are_refused(params, options, message, rows):
    """The error names the argument, and what to do."""
    with pytest.raises(ValueError, match=message):
        fit_with(rows, params, **options)


def test_rows_held_out_without_a_known_label_are_refused(rows):
    """Their loss would be 0 in every epoch."""
    X, Y = rows[0], rows[1].astype(float)
    Y[HELD_OUT] = np.nan
    splitter = PredefinedSplit(np.where(HELD_OUT, 0, -1))
    with pytest.raises(ValueError, match="50 rows for the validation of early_stopping must have a known label"):
        make_classifier(missing_labels="ignore", validation_fraction=splitter).fit(X, Y)
    with pytest.raises(ValueError, match="150 rows to train on must have a known label"):
        make_classifier(validation_fraction=splitter).fit(X, rows[1], sample_weight=HELD_OUT.astype(float))


def texts_of(X):
    """Return a string for each row."""
    return [f"{x:.6f} {y:.6f}" for x, y in X]


class ReadsTexts(nn.Module):
    """A linear model of two numbers in a string."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, texts):
        """Return the scores."""
        return self.linear(torch.tensor([[float(part) for part in text.split()] for text in texts]))


@pytest.mark.parametrize("scoring", [None, "f1_macro"])
@pytest.mark.parametrize(
    ("module", "convert"), [(nn.Linear(2, 2), np.float32), (ReadsTexts(), texts_of)], ids=["array", "texts"]
)
def test_a_module_of_the_user_watches_rows_too(module, convert, scoring, rows):
    """Arrays and texts passed are used as those that a splitter holds out."""
    X, Y = np.array(convert(rows[0]), dtype=object if convert is texts_of else None), rows[1]
    splitter = PredefinedSplit(np.where(HELD_OUT, 0, -1))
    held_out = make_classifier(module=module, scoring=scoring, validation_fraction=splitter).fit(X, Y)
    passed = make_classifier(module=module, scoring=scoring)
    passed.fit(X[~HELD_OUT], Y[~HELD_OUT], X_val=X[HELD_OUT], y_val=Y[HELD_OUT])
    assert passed.history_ == held_out.history_
    with pytest.raises(ValueError, match="as in the first call"):
        passed.fit(X[~HELD_OUT], Y[~HELD_OUT], X_val=rows[0][:, :, None], y_val=Y)
