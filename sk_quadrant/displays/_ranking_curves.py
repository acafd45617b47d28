"""Displays of precision-recall and ROC curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay, auc, precision_recall_curve, roc_curve

from sk_quadrant._arrays import FloatArray, IndexArray
from sk_quadrant.displays._label_display import LabelCurvesDisplay
from sk_quadrant.displays._labels import Entries, known_entries, read_scored_labels
from sk_quadrant.displays._panels import GREY, check_choices, line_style, merge_style, shorten

GRID = np.linspace(0, 1, 1001)  # of recalls or false positive rates, for macro averages
NONE = np.array([np.nan])
Curve: TypeAlias = PrecisionRecallDisplay | RocCurveDisplay


class RankingCurvesDisplay(LabelCurvesDisplay):
    """A display of curves that depend on the order of scores only, each drawn by a display of scikit-learn."""

    _score: ClassVar[str]  # area under the curve, as an attribute of scikit-learn's display
    _legend_place: ClassVar[str]
    _nothing: ClassVar[str] = "averages and labels are empty"
    _needs: ClassVar[frozenset[int]]  # values among the labels without which there is no curve
    _grid: ClassVar[FloatArray]  # x of a macro average
    _axes: ClassVar[dict[str, str]]

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: Any,
        *,
        sample_weight: Any = None,
        averages: Sequence[str] = ("micro", "macro"),
        labels: Any = None,
        max_labels: int = 14,
        label_names: Sequence[Any] | None = None,
        **options: Any,
    ) -> Any:
        """Draw the curves of scores.

        Parameters
        ----------
        y_true : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, 0 or 1; NaN where unknown.

        y_score : array-like of shape (n_samples, n_labels) or dict of {name: array-like}
            Probabilities or scores, or those of several classifiers by name.

        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of samples, or of each of their labels; columns of a DataFrame are read by name.

        averages : sequence of {"micro", "macro"}, default=("micro", "macro")
            Averages over all labels, in the first panels. "micro" is the curve of all pairs of a sample and a label
            together; "macro" is the mean of the curves of the labels that have one.

        labels : sequence of int or str, default=None
            Labels to show; an empty sequence shows only averages. None shows all labels, or the `max_labels` most
            frequent.

        max_labels : int, default=14
            Number of labels shown when `labels` is None.

        label_names : sequence of str of length n_labels, default=None
            Names of all labels. None takes the columns of `y_true`.

        **options : dict
            Options of `plot`.

        Returns
        -------
        display : display object
            The display, drawn.

        Raises
        ------
        ValueError
            If labels are not 0, 1 or NaN, shapes differ, an option is not allowed, or there is nothing to draw.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_predictions")
        averages = [averages] if isinstance(averages, str) else list(averages)
        check_choices("averages", averages, ["micro", "macro"])
        choice = {"labels": labels, "max_labels": max_labels, "may_be_empty": True}
        data = read_scored_labels(y_true, y_score, sample_weight, label_names=label_names, **choice)
        curves, notes = {}, {data.note}
        for name, inputs in data.inputs.items():
            micro, *single = map(cls._curve, known_entries(inputs, [slice(None), *range(inputs.n_labels)]))
            defined = [curve for curve in single if not np.isnan(getattr(curve, cls._score))]
            pooled = {"micro": micro, "macro": cls._mean(defined) if defined else cls._make()}
            curves[name] = [*map(pooled.get, averages), *(single[j] for j in data.shown)]
            if "macro" in averages and len(defined) < len(single):
                notes.add(f"macro average of the {len(defined)} labels that have a curve")
        names = [*(f"{average} average" for average in averages), *data.shown_names]
        return cls(curves, panel_names=names, note="; ".join(sorted(filter(None, notes)))).plot(**options)

    @classmethod
    def _curve(cls, entries: Entries) -> Curve:
        """Return the curve of labels, scores and weights, one of NaN if it is not defined."""
        truth = entries[0]
        return cls._defined(*entries) if all((truth == value).any() for value in cls._needs) else cls._make()

    @classmethod
    def _mean(cls, curves: list[Any]) -> Curve:
        """Return the mean of curves."""
        area = np.mean([getattr(curve, cls._score) for curve in curves])
        chance = np.mean([getattr(curve, "prevalence_pos_label", np.nan) for curve in curves])
        heights = np.mean([cls._on_grid(curve) for curve in curves], axis=0)
        return cls._make(cls._grid, heights, float(area), float(chance))

    _make: ClassVar[Callable[..., Curve]]  # from x, y, area and precision of random scores, by default NaN
    _defined: ClassVar[Callable[..., Curve]]  # from labels, scores and weights
    _on_grid: ClassVar[Callable[..., FloatArray]]  # y of a curve on the grid

    def _plot_curves(self, line_kw: Any) -> list[Any]:
        self.lines_: dict[str, list[Any]] = {}
        chance = {"label": "_chance", "color": GREY, "linestyle": ":", "linewidth": 1.0, "zorder": 1}
        for i, (name, curves) in enumerate(self.curves.items()):
            style = merge_style({**line_style(i), "linewidth": 1.4}, line_kw)
            for ax, curve in zip(self.axes_, curves, strict=True):
                curve.plot(ax=ax, plot_chance_level=i == 0, chance_level_kw=chance)
                curve.line_.set(**style)
            self.lines_[name] = [curve.line_ for curve in curves]
        self.chance_lines_ = [curve.chance_level_ for curve in next(iter(self.curves.values()))]
        short = {"fontsize": "x-small", "handlelength": 1.6 if len(self.curves) > 1 else 0, "borderpad": 0.2}
        for ax in self.axes_:
            ax.set(xlabel="", ylabel="")
            ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
            ax.legend(loc=self._legend_place, edgecolor="none", **short)  # the areas, as scikit-learn writes them
        self._name_axes(**self._axes)
        for name, (line, *_) in self.lines_.items():
            line.set_label(shorten(name, 24))
        self.chance_lines_[0].set_label("chance level")
        return self.chance_lines_[:1]


class LabelPrecisionRecallDisplay(RankingCurvesDisplay):
    """Precision-recall curves of each label, with micro and macro average.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one. Several classifiers share the panels. AP is
    the average precision, the area under the steps; the dotted line is the precision of random scores, the frequency of
    the label.

    Parameters
    ----------
    curves : dict of {str: list of :class:`~sklearn.metrics.PrecisionRecallDisplay` of length n_panels}
        Curves by name of the classifier. A label without a known positive has a curve of NaN.

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

    chance_lines_ : list of matplotlib Line2D
        Lines of random scores, one per panel.

    legend_ : matplotlib Legend
        Legend.

    See Also
    --------
    LabelRocCurveDisplay : The same for ROC curves.
    sklearn.metrics.PrecisionRecallDisplay : The same for one label.

    Notes
    -----
    The macro average takes the mean of the precisions of the labels at each recall, where the precision of a label is
    that of its highest threshold with at least this recall. Its AP is the mean AP, as in
    :func:`~sklearn.metrics.average_precision_score`.

    Examples
    --------
    >>> from sk_quadrant.displays import LabelPrecisionRecallDisplay
    >>> y_true, y_score = [[0, 1], [0, 0], [1, 1]], [[0.1, 0.9], [0.8, 0.2], [0.7, 0.6]]
    >>> display = LabelPrecisionRecallDisplay.from_predictions(y_true, y_score, label_names=["cat", "dog"])
    >>> display.panel_names
    ['micro average', 'macro average', 'cat', 'dog']
    >>> [float(curve.average_precision) for curve in display.curves["classifier"][2:]]
    [0.5, 1.0]
    """

    curves: dict[str, list[PrecisionRecallDisplay]]

    _score: ClassVar[str] = "average_precision"
    _legend_place: ClassVar[str] = "lower left"
    _needs: ClassVar[frozenset[int]] = frozenset({1})
    _grid: ClassVar[FloatArray] = GRID[::-1]
    _axes: ClassVar[dict[str, str]] = {"xlabel": "recall", "ylabel": "precision"}

    @staticmethod
    def _make(x: Any = NONE, y: Any = NONE, area: float = np.nan, chance: float = np.nan) -> Curve:
        return PrecisionRecallDisplay(precision=y, recall=x, average_precision=area, prevalence_pos_label=chance)

    @classmethod
    def _defined(cls, truth: IndexArray, score: FloatArray, weight: FloatArray) -> Curve:
        precision, recall, _ = precision_recall_curve(truth, score, sample_weight=weight, drop_intermediate=True)
        # average precision: sum_k (R_k - R_{k-1}) P_k
        area = float(-np.diff(recall) @ precision[:-1])  # under the steps, recalls decreasing
        return cls._make(recall, precision, area, float(np.average(truth, weights=weight)))

    @staticmethod
    def _on_grid(curve: Any) -> FloatArray:
        # Recalls are decreasing; the first of equal ones from the right is that of the highest threshold.
        return np.asarray(curve.precision[::-1][np.searchsorted(curve.recall[::-1], GRID[::-1])])


class LabelRocCurveDisplay(RankingCurvesDisplay):
    """ROC curves of each label, with micro and macro average.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one. Several classifiers share the panels. AUC is
    the area under the curve; the dotted diagonal is that of random scores.

    Parameters
    ----------
    curves : dict of {str: list of :class:`~sklearn.metrics.RocCurveDisplay` of length n_panels}
        Curves by name of the classifier. A label without known positives or without known negatives has a curve of
        NaN.

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

    chance_lines_ : list of matplotlib Line2D
        Diagonals, one per panel.

    legend_ : matplotlib Legend
        Legend.

    See Also
    --------
    LabelPrecisionRecallDisplay : Precision-recall curves, which show more where labels are rare.
    sklearn.metrics.RocCurveDisplay : The same for one label.

    Notes
    -----
    The macro average takes the mean of the true positive rates of the labels at each false positive rate. Its AUC is
    the mean AUC, as in :func:`~sklearn.metrics.roc_auc_score`.

    Examples
    --------
    >>> from sk_quadrant.displays import LabelRocCurveDisplay
    >>> y_true, y_score = [[0, 1], [0, 0], [1, 1]], [[0.1, 0.9], [0.8, 0.2], [0.7, 0.6]]
    >>> display = LabelRocCurveDisplay.from_predictions(y_true, y_score, label_names=["cat", "dog"])
    >>> [float(curve.roc_auc) for curve in display.curves["classifier"][2:]]
    [0.5, 1.0]
    """

    curves: dict[str, list[RocCurveDisplay]]

    _score: ClassVar[str] = "roc_auc"
    _legend_place: ClassVar[str] = "lower right"
    _needs: ClassVar[frozenset[int]] = frozenset({0, 1})
    _grid: ClassVar[FloatArray] = np.r_[0, GRID]
    _axes: ClassVar[dict[str, str]] = {"xlabel": "false positive rate", "ylabel": "true positive rate"}

    @staticmethod
    def _make(x: Any = NONE, y: Any = NONE, area: float = np.nan, chance: float = np.nan) -> Curve:
        return RocCurveDisplay(fpr=x, tpr=y, roc_auc=area)

    @classmethod
    def _defined(cls, truth: IndexArray, score: FloatArray, weight: FloatArray) -> Curve:
        fpr, tpr, _ = roc_curve(truth, score, sample_weight=weight)
        return cls._make(fpr, tpr, float(auc(fpr, tpr)))

    @staticmethod
    def _on_grid(curve: Any) -> FloatArray:
        return np.append(0.0, np.interp(GRID, curve.fpr, curve.tpr))
