"""Modules of the user as the model: what X may be, what training does, and with which tools it works."""

import pickle
from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import Callback
from skorch.helper import SliceDict
from torch import nn

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
    top_k_labels,
)
from sk_quadrant.callbacks import Checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS, N_WORDS, LENGTH = 120, 12, 6


class Linear(nn.Module):
    """Linear model of all numbers of a row."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(n_features)), n_labels)

    def forward(self, X):
        """Return scores."""
        return self.layer(X.flatten(1).to(self.layer.weight.dtype))


class Bag(nn.Module):
    """Mean embedding of words; returns a tuple, as many encoders do."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.embedding = nn.EmbeddingBag(N_WORDS, 8)
        self.head = nn.Linear(8, n_labels)

    def forward(self, input_ids, attention_mask=None):
        """Return scores and the embedding."""
        weights = None if attention_mask is None else attention_mask.float()
        if weights is not None:
            self.embedding.mode = "sum"
        values = self.embedding(input_ids, per_sample_weights=weights)
        return self.head(values), values


class Words(Bag):
    """The same for texts, which it takes apart itself."""

    def forward(self, texts):
        """Return scores and the embedding."""
        return super().forward(torch.tensor([[int(word) for word in text.split()] for text in texts]))


def ids_and_labels():
    """Return rows of word numbers, and two labels that ask whether words 0 and 1 occur."""
    ids = np.random.default_rng(0).integers(0, N_WORDS, (N_ROWS, LENGTH))
    return ids, np.c_[(ids < 3).any(axis=1), (ids > 8).any(axis=1)].astype(int)


IDS, Y = ids_and_labels()
COUNTS = np.stack([(word == IDS).sum(axis=1) for word in range(N_WORDS)], axis=1).astype(np.float32)
TEXTS = [" ".join(map(str, row)) for row in IDS]
PARTS = {"input_ids": IDS, "attention_mask": np.ones_like(IDS)}
KINDS = {
    "matrix": (Linear, COUNTS),
    "data frame": (Linear, pd.DataFrame(COUNTS, columns=[f"word {k}" for k in range(N_WORDS)])),
    "images": (Linear, COUNTS.reshape(N_ROWS, 1, 3, 4)),
    "token ids": (Bag, IDS),
    "list of texts": (Words, TEXTS),
    "array of texts": (Words, np.array(TEXTS)),
    "series of texts": (Words, pd.Series(TEXTS, index=np.arange(N_ROWS) + 7)),
    "SliceDict": (Bag, SliceDict(**PARTS)),
    "dict": (Bag, PARTS),
}
QUICK = {"images", "list of texts", "SliceDict", "dict"}
EVERY_KIND = [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS]
SPLIT = [kind for kind in EVERY_KIND if kind.values != ("dict",)]  # scikit-learn does not split a dict


def make_classifier(module, **params):
    defaults = {"solver": "adamw", "max_iter": 4, "batch_size": 32, "learning_rate_init": 0.05, "random_state": 0}
    return QuadrantMultiLabelClassifier(module=module, **defaults | params)


def head_of(X, n):
    """Return the first rows of any kind of X."""
    if isinstance(X, dict):
        return {name: part[:n] for name, part in X.items()}
    return X.iloc[:n] if hasattr(X, "iloc") else X[:n]


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_rows_is_fitted_and_predicted(kind):
    """Labels follow the probabilities, few rows have the scores that they have among many, and something is learnt."""
    module, X = KINDS[kind]
    clf = make_classifier(module, max_iter=20).fit(X, Y)
    proba = clf.predict_proba(X)
    np.testing.assert_array_equal(clf.predict(X), proba > 0.5)
    np.testing.assert_allclose(clf.predict_proba(head_of(X, 5)), proba[:5], rtol=1e-5)
    assert clf.score(X, Y) > np.mean((np.round(Y.mean(axis=0)) == Y).all(axis=1))


@pytest.mark.parametrize("scoring", [None, "f1_macro"])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_of_rows_is_stopped_early(kind, scoring):
    """The held-out rows have a loss in each epoch, and a score where one is asked for."""
    module, X = KINDS[kind]
    clf = make_classifier(module, early_stopping=True, scoring=scoring).fit(X, Y)
    assert all("valid_loss" in row and ("valid_score" in row) == (scoring is not None) for row in clf.history_)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_of_rows_is_learnt_in_parts(kind):
    """Two calls of `partial_fit` go on from each other."""
    module, X = KINDS[kind]
    clf = make_classifier(module).partial_fit(X, Y)
    first = clf.predict_proba(X)
    clf.partial_fit(head_of(X, 60), Y[:60])
    assert clf.n_iter_ == 2
    assert np.abs(clf.predict_proba(X) - first).max() > 0


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_of_rows_survives_pickle(kind):
    """A loaded model predicts what the saved one did."""
    module, X = KINDS[kind]
    clf = make_classifier(module).fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), clf.predict_proba(X))


TOOLS = {
    "GridSearchCV": lambda clf, X: GridSearchCV(clf, {"loss": ["zlpr", "focal"]}, cv=2).fit(X, Y).predict(X),
    "search over modules": lambda clf, X: (
        GridSearchCV(clf, {"module": [clf.module, partial(clf.module)]}, cv=2).fit(X, Y).predict(X)
    ),
    "cross_val_predict": lambda clf, X: cross_val_predict(clf, X, Y, cv=2),
    "thresholds": lambda clf, X: TunedThresholdMultiLabelClassifierCV(clf, cv=2).fit(X, Y).predict(X),
    "thresholds, prefit": lambda clf, X: (
        TunedThresholdMultiLabelClassifierCV(clone(clf).fit(X, Y), cv="prefit", refit=False).fit(X, Y).predict(X)
    ),
    "calibration": lambda clf, X: CalibratedMultiLabelClassifierCV(clf, cv=2).fit(X, Y).predict(X),
    "calibration, frozen": lambda clf, X: (
        CalibratedMultiLabelClassifierCV(FrozenEstimator(clone(clf).fit(X, Y))).fit(X, Y).predict(X)
    ),
    "given thresholds": lambda clf, X: FixedThresholdMultiLabelClassifier(clf, threshold=0.3).fit(X, Y).predict(X),
    "top labels": lambda clf, X: top_k_labels(clone(clf).fit(X, Y), X, 2).labels,
    "validation rows": lambda clf, X: (
        clf.set_params(early_stopping=True, scoring="f1_macro").fit(X, Y, X_val=head_of(X, 50), y_val=Y[:50]).predict(X)
    ),
    "Pipeline": lambda clf, X: make_pipeline(FunctionTransformer(), clf).fit(X, Y).predict(X),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", SPLIT)
def test_every_tool_takes_every_kind_of_rows(kind, tool):
    """Searches, cross-validation, pipelines and meta-estimators predict labels."""
    module, X = KINDS[kind]
    assert TOOLS[tool](make_classifier(module, max_iter=2), X).shape == Y.shape


def test_validation_rows_may_be_a_plain_dict():
    """It is not split, so that it need not be a SliceDict; its keys follow those of the rows trained on."""
    clf = make_classifier(Bag, early_stopping=True, scoring="f1_macro")
    clf.fit(PARTS, Y, X_val=head_of(PARTS, 50), y_val=Y[:50])
    assert "valid_score" in clf.history_[0]
    with pytest.raises(ValueError, match="X must have the keys of the first call"):
        clf.fit(PARTS, Y, X_val={"input_ids": IDS}, y_val=Y)


@pytest.mark.slow
def test_searches_run_in_processes():
    """Clones with modules, given as classes, lambdas and instances, go to joblib's processes and back."""
    modules = [nn.Linear, lambda n_features, n_labels: nn.Linear(n_features, n_labels), nn.Linear(N_WORDS, 2)]
    search = GridSearchCV(make_classifier(nn.Linear), {"module": modules}, cv=2, n_jobs=2, error_score="raise")
    assert search.fit(COUNTS, Y).predict(COUNTS).shape == Y.shape


@pytest.mark.slow
def test_blocks_of_dask_are_learnt_one_after_the_other():
    """`partial_fit` takes the module to the blocks."""
    da, distributed = pytest.importorskip("dask.array"), pytest.importorskip("distributed")
    from sk_quadrant.dask import DaskQuadrantMultiLabelClassifier

    options = {"module": Linear, "solver": "adamw", "batch_size": 32, "random_state": 0}
    with distributed.Client(processes=False, dashboard_address=None):
        X = da.from_array(COUNTS, chunks=(60, N_WORDS))
        clf = DaskQuadrantMultiLabelClassifier(**options).partial_fit(X, da.from_array(Y, chunks=(60, 2)))
        proba = clf.predict_proba(X).compute()
    local = QuadrantMultiLabelClassifier(**options)
    for rows in (slice(60), slice(60, None)):
        local.partial_fit(COUNTS[rows], Y[rows])
    np.testing.assert_allclose(proba, local.predict_proba(COUNTS), rtol=1e-6)


def test_other_formats_say_what_to_use():
    """Safetensors holds linear models, ONNX is exported by PyTorch."""
    safetensors = pytest.importorskip("sk_quadrant.io")
    clf = make_classifier(Linear).fit(COUNTS, Y)
    with pytest.raises(ValueError, match="must be linear, got the module <Linear, 26 parameters>"):
        safetensors.save_safetensors(clf, "never written")


@pytest.mark.parametrize("module", [Linear, Linear(N_WORDS, 2)], ids=["class", "instance"])
def test_the_net_predicts_after_loading(module):
    """`net_` is a skorch net around the module, built again for a loaded model."""
    clf = pickle.loads(pickle.dumps(make_classifier(module).fit(COUNTS, Y)))
    np.testing.assert_allclose(clf.net_.predict_proba(COUNTS), clf.predict_proba(COUNTS), rtol=1e-5)
    np.testing.assert_array_equal(clf.net_.predict(COUNTS), clf.predict(COUNTS))


class Recorder(nn.Module):
    """Linear model with dropout and batch norm, which counts its calls and keeps what it was called with."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(6, n_labels)

    def forward(self, X):
        """Return scores."""
        return self.head(self.body(X))


class SparseGradients(nn.Module):
    """Bag of words whose gradients are sparse."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.bag = nn.EmbeddingBag(100, n_labels, sparse=True)

    def forward(self, X):
        """Return scores."""
        return self.bag(X.long())


class NotCopied(Linear):
    """Linear model that keeps a result of autograd, which PyTorch does not copy."""

    def __init__(self, n_features, n_labels):
        super().__init__(n_features, n_labels)
        self.kept = self.layer.weight * 2


class Dies(Callback):
    """Callback that raises when an epoch ends, as a stand-in for the end of the process."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        """Raise at the end of the epoch."""
        if len(net.history) == self.epoch:
            raise RuntimeError("died")


class LooksAtBatches(Callback):
    """Callback that keeps the learning rates of all groups for each batch."""

    def on_train_begin(self, net, **kwargs):
        """Forget earlier trainings."""
        self.rates = []

    def on_grad_computed(self, net, named_parameters=None, **kwargs):
        """Keep the rates."""
        self.rates.append([group["lr"] for group in net.optimizer_.param_groups])


def state_of(clf):
    return {name: value.clone() for name, value in clf.model_.trained_module.state_dict().items()}


def assert_same_state(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("tool", "error", "message"),
    [
        (lambda clf: GridSearchCV(clf, {"C": [1.0]}, cv=2), ValueError, "inconsistent numbers of samples"),
        (TunedThresholdMultiLabelClassifierCV, TypeError, r"got a dict. Pass skorch.helper.SliceDict\(\*\*X\)"),
        (CalibratedMultiLabelClassifierCV, TypeError, r"got a dict. Pass skorch.helper.SliceDict\(\*\*X\)"),
    ],
    ids=["GridSearchCV", "thresholds", "calibration"],
)
def test_tools_that_split_refuse_a_plain_dict(tool, error, message):
    """Its rows cannot be taken apart by scikit-learn; our own tools say what to pass."""
    with pytest.raises(error, match=message):
        tool(make_classifier(Bag)).fit(PARTS, Y)


def test_a_linear_module_finds_the_linear_model():
    """With the same penalty the scores are those of the package's own linear model at its optimum."""
    own = QuadrantMultiLabelClassifier(C=0.05, tol=1e-8).fit(COUNTS.astype(np.float64), Y)
    module = nn.Linear(N_WORDS, 2, dtype=torch.float64)
    params = {"learning_rate": "cosine", "learning_rate_init": 0.1, "max_iter": 400, "batch_size": N_ROWS, "C": 0.05}
    clf = make_classifier(module, **params).fit(COUNTS, Y)
    np.testing.assert_allclose(clf.decision_function(COUNTS), own.decision_function(COUNTS), atol=1e-5)


def test_the_steps_are_those_of_a_pytorch_loop():
    """From the same weights, a loop of AdamW over the same loss and penalty gives the same weights."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(N_WORDS, 5), nn.Tanh(), nn.Linear(5, 2))
    clf = make_classifier(module, batch_size=N_ROWS, max_iter=7, C=0.3).fit(COUNTS, Y)
    loop = deepcopy(module)
    optimizer = torch.optim.AdamW(loop.parameters(), lr=0.05, weight_decay=0)
    for _ in range(7):
        optimizer.zero_grad()
        losses = nn.functional.binary_cross_entropy_with_logits(
            loop(torch.tensor(COUNTS)), torch.tensor(Y, dtype=torch.float32), reduction="none"
        )
        squares = sum(weight.square().sum() for weight in loop.parameters() if weight.ndim > 1)
        (losses.sum(dim=1).mean() + 0.5 * squares / (0.3 * N_ROWS)).backward()
        optimizer.step()
    for name, value in loop.state_dict().items():
        torch.testing.assert_close(clf.model_.trained_module.state_dict()[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["matrix", "list of texts", "dict"])
def test_callbacks_that_look_at_batches_change_nothing(kind):
    """Skorch's steps, which they bring, give the same weights to the bit."""
    module, X = KINDS[kind]
    watched = make_classifier(module, callbacks=[LooksAtBatches()], early_stopping=True).fit(X, Y)
    plain = make_classifier(module, early_stopping=True).fit(X, Y)
    assert_same_state(state_of(plain), state_of(watched))
    np.testing.assert_allclose(watched.loss_curve_, plain.loss_curve_, rtol=1e-5)


@pytest.mark.parametrize("kind", ["matrix", "list of texts", "dict"])
@pytest.mark.parametrize("watch", [False, True], ids=["own steps", "skorch's steps"])
def test_micro_batches_add_up_to_the_batch(kind, watch):
    """The weights are those of whole batches, to rounding, with weights of rows and labels, too."""
    module, X = KINDS[kind]
    weight = np.random.default_rng(1).uniform(0.5, 2, Y.shape)
    options = {"batch_size": 40, "callbacks": [LooksAtBatches()] if watch else None, "solver": "sgd"}
    whole = make_classifier(module, **options).fit(X, Y, sample_weight=weight)
    parts = make_classifier(module, micro_batch_size=7, **options).fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(parts.decision_function(X), whole.decision_function(X), rtol=1e-4, atol=1e-5)


def test_module_is_never_trained_in_place_and_random_states_stay():
    """An instance keeps its weights, its mode and the global random state; two fits with one seed agree."""
    module = Recorder(N_WORDS, 2)
    before, state = deepcopy(module.state_dict()), torch.get_rng_state()
    first, second = (make_classifier(module).fit(COUNTS, Y) for _ in range(2))
    assert_same_state(before, module.state_dict())
    assert module.training
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_state(state_of(first), state_of(second))
    assert np.abs(make_classifier(module, random_state=1).fit(COUNTS, Y).predict_proba(COUNTS)
                  - first.predict_proba(COUNTS)).max() > 0  # fmt: skip


def test_a_builder_may_return_the_same_module_each_time():
    """It is copied, so that the next fit does not begin with trained weights."""
    module = nn.Linear(N_WORDS, 2)
    first, second = (make_classifier(lambda *_: module).fit(COUNTS, Y) for _ in range(2))
    assert_same_state(state_of(first), state_of(second))


def test_a_module_may_write_into_its_input():
    """The rows of the caller stay as they are."""
    X = COUNTS - 1
    before = X.copy()
    clf = make_classifier(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(N_WORDS, 2))).fit(X, Y)
    proba = clf.predict_proba(X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(clf.predict_proba(X), proba)


def test_a_failed_fit_leaves_the_model_as_it_was():
    """A training that dies in a later call changes nothing, the module included."""
    clf = make_classifier(Recorder).partial_fit(COUNTS, Y)
    before = state_of(clf)
    clf.callbacks = [Dies(1)]
    with pytest.raises(RuntimeError, match="died"):
        clf.partial_fit(COUNTS, Y)
    assert_same_state(before, state_of(clf))
    assert clf.n_iter_ == 1


def test_prediction_is_without_dropout_and_batch_norm_of_the_batch():
    """The probabilities of a row do not depend on the others, and do not vary."""
    clf = make_classifier(Recorder).fit(COUNTS, Y)
    proba = clf.predict_proba(COUNTS)
    np.testing.assert_allclose(clf.predict_proba(COUNTS[:1]), proba[:1], rtol=1e-6)
    np.testing.assert_array_equal(clf.predict_proba(COUNTS), proba)


def test_frozen_parts_in_evaluation_mode_stay_so():
    """The running means of a frozen batch norm stay, also when training goes on; those of a trained one move."""
    module = Recorder(N_WORDS, 2)
    norm = module.body[1].eval()
    moving = make_classifier(module).fit(COUNTS, Y).model_.trained_module.body[1]
    assert not torch.equal(moving.running_mean, norm.running_mean)
    norm.requires_grad_(False)
    clf = make_classifier(module).partial_fit(COUNTS, Y)
    clf.partial_fit(COUNTS, Y)
    assert torch.equal(clf.model_.trained_module.body[1].running_mean, norm.running_mean)


@pytest.mark.parametrize("epoch", [1, 4])
@pytest.mark.parametrize("scoring", [None, "f1_macro"])
def test_a_module_resumes_from_its_checkpoint_to_the_same_bits(epoch, scoring, tmp_path):
    """Dropout, batch norm and early stopping included."""
    options = {"max_iter": 8, "early_stopping": True, "scoring": scoring, "learning_rate": "cosine"}
    whole = make_classifier(Recorder, **options).fit(COUNTS, Y)
    with pytest.raises(RuntimeError, match="died"):
        make_classifier(Recorder, callbacks=[Dies(epoch + 1), Checkpoint(tmp_path)], **options).fit(COUNTS, Y)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = make_classifier(Recorder, callbacks=[Checkpoint(tmp_path)], **options).fit(COUNTS, Y)
    assert_same_state(state_of(whole), state_of(resumed))
    assert resumed.history_ == whole.history_


def test_checkpoints_of_texts_know_the_texts(tmp_path):
    """Other texts of the same length begin anew."""
    with pytest.raises(RuntimeError, match="died"):
        make_classifier(Words, callbacks=[Dies(3), Checkpoint(tmp_path)]).fit(TEXTS, Y)
    make_classifier(Words, callbacks=[Checkpoint(tmp_path)]).fit(TEXTS[::-1], Y)
    assert len(list(tmp_path.iterdir())) == 1


def test_warm_start_goes_on_with_the_moments():
    """Two warm fits of a few epochs are one of twice as many, where rows come in one batch."""
    options = {"batch_size": N_ROWS, "tol": 0}
    whole = make_classifier(Linear(N_WORDS, 2), max_iter=6, **options).fit(COUNTS, Y)
    warm = make_classifier(Linear(N_WORDS, 2), warm_start=True, max_iter=3, **options)
    warm.module = whole.module
    warm.fit(COUNTS, Y).fit(COUNTS, Y)
    np.testing.assert_allclose(warm.decision_function(COUNTS), whole.decision_function(COUNTS), rtol=1e-5)


def test_groups_of_parameters_keep_their_learning_rates():
    """A schedule scales all of them alike, and a rate of zero freezes."""
    look = LooksAtBatches()
    groups = [("head.*", {"lr": 1e-5}), ("embedding.*", {"lr": 0.0})]
    module = Bag(LENGTH, 2)
    params = {"param_groups": groups, "learning_rate": "cosine", "warmup_fraction": 0.2, "callbacks": [look]}
    clf = make_classifier(module, **params).fit(IDS, Y)
    rates = np.array(look.rates)
    np.testing.assert_allclose(rates[:, 0].max(), 1e-5, rtol=0.2)
    assert (rates[:, 1] == 0).all()
    assert len(np.unique(rates[:, 0])) > 5
    torch.testing.assert_close(clf.model_.trained_module.embedding.weight, module.embedding.weight, rtol=0, atol=0)


def test_half_precision_trains_predicts_and_is_saved(tmp_path):
    """bfloat16 has no NumPy dtype, and goes through early stopping, checkpoints, warm starts and pickle."""
    module = nn.Linear(N_WORDS, 2, dtype=torch.bfloat16)
    options = {"early_stopping": True, "callbacks": [Checkpoint(tmp_path)], "warm_start": True}
    clf = make_classifier(module, **options).fit(COUNTS, Y).fit(COUNTS, Y)
    assert clf.model_.trained_module.weight.dtype == torch.bfloat16
    loaded = pickle.loads(pickle.dumps(clf))
    assert_same_state(state_of(clf), state_of(loaded))
    assert loaded.predict_proba(COUNTS).dtype == np.float64


def test_saved_instances_keep_tied_weights_and_what_is_frozen():
    """The parameter and the fitted module come back from pickle with shared and frozen weights, and can train on."""
    module = nn.Sequential(nn.Linear(N_WORDS, N_WORDS), nn.Linear(N_WORDS, N_WORDS), nn.Linear(N_WORDS, 2))
    module[1].weight = module[0].weight
    module[2].bias.requires_grad_(False)
    clf = pickle.loads(pickle.dumps(make_classifier(module).fit(COUNTS, Y)))
    for loaded in (clf.module, clf.model_.trained_module):
        assert loaded[1].weight is loaded[0].weight
        assert [parameter.requires_grad for parameter in loaded.parameters()] == [True, True, True, True, False]
    clf.partial_fit(COUNTS, Y)


def test_lazy_modules_find_their_sizes():
    """Unfitted and fitted ones are copied, shown and saved."""
    clf = pickle.loads(pickle.dumps(make_classifier(nn.LazyLinear(2))))
    assert "<LazyLinear, 0 parameters>" in repr(clf)
    assert clone(clf).fit(COUNTS, Y).predict(COUNTS).shape == Y.shape


def test_what_goes_into_the_module_keeps_its_dtype():
    """Floats come in the precision of the module, integers and booleans as they are, X of fit and predict alike."""
    seen = []

    class Looks(nn.Linear):
        def forward(self, X):
            seen.append(X.dtype)
            return super().forward(X.flatten(1).float())

    for dtype in (np.float64, np.float16, np.int32, np.uint8, np.bool_):
        clf = make_classifier(lambda n_features, n_labels: Looks(N_WORDS, n_labels), max_iter=1)
        clf.fit(COUNTS.astype(dtype), Y).predict(COUNTS.astype(dtype))
    assert list(dict.fromkeys(seen)) == [torch.float32, torch.int32, torch.uint8, torch.bool]


def test_builders_are_told_of_the_rows():
    """n_features is a number, a shape, or None."""
    seen = []

    def build(n_features, n_labels):
        seen.append((n_features, n_labels))
        return Bag(n_features, n_labels) if n_features == LENGTH else Linear(n_features or N_WORDS, n_labels)

    for X in (COUNTS, COUNTS.reshape(N_ROWS, 3, 4), IDS):
        make_classifier(build, max_iter=1).fit(X, Y)
    make_classifier(lambda *sizes: seen.append(sizes) or Words(*sizes), max_iter=1).fit(TEXTS, Y)
    assert seen == [(N_WORDS, 2), ((3, 4), 2), (LENGTH, 2), (None, 2)]


def test_a_module_trained_elsewhere_predicts_and_gets_thresholds_without_training():
    """Its scores, names and links are right, thresholds and calibration leave its weights alone; it can train on."""
    torch.manual_seed(0)
    network = nn.Linear(N_WORDS, 2)
    before = deepcopy(network.state_dict())
    clf = QuadrantMultiLabelClassifier.from_module(network, ["low", "high"], loss="zlpr", random_state=0)
    with torch.no_grad():
        scores = network(torch.tensor(COUNTS)).numpy()
    np.testing.assert_allclose(clf.decision_function(COUNTS), scores, rtol=1e-6)
    np.testing.assert_array_equal(clf.predict(COUNTS), scores > 0)
    assert clf.label_names_in_.tolist() == ["low", "high"]
    tuned = TunedThresholdMultiLabelClassifierCV(clf, cv="prefit", refit=False).fit(COUNTS, Y)
    calibrated = CalibratedMultiLabelClassifierCV(FrozenEstimator(clf)).fit(COUNTS, Y)
    assert tuned.predict(COUNTS).shape == calibrated.predict(COUNTS).shape == Y.shape
    assert_same_state(before, state_of(clf))
    clf.partial_fit(COUNTS, Y)
    assert not torch.equal(clf.model_.trained_module.weight, network.weight)
    assert_same_state(before, network.state_dict())


MESSAGES = {
    "default solver": ({"solver": "lbfgs"}, r"module=Linear is not possible with solver='lbfgs'.*\['adamw', 'sgd'\]"),
    "hidden layers": ({"hidden_layer_sizes": (3,)}, "hidden_layer_sizes=.* has no effect on a module"),
    "activation": ({"activation": "tanh"}, "activation='tanh' has no effect on a module"),
    "intercept": ({"fit_intercept": False}, "fit_intercept=False has no effect on a module"),
    "mixup": ({"mixup_alpha": 0.2}, "mixup_alpha=0.2 has no effect on a module"),
    "threshold of coefficients": ({"coef_threshold": 0.1}, "coef_threshold=0.1 is not possible with solver"),
    "strengths of labels": ({"C": [1.0, 2.0]}, r"C=\[1.0, 2.0\] is not possible with solver='adamw'"),
    "group without a match": ({"param_groups": [("encoder.*", {})]}, "'encoder.*', which matches no parameter"),
    "group of the wrong form": ({"param_groups": ["layer.*"]}, "must be a list of"),
    "unknown option": ({"param_groups": [("layer.*", {"rate": 1})]}, "options of AdamW, .*'rate': 1"),
    "groups without a module": ({"module": None, "param_groups": [("*", {})]}, "needs a module"),
    "micro-batches without a module": ({"module": None, "micro_batch_size": 3}, "needs a module"),
    "one column of scores": ({"module": lambda *_: nn.Linear(N_WORDS, 1)}, r"must return scores of shape.*\(30, 1\)"),
    "nothing to train": ({"module": nn.Linear(N_WORDS, 2).requires_grad_(False)}, "from_module"),
    "no parameter": ({"module": nn.Flatten()}, "must have a parameter that requires a gradient"),
    "what cannot be copied": ({"module": NotCopied(N_WORDS, 2)}, "module could not be copied.*Pass a class"),
    "sparse gradients": ({"module": SparseGradients}, "parameter 'bag.weight' is sparse"),
    "batch norm and a single row": ({"module": Recorder, "batch_size": 1}, "batch of one row.*another batch_size"),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_what_cannot_be_is_refused(case):
    """The error says what came and what to do."""
    params, message = MESSAGES[case]
    with pytest.raises(ValueError, match=message):
        make_classifier(**{"module": Linear} | params).fit(COUNTS, Y)


@pytest.mark.parametrize(
    "labels", [{"cat", "dog"}, {0: "cat", 1: "dog"}, "cat", [], 0], ids=["set", "dict", "str", "empty", "int"]
)
def test_names_of_labels_must_have_an_order(labels):
    """That of a set is arbitrary, and a dict of names by number, as Hugging Face has it, has numbers as keys."""
    with pytest.raises(ValueError, match=r"labels must be a number of labels, .* names in the order of the scores"):
        QuadrantMultiLabelClassifier.from_module(torch.nn.Linear(3, 2), labels)


def test_names_of_labels_may_have_levels():
    """Columns of a frame with several levels are one name each, a tuple."""
    columns = pd.MultiIndex.from_product([["pet", "wild"], ["cat", "dog"]])
    clf = QuadrantMultiLabelClassifier.from_module(torch.nn.Linear(3, 4), columns)
    assert clf.label_names_in_.tolist() == columns.tolist()
    X, y = np.eye(3, dtype=np.float32), pd.DataFrame(np.eye(3, 4, dtype=int), columns=columns)
    assert clf.score(X, y[columns[::-1]]) == clf.score(X, y)


@pytest.mark.parametrize(
    ("output", "message"),
    [(lambda X: "scores", "got str"), (lambda X: X.argmax(dim=1), r"got torch.int64"), (lambda X: (), "got tuple")],
)
def test_other_outputs_than_scores_are_refused(output, message):
    """The error names the forms that are taken."""

    class Other(nn.Linear):
        def forward(self, X):
            return output(super().forward(X))

    with pytest.raises(TypeError, match=f"an object with `logits`, or a tuple.*{message}"):
        make_classifier(Other).fit(COUNTS, Y)


def test_logits_of_an_object_and_of_a_dict_are_scores():
    """The outputs of transformers are taken as they are."""

    class WithLogits(nn.Linear):
        def forward(self, X):
            return {"logits": super().forward(X)}

    class AsObject(nn.Linear):
        def forward(self, X):
            return SimpleNamespace(logits=super().forward(X), loss=None)

    for module in (WithLogits, AsObject):
        assert make_classifier(module).fit(COUNTS, Y).score(COUNTS, Y) >= 0


def test_another_module_cannot_continue():
    """A warm start with another module is refused, not ignored."""
    clf = make_classifier(Linear, warm_start=True).fit(COUNTS, Y)
    clf.module = Recorder
    with pytest.raises(ValueError, match="module must be that of the first call"):
        clf.fit(COUNTS, Y)


def test_the_model_is_shown_in_one_line():
    """Neither repr nor HTML prints the architecture."""
    clf = make_classifier(nn.Sequential(*(nn.Linear(20, 20) for _ in range(50)), nn.Linear(20, 2)))
    for shown in (repr(clf), repr(make_pipeline(FunctionTransformer(), clf))):
        assert "module=<Sequential, 21042 parameters>" in shown
        assert max(map(len, shown.splitlines())) < 90
    assert "in_features=20, out_features=20, bias=True)\n" not in clf._repr_html_()


def test_lambdas_are_not_pickled():
    """The error of pickle names the function; cloudpickle, and so joblib's processes, take it."""
    clf = make_classifier(lambda n_features, n_labels: Linear(n_features, n_labels)).fit(COUNTS, Y)
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        pickle.dumps(clf)
    loaded = cloudpickle.loads(cloudpickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict_proba(COUNTS), clf.predict_proba(COUNTS))


def test_files_ask_to_trust_the_classes_of_the_module_and_nothing_else():
    """Skops builds the module from its classes and arrays; joblib too."""
    clf = make_classifier(nn.Sequential(nn.Linear(N_WORDS, 4), nn.ReLU(), nn.Linear(4, 2))).fit(COUNTS, Y)
    stored = skops.io.dumps(clf)
    types = skops.io.get_untrusted_types(data=stored)
    assert types == [
        "sk_quadrant._classifier.QuadrantMultiLabelClassifier",
        "torch.nn.modules.activation.ReLU",
        "torch.nn.modules.container.Sequential",
        "torch.nn.modules.linear.Linear",
    ]
    loaded = skops.io.loads(stored, trusted=types)
    np.testing.assert_array_equal(loaded.predict_proba(COUNTS), clf.predict_proba(COUNTS))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_modules_train_and_predict_on_a_gpu():
    """Rows go there in batches, and a saved model predicts on the CPU."""
    clf = make_classifier(Recorder, device="cuda", max_iter=20, early_stopping=True).fit(COUNTS, Y)
    assert clf.model_.trained_module.head.weight.is_cuda
    proba = clf.predict_proba(COUNTS)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(clf)).predict_proba(COUNTS), proba, atol=1e-5)


class ZeroStart(nn.Module):
    """Linear model in double precision that starts at zero."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.layer = nn.Linear(n_features, n_labels, dtype=torch.float64)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, X):
        """Return scores."""
        return self.layer(X.to(self.layer.weight.dtype))


NO_COEFFICIENTS = {
    "check_class_weight_balanced_linear_classifier": "the check reads coef_, which a module has not; the class of the "
    "estimator is a linear classifier, which is all that the check asks"
}


@pytest.mark.slow
@parametrize_with_checks(
    [
        QuadrantMultiLabelClassifier(module=ZeroStart, solver="adamw", max_iter=50, learning_rate_init=0.05),
        QuadrantMultiLabelClassifier(module=ZeroStart, solver="sgd", max_iter=50, learning_rate_init=0.003),
    ],
    expected_failed_checks=lambda estimator: NO_COEFFICIENTS,
)
def test_a_linear_layer_passes_the_checks_of_scikit_learn(estimator, check):
    """As the package's own linear model does."""
    check(estimator)
