"""Display of metrics against the cut-off."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sk_quadrant.displays._fitted import check_classifiers, find_cuts, find_label_names, predict_labels, respond
from sk_quadrant.displays._labels import (
    Floats,
    check_same_shape,
    choose_labels,
    name_labels,
    read_labels,
    read_matrix,
)
from sk_quadrant.displays._panels import GREY, PanelDisplay, check_matplotlib, line_style, merge_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_THRESHOLDS = 101
AVERAGES = (None, "micro", "macro")
Metric: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], float]


class Counts(NamedTuple):
    """Numbers of decisions at each threshold, shape (n_thresholds,) or (n_labels, n_thresholds)."""

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats


RATIOS: dict[str, Callable[[Counts], tuple[Floats, Floats]]] = {
    "precision": lambda n: (n.tp, n.tp + n.fp),
    "recall": lambda n: (n.tp, n.tp + n.fn),
    "f1": lambda n: (2 * n.tp, 2 * n.tp + n.fp + n.fn),
    "jaccard": lambda n: (n.tp, n.tp + n.fp + n.fn),
    "accuracy": lambda n: (n.tp + n.tn, n.tp + n.fp + n.fn + n.tn),
}


@dataclass(eq=False, repr=False)
class ThresholdDisplay(PanelDisplay):
    """Precision, recall, F1 or other metrics against the cut-off, per label or pooled, with the chosen cut.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one. A label is predicted if its score is
    strictly above the cut-off.

    Parameters
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        Cut-offs, increasing.

    scores : dict of {str: ndarray of shape (n_curves, n_thresholds)}
        Metrics at the cut-offs, one row per label, or one row if pooled.

    curve_names : list of str of length n_curves
        Titles of the panels.

    cuts : ndarray of shape (n_curves,) or (n_labels,), default=None
        Chosen cuts: one per panel or, if pooled, one per label.

    score_name : str, default="score"
        Name of the score, for the x axis.

    note : str, default=""
        Text above the panels on what they leave out.

    Attributes
    ----------
    axes_ : ndarray of shape (n_curves,), dtype=matplotlib Axes
        Panels.

    ax_ : matplotlib Axes
        The first of them.

    figure_ : matplotlib Figure
        Figure of the panels.

    lines_ : dict of {str: list of matplotlib Line2D}
        Curves of each metric, one per panel.

    cut_lines_ : list of matplotlib artists
        Marks of the chosen cuts.

    legend_ : matplotlib Legend
        Legend.

    Examples
    --------
    >>> from sk_quadrant.displays import ThresholdDisplay
    >>> y_true, y_score = [[0], [0], [1], [1]], [[0.1], [0.4], [0.35], [0.8]]
    >>> display = ThresholdDisplay.from_predictions(y_true, y_score, thresholds=[0.2, 0.5])
    >>> display.scores["recall"]  # both positives are above 0.2, one is above 0.5
    array([[1. , 0.5]])
    """

    thresholds: Floats
    scores: dict[str, Floats]
    _: KW_ONLY
    curve_names: list[str]
    cuts: Floats | None = None
    score_name: str = "score"
    note: str = ""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        response_method: str = "auto",
        cuts: Any = None,
        label_names: Sequence[Any] | None = None,
        **options: Any,
    ) -> ThresholdDisplay:
        """Draw the metrics of a fitted classifier.

        Parameters
        ----------
        estimator : estimator instance
            Fitted multi-label or binary classifier.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, 0 or 1; NaN where unknown.

        response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
            Score to cut; "auto" is the probability if the estimator has one.

        cuts : float or array-like of shape (n_labels,), default=None
            Chosen cuts to mark. None takes the estimator's `best_threshold_` or `threshold_`, else 1/2 of a
            probability and 0 of a score; if its predictions disagree, the midpoint of the scores between them.

        label_names : sequence of str of length n_labels, default=None
            Names of the labels. None takes the columns of `y` or the estimator's `label_names_in_`.

        **options
            Further options of :meth:`from_predictions`.

        Returns
        -------
        display : ThresholdDisplay
        """
        check_classifiers(f"{cls.__name__}.from_estimator", estimator)
        response = respond(estimator, X, response_method)
        if cuts is None:
            cuts = find_cuts(estimator, response, predict_labels(estimator, X))
        names = name_labels(label_names, response.values.shape[1], y=y, fitted=find_label_names(estimator))
        options = {"score_name": response.name, **options}
        return cls.from_predictions(y, response.values, cuts=cuts, label_names=names, **options)

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
            Cut-offs; the chosen cuts are added. "auto" takes evenly spaced ones and quantiles of the scores.

        cuts : float or array-like of shape (n_labels,), default=None
            Chosen cuts to mark.

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

        **options
            Options of :meth:`plot`.

        Returns
        -------
        display : ThresholdDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        if average not in AVERAGES:
            raise ValueError(f"average must be None, 'micro' or 'macro', got {average!r}.")
        named = _name_metrics(metrics)
        truth = read_labels(y_true, parameter="y_true", missing=True)
        score = read_matrix(y_score, parameter="y_score")
        check_same_shape(y_true=truth, y_score=score)
        n_labels = truth.shape[1]
        names = name_labels(label_names, n_labels, y=y_true)
        shown, note = choose_labels(
            labels,
            names,
            importance=np.nansum(truth, axis=0),
            important="most frequent",
            max_labels=n_labels if average is not None else max_labels,
        )
        chosen = None if cuts is None else _spread(cuts, n_labels)[shown]
        grid = _threshold_grid(thresholds, score[:, shown], chosen)
        pools = [shown] if average == "micro" else shown[:, np.newaxis]
        columns = [_known(truth[:, pool], score[:, pool]) for pool in pools]
        counts = [_count(*column, grid) for column in columns]
        display = cls(
            grid,
            {name: _evaluate(metric, columns, counts, grid, average, zero_division) for name, metric in named.items()},
            curve_names=[names[j] for j in shown] if average is None else [_name_pool(average, len(shown))],
            cuts=chosen,
            score_name=score_name,
            note=note,
        )
        return display.plot(**options)

    def plot(self, *, line_kw: dict[str, Any] | None = None, ax: Any = None) -> ThresholdDisplay:
        """Draw.

        Parameters
        ----------
        line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.plot` for the curves.

        ax : Axes or array-like of Axes of shape (n_panels,), default=None
            Axes to draw on; several panels replace a single axes. None makes a figure.

        Returns
        -------
        display : ThresholdDisplay
        """
        n_panels = len(self.curve_names)
        panels = self._make_panels(ax, n_panels, size=(4.2, 3.2) if n_panels == 1 else (2.2, 1.9))
        self.cut_lines_: list[Any] = []
        self.lines_: dict[str, list[Any]] = {}
        for i, (metric, curves) in enumerate(self.scores.items()):
            # A metric changes only where the threshold passes a score, hence the steps.
            style = {**line_style(i), "drawstyle": "steps-post", "label": metric}
            pairs = zip(self.axes_, curves, strict=True)
            self.lines_[metric] = [
                panel.plot(self.thresholds, curve, **merge_style(style, line_kw))[0] for panel, curve in pairs
            ]
        for j, panel in enumerate(self.axes_):
            self._plot_cuts(panel, j)
        panels.add_titles(self.curve_names)
        panels.label_axes(xlabel=f"cut-off of the {self.score_name}", brief="cut-off")
        self.legend_ = panels.add_legend([*(lines[0] for lines in self.lines_.values()), *self.cut_lines_[:1]])
        panels.add_note(self.note)
        return self

    def _plot_cuts(self, ax: Axes, j: int) -> None:
        """Mark the cut of a panel by a line and by a dot on each curve, or several cuts by ticks at the lower end."""
        if self.cuts is None:
            return
        cuts = self.cuts[j : j + 1] if len(self.curve_names) == len(self.cuts) else np.unique(self.cuts)
        cuts = cuts[np.isfinite(cuts)]
        if len(cuts) == 0:
            return
        if len(cuts) > 1:
            style: dict[str, Any] = {
                "color": GREY,
                "transform": ax.get_xaxis_transform(),
                "label": "cuts of the labels",
            }
            self.cut_lines_ += ax.plot(cuts, np.zeros(len(cuts)), "|", **style)
            return
        self.cut_lines_.append(ax.axvline(cuts[0], color=GREY, linewidth=1.0, zorder=1, label="chosen cut"))
        i = np.searchsorted(self.thresholds, cuts[0])
        for lines in self.lines_.values():
            ax.plot(cuts, lines[j].get_ydata()[i : i + 1], "o", color=lines[j].get_color(), markersize=4)


def _name_metrics(metrics: Any) -> dict[str, Any]:
    """Return the metrics by their names."""
    named = metrics
    if not isinstance(metrics, Mapping):
        members = [metrics] if isinstance(metrics, str) or callable(metrics) else metrics
        named = {member if isinstance(member, str) else _name_of(member): member for member in members}
    if not named:
        raise ValueError("metrics must name at least one metric, got none.")
    for metric in named.values():
        if not callable(metric) and metric not in RATIOS:
            raise ValueError(f"metrics must be some of {', '.join(RATIOS)} or callables, got {metric!r}.")
    return dict(named)


def _name_of(metric: Any) -> str:
    """Return the name of a callable, partial or not."""
    return str(getattr(metric, "__name__", getattr(getattr(metric, "func", metric), "__name__", "metric")))


def _name_pool(average: str, n_labels: int) -> str:
    return f"{average} average of {n_labels} label{'s' * (n_labels > 1)}"


def _spread(cuts: Any, n_labels: int) -> Floats:
    """Return one cut per label."""
    values = np.asarray(cuts, dtype=np.float64)
    if values.shape not in ((), (n_labels,)):
        raise ValueError(f"cuts must be a number or of shape ({n_labels},), one a label; got shape {values.shape}.")
    return np.broadcast_to(values, n_labels)


def _threshold_grid(thresholds: Any, score: Floats, cuts: Floats | None) -> Floats:
    """Return increasing cut-offs that include the chosen cuts."""
    if isinstance(thresholds, str):
        if thresholds != "auto":
            raise ValueError(f"thresholds must be 'auto' or numbers, got {thresholds!r}.")
        low, high = float(np.nanmin(score)), float(np.nanmax(score))
        ends = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
        quantiles = np.nanquantile(score, np.linspace(0, 1, N_THRESHOLDS))
        values = np.concatenate([np.linspace(*ends, N_THRESHOLDS), quantiles])
    else:
        values = np.asarray(thresholds, dtype=np.float64).ravel()
    if cuts is not None:
        values = np.concatenate([values, cuts[np.isfinite(cuts)]])
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("thresholds must be finite numbers, at least one.")
    return np.unique(values)


def _known(truth: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Return labels and scores of the known labels."""
    known = ~np.isnan(truth)
    return truth[known], score[known]


def _count(truth: Floats, score: Floats, thresholds: Floats) -> Counts:
    """Return the decisions of one label at each threshold."""
    positive, negative = np.sort(score[truth == 1]), np.sort(score[truth == 0])
    tn = np.searchsorted(negative, thresholds, side="right").astype(np.float64)
    fn = np.searchsorted(positive, thresholds, side="right").astype(np.float64)
    return Counts(tp=len(positive) - fn, fp=len(negative) - tn, fn=fn, tn=tn)


def _evaluate(
    metric: Any,
    columns: list[tuple[Floats, Floats]],
    counts: list[Counts],
    thresholds: Floats,
    average: str | None,
    zero_division: float,
) -> Floats:
    """Return a metric at each threshold, shape (n_curves, n_thresholds)."""
    if isinstance(metric, str):
        curves = np.array([_divide(*RATIOS[metric](numbers), zero_division) for numbers in counts])
    else:
        curves = np.array([[metric(y.astype(int), (s > t).astype(int)) for t in thresholds] for y, s in columns])
    if average == "macro":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice")  # no label has a value, nothing is drawn
            curves = np.nanmean(curves, axis=0, keepdims=True)
    return curves


def _divide(numerator: Floats, denominator: Floats, zero_division: float) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, zero_division), where=denominator > 0)
