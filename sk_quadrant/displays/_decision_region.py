"""Display of the decisions of a classifier over two features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import sparse

from sk_quadrant._arrays import FloatArray
from sk_quadrant._namespaces import Namespace, in_numpy, is_tensor
from sk_quadrant._targets.responses import Response
from sk_quadrant._targets.scored import check_ranked_targets
from sk_quadrant.displays._feature_grid import grid_rows, hold_features, make_grid, take_two_features
from sk_quadrant.displays._fitted import align_to_fit, check_classifier, find_thresholds, predict_labels, respond
from sk_quadrant.displays._labels import choose_labels, name_labels
from sk_quadrant.displays._panels import COLORS, PanelDisplay, line_style, shorten

MIXED_LABELS = 3  # with more colours, mixtures look like other labels
MAX_POINTS = 400
CUT: dict[str, Any] = {"color": "black", "linestyle": "-", "linewidth": 1.4}
LEVEL: dict[str, Any] = {"color": "0.35", "linestyle": ":", "linewidth": 1.1}
PRESENT: dict[str, Any] = {"facecolor": "#E69F00", "edgecolor": "black", "linewidth": 0.4, "label": "has the label"}
ABSENT: dict[str, Any] = {"facecolor": "white", "edgecolor": "0.3", "linewidth": 0.6, "label": "lacks the label"}


@dataclass(eq=False, repr=False)
class DecisionRegionDisplay(PanelDisplay):
    """Regions of two features in which a multi-label classifier predicts its labels.

    Use :meth:`from_estimator` to create one. By default each label has a panel, with the probability as shade and the
    threshold as a line. A combined panel has one line per label; its shade is a mixture of the colours of up to three
    labels, weighted by probability, or the expected number of more labels.

    Parameters
    ----------
    xx0, xx1 : ndarray of shape (resolution, resolution)
        Grid over the two features.

    response : ndarray of shape (resolution, resolution, n_labels)
        Probabilities or scores of the labels.

    decisions : ndarray of shape (resolution, resolution, n_labels)
        Predicted labels, 0 or 1.

    cuts : ndarray of shape (n_labels,)
        Responses above which labels are predicted; NaN for a label whose prediction depends on other responses too, as
        in a chain. Its line is drawn around its decisions.

    label_names : list of str of length n_labels
        Names of the labels.

    feature_names : tuple of (str, str), default=("feature 0", "feature 1")
        Names of the axes.

    is_probability : bool, default=True
        Whether the response is a probability.

    points, point_labels : ndarray of shape (n_points, 2) and (n_points, n_labels), default=None
        Samples and their labels.

    notes : sequence of str, default=()
        Notes above the panels, such as the number of labels that are not shown.

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype=matplotlib Axes
        Panels, one per label, or a single one if combined; `ax_` is the first of them, `figure_` their figure.

    surfaces_ : list of matplotlib QuadMesh or AxesImage
        Shades of the panels.

    cut_lines_ : list of matplotlib QuadContourSet or None
        Lines at the thresholds, one per label; None for a label that is predicted everywhere or nowhere.

    colorbar_ : matplotlib Colorbar or None
        Colour bar of the shades.

    legend_ : matplotlib Legend or None
        Legend.

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : The same for exclusive classes.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.multioutput import MultiOutputClassifier
    >>> from sk_quadrant.displays import DecisionRegionDisplay
    >>> X, y = [[1, 1], [-1, 1], [-1, -1], [1, -1]], [[1, 1], [0, 1], [0, 0], [1, 0]]
    >>> classifier = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    >>> display = DecisionRegionDisplay.from_estimator(classifier, X, grid_resolution=2)
    >>> display.decisions[0, 1]  # the first label only, at the lower right
    array([1., 0.])
    """

    xx0: FloatArray
    xx1: FloatArray
    response: FloatArray
    decisions: FloatArray
    _: KW_ONLY
    cuts: FloatArray
    label_names: list[str]
    feature_names: tuple[str, str] = ("feature 0", "feature 1")
    is_probability: bool = True
    points: FloatArray | None = None
    point_labels: FloatArray | None = None
    notes: Sequence[str] = ()

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        features: Sequence[Any] = (0, 1),
        held: Any = None,
        labels: Any = None,
        max_labels: int = 16,
        label_names: Sequence[Any] | None = None,
        response_method: str = "auto",
        grid_resolution: int = 100,
        **options: Any,
    ) -> DecisionRegionDisplay:
        """Draw the regions of a fitted classifier.

        Parameters
        ----------
        estimator : estimator instance
            Fitted multi-label or binary classifier.

        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Data for the range of the two features and the medians of the others.

        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels), default=None
            Labels of X. If given, up to 400 random samples are drawn, filled if they have the label. With more than two
            features they are projected onto the plane of the two.

        features : sequence of two int or str, default=(0, 1)
            Columns of X, or their names.

        held : dict of {feature: value} or array-like of shape (n_features,), default=None
            Values of the other features. Defaults are the medians, or the most frequent values of features that are not
            numeric.

        labels : sequence of int or str, default=None
            Labels to show. None shows all labels, or the `max_labels` with the largest range of responses.

        max_labels : int, default=16
            Number of labels shown when `labels` is None.

        label_names : sequence of str of length n_labels, default=None
            Names of all labels. None takes the columns of `y` or the estimator's `label_names_in_`.

        response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
            Response to draw; "auto" is the probability if the estimator has one.

        grid_resolution : int, default=100
            Number of grid points along each feature.

        **options : dict
            Options of :meth:`plot`.

        Returns
        -------
        display : DecisionRegionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator is not a classifier, or an option does not fit its features or labels.
        NotFittedError
            If the estimator is not fitted.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_estimator")
        check_classifier(estimator, f"{cls.__name__}.from_estimator")
        encoding, y, label_names = align_to_fit([estimator], X, y, label_names)
        names = name_labels(label_names, encoding.n_labels)
        namespace, X = Namespace.of(X), in_numpy(X)
        X = X if hasattr(X, "shape") and not is_tensor(X) else np.asarray(X)
        of_X = name_labels(None, X.shape[1], y=X, word="feature")
        columns, values = take_two_features(X, features, of_X)
        grid = make_grid(values, grid_resolution)
        chunks = grid_rows(hold_features(X, held, of_X), columns, grid, as_sparse=sparse.issparse(X))
        chunks = chunks if namespace is None else map(namespace.bring, chunks)
        points, point_labels = _choose_points(y, values, encoding.n_labels)
        response, decisions = _respond_and_predict(estimator, chunks, response_method)
        spread = np.ptp(response.values, axis=0)
        shown, note = choose_labels(names, spread, "varying most", labels=labels, max_labels=max_labels)
        others = X.shape[1] - 2
        display = cls(
            grid[0],
            grid[1],
            response.values[:, shown].reshape(*grid[0].shape, -1),
            decisions[:, shown].reshape(*grid[0].shape, -1),
            cuts=find_thresholds(estimator, response, decisions)[shown],
            label_names=[names[j] for j in shown],
            feature_names=(of_X[columns[0]], of_X[columns[1]]),
            is_probability=response.is_probability,
            points=points,
            point_labels=None if point_labels is None else point_labels[:, shown],
            notes=(note, f"{others} other feature{'s' * (others > 1)} held" if others else ""),
        )
        return display.plot(**options)

    def plot(
        self, *, combined: bool = False, levels: Sequence[float] = (), cmap: Any = "Blues", ax: Any = None
    ) -> DecisionRegionDisplay:
        """Draw.

        Parameters
        ----------
        combined : bool, default=False
            Whether all labels share one panel.

        levels : sequence of float, default=()
            Further responses to mark with lines in panels of one label.

        cmap : str or Colormap, default="Blues"
            Colour map of panels of one label.

        ax : Axes or array-like of Axes of shape (n_panels,), default=None
            Axes to draw on; several panels replace a single axes. None makes a figure.

        Returns
        -------
        display : DecisionRegionDisplay
            The display itself.
        """
        n_panels = 1 if combined else len(self.label_names)
        self._make_panels(ax, n_panels, legend_inches=3.0 if combined else 2.2)
        self.surfaces_: list[Any] = []
        self.cut_lines_: list[Any] = []
        handles = self._plot_combined() if combined else self._plot_labels(levels, cmap)
        for ax in self.axes_:
            ax.set(xlim=self.xx0[0, [0, -1]], ylim=self.xx1[[0, -1], 0])
        first, second = (shorten(name, max(self._title_width, 14)) for name in self.feature_names)
        self._name_axes(xlabel=first, ylabel=second)
        if not combined:
            self._add_titles(self.label_names)
        words = ("number of labels", "expected number of labels") if combined else ("decision function", "probability")
        mixed = combined and len(self.label_names) <= MIXED_LABELS
        self.colorbar_ = None if mixed else self._add_colorbar(words[self.is_probability])
        self.legend_ = self._add_legend(handles)
        self._add_note("; ".join(filter(None, self.notes)))
        return self

    def _plot_labels(self, levels: Sequence[float], cmap: Any) -> list[Any]:
        """Draw one panel per label and return the entries of the legend."""
        levels, dots = sorted(levels), []
        low, high = (0.0, 1.0) if self.is_probability else (self.response.min(), self.response.max())
        shade = {"cmap": cmap, "vmin": low, "vmax": high, "rasterized": True}
        for j, ax in enumerate(self.axes_):
            self.surfaces_.append(ax.pcolormesh(self.xx0, self.xx1, self.response[..., j], **shade))
            self._plot_contour(ax, self.response[..., j], levels, LEVEL)
            self.cut_lines_.append(self._plot_cut(ax, j, CUT))
            dots = self._plot_points(ax, j)
        lines = [_legend_line("threshold", CUT)] if any(self.cut_lines_) else []
        if levels:
            lines.append(_legend_line("at " + ", ".join(f"{level:g}" for level in levels), LEVEL))
        return [*lines, *dots]

    def _plot_points(self, ax: Any, j: int) -> list[Any]:
        """Draw the samples with and without a label."""
        if self.points is None or self.point_labels is None:
            return []
        present, absent = (self.points[self.point_labels[:, j] == value] for value in (1, 0))
        lacking = ax.scatter(*absent.T, s=12, zorder=3, **ABSENT)
        having = ax.scatter(*present.T, s=12, zorder=3, **PRESENT)
        return [having, lacking]

    def _plot_combined(self) -> list[Any]:
        """Draw all labels in one panel and return the entries of the legend."""
        ax: Any = self.ax_
        names = [shorten(name, 22) for name in self.label_names]
        shares = self.response if self.is_probability else self.decisions
        patches = []
        if len(names) <= MIXED_LABELS:
            image = {"origin": "lower", "aspect": "auto", "interpolation": "bilinear"}
            extent = (*self.xx0[0, [0, -1]], *self.xx1[[0, -1], 0])
            self.surfaces_.append(ax.imshow(_mix(shares), extent=extent, **image))
            patches = _mixture_patches(names)
        else:
            shade = {"cmap": "Greys", "vmin": 0, "alpha": 0.5, "rasterized": True}
            self.surfaces_.append(ax.pcolormesh(self.xx0, self.xx1, shares.sum(axis=2), **shade))
        styles = [{**line_style(j), "linewidth": 1.8} for j in range(len(names))]
        self.cut_lines_ += [self._plot_cut(ax, j, style) for j, style in enumerate(styles)]
        if self.points is not None:
            ax.scatter(*self.points.T, s=8, color="0.25", linewidth=0, alpha=0.6, zorder=3)
        return [*(self._describe_line(j, names[j], style) for j, style in enumerate(styles)), *patches]

    def _plot_cut(self, ax: Any, j: int, style: dict[str, Any]) -> Any:
        if np.isnan(self.cuts[j]):
            return self._plot_contour(ax, self.decisions[..., j], [0.5], style)
        return self._plot_contour(ax, self.response[..., j], [self.cuts[j]], style)

    def _plot_contour(self, ax: Any, field: FloatArray, levels: Sequence[float], style: dict[str, Any]) -> Any:
        """Draw lines at the levels inside the range of the field; return None without any."""
        inside = [level for level in levels if field.min() < level < field.max()]
        if not inside:
            return None
        return ax.contour(self.xx0, self.xx1, field, levels=inside, **{f"{key}s": [style[key]] for key in style})

    def _add_colorbar(self, label: str) -> Any:
        return self._part.colorbar(self.surfaces_[0], ax=list(self.axes_), label=label, fraction=0.05, aspect=30)

    def _describe_line(self, j: int, name: str, style: dict[str, Any]) -> Any:
        """Return the legend entry of a label in the combined panel."""
        if self.cut_lines_[j] is not None:
            return _legend_line(f"{name}: threshold", style)
        side = "everywhere" if self.decisions[..., j].all() else "nowhere"
        return _legend_line(f"{name}: {side}", {"linestyle": ""})


def _respond_and_predict(estimator: Any, chunks: Iterable[Any], response_method: str) -> tuple[Response, FloatArray]:
    """Return responses and predicted labels of all rows of the chunks."""
    parts = [(respond(estimator, rows, response_method), predict_labels(estimator, rows)) for rows in chunks]
    values = np.concatenate([response.values for response, _ in parts])
    return Response(values, parts[0][0].is_probability), np.concatenate([predicted for _, predicted in parts])


def _choose_points(y: Any, values: FloatArray, n_labels: int) -> tuple[FloatArray | None, FloatArray | None]:
    """Return two features and the labels of at most `MAX_POINTS` samples, NaN where unknown."""
    if y is None:
        return None, None
    inputs = check_ranked_targets(y, np.zeros((len(values), n_labels)), None, name="predict(X)", of="y")
    # A random choice, because every k-th sample would follow the order of X.
    chosen = np.random.default_rng(0).permutation(len(values))[:MAX_POINTS]
    return values[chosen], np.where(inputs.known, inputs.targets, np.nan)[chosen]


def _mix(shares: FloatArray) -> FloatArray:
    """Return colours of shape (..., 3): white, from which each label subtracts the complement of its colour."""
    from matplotlib.colors import to_rgb

    colors = 1 - 0.55 * (1 - np.array([to_rgb(color) for color in COLORS[: shares.shape[-1]]]))
    return np.asarray(np.prod(1 - shares[..., np.newaxis] * (1 - colors), axis=-2))


def _mixture_patches(names: list[str]) -> list[Any]:
    """Return legend entries for the colours of all sets of labels."""
    from matplotlib.patches import Patch

    columns = range(len(names))
    return [
        Patch(
            facecolor=_mix(np.isin(columns, members).astype(np.float64)),
            edgecolor="0.5",
            label=" + ".join(names[j] for j in members) or "no label",
        )
        for size in range(len(names) + 1)
        for members in combinations(columns, size)
    ]


def _legend_line(label: str, style: dict[str, Any]) -> Any:
    """Return a legend entry for a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)
