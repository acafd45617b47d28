"""Callbacks of scikit-learn 1.9 on the classifier, the meta-estimators, and around them."""

import pickle

import numpy as np
import pytest
import torch.distributed as dist
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant.distributed import fit_distributed
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier, LabelHierarchy

callback = pytest.importorskip("sklearn.callback", reason="from scikit-learn 1.9 on")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few epochs, on purpose

MINI = {"solver": "adamw", "max_iter": 5, "random_state": 0}
OPTIONS = {
    "lbfgs": {},
    "zlpr": {"loss": "zlpr"},
    "hinge": {"loss": "hinge"},
    "direct": {"loss": "squared_error"},
    "thresholded": {"coef_threshold": 1e-8},
    "adamw": MINI,
    "early stopping": MINI | {"early_stopping": True},
    "network": MINI | {"hidden_layer_sizes": 4},
}
ONE = QuadrantMultiLabelClassifier()
META_ESTIMATORS = {  # with the number of fits
    "choice": (
        QuadrantMultiLabelClassifierCV("bce_with_logits", Cs=[0.1, 1.0], cv=2, thresholds="natural", estimator=ONE),
        5,
    ),
    "tuned": (TunedThresholdMultiLabelClassifierCV(ONE, cv=2), 3),
    "fixed": (FixedThresholdMultiLabelClassifier(ONE), 1),
    "calibrated": (CalibratedMultiLabelClassifierCV(ONE, cv=2), 2),
    "calibrated without ensemble": (CalibratedMultiLabelClassifierCV(ONE, cv=2, ensemble=False), 3),
    "hierarchical": (HierarchicalMultiLabelClassifier(ONE, hierarchy=LabelHierarchy((-1, 0))), 1),
}

each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
each_meta_estimator = pytest.mark.parametrize(("estimator", "n_fits"), META_ESTIMATORS.values(), ids=META_ESTIMATORS)


class Recorder:
    """A callback that keeps what it is told, and asks to stop after some steps."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.told, self.models = [], []

    def setup(self, estimator, context):
        """Remember the call."""
        self.told.append("setup")

    def teardown(self, estimator, context):
        """Remember the call."""
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        """Remember the name of the task."""
        self.told.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Remember the name of the task and the fitted estimator."""
        self.told.append(f"end {context.task_name}")
        self.models.append(fitted_estimator)
        return len(self.models) == self.stop_after


class Handed(Recorder):
    """A callback that meta-estimators hand on."""

    max_propagation_depth = None


def left_by_callbacks(estimator):
    """Return what scikit-learn's callbacks have set on an estimator."""
    return [name for name in vars(estimator) if "callback" in name and name != "callbacks"]


@pytest.fixture(scope="module")
def data():
    """Return 80 rows and two labels."""
    return make_quadrants(80, slope=2.0, random_state=0)


@each_option
def test_a_monitor_scores_each_iteration_or_epoch(options, data):
    """There is a score for each and one for the end, which is that of the fitted classifier."""
    X, Y = data
    monitor = callback.ScoringMonitor(scoring=["f1_macro", "accuracy"])
    clf = QuadrantMultiLabelClassifier(**options).set_callbacks(monitor).fit(X, Y)
    rows = monitor.get_logs().data
    assert len(rows) == 1 + ("coef_threshold" not in options) * clf.n_iter_
    assert {row["task_name"] for row in rows[1:]} <= {"iteration", "epoch"}
    assert rows[0]["task_name"] == "fit"
    assert rows[0]["accuracy"] == clf.score(X, Y)


DENSE_AND_SPARSE = [
    pytest.param(options, container, id=f"{name}-{container.__name__}", marks=marks)
    for name, options in OPTIONS.items()
    for container in (np.asarray, sparse.csr_array)
    for marks in [pytest.mark.slow if container is sparse.csr_array and name not in ("lbfgs", "network") else ()]
]


@pytest.mark.parametrize(("options", "container"), DENSE_AND_SPARSE)
def test_models_on_the_way_end_at_the_fitted_one(options, container, data):
    """The last iteration or epoch has its weights, each model stays as it was, and callbacks change nothing."""
    X, Y = container(data[0]), data[1]
    recorder = Recorder()
    clf = QuadrantMultiLabelClassifier(**options).set_callbacks(recorder).fit(X, Y)
    plain = QuadrantMultiLabelClassifier(**options).fit(X, Y)
    assert_array_equal(clf.decision_function(X), plain.decision_function(X))
    scores = [model.decision_function(X) for model in recorder.models if model is not None]
    if not options.get("early_stopping"):
        assert_allclose(scores[-2 if len(scores) > 1 else -1], clf.decision_function(X), rtol=1e-5, atol=1e-7)
    assert_array_equal(scores[-1], clf.decision_function(X))
    assert len({score.tobytes() for score in scores[:-1]}) == len(scores[:-1])


def test_hooks_are_called_in_their_order(data):
    """Set up, begin, steps, end, and torn down."""
    recorder = Recorder()
    QuadrantMultiLabelClassifier(**MINI).set_callbacks(recorder).fit(*data)
    assert recorder.told[:3] == ["setup", "begin fit", "begin epoch"]
    assert recorder.told[-3:] == ["end epoch", "end fit", "teardown"]
    assert recorder.told.count("begin epoch") == recorder.told.count("end epoch") == 5


@pytest.mark.parametrize("options", [{"tol": 1e-12}, {"loss": "hinge", "tol": 1e-9}, MINI], ids=str)
def test_a_callback_can_stop_a_fit(options, data, recwarn):
    """After the step for which it asks, without a warning, and the model is usable."""
    recorder = Recorder(stop_after=3)
    clf = QuadrantMultiLabelClassifier(**options).set_callbacks(recorder).fit(*data)
    assert clf.n_iter_ == 3
    assert not recwarn
    assert_allclose(clf.decision_function(data[0]), recorder.models[2].decision_function(data[0]), rtol=1e-5)


@pytest.mark.parametrize("block", [1, 2])
def test_labels_that_are_solved_in_blocks_are_a_step_each(block, data, monkeypatch):
    """Many labels at once would need too much memory: there is a step for each block of them."""
    solve = pytest.importorskip("sk_quadrant._solvers.full_batch.solve")
    monkeypatch.setattr(solve, "labels_per_block", lambda *_, **__: block)
    recorder = Recorder()
    clf = QuadrantMultiLabelClassifier().set_callbacks(recorder).fit(data[0], np.repeat(data[1], 2, axis=1))
    assert len(recorder.models) - 1 == 4 // block
    assert_array_equal(recorder.models[-2].coef_, clf.coef_)
    assert np.count_nonzero(recorder.models[0].coef_.any(axis=1)) == block


def test_a_failed_fit_ends_its_callbacks_and_leaves_the_estimator_alone(data):
    """They are torn down, and nothing of them is left but themselves."""
    recorder = Recorder()
    clf = QuadrantMultiLabelClassifier().set_callbacks(recorder)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match="y must be 0, 1"):
        clf.fit(data[0], data[1] * 3)
    assert recorder.told == ["setup", "begin fit", "teardown"]
    assert vars(clf) == before


def test_callbacks_on_the_rows_of_several_processes_are_refused(data):
    """They are not left out in silence, and the estimator is as it was."""
    clf = QuadrantMultiLabelClassifier().set_callbacks(Recorder())
    before = dict(vars(clf))
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match=r"set_callbacks cannot be used with fit_distributed"):
            fit_distributed(clf, *data)
    finally:
        dist.destroy_process_group()
    assert vars(clf) == before


def test_callbacks_go_with_clones_and_pickles(data):
    """A clone shares them, a pickle has its own, and `set_callbacks()` removes them."""
    recorder = Recorder()
    clf = QuadrantMultiLabelClassifier().set_callbacks(recorder).fit(*data)
    clone(clf).fit(*data)
    assert recorder.told.count("setup") == 2
    loaded = pickle.loads(pickle.dumps(clf)).fit(*data)
    assert recorder.told.count("setup") == 2
    assert_array_equal(loaded.coef_, clf.coef_)
    clf.set_callbacks().fit(*data)
    assert recorder.told.count("setup") == 2
    assert not left_by_callbacks(clf)


@each_meta_estimator
def test_each_fit_of_a_meta_estimator_is_a_step(estimator, n_fits, data):
    """Its own callbacks see its fits, and the fitted meta-estimator at the end."""
    recorder = Recorder()
    model = clone(estimator).set_callbacks(recorder).fit(*data)
    assert recorder.told[:2] == ["setup", "begin fit"]
    assert recorder.told[-2:] == ["end fit", "teardown"]
    assert len(recorder.models) == n_fits + 1
    assert_array_equal(recorder.models[-1].predict(data[0]), model.predict(data[0]))
    assert left_by_callbacks(model) == ["_skl_callbacks"]


def test_callbacks_of_a_hierarchy_see_labels_with_their_ancestors(data):
    """These are the labels that the classifier is trained on, and that predictions are like."""

    class Labels(Recorder):
        def on_fit_task_begin(self, estimator, context, *, y=None):
            self.told.append(y)

    recorder, hierarchy = Labels(), LabelHierarchy((-1, 0))
    HierarchicalMultiLabelClassifier(ONE, hierarchy=hierarchy).set_callbacks(recorder).fit(*data)
    assert_array_equal(recorder.told[1], hierarchy.close(data[1]))
    assert (recorder.told[1] != data[1]).any()


@each_meta_estimator
def test_meta_estimators_hand_callbacks_on(estimator, n_fits, data):
    """The iterations of all fits are seen, in each process; nothing of the callbacks is left in the classifiers."""
    handed = Handed()
    model = clone(estimator).set_callbacks(handed).fit(*data)
    assert handed.told.count("setup") == handed.told.count("teardown") == 1
    assert handed.told.count("end iteration") >= n_fits
    found = getattr(model, "estimator_", None) or model.calibrated_classifiers_[0].estimator
    assert not left_by_callbacks(found)


def test_a_meta_estimator_whose_fit_fails_can_be_fitted_again(data):
    """Callbacks are torn down, and attributes are as before."""
    recorder = Recorder()
    model = TunedThresholdMultiLabelClassifierCV(ONE, cv=2).set_callbacks(recorder)
    with pytest.raises(ValueError, match=r"max_iter"):
        model.set_params(estimator=QuadrantMultiLabelClassifier(max_iter=-1)).fit(*data)
    assert recorder.told[-1] == "teardown"
    model.set_params(estimator=ONE).fit(*data)
    assert recorder.told[-2:] == ["end fit", "teardown"]


def test_a_search_and_a_pipeline_hand_callbacks_on(data):
    """A monitor of the classifier logs its fits in a search of a pipeline; a progress bar goes all the way down."""
    monitor, handed = callback.ScoringMonitor(scoring="f1_macro"), Handed()
    pipeline = make_pipeline(StandardScaler(), QuadrantMultiLabelClassifier().set_callbacks(monitor))
    grid = {"quadrantmultilabelclassifier__C": [0.1, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=2).set_callbacks(handed).fit(*data)
    assert {"QuadrantMultiLabelClassifier"} <= {row["estimator_name"] for row in monitor.get_logs().data}
    assert handed.told.count("end iteration") > 5
    assert search.best_estimator_[-1].coef_.shape == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [ONE, META_ESTIMATORS["tuned"][0]], ids=["classifier", "tuned"])
def test_progress_bars_and_monitors_reach_other_processes(estimator, data, capfd):
    """The bar of scikit-learn is drawn, and scores come back from two jobs."""
    pytest.importorskip("rich")
    monitor = callback.ScoringMonitor(scoring="f1_macro")
    model = clone(estimator).set_callbacks(monitor)
    cost = "C" if estimator is ONE else "estimator__C"
    search = GridSearchCV(model, {cost: [0.1, 1.0]}, cv=2, n_jobs=2).set_callbacks(callback.ProgressBar())
    search.fit(*data)
    assert len(monitor.get_logs().data) >= 5
    assert type(estimator).__name__[:20] in capfd.readouterr().out
