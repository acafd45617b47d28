"""Display of metrics against the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import filterfalse
from typing import Any

import numpy as np

from sk_quadrant._arrays import FloatArray, IndexArray
from sk_quadrant._targets.label_values import read_label_values
from sk_quadrant.displays._fitted import find_thresholds, predict_labels, respond
from sk_quadrant.displays._label_display import CurvesDisplay
from sk_quadrant.displays._labels import known_entries, read_scored_labels
from sk_quadrant.displays._panels import GREY, check_choices

N_THRESHOLDS = 101
# Numerator and denominator, from the true and false positives and the false and true negatives at each threshold.
RATIOS: dict[str, Callable[..., tuple[FloatArray, FloatArray]]] = {
    "precision": lambda tp, fp, fn, tn: (tp, tp + fp),
    "recall": lambda tp, fp, fn, tn: (tp, tp + fn),
    "f1": lambda tp, fp, fn, tn: (2 * tp, 2 * tp + fp + fn),
    "jaccard": lambda tp, fp, fn, tn: (tp, tp + fp + fn),
    "accuracy": lambda tp, fp, fn, tn: (tp + tn, tp + fp + fn + tn),
}


@dataclass(eq=False, repr=False)
class ThresholdDisplay(CurvesDisplay):
    """Precision, recall, F1 or other metrics against the threshold, per label or pooled, with the chosen threshold.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one. A label is predicted if its score is
    strictly above the threshold.

    Parameters
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        Thresholds, increasing.

    scores : dict of {str: ndarray of shape (n_curves, n_thresholds)}
        Metrics at the thresholds, one row per label, or one row if pooled.

    curve_names : list of str of length n_curves
        Titles of the panels.

    cuts : ndarray of shape (n_curves,) or (n_labels,), default=None
        Chosen thresholds: one per panel or, if pooled, one per label.

    score_name : str, default="score"
        Name of the score, for the x axis.

    note : str, default=""
        Note above the panels, such as the number of labels that are not shown.

    Attributes
    ----------
    axes_ : ndarray of shape (n_curves,), dtype=matplotlib Axes
        Panels; `ax_` is the first of them, `figure_` their figure.

    lines_ : dict of {str: list of matplotlib Line2D}
        Curves of each metric, one per panel.

    cut_lines_ : list of matplotlib artists
        Marks of the chosen thresholds.

    legend_ : matplotlib Legend
        Legend.

    See Also
    --------
    sk_quadrant.TunedThresholdMultiLabelClassifierCV : Choose thresholds by cross-validation.
    LabelPrecisionRecallDisplay : Precision against recall over all thresholds.

    Examples
    --------
    >>> from sk_quadrant.displays import ThresholdDisplay
    >>> y_true, y_score = [[0], [0], [1], [1]], [[0.1], [0.4], [0.35], [0.8]]
    >>> display = ThresholdDisplay.from_predictions(y_true, y_score, thresholds=[0.2, 0.5])
    >>> display.scores["recall"]  # both positives are above 0.2, one is above 0.5
    array([[1. , 0.5]])
    """

    thresholds: FloatArray
    scores: dict[str, FloatArray]
    _: KW_ONLY
    curve_names: list[str]
    cuts: FloatArray | None = None
    score_name: str = "score"
    note: str = ""

    @classmethod
    def _predict(
        cls, estimator: Any, X: Any, *, response_method: str = "auto", **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        response = respond(estimator, X, response_method)
        if options.get("cuts") is None:
            options["cuts"] = find_thresholds(estimator, response, predict_labels(estimator, X))
        return response.values, {"score_name": response.name, **options}

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: Any,
        *,
        metrics: Any = ("precision", "recall", "f1"),
        average: str | None = None,
        thresholds: Any = "auto",
        cuts: Any = None,
        labels: Any = None,
        max_labels: int = 16,
        label_names: Sequence[Any] | None = None,
        zero_division: float = np.nan,
        score_name: str = "score",
        **options: Any,
    ) -> ThresholdDisplay:
        """Draw the metrics of scores.

        Parameters
        ----------
        y_true : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, 0 or 1; NaN where unknown.

        y_score : array-like of shape (n_samples, n_labels)
            Probabilities or scores.

        metrics : sequence of {"precision", "recall", "f1", "jaccard", "accuracy"} or callable, or dict of \
                {name: one of them}, default=("precision", "recall", "f1")
            Metrics. A callable takes vectors `(y_true, y_pred)` of zeros and ones and returns a number.

        average : {"micro", "macro"}, default=None
            None draws one panel per label; "micro" pools the decisions of all labels; "macro" averages over labels.

        thresholds : array-like of shape (n_thresholds,), default="auto"
            Thresholds; the chosen ones are added. "auto" takes evenly spaced ones and quantiles of the scores.

        cuts : float, array-like of shape (n_labels,) or dict of {label name: float}, default=None
            Chosen thresholds to mark. With None, :meth:`from_estimator` takes the estimator's `best_threshold_` or
            `threshold_`, else 1/2 of a probability and 0 of a score; if its predictions disagree, the midpoint of the
            scores between them.

        labels : sequence of int or str, default=None
            Labels to show or to pool. None shows all labels, or the `max_labels` most frequent, and pools all.

        max_labels : int, default=16
            Number of labels shown when `labels` is None.

        label_names : sequence of str of length n_labels, default=None
            Names of all labels. None takes the columns of `y_true`.

        zero_division : {nan, 0.0, 1.0}, default=nan
            Value of a ratio with denominator zero, such as the precision without predictions; nan ends the curve and
            excludes the label from the macro average.

        score_name : str, default="score"
            Name of the score, for the x axis.

        **options : dict
            Options of :meth:`plot`.

        Returns
        -------
        display : ThresholdDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If labels are not 0, 1 or NaN, shapes differ, or an option is not allowed.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_predictions")
        check_choices("average", [average], [None, "micro", "macro"])
        named = _name_metrics(metrics)
        choice = {"labels": labels, "max_labels": max_labels if average is None else np.inf}
        data = read_scored_labels(y_true, y_score, label_names=label_names, **choice)
        (inputs,), shown = data.inputs.values(), data.shown
        chosen = None if cuts is None else read_label_values(cuts, data.names, inputs.n_labels, name="cuts")[shown]
        grid = _threshold_grid(thresholds, inputs.scores[:, shown], chosen)
        entries = known_entries(inputs, [shown] if average == "micro" else shown)
        scores = {
            name: np.array([_curve(metric, truth, score, grid, zero_division) for truth, score, _ in entries])
            for name, metric in named.items()
        }
        names = data.shown_names
        if average is not None:
            names = [f"{average} average of {len(shown)} label{'s' * (len(shown) > 1)}"]
            # of the labels that have a value; the pool has one curve
            averages = {name: np.ma.masked_invalid(curves).mean(axis=0) for name, curves in scores.items()}
            scores = {name: curve.filled(np.nan)[np.newaxis] for name, curve in averages.items()}
        display = cls(grid, scores, curve_names=names, cuts=chosen, score_name=score_name, note=data.note)
        return display.plot(**options)

    def _titles(self) -> list[str]:
        return self.curve_names

    def _plot_curves(self, line_kw: Any) -> list[Any]:
        curves = {metric: [(self.thresholds, curve) for curve in curves] for metric, curves in self.scores.items()}
        # A metric changes only where the threshold passes a score, hence the steps.
        self.lines_ = self._plot_lines(curves, line_kw, drawstyle="steps-post")
        self.cut_lines_: list[Any] = []
        for j, panel in enumerate(self.axes_):
            self._mark_cuts(panel, j)
        self._name_axes(xlabel=f"threshold of the {self.score_name}", brief="threshold")
        return self.cut_lines_[:1]

    def _mark_cuts(self, ax: Any, j: int) -> None:
        """Mark the threshold of a panel by a line and a dot on each curve, or several by ticks at the lower end."""
        cuts = np.array([]) if self.cuts is None else self.cuts
        cuts = np.unique(cuts[j : j + 1] if len(cuts) == len(self.curve_names) else cuts)
        cuts = cuts[np.isfinite(cuts)]
        if len(cuts) > 1:
            place = {"color": GREY, "transform": ax.get_xaxis_transform()}
            self.cut_lines_ += ax.plot(cuts, 0 * cuts, "|", label="thresholds of the labels", **place)
        elif len(cuts) == 1:
            self.cut_lines_.append(ax.axvline(cuts[0], color=GREY, linewidth=1.0, zorder=1, label="chosen threshold"))
            i = np.searchsorted(self.thresholds, cuts[0])
            for lines in self.lines_.values():
                height = lines[j].get_ydata()[i : i + 1]
                ax.plot(cuts, height, "o", color=lines[j].get_color(), markersize=4)


def _name_metrics(metrics: Any) -> dict[str, Any]:
    """Return the metrics by their names."""
    named = [metrics] if isinstance(metrics, str) or callable(metrics) else metrics
    if not isinstance(named, Mapping):
        named = {_name_of(metric): metric for metric in named}
    if not named:
        raise ValueError("metrics must name at least one metric, got none.")
    check_choices("metrics that are no callables", filterfalse(callable, named.values()), RATIOS)
    return dict(named)


def _name_of(metric: Any) -> str:
    """Return a name, or that of a callable, partial or not."""
    return metric if isinstance(metric, str) else getattr(getattr(metric, "func", metric), "__name__", "metric")


def _threshold_grid(thresholds: Any, score: FloatArray, cuts: FloatArray | None) -> FloatArray:
    """Return increasing thresholds that include the chosen ones."""
    if isinstance(thresholds, str):
        check_choices("thresholds that are no numbers", [thresholds], ["auto"])
        low, high = np.min(score), np.max(score)
        ends = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
        shares = np.linspace(0, 1, N_THRESHOLDS)
        thresholds = np.append(np.linspace(*ends, N_THRESHOLDS), np.quantile(score, shares))
    values = np.asarray(thresholds, dtype=np.float64)
    values = values if cuts is None else np.append(values, cuts[np.isfinite(cuts)])
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("thresholds must be finite numbers, at least one, or 'auto'.")
    return np.unique(values)


def _curve(
    metric: Any, truth: IndexArray, score: FloatArray, thresholds: FloatArray, zero_division: float
) -> FloatArray:
    """Return a metric at each threshold."""
    if not isinstance(metric, str):
        return np.array([metric(truth, (score > threshold).astype(int)) for threshold in thresholds])
    tn, fn = (np.searchsorted(np.sort(score[truth == y]), thresholds, side="right") for y in (0, 1))
    n_positive = np.count_nonzero(truth)
    numerator, denominator = RATIOS[metric](n_positive - fn, len(truth) - n_positive - tn, fn, tn)
    curve = np.full(len(thresholds), float(zero_division))
    np.divide(numerator, denominator, out=curve, where=denominator > 0)
    return curve
