"""Display of reliability curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.calibration import calibration_curve

from sk_quadrant._arrays import FloatArray, IndexArray
from sk_quadrant.displays._label_display import LabelCurvesDisplay
from sk_quadrant.displays._labels import known_entries, read_scored_labels
from sk_quadrant.displays._panels import GREY, check_choices, line_style

COUNT_LOW, COUNT_HIGH = -0.45, -0.14  # lower part of a panel, in units of its y axis


@dataclass(frozen=True)
class ReliabilityCurve:
    """Predicted against observed frequencies of one label, or of all of them pooled.

    Parameters
    ----------
    prob_true, prob_pred : ndarray of shape (n_filled_bins,)
        Fraction of positives and mean predicted probability in each bin that is not empty.
    counts : ndarray of shape (n_bins,)
        Number of predictions in each bin.
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    """

    prob_true: FloatArray
    prob_pred: FloatArray
    counts: IndexArray
    edges: FloatArray


class LabelCalibrationDisplay(LabelCurvesDisplay):
    """Reliability of multi-label probabilities, pooled and per label, with the number of predictions below.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one. Several classifiers, such as one before and
    after calibration, share the panels. The curve of a calibrated classifier is on the diagonal.

    Parameters
    ----------
    curves : dict of {str: list of ReliabilityCurve of length n_panels}
        Curves by name of the classifier.

    panel_names : list of str of length n_panels
        Titles of the panels.

    note : str, default=""
        Note above the panels, such as the number of labels that are not shown.

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype=matplotlib Axes
        Panels; `ax_` is the first of them, `figure_` their figure.

    lines_ : dict of {str: list of matplotlib Line2D}
        Curves of each classifier, one per panel.

    count_steps_ : dict of {str: list of matplotlib StepPatch}
        Number of predictions per bin of each classifier, in the lower part of each panel. Heights are log(1 + number),
        on the same scale in all panels.

    legend_ : matplotlib Legend
        Legend.

    See Also
    --------
    sk_quadrant.CalibratedMultiLabelClassifierCV : Calibrate any multi-label classifier.
    sk_quadrant.metrics.expected_calibration_error : Distance from the diagonal as a number.
    sklearn.calibration.CalibrationDisplay : The same for one label.

    Examples
    --------
    >>> from sk_quadrant.displays import LabelCalibrationDisplay
    >>> y_true, y_prob = [[0], [0], [1], [1]], [[0.1], [0.2], [0.6], [0.8]]
    >>> display = LabelCalibrationDisplay.from_predictions(y_true, y_prob, n_bins=2, labels=[])
    >>> curve = display.curves["classifier"][0]
    >>> curve.prob_pred, curve.prob_true, curve.counts  # 0.15 for two negatives, 0.7 for two positives
    (array([0.15, 0.7 ]), array([0., 1.]), array([2, 2]))
    """

    curves: dict[str, list[ReliabilityCurve]]

    _response_method: ClassVar[str] = "predict_proba"
    _nothing: ClassVar[str] = "pooled is False and labels is empty"

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_prob: Any,
        *,
        n_bins: int = 10,
        strategy: str = "uniform",
        pooled: bool = True,
        labels: Any = None,
        max_labels: int = 15,
        label_names: Sequence[Any] | None = None,
        **options: Any,
    ) -> LabelCalibrationDisplay:
        """Draw the reliability of probabilities.

        Parameters
        ----------
        y_true : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, 0 or 1; NaN where unknown.

        y_prob : array-like of shape (n_samples, n_labels) or dict of {name: array-like}
            Probabilities, or those of several classifiers by name.

        n_bins : int, default=10
            Number of bins.

        strategy : {"uniform", "quantile"}, default="uniform"
            Bins of the same width or with the same number of predictions.

        pooled : bool, default=True
            Whether the first panel pools all labels.

        labels : sequence of int or str, default=None
            Labels to show; an empty sequence shows only the pool. None shows all labels, or the `max_labels` most
            frequent.

        max_labels : int, default=15
            Number of labels shown when `labels` is None.

        label_names : sequence of str of length n_labels, default=None
            Names of all labels. None takes the columns of `y_true`.

        **options : dict
            Options of :meth:`plot`.

        Returns
        -------
        display : LabelCalibrationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If labels are not 0, 1 or NaN, probabilities are outside [0, 1], shapes differ, an option is not allowed, or
            there is nothing to draw.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_predictions")
        check_choices("strategy", [strategy], ["uniform", "quantile"])
        if n_bins < 1:
            raise ValueError(f"n_bins must be at least 1, got {n_bins}.")
        choice = {"labels": labels, "max_labels": max_labels, "may_be_empty": True}
        data = read_scored_labels(y_true, y_prob, parameter="y_prob", label_names=label_names, **choice)
        columns = [*([slice(None)] if pooled else []), *data.shown]
        curves = {}
        for name, inputs in data.inputs.items():
            low, high = inputs.scores.min(), inputs.scores.max()
            if low < 0 or high > 1:
                raise ValueError(f"y_prob must lie in [0, 1], got {low:g} to {high:g}; calibrate scores first.")
            entries = known_entries(inputs, columns)
            curves[name] = [_reliability(truth, prob, n_bins, strategy) for truth, prob, _ in entries]
        names = [*(["all labels pooled"] if pooled else []), *data.shown_names]
        return cls(curves, panel_names=names, note=data.note).plot(**options)

    def _plot_curves(self, line_kw: Any) -> list[Any]:
        top = max(int(curve.counts.max()) for curves in self.curves.values() for curve in curves)
        diagonals = [_plot_reference(panel, top) for panel in self.axes_]
        points = {name: [(curve.prob_pred, curve.prob_true) for curve in each] for name, each in self.curves.items()}
        self.lines_ = self._plot_lines(points, line_kw, marker=True)
        self.count_steps_ = {
            name: [_plot_counts(ax, curve, top, line_style(i)) for ax, curve in zip(self.axes_, each, strict=True)]
            for i, (name, each) in enumerate(self.curves.items())
        }
        self._name_axes(xlabel="predicted probability", ylabel="fraction of positives", brief="p")
        first_steps, *_ = self.count_steps_.values()
        return [diagonals[0], first_steps[0]]


def _plot_reference(ax: Any, top: int) -> Any:
    """Draw the diagonal and the ticks: of probabilities above zero, of counts up to `top` below."""
    ax.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    ax.set(xlim=(-0.02, 1.02), ylim=(COUNT_LOW - 0.02, 1.04))
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_yticks([COUNT_LOW, COUNT_HIGH, 0, 0.5, 1], ["0", f"{top:,}", "0", "0.5", "1"], fontsize="small")
    (diagonal,) = ax.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1.0, zorder=1, label="perfect calibration")
    return diagonal


def _plot_counts(ax: Any, curve: ReliabilityCurve, top: int, style: dict[str, Any]) -> Any:
    shares = np.log1p(curve.counts) / np.log1p(max(top, 1))
    heights = COUNT_LOW + (COUNT_HIGH - COUNT_LOW) * shares
    label = "below: number\nof predictions (log)"
    return ax.stairs(heights, curve.edges, baseline=COUNT_LOW, label=label, linewidth=0.8, **style)


def _reliability(truth: IndexArray, prob: FloatArray, n_bins: int, strategy: str) -> ReliabilityCurve:
    edges = np.linspace(0, 1, n_bins + 1)
    if not len(truth):
        return ReliabilityCurve(np.empty(0), np.empty(0), np.zeros(n_bins, dtype=np.intp), edges)
    prob_true, prob_pred = calibration_curve(truth, prob, n_bins=n_bins, strategy=strategy, pos_label=1)
    if strategy == "quantile":
        edges = np.percentile(prob, edges * 100)
    counts = np.bincount(np.searchsorted(edges[1:-1], prob), minlength=n_bins)  # bins as in calibration_curve
    return ReliabilityCurve(prob_true, prob_pred, counts, edges)
