"""Pictures of losses show their values, gradients, links and thresholds."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp
from sklearn.metrics import hinge_loss, log_loss
from sklearn.multioutput import MultiOutputClassifier

from sk_quadrant.displays import LossDisplay
from sk_quadrant.losses import LOSSES, ZLPR, BCEWithLogits, LabelwiseLoss, ShiftedSigmoidBCE

SCORES = np.linspace(-4, 4, 9)


def _draw(loss, **options):
    return LossDisplay.from_loss(loss, score_range=(-4, 4), n_points=9, **options)


@pytest.mark.parametrize("target", [0, 1])
def test_cross_entropy_is_scikit_learns(pyplot, target):
    """Check the curves of the loss against `log_loss` and of its gradient against p - y."""
    display = _draw("bce_with_logits", targets=[target])
    expected = [log_loss([target], [p], labels=[0, 1]) for p in expit(SCORES)]
    (loss,), (gradient,) = (display.lines_[part, "BCEWithLogits"] for part in ("loss", "gradient"))
    assert_allclose(loss.get_xydata(), np.column_stack([SCORES, expected]))
    assert_allclose(gradient.get_ydata(), expit(SCORES) - target)


@pytest.mark.parametrize("target", [0, 1])
def test_hinge_is_scikit_learns(pyplot, target):
    """Check the curve against `hinge_loss`, and that there is no link to draw."""
    display = _draw("hinge", targets=[target])
    sign = 2 * target - 1
    right = -9 * sign  # the score of a sample of the other class, without loss, as scikit-learn wants both
    expected = [2 * hinge_loss([sign, -sign], [score, right]) for score in SCORES]
    assert_allclose(display.values[0, 0], expected)
    assert display.lines_["link", "Hinge"] == []
    assert [text.get_text() for text in display.axes_[2, 0].texts] == ["no link"]


def test_link_is_drawn(pyplot):
    """Check the curves of two links: a sigmoid and one that ends at a half."""
    display = _draw(["bce_with_logits", "shifted_sigmoid_bce"])
    assert_allclose(display.lines_["link", "BCEWithLogits"][0].get_ydata(), expit(SCORES))
    assert_allclose(display.lines_["link", "ShiftedSigmoidBCE"][0].get_ydata(), 1 / (2 + np.exp(-SCORES)))


@pytest.mark.parametrize(
    ("held", "scores", "targets"),
    [(None, [0.5, 0.5], [1, 0]), ([(2.0, 0.0)], [2.0], [0]), ([], [], [])],
    ids=["default", "given", "none"],
)
@pytest.mark.parametrize("target", [0, 1])
def test_other_labels_of_a_set_are_held(pyplot, target, held, scores, targets):
    """Check the curve of ZLPR against its formula, by default with one label of each kind at the threshold."""
    display = _draw(ZLPR(threshold=0.5), targets=[target], held=held)
    expected = []
    for score in SCORES:
        s, y = np.array([score, *scores]) - 0.5, np.array([target, *targets])
        expected.append(logsumexp([0, *s[y == 0]]) + logsumexp([0, *-s[y == 1]]))
    assert_allclose(display.values[0, 0], expected)


def test_gradient_is_the_slope_of_the_curve(pyplot):
    """Check every loss by central differences of what is drawn, away from kinks."""
    display = LossDisplay.from_loss(list(LOSSES), score_range=(-2.005, 2.005), n_points=402)
    slopes = np.gradient(display.values, display.scores, axis=2)[..., 1:-1]
    kinked = np.abs(np.diff(display.gradients, 2, axis=2)) > 1e-2
    assert kinked.mean() < 0.01
    assert_allclose(slopes[~kinked], display.gradients[..., 1:-1][~kinked], atol=2e-3, rtol=2e-3)


def test_thresholds_are_marked(pyplot):
    """Check lines at both thresholds, and the probabilities written at them: 1/4 and 1/2 for a weight of 3."""
    display = _draw(BCEWithLogits(pos_weight=3))
    assert {line.get_xdata()[0] for line in display.threshold_lines_} == {0}
    assert_allclose([line.get_xdata()[0] for line in display.bayes_threshold_lines_], np.log(3))
    assert len(display.threshold_lines_) == len(display.bayes_threshold_lines_) == 3
    assert [text.get_text() for text in display.axes_[2, 0].texts] == ["0.25", "0.50"]


def test_absent_bayes_threshold_is_not_marked(pyplot):
    """Check the shifted sigmoid, which no score takes to a probability of 1/2."""
    display = _draw(ShiftedSigmoidBCE())
    assert display.bayes_threshold_lines_ == []
    assert [text.get_text() for text in display.axes_[2, 0].texts] == ["0.33"]


def test_threshold_outside_of_the_range_is_not_marked(pyplot):
    """Check that the axis is not widened to a threshold far away."""
    display = _draw(ZLPR(threshold=9.0))
    assert display.threshold_lines_ == []
    assert display.ax_.get_xlim() == (-4, 4)


def test_titles_name_changed_parameters(pyplot):
    """Check the titles of losses with and without parameters, and of a dict."""
    assert _draw([BCEWithLogits(), BCEWithLogits(pos_weight=2)]).names == [
        "BCEWithLogits",
        "BCEWithLogits\npos_weight=2",
    ]
    assert _draw({"mine": ZLPR(temperature=2)}).axes_[0, 0].get_title() == "mine"


def test_parameters_for_each_label_are_drawn_label_by_label(pyplot):
    """Each label has its panels, with the curves and the thresholds of its value; too many are refused."""
    display = LossDisplay.from_loss(BCEWithLogits(pos_weight=[1.0, 3.0]), n_points=11)
    second = LossDisplay.from_loss(BCEWithLogits(pos_weight=3.0), n_points=11)
    assert display.names == ["BCEWithLogits, label 0", "BCEWithLogits, label 1\npos_weight=3"]
    assert_allclose(display.values[1], second.values[0])
    assert_allclose(display.bayes_thresholds, [0, np.log(3)])
    with pytest.raises(ValueError, match=r"has parameters for 13 labels; draw some: loss.take\(\[0, 1\]\)"):
        LossDisplay.from_loss(BCEWithLogits(pos_weight=[2.0] * 13))


def test_titles_name_parameters_that_are_no_numbers(pyplot):
    """Check the title of a user's loss with a word for a parameter."""

    @dataclass(frozen=True)
    class Named(LabelwiseLoss):
        name = "named"
        kind: str = "plain"

        def per_label(self, scores, targets):
            return (scores - targets) ** 2

    assert _draw(Named(kind="fancy")).names == ["Named\nkind=fancy"]


def test_steep_loss_does_not_flatten_the_others(pyplot):
    """Check that the shared axis ends below the top of the exponential loss, and not without it."""
    with_steep = LossDisplay.from_loss(["bce_with_logits", "zlpr", "exponential"])
    assert with_steep.ax_.get_ylim()[1] < 25 < np.exp(5) < with_steep.values[2].max() + 1e-9
    assert with_steep.axes_[0, 0].get_ylim() == with_steep.axes_[0, 2].get_ylim()
    alone = LossDisplay.from_loss("exponential")
    assert alone.ax_.get_ylim()[1] >= alone.values.max()


def test_loss_without_soft_targets_has_no_soft_curve(pyplot):
    """Check that a loss for 0 and 1 only is not asked for a target between."""

    @dataclass(frozen=True)
    class ZeroOne(LabelwiseLoss):
        name = "zero_one"
        soft_targets = False

        def per_label(self, scores, targets):
            assert ((targets == 0) | (targets == 1)).all()
            return ((2 * targets - 1) * -scores).exp()

    display = _draw(ZeroOne())
    assert np.isnan(display.values[0, 2]).all()
    assert np.isfinite(display.values[0, :2]).all()


def test_loss_of_an_estimator(pyplot):
    """Check that the loss of a fitted estimator is found, and the message where there is none."""

    class Fitted(MultiOutputClassifier):
        loss_ = BCEWithLogits(pos_weight=2)

    assert_array_equal(LossDisplay.from_estimator(Fitted(None)).thresholds, [0])
    with pytest.raises(ValueError, match="MultiOutputClassifier has no loss_; fit it, or pass its loss to from_loss"):
        LossDisplay.from_estimator(MultiOutputClassifier(None))


def test_six_losses_take_two_blocks(pyplot):
    """Check the shape of the panels and that all of them are in the figure."""
    display = _draw(list(LOSSES)[:6])
    assert display.axes_.shape == (3, 6)
    assert set(display.figure_.axes) == set(display.axes_.ravel())


def test_parts_and_axes_are_chosen(pyplot):
    """Check one part of two losses in given axes."""
    _, axes = pyplot.subplots(1, 2)
    display = _draw(["bce_with_logits", "zlpr"], parts=["gradient"], ax=axes)
    assert list(display.axes_[0]) == list(axes)
    assert [ax.get_xlabel() for ax in axes] == ["score", "score"]
    assert axes[0].get_ylabel() == "gradient"


@pytest.mark.parametrize(
    ("loss", "options", "error", "message"),
    [
        ("bce", {}, ValueError, "loss must be one of asymmetric, .* or a Loss, got 'bce'"),
        (max, {}, ValueError, "loss must be one of asymmetric, .* or a Loss, got <built-in function max>"),
        ([], {}, ValueError, "loss must name at least one loss"),
        ("zlpr", {"score_range": (1, 1)}, ValueError, r"score_range must be two finite numbers.*got \(1, 1\)"),
        ("zlpr", {"n_points": 1}, ValueError, r"n_points at least 2, got \(-5.0, 5.0\) and 1"),
        ("zlpr", {"targets": [1.5]}, ValueError, r"targets must be numbers in \[0, 1\], got \[1.5\]"),
        ("zlpr", {"parts": ["links"]}, ValueError, "parts must be among loss, gradient, link, got 'links'"),
    ],
    ids=["name", "type", "none", "range", "points", "targets", "parts"],
)
def test_wrong_options_are_refused(pyplot, loss, options, error, message):
    """Check the messages for options that are not offered."""
    with pytest.raises(error, match=message):
        LossDisplay.from_loss(loss, **options)
