"""Histories are drawn as they were recorded."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant.displays import LearningHistoryDisplay

HISTORY = [
    {"epoch": 1, "train_loss": 0.9, "valid_loss": 1.0, "valid_f1": 0.2, "dur": 0.1, "lr": 0.01, "batches": [{}]},
    {"epoch": 2, "train_loss": 0.6, "valid_loss": 0.7, "valid_f1": 0.5, "dur": 0.1, "valid_loss_best": True},
    {"epoch": 3, "train_loss": 0.4, "valid_loss": 0.8, "valid_f1": 0.4, "dur": 0.1, "train_batch_count": 4},
]


def test_losses_and_scores_have_a_panel_each(pyplot):
    """Check which numbers are drawn, where, and that times, sizes and flags are not."""
    display = LearningHistoryDisplay.from_history(HISTORY)
    assert list(display.losses) == ["train_loss", "valid_loss"]
    assert list(display.scores) == ["valid_f1"]
    assert [ax.get_ylabel() for ax in display.axes_] == ["loss", "score"]
    assert display.axes_[-1].get_xlabel() == "epoch"
    assert_array_equal(display.lines_["valid_loss"].get_xydata(), [[1, 1.0], [2, 0.7], [3, 0.8]])
    assert display.lines_["valid_f1"].axes is display.axes_[1]


def test_best_epoch_is_marked(pyplot):
    """Check the lowest validation loss and the highest validation score."""
    display = LearningHistoryDisplay.from_history(HISTORY)
    assert list(display.best_) == ["valid_loss", "valid_f1"]
    assert_array_equal(display.best_["valid_loss"].get_xydata(), [[2, 0.7]])
    assert_array_equal(display.best_["valid_f1"].get_xydata(), [[2, 0.5]])


def test_curves_are_chosen_by_key(pyplot):
    """Check that keys asked for are drawn, a learning rate among them, with gaps where it was not recorded."""
    display = LearningHistoryDisplay.from_history(HISTORY, keys=["lr"], yscale="log")
    assert_array_equal(display.scores["lr"], [0.01, np.nan, np.nan])
    assert len(display.axes_) == 1
    assert display.lines_["lr"].get_marker() == "o"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: network,
        lambda network: make_pipeline(StandardScaler(), network),
        lambda network: GridSearchCV(network, {"alpha": [1e-4]}, cv=2),
    ],
    ids=["network", "pipeline", "search"],
)
def test_loss_curve_of_a_network(pyplot, data, wrap):
    """Check the loss and the validation scores of scikit-learn's network, alone and wrapped."""
    network = MLPClassifier((4,), early_stopping=True, max_iter=6, random_state=0)
    with pytest.warns(ConvergenceWarning):
        estimator = wrap(network).fit(*data)
    fitted = getattr(estimator, "best_estimator_", estimator[-1] if hasattr(estimator, "steps") else estimator)
    display = LearningHistoryDisplay.from_estimator(estimator)
    assert_array_equal(display.losses["train_loss"], fitted.loss_curve_)
    assert_array_equal(display.scores["validation_score"], fitted.validation_scores_)
    assert display.ax_.figure is display.figure_
    assert display.axes_[-1].get_xlabel() == "iteration"


def test_history_comes_before_the_loss_curve(pyplot):
    """Check that a full history is preferred."""

    class Fitted:
        history_ = HISTORY
        loss_curve_ = (3.0, 2.0)

    assert list(LearningHistoryDisplay.from_estimator(Fitted()).lines_) == ["train_loss", "valid_loss", "valid_f1"]


def test_skorch_history_is_read(pyplot):
    """Check an object of skorch itself."""
    history = pytest.importorskip("skorch.history").History()
    for row in HISTORY:
        history.new_epoch()
        for key, value in row.items():
            if key != "batches":
                history.record(key, value)
    assert list(LearningHistoryDisplay.from_history(history).lines_) == ["train_loss", "valid_loss", "valid_f1"]


@pytest.mark.parametrize(
    ("history", "options", "message"),
    [
        ([], {}, "history must hold at least one epoch, got none"),
        ([{"dur": 1.0}], {}, "history must hold losses or scores, got dur"),
        (HISTORY, {"keys": ["f1"]}, "keys must be among epoch, train_loss, .*, got 'f1'"),
    ],
    ids=["empty", "no curves", "unknown key"],
)
def test_wrong_histories_are_refused(pyplot, history, options, message):
    """Check the messages for what cannot be drawn."""
    with pytest.raises(ValueError, match=message):
        LearningHistoryDisplay.from_history(history, **options)


def test_estimator_without_history_is_refused(pyplot):
    """Check the message for an estimator that recorded nothing."""
    with pytest.raises(ValueError, match="StandardScaler has neither history_ nor loss_curve_; fit it, or pass"):
        LearningHistoryDisplay.from_estimator(StandardScaler())
