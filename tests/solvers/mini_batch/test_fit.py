"""The recipe of training: optimizers, schedules, soft targets, validation, callbacks, interruption."""

import gc
import itertools
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EpochScoring, GradientNormClipping, LRScheduler, ProgressBar, TensorBoard
from skorch.callbacks import Checkpoint as SkorchCheckpoint
from skorch.callbacks import EarlyStopping as SkorchEarlyStopping

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant._solvers.mini_batch.batches import Chunk, Mixture
from sk_quadrant._solvers.mini_batch.steps import Schedule
from sk_quadrant._targets.stratification import hold_out
from sk_quadrant._targets.targets import Targets
from sk_quadrant.losses import LOSSES, BCEWithLogits

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_rows(n_samples=200, n_features=5, n_labels=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features))
    Y = (X[:, :n_labels] + rng.standard_normal((n_samples, n_labels)) > 0.3).astype(int)
    return X, Y


def make_classifier(**params):
    defaults = {"solver": "adamw", "max_iter": 6, "batch_size": 32, "random_state": 0, "learning_rate_init": 0.05}
    return QuadrantMultiLabelClassifier(**defaults | params)


class Rates(Callback):
    """Record the learning rate of every step that skorch takes."""

    def __init__(self, rates):
        self.rates = rates

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        """Record the rate."""
        if training:
            self.rates.append(net.optimizer_.param_groups[0]["lr"])


@pytest.mark.parametrize("solver", ["adamw", "sgd"])
def test_mini_batches_end_at_the_optimum_of_the_full_batch_solver(solver):
    """With a falling learning rate the coefficients are those of lbfgs: the penalty is that of the objective."""
    X, Y = make_rows()
    exact = QuadrantMultiLabelClassifier(C=0.05).fit(X, Y)
    clf = make_classifier(solver=solver, learning_rate="cosine", max_iter=200, C=0.05).fit(X, Y)
    np.testing.assert_allclose(clf.coef_, exact.coef_, atol=4e-3)
    np.testing.assert_allclose(clf.intercept_, exact.intercept_, atol=4e-3)


def test_sgd_takes_the_steps_of_pytorch():
    """On all rows at once the coefficients are those of torch.optim.SGD with Nesterov momentum 0.9."""
    X, Y = make_rows()
    clf = make_classifier(solver="sgd", max_iter=15, batch_size=200, tol=0).fit(X, Y)
    model = torch.nn.Linear(5, 3, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for _ in range(15):
        optimizer.zero_grad()
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            model(torch.from_numpy(X)), torch.from_numpy(Y).double(), reduction="sum"
        )
        ((losses + 0.5 * model.weight.square().sum()) / len(X)).backward()
        optimizer.step()
    np.testing.assert_allclose(clf.coef_, model.weight.detach().numpy(), rtol=1e-10)


def test_cosine_is_that_of_pytorch():
    """Without warm-up the rates are those of CosineAnnealingLR."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(Schedule(0.3, "cosine").rates(np.arange(20), 20), expected, rtol=1e-10)


@pytest.mark.parametrize(("shape", "end"), [("constant", 2.0), ("cosine", 0.0)])
def test_warm_up_rises_in_equal_steps_to_the_largest_rate(shape, end):
    """With a tenth of 40 steps the fifth is the first at the full rate."""
    rates = Schedule(2.0, shape, 0.1).rates(np.arange(40), 40)
    np.testing.assert_allclose(rates[:5], [0.4, 0.8, 1.2, 1.6, 2.0])
    assert rates[-1] == pytest.approx(end, abs=0.01)
    assert (np.diff(rates[4:]) <= 0).all()


@pytest.mark.parametrize("params", [{"learning_rate": "cosine"}, {"warmup_fraction": 0.5}, {}], ids=str)
def test_rates_are_the_same_in_fast_and_in_skorchs_own_steps(params):
    """A callback that watches batches sees the rates of the schedule, and the model is the same without it."""
    X, Y = make_rows()
    rates = []
    watched = make_classifier(**params, callbacks=[Rates(rates)], tol=0).fit(X, Y)
    schedule = Schedule(0.05, params.get("learning_rate", "constant"), params.get("warmup_fraction", 0.0))
    np.testing.assert_allclose(rates, schedule.rates(np.arange(42), 42))
    np.testing.assert_allclose(watched.coef_, make_classifier(**params, tol=0).fit(X, Y).coef_, rtol=1e-8)
    assert [row["learning_rate"] for row in watched.history_] == pytest.approx(rates[6::7])


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.parametrize("as_sparse", [False, True], ids=["dense-y", "sparse-y"])
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.slow
def test_label_smoothing_is_a_fit_on_smoothed_labels(loss, as_sparse, solver):
    """For every loss and solver it is the same as passing the soft targets."""
    X, Y = make_rows(60)
    params = {"loss": loss, "solver": solver, "max_iter": 4}
    smoothed = make_classifier(**params, label_smoothing=0.2).fit(X, sparse.csr_matrix(Y) if as_sparse else Y)
    by_hand = make_classifier(**params).fit(X, 0.8 * Y + 0.1)
    np.testing.assert_allclose(smoothed.coef_, by_hand.coef_, rtol=1e-9, atol=1e-12)


def test_label_smoothing_keeps_scores_finite_without_a_penalty():
    """On separable data with C=inf the scores approach the logit of 0.9 and no more."""
    X = np.repeat([[-1.0], [1.0]], 10, axis=0)
    Y = np.c_[X > 0, X < 0].astype(int)
    clf = QuadrantMultiLabelClassifier(C=np.inf, label_smoothing=0.2, tol=1e-8).fit(X, Y)
    np.testing.assert_allclose(clf.predict_proba(X), 0.8 * Y + 0.1, atol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "row_weight", "label_weight", "mask", "everything"])
def test_mixed_targets_have_the_mixed_loss(kind):
    """For a loss that is linear in targets the loss of a mixture is the mixture of the two rows' weighted losses."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    parts = {"targets": (random(12, 4) < 0.5).double()}
    if kind in ("row_weight", "everything"):
        parts["row_weight"] = random(12) + 0.1
    if kind in ("label_weight", "everything"):
        parts["label_weight"] = random(12, 4) + 0.1
    if kind in ("mask", "everything"):
        parts["mask"] = random(12, 4) < 0.7
        parts["targets"] = parts["targets"] * parts["mask"]
    features = torch.cat([random(12, 3), torch.ones(12, 1, dtype=torch.float64)], dim=1)
    sizes = [5, 4, 3]
    chunk = Chunk(features, parts, sizes, sizes, has_ones=True)
    mixture = Mixture(sizes, 0.7, np.random.default_rng(0))
    mixed = mixture.of(chunk)

    scores, share, partners = random(12, 4) * 6 - 3, torch.from_numpy(mixture.share), mixture.partners

    def losses(rows):
        row_weight = parts.get("row_weight", torch.ones(12, dtype=torch.float64))[rows]
        extra = [None if name not in parts else parts[name][rows] for name in ("mask", "label_weight")]
        return row_weight * BCEWithLogits().per_sample(scores, parts["targets"][rows], *extra)

    actual = BCEWithLogits().per_sample(scores, mixed.targets, mixed.mask, mixed.label_weight)
    actual = actual if mixed.row_weight is None else actual * mixed.row_weight
    torch.testing.assert_close(actual, share * losses(np.arange(12)) + (1 - share) * losses(partners))
    torch.testing.assert_close(mixed.X, share[:, None] * chunk.X + (1 - share[:, None]) * chunk.X[partners])
    batch = np.repeat([0, 1, 2], sizes)
    np.testing.assert_array_equal(batch[partners], batch)
    assert sorted(partners) == list(range(12))
    assert len(set(mixture.share.tolist())) == 3


def test_mixup_of_sparse_rows_is_that_of_dense_rows():
    """The mixture of sparse rows is sparse, and the model the same."""
    X, Y = make_rows()
    X = np.where(np.abs(X) > 0.8, X, 0)
    dense = make_classifier(mixup_alpha=0.5).fit(X, Y)
    np.testing.assert_allclose(make_classifier(mixup_alpha=0.5).fit(sparse.csr_matrix(X), Y).coef_, dense.coef_)
    assert np.abs(dense.coef_ - make_classifier().fit(X, Y).coef_).max() > 1e-3


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"mixup_alpha": 0.2}, "no batches within which rows could be mixed"),
        ({"learning_rate": "cosine"}, "line search finds its own steps"),
        ({"warmup_fraction": 0.1}, "line search finds its own steps"),
        ({"early_stopping": True}, "cross-validation"),
    ],
    ids=["mixup", "cosine", "warmup", "early-stopping"],
)
def test_the_full_batch_solver_refuses_what_it_cannot_follow(params, reason):
    """The error names the parameter, the reason and the solvers that can."""
    with pytest.raises(ValueError, match=rf"{next(iter(params))}=.*'lbfgs'.*{reason}.*\['adamw', 'sgd'\]"):
        QuadrantMultiLabelClassifier(**params).fit(*make_rows())


@pytest.mark.parametrize("as_sparse", [False, True], ids=["dense", "sparse"])
def test_every_label_keeps_positives_on_both_sides_of_the_split(as_sparse):
    """Labels with 3 positives in 300 rows have some in both parts, and no row is in both."""
    rng = np.random.default_rng(0)
    Y = np.zeros((300, 20), dtype=np.uint8)
    for j in range(20):
        Y[rng.choice(300, 3 + j, replace=False), j] = 1
    targets = Targets(sparse.csc_array(Y) if as_sparse else Y)
    for seed in range(5):
        training, held_out = hold_out(targets.present(), 0.3, seed)
        assert sorted([*training, *held_out]) == list(range(300))
        assert abs(len(held_out) - 90) <= 10
        assert Y[training].any(axis=0).all()
        assert Y[held_out].any(axis=0).all()


def test_a_split_that_leaves_no_rows_is_refused():
    """Four rows have no tenth."""
    X, Y = make_rows(4)
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1 of 4 rows leaves no row"):
        make_classifier(early_stopping=True).fit(X, Y)


class Spy:
    """Scorer that remembers the rows it was called with."""

    def __init__(self):
        self.rows = []

    def __call__(self, estimator, X, y):
        """Return the macro-averaged F1 score."""
        self.rows.append((X, y))
        return f1_score(y, estimator.predict(X), average="macro")


def test_early_stopping_returns_to_the_best_epoch():
    """The score of the result on the rows held out is the best of the history, and training has ended in time."""
    X, Y = make_rows(300)
    spy = Spy()
    clf = make_classifier(early_stopping=True, scoring=spy, max_iter=100, n_iter_no_change=4, learning_rate_init=0.5)
    clf.fit(X, Y)
    scores = [row["valid_score"] for row in clf.history_]
    best = int(np.argmax(scores))
    assert spy(clf, *spy.rows[0]) == max(scores)
    assert clf.n_iter_ == len(scores) < 100
    assert best < clf.n_iter_ - 1
    assert len(spy.rows[0][0]) == pytest.approx(30, abs=3)


def test_without_a_scorer_early_stopping_uses_the_validation_loss():
    """The history has the loss of the rows held out, without penalty and smoothing, and the best one is returned to."""
    X, Y = make_rows(300)
    clf = make_classifier(early_stopping=True, max_iter=40, C=0.01, label_smoothing=0.1, validation_fraction=0.2)
    clf.fit(X, Y)
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    _, held_out = hold_out(Y == 1, 0.2, seed)
    scores = torch.from_numpy(clf.decision_function(X[held_out]))
    loss = float(BCEWithLogits()(scores, torch.from_numpy(Y[held_out]).double()))
    assert loss == pytest.approx(min(row["valid_loss"] for row in clf.history_), rel=1e-10)
    assert set(clf.history_[0]) == {"epoch", "learning_rate", "train_loss", "valid_loss"}


@pytest.mark.parametrize(
    ("scoring", "names"),
    [
        ("f1_macro", ["valid_score"]),
        (["accuracy", "f1_micro"], ["valid_score", "valid_accuracy", "valid_f1_micro"]),
        (("f1_micro", "accuracy"), ["valid_score", "valid_f1_micro", "valid_accuracy"]),
        ({"mine": "f1_macro"}, ["valid_score", "valid_mine"]),
        (make_scorer(f1_score, average=None), ["valid_score", *(f"valid_score_{j}" for j in range(3))]),
    ],
    ids=["name", "list", "tuple", "dict", "one-per-label"],
)
def test_all_that_scikit_learn_takes_as_scoring_is_recorded(scoring, names):
    """One scorer, several, or one with a score for each label."""
    clf = make_classifier(early_stopping=True, scoring=scoring).fit(*make_rows())
    row = clf.history_[-1]
    assert [name for name in row if name.startswith("valid_") and name != "valid_loss"] == names
    if len(names) > 1:
        expected = np.mean([row[name] for name in names[1:]]) if len(names) == 4 else row[names[1]]
        assert row["valid_score"] == pytest.approx(expected)


def test_scorers_get_the_weights_of_the_rows_held_out():
    """Weights of rows, and those of labels to scorers that take them; scorers of scikit-learn do not."""
    X, Y = make_rows()
    seen = []

    def scorer(estimator, X_valid, y, sample_weight=None):
        seen.append((X_valid, sample_weight))
        return 1.0

    for weight in (np.arange(1.0, 201), np.random.default_rng(0).random(Y.shape)):
        make_classifier(early_stopping=True, scoring=scorer, max_iter=1).fit(X, Y, sample_weight=weight)
        rows = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in seen[-1][0]]
        np.testing.assert_array_equal(seen[-1][1], weight[rows])
    for scoring in ("f1_macro", ["f1_macro", "accuracy"]):
        with pytest.raises(ValueError, match=r"does not take sample_weight of shape .* multilabel_f1_scorer"):
            make_classifier(early_stopping=True, scoring=scoring).fit(X, Y, sample_weight=weight)


@pytest.mark.parametrize("kind", ["dataframe", "sparse", "classes", "two-classes"])
def test_early_stopping_takes_y_as_fit_does(kind):
    """Scorers see the rows of y in the form in which they came."""
    pd = pytest.importorskip("pandas")
    X, Y = make_rows()
    y = {
        "dataframe": pd.DataFrame(Y, columns=list("abc")),
        "sparse": sparse.csr_matrix(Y),
        "classes": np.array(["x", "y", "z", "w"])[Y.sum(axis=1)],
        "two-classes": Y[:, 0],
    }[kind]
    X = pd.DataFrame(X, columns=[f"f{j}" for j in range(5)]) if kind == "dataframe" else X
    clf = make_classifier(early_stopping=True, scoring="accuracy").fit(X, y)
    assert 0 <= clf.history_[-1]["valid_score"] <= 1


def test_the_net_does_not_keep_the_rows_of_training():
    """After fit nothing refers to X any more, scorers included."""
    X, Y = make_rows()
    alive = weakref.ref(X)
    clf = make_classifier(early_stopping=True, scoring="f1_macro").fit(X, Y)
    del X
    gc.collect()
    assert alive() is None
    assert clf.net_.history


def test_scoring_without_rows_held_out_is_refused():
    """A scorer that would never be called is an error."""
    with pytest.raises(ValueError, match="scoring='f1_macro' needs early_stopping=True"):
        make_classifier(scoring="f1_macro").fit(*make_rows())


def test_the_recipe_of_the_tutorial_in_one_call():
    """Cosine with warm-up, F1 each epoch, the best model at the end: macro-F1 above 0.99 on 800 new points."""
    X, Y = make_quadrants(4000, random_state=0, shuffle=True)
    clf = QuadrantMultiLabelClassifier(
        solver="adamw", fit_intercept=False, C=np.inf, batch_size=16, max_iter=30, learning_rate="cosine",
        warmup_fraction=0.1, early_stopping=True, scoring="f1_macro", n_iter_no_change=30, random_state=0,
    ).fit(X[:3200], Y[:3200])  # fmt: skip
    assert len(clf.history_) == 30
    assert f1_score(Y[3200:], clf.predict(X[3200:]), average="macro") > 0.99


def test_a_falling_learning_rate_that_has_run_its_course_is_no_cause_for_a_warning(recwarn):
    """The cosine ends by itself; a constant rate that has not come to rest warns."""
    X, Y = make_rows()
    make_classifier(learning_rate="cosine").fit(X, Y)
    assert not [warning for warning in recwarn if issubclass(warning.category, ConvergenceWarning)]
    with pytest.warns(ConvergenceWarning, match="did not converge within max_iter=6"):
        make_classifier().fit(X, Y)


def test_training_stops_when_the_loss_has_not_fallen_by_tol():
    """With a tol that no epoch reaches, n_iter_no_change epochs after the first are enough."""
    clf = make_classifier(tol=10.0, n_iter_no_change=3, max_iter=50).fit(*make_rows())
    assert clf.n_iter_ == 4


class Counts(Callback):
    """Count what it is told."""

    def on_train_begin(self, net, **kwargs):
        """Begin to count."""
        self.counts_ = dict.fromkeys(("epoch", "train", "valid", "end"), 0)

    def on_epoch_end(self, net, **kwargs):
        """Count an epoch."""
        self.counts_["epoch"] += 1

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        """Count a batch."""
        self.counts_["train" if training else "valid"] += 1

    def on_train_end(self, net, **kwargs):
        """Count the end."""
        self.counts_["end"] += 1


class Interrupts(Callback):
    """Do what Ctrl-C in the fourth epoch does."""

    def on_batch_end(self, net, **kwargs):
        """Interrupt."""
        if len(net.history) == 4:
            raise KeyboardInterrupt


def test_a_callback_that_watches_batches_sees_all_of_them():
    """Six epochs of 180 rows in batches of 32, and of the 20 rows held out."""
    callback = Counts()
    make_classifier(early_stopping=True, callbacks=[callback]).fit(*make_rows())
    assert callback.counts_ == {"epoch": 6, "train": 36, "valid": 6, "end": 1}


@pytest.mark.parametrize(
    "callback",
    [
        EpochScoring("f1_macro", lower_is_better=False, name="f1", on_train=True),
        LRScheduler("StepLR", step_size=2, gamma=0.5),
        GradientNormClipping(0.1),
    ],
    ids=["EpochScoring", "LRScheduler", "GradientNormClipping"],
)
def test_callbacks_of_skorch_work(callback):
    """They change training or the history as they do in skorch."""
    X, Y = make_rows()
    clf = make_classifier(callbacks=[callback], early_stopping=True).fit(X, Y)
    without = make_classifier(early_stopping=True).fit(X, Y)
    changed = (clf.coef_ != without.coef_).any()
    if isinstance(callback, EpochScoring):
        assert not (np.abs(clf.coef_ - without.coef_) > 1e-9).any()
        assert 0.6 < clf.history_[-1]["f1"] < 0.8
    elif isinstance(callback, LRScheduler):
        assert changed
        assert [row["learning_rate"] for row in clf.history_] == pytest.approx(
            [0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125]
        )
    else:
        assert changed


def test_skorchs_own_checkpoint_saves_parameters(tmp_path):
    """The files of skorch's Checkpoint are there and load into the net."""
    callback = SkorchCheckpoint(dirname=str(tmp_path), monitor="train_loss_best")
    clf = make_classifier(callbacks=[callback]).fit(*make_rows())
    net = clone(clf).fit(*make_rows()).net_
    net.load_params(f_params=str(tmp_path / "params.pt"), f_optimizer=str(tmp_path / "optimizer.pt"))
    np.testing.assert_array_equal(net.module_.weight.detach().numpy(), clf.coef_)


def test_skorchs_own_early_stopping_ends_training_without_a_warning(recwarn):
    """It counts as an end, not as an interruption."""
    callback = SkorchEarlyStopping("train_loss", patience=2, threshold=10, threshold_mode="abs", sink=lambda *_: None)
    clf = make_classifier(callbacks=[callback], max_iter=50).fit(*make_rows())
    assert clf.n_iter_ == 3
    assert not [warning for warning in recwarn if issubclass(warning.category, ConvergenceWarning)]


def test_progress_bar_of_skorch_runs(capsys):
    """The bar of skorch writes to standard error."""
    make_classifier(callbacks=[ProgressBar()]).fit(*make_rows())
    assert "0/7" in capsys.readouterr().err


def test_tensorboard_is_written_to():
    """The callback of skorch gives losses, scores and learning rates of each epoch to its writer."""

    class Writer:
        def __init__(self):
            self.scalars = {}

        def add_scalar(self, tag, scalar_value, global_step, **kwargs):
            self.scalars[tag.split("/")[-1], global_step] = scalar_value

    writer = Writer()
    callback = TensorBoard(writer, close_after_train=False)
    clf = make_classifier(callbacks=[callback], early_stopping=True, scoring="f1_macro").fit(*make_rows())
    for row in clf.history_:
        for name in ("train_loss", "valid_loss", "valid_score", "learning_rate"):
            assert row[name] in (value for (tag, _), value in writer.scalars.items() if tag.endswith(name))


def test_callbacks_survive_clone_pickle_and_grid_search():
    """An estimator with callbacks is copied, pickled and searched over as one without."""
    X, Y = make_rows()
    clf = make_classifier(callbacks=[Counts(), ("named", EpochScoring("f1_macro", name="f1", on_train=True))])
    twin = pickle.loads(pickle.dumps(clone(clf).fit(X, Y)))
    np.testing.assert_array_equal(twin.coef_, clone(clf).fit(X, Y).coef_)
    search = GridSearchCV(clf, {"C": [0.1, 1.0]}, cv=2).fit(X, Y)
    assert [row["epoch"] for row in search.best_estimator_.history_] == list(range(1, 7))
    assert search.best_estimator_.callbacks[0].counts_["end"] == 1


def test_the_full_batch_solver_is_one_epoch_to_a_callback():
    """It sees the end of training, and the model is that without it."""
    X, Y = make_rows()
    callback = Counts()
    clf = QuadrantMultiLabelClassifier(callbacks=[callback]).fit(X, Y)
    assert callback.counts_ == {"epoch": 1, "train": 1, "valid": 0, "end": 1}
    np.testing.assert_array_equal(clf.coef_, QuadrantMultiLabelClassifier().fit(X, Y).coef_)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_history_has_a_row_for_each_iteration_or_epoch(solver):
    """Its columns are plain numbers, and the losses those of loss_curve_."""
    clf = make_classifier(solver=solver, max_iter=20).fit(*make_rows())
    name, first = ("objective", 0) if solver == "lbfgs" else ("train_loss", 1)
    assert [row[name] for row in clf.history_] == clf.loss_curve_
    assert [row["epoch"] for row in clf.history_] == list(range(first, clf.n_iter_ + 1))
    assert all(type(value) in (int, float) for row in clf.history_ for value in row.values())


def test_verbose_prints_one_plain_line_an_epoch(capsys):
    """Nothing but text and line ends, so that a log file reads as a terminal does."""
    make_classifier(early_stopping=True, scoring="f1_macro", verbose=1).fit(*make_rows())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[2].startswith("epoch 3/6: learning_rate 0.05, train_loss ")
    assert "valid_loss" in lines[2]
    assert "valid_score" in lines[2]
    assert all(character.isprintable() for line in lines for character in line)


@pytest.mark.parametrize("early_stopping", [False, True], ids=["last", "best"])
def test_ctrl_c_leaves_a_fitted_estimator_and_a_warning(early_stopping):
    """An interruption in the fourth epoch leaves the model of the steps so far, or of the best epoch."""
    X, Y = make_rows()
    clf = make_classifier(callbacks=[Interrupts()], early_stopping=early_stopping)
    with pytest.warns(ConvergenceWarning, match="interrupted after 3 iterations"):
        clf.fit(X, Y)
    assert clf.n_iter_ == len(clf.history_) == len(clf.loss_curve_) == 3
    assert clf.score(X, Y) > 0.2
    pickle.loads(pickle.dumps(clf)).predict(X)
    if early_stopping:
        three = make_classifier(early_stopping=True, max_iter=3).fit(X, Y)
        np.testing.assert_allclose(clf.coef_, three.coef_, rtol=1e-9)


def test_threads_and_jobs_give_the_same_bits():
    """Fits that run at the same time do not disturb each other."""
    X, Y = make_rows()
    expected = [
        make_classifier(random_state=seed, hidden_layer_sizes=(4,)).fit(X, Y).predict_proba(X) for seed in (0, 1)
    ]
    with ThreadPoolExecutor(4) as pool:
        fits = list(
            pool.map(lambda seed: make_classifier(random_state=seed, hidden_layer_sizes=(4,)).fit(X, Y), [0, 1] * 4)
        )
    for clf, probabilities in zip(fits, itertools.cycle(expected), strict=False):
        np.testing.assert_array_equal(clf.predict_proba(X), probabilities)
