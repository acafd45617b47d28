"""Display of reliability curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve

from sk_quadrant.displays._fitted import check_classifiers, find_label_names, respond
from sk_quadrant.displays._labels import (
    Floats,
    check_same_shape,
    choose_labels,
    name_labels,
    read_labels,
    read_matrix,
)
from sk_quadrant.displays._panels import GREY, PanelDisplay, check_matplotlib, line_style, merge_style, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "D", "v")
COUNT_LOW, COUNT_HIGH = -0.45, -0.14  # lower part of a panel, in units of its y axis
STRATEGIES = ("uniform", "quantile")


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

    prob_true: Floats
    prob_pred: Floats
    counts: NDArray[np.intp]
    edges: Floats


@dataclass(eq=False, repr=False)
class LabelCalibrationDisplay(PanelDisplay):
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
        Text above the panels on what they leave out.

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype=matplotlib Axes
        Panels.

    ax_ : matplotlib Axes
        The first of the panels.

    figure_ : matplotlib Figure
        Figure of the panels.

    lines_ : dict of {str: list of matplotlib Line2D}
        Curves of each classifier, one per panel.

    count_steps_ : dict of {str: list of matplotlib StepPatch}
        Number of predictions per bin of each classifier, in the lower part of each panel. Heights are log(1 + number),
        on the same scale in all panels.

    legend_ : matplotlib Legend
        Legend.

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
    _: KW_ONLY
    panel_names: list[str]
    note: str = ""

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, label_names: Sequence[Any] | None = None, **options: Any
    ) -> LabelCalibrationDisplay:
        """Draw the reliability of one fitted classifier or of several.

        Parameters
        ----------
        estimator : estimator instance or dict of {name: estimator}
            Fitted multi-label or binary classifiers with `predict_proba`.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, 0 or 1; NaN where unknown.

        label_names : sequence of str of length n_labels, default=None
            Names of the labels. None takes the columns of `y` or the estimator's `label_names_in_`.

        **options
            Further options of :meth:`from_predictions`.

        Returns
        -------
        display : LabelCalibrationDisplay
        """
        named = estimator if isinstance(estimator, Mapping) else {type(estimator).__name__: estimator}
        check_classifiers(f"{cls.__name__}.from_estimator", *named.values())
        y_prob = {name: respond(member, X, "predict_proba").values for name, member in named.items()}
        n_labels = next((table.shape[1] for table in y_prob.values()), 0)
        names = name_labels(label_names, n_labels, y=y, fitted=find_label_names(*named.values()))
        return cls.from_predictions(y, y_prob, label_names=names, **options)

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

        **options
            Options of :meth:`plot`.

        Returns
        -------
        display : LabelCalibrationDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}.")
        if n_bins < 1:
            raise ValueError(f"n_bins must be at least 1, got {n_bins}.")
        truth = read_labels(y_true, parameter="y_true", missing=True)
        named = y_prob if isinstance(y_prob, Mapping) else {"classifier": y_prob}
        tables = {str(name): _read_probabilities(table, truth) for name, table in named.items()}
        names = name_labels(label_names, truth.shape[1], y=y_true)
        shown, note = choose_labels(
            labels,
            names,
            importance=np.nansum(truth, axis=0),
            important="most frequent",
            max_labels=max_labels,
            may_be_empty=True,
        )
        columns = [*([slice(None)] if pooled else []), *shown]
        if not columns or not tables:
            raise ValueError("There is nothing to draw: pooled is False and labels is empty, or y_prob is.")
        display = cls(
            {
                name: [_reliability(truth[:, column], table[:, column], n_bins, strategy) for column in columns]
                for name, table in tables.items()
            },
            panel_names=[*(["all labels pooled"] if pooled else []), *(names[j] for j in shown)],
            note=note,
        )
        return display.plot(**options)

    def plot(self, *, line_kw: dict[str, Any] | None = None, ax: Any = None) -> LabelCalibrationDisplay:
        """Draw.

        Parameters
        ----------
        line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.plot` for the curves.

        ax : Axes or array-like of Axes of shape (n_panels,), default=None
            Axes to draw on; several panels replace a single axes. None makes a figure.

        Returns
        -------
        display : LabelCalibrationDisplay
        """
        n_panels = len(self.panel_names)
        size = (4.2, 4.0) if n_panels == 1 else (2.2, 2.4)
        panels = self._make_panels(ax, n_panels, size=size, legend_inches=1.8)
        top = max(int(curve.counts.max()) for curves in self.curves.values() for curve in curves)
        diagonals = [_plot_reference(panel, top) for panel in self.axes_]
        self.lines_: dict[str, list[Any]] = {}
        self.count_steps_: dict[str, list[Any]] = {}
        for i, (name, curves) in enumerate(self.curves.items()):
            style = {**line_style(i), "marker": MARKERS[i % len(MARKERS)], "markersize": 4, "label": shorten(name, 24)}
            pairs = list(zip(self.axes_, curves, strict=True))
            self.lines_[name] = [_plot_curve(panel, curve, merge_style(style, line_kw)) for panel, curve in pairs]
            self.count_steps_[name] = [_plot_counts(panel, curve, top, line_style(i)) for panel, curve in pairs]
        first_steps, *_ = self.count_steps_.values()
        panels.add_titles(self.panel_names)
        panels.label_axes(xlabel="predicted probability", ylabel="fraction of positives", brief="p")
        self.legend_ = panels.add_legend([*(lines[0] for lines in self.lines_.values()), diagonals[0], first_steps[0]])
        panels.add_note(self.note)
        return self


def _plot_reference(ax: Axes, top: int) -> Any:
    """Draw the diagonal and the ticks: of probabilities above zero, of counts up to `top` below."""
    ax.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    ax.set(xlim=(-0.02, 1.02), ylim=(COUNT_LOW - 0.02, 1.04))
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_yticks([COUNT_LOW, COUNT_HIGH, 0, 0.5, 1], ["0", f"{top:,}", "0", "0.5", "1"], fontsize="small")
    (diagonal,) = ax.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1.0, zorder=1, label="perfect calibration")
    return diagonal


def _plot_curve(ax: Axes, curve: ReliabilityCurve, style: dict[str, Any]) -> Any:
    return ax.plot(curve.prob_pred, curve.prob_true, **style)[0]


def _plot_counts(ax: Axes, curve: ReliabilityCurve, top: int, style: dict[str, Any]) -> Any:
    shares = np.log1p(curve.counts) / np.log1p(max(top, 1))
    heights = COUNT_LOW + (COUNT_HIGH - COUNT_LOW) * shares
    label = "below: number\nof predictions (log)"
    return ax.stairs(heights, curve.edges, baseline=COUNT_LOW, label=label, linewidth=0.8, **style)


def _read_probabilities(y_prob: Any, truth: Floats) -> Floats:
    table = read_matrix(y_prob, parameter="y_prob")
    check_same_shape(y_true=truth, y_prob=table)
    if not ((table >= 0) & (table <= 1)).all():
        raise ValueError(
            f"y_prob must lie in [0, 1], got values from {table.min():g} to {table.max():g}; calibrate scores first."
        )
    return table


def _reliability(truth: Floats, prob: Floats, n_bins: int, strategy: str) -> ReliabilityCurve:
    """Return the curve of the samples whose label is known."""
    known = ~np.isnan(truth)
    truth, prob = truth[known], prob[known]
    if not len(truth):
        return ReliabilityCurve(
            np.empty(0), np.empty(0), np.zeros(n_bins, dtype=np.intp), np.linspace(0, 1, n_bins + 1)
        )
    prob_true, prob_pred = calibration_curve(truth, prob, n_bins=n_bins, strategy=strategy, pos_label=1)
    edges = np.linspace(0, 1, n_bins + 1)
    if strategy == "quantile":
        edges = np.percentile(prob, edges * 100)
    counts = np.bincount(np.searchsorted(edges[1:-1], prob), minlength=n_bins)  # bins as in calibration_curve
    return ReliabilityCurve(prob_true, prob_pred, counts, edges)
