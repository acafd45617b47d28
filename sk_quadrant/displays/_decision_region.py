"""Picture of what a classifier decides over two features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_quadrant._targets import Response
from sk_quadrant.displays._feature_grid import FeatureGrid, column_of, feature_names, make_grid
from sk_quadrant.displays._fitted import check_classifiers, find_cuts, find_label_names, predict_labels, respond
from sk_quadrant.displays._labels import Floats, check_same_shape, choose_labels, name_labels, read_labels, shorten
from sk_quadrant.displays._panels import COLORS, LEGEND_INCHES, PanelDisplay, Panels, legend_line, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIXED_LABELS = 3  # more colours than these cannot be told from their mixtures
MAX_POINTS = 400
CUT: dict[str, Any] = {"color": "black", "linestyle": "-", "linewidth": 1.4}
LEVEL: dict[str, Any] = {"color": "0.35", "linestyle": ":", "linewidth": 1.1}
PRESENT: dict[str, Any] = {"marker": "o", "facecolor": "#E69F00", "edgecolor": "black", "linewidth": 0.4}
ABSENT: dict[str, Any] = {"marker": "o", "facecolor": "white", "edgecolor": "0.3", "linewidth": 0.6}


class DecisionRegionDisplay(PanelDisplay):
    """Regions of two features in which a multi-label classifier finds its labels.

    Use :meth:`from_estimator` to create one. Either a panel a label, with the probability as shade and the cut as a
    line; or one combined picture, with a line a label and, for up to three labels, their colours mixed by probability,
    for more the expected number of labels as shade.

    Parameters
    ----------
    xx0, xx1 : ndarray of shape (resolution, resolution)
        Grid over the two features.

    response : ndarray of shape (resolution, resolution, n_labels)
        Probabilities or scores of the labels.

    decisions : ndarray of shape (resolution, resolution, n_labels)
        Predicted labels, 0 or 1.

    cuts : ndarray of shape (n_labels,)
        Responses above which labels are predicted; NaN for a label whose prediction is no matter of its own response,
        as in a chain: its line is drawn around its decisions.

    label_names : list of str of length n_labels
        Names of the labels.

    feature_names : tuple of (str, str), default=("feature 0", "feature 1")
        Names of the axes.

    is_probability : bool, default=True
        Whether the response is a probability.

    points, point_labels : ndarray of shape (n_points, 2) and (n_points, n_labels), default=None
        Samples to draw, and their labels.

    notes : sequence of str, default=()
        What the picture does not show.

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype=matplotlib Axes
        Panels, one a label; one in all if combined.

    ax_ : matplotlib Axes
        The first of them.

    figure_ : matplotlib Figure
        Figure of the panels.

    surfaces_ : list of matplotlib QuadMesh or AxesImage
        Shades of the panels.

    cut_lines_ : list of matplotlib QuadContourSet or None
        Lines at the cuts, one a label; None where a label is predicted everywhere or nowhere.

    colorbar_ : matplotlib Colorbar or None
        Colour bar of the shades.

    legend_ : matplotlib Legend or None
        Legend.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.multioutput import MultiOutputClassifier
    >>> from sk_quadrant.displays import DecisionRegionDisplay
    >>> X, y = [[1, 1], [-1, 1], [-1, -1], [1, -1]], [[1, 1], [0, 1], [0, 0], [1, 0]]
    >>> classifier = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    >>> display = DecisionRegionDisplay.from_estimator(classifier, X, grid_resolution=2)
    >>> display.decisions[0, 1]  # right and below: the first label only
    array([1., 0.])
    """

    def __init__(
        self,
        xx0: Floats,
        xx1: Floats,
        response: Floats,
        decisions: Floats,
        *,
        cuts: Floats,
        label_names: list[str],
        feature_names: tuple[str, str] = ("feature 0", "feature 1"),
        is_probability: bool = True,
        points: Floats | None = None,
        point_labels: Floats | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.xx0 = xx0
        self.xx1 = xx1
        self.response = response
        self.decisions = decisions
        self.cuts = cuts
        self.label_names = label_names
        self.feature_names = feature_names
        self.is_probability = is_probability
        self.points = points
        self.point_labels = point_labels
        self.notes = notes

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
        combined: bool = False,
        levels: Sequence[float] = (),
        cmap: Any = "Blues",
        ax: Any = None,
    ) -> DecisionRegionDisplay:
        """Draw the regions of a fitted classifier.

        Parameters
        ----------
        estimator : estimator instance
            Fitted multi-label or binary classifier.

        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Data that give the range of the two features and the values of the others.

        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels), default=None
            Labels of X. If given, samples are drawn (at random, at most 400), filled where they have
            the label. With more than two features they lie before and behind the plane of the picture.

        features : sequence of two int or str, default=(0, 1)
            Columns of X, or their names.

        held : dict of {feature: value} or array-like of shape (n_features,), default=None
            Values of the other features; those not given are at their medians, or at their most frequent value if
            they are not numbers.

        labels : sequence of int or str, default=None
            Labels to show. None shows all, or the `max_labels` whose response varies most.

        max_labels : int, default=16
            Number of labels shown when `labels` is None.

        label_names : sequence of str of length n_labels, default=None
            Names of all labels. None takes the columns of `y` or the estimator's `label_names_in_`.

        response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
            What the shade shows; "auto" is the probability where there is one.

        grid_resolution : int, default=100
            Number of points along each feature.

        combined : bool, default=False
            Whether all labels share one picture.

        levels : sequence of float, default=()
            Responses at which further lines are drawn into panels of one label.

        cmap : str or Colormap, default="Blues"
            Colour map of the shade of panels of one label.

        ax : Axes or array-like of Axes of shape (n_panels,), default=None
            Where to draw; one axes is divided. None makes a figure.

        Returns
        -------
        display : DecisionRegionDisplay
        """
        check_classifiers(f"{cls.__name__}.from_estimator", estimator)
        X = X if hasattr(X, "shape") else np.asarray(X)
        grid = make_grid(X, features, held, resolution=grid_resolution)
        response, decisions = _evaluate(estimator, grid, response_method)
        n_labels = decisions.shape[1]
        points, point_labels = _choose_points(X, y, grid.columns, n_labels)
        names = name_labels(label_names, n_labels, y=y, fitted=find_label_names(estimator))
        shown, note = choose_labels(
            labels, names, importance=np.ptp(response.values, axis=0), important="varying most", max_labels=max_labels
        )
        others = X.shape[1] - 2
        display = cls(
            grid.xx0,
            grid.xx1,
            response.values[:, shown].reshape(*grid.xx0.shape, -1),
            decisions[:, shown].reshape(*grid.xx0.shape, -1),
            cuts=find_cuts(estimator, response, decisions)[shown],
            label_names=[names[j] for j in shown],
            feature_names=(feature_names(X)[grid.columns[0]], feature_names(X)[grid.columns[1]]),
            is_probability=response.is_probability,
            points=points,
            point_labels=None if point_labels is None else point_labels[:, shown],
            notes=(note, f"{others} other feature{'s' * (others > 1)} held" if others else ""),
        )
        return display.plot(combined=combined, levels=levels, cmap=cmap, ax=ax)

    def plot(
        self, *, combined: bool = False, levels: Sequence[float] = (), cmap: Any = "Blues", ax: Any = None
    ) -> DecisionRegionDisplay:
        """Draw.

        Parameters
        ----------
        combined : bool, default=False
            Whether all labels share one picture.

        levels : sequence of float, default=()
            Responses at which further lines are drawn into panels of one label.

        cmap : str or Colormap, default="Blues"
            Colour map of the shade of panels of one label.

        ax : Axes or array-like of Axes of shape (n_panels,), default=None
            Where to draw; one axes is divided. None makes a figure.

        Returns
        -------
        display : DecisionRegionDisplay
        """
        n_panels = 1 if combined else len(self.label_names)
        size = (4.2, 3.6) if n_panels == 1 else (2.3, 2.2)
        margin = 3.0 if combined else LEGEND_INCHES if ax is not None else LEGEND_INCHES + 0.8  # 0.8 for the colour bar
        panels = self._make_panels(ax, n_panels, size=size, margin=margin)
        self.surfaces_: list[Any] = []
        self.cut_lines_: list[Any] = []
        if combined:
            self._plot_combined()
        else:
            self._plot_labels(levels, cmap)
        self._name_features(panels)
        if not combined:
            panels.add_titles(self.label_names)
        mixed = combined and len(self.label_names) <= MIXED_LABELS
        self.colorbar_ = None if mixed else self._add_colorbar(combined)
        self.legend_ = panels.add_legend(self._legend_handles(combined, mixed, levels))
        panels.add_note(*self.notes)
        return self

    def _plot_labels(self, levels: Sequence[float], cmap: Any) -> None:
        low, high = (0.0, 1.0) if self.is_probability else (self.response.min(), self.response.max())
        for j, ax in enumerate(self.axes_):
            field = self.response[..., j]
            self.surfaces_.append(
                ax.pcolormesh(self.xx0, self.xx1, field, cmap=cmap, vmin=low, vmax=high, rasterized=True)
            )
            if len(levels):
                _contour(ax, self.xx0, self.xx1, field, sorted(levels), LEVEL)
            self.cut_lines_.append(self._plot_cut(ax, j, CUT))
            if self.points is not None and self.point_labels is not None:
                for value, style in ((0, ABSENT), (1, PRESENT)):
                    chosen = self.points[self.point_labels[:, j] == value]
                    ax.scatter(chosen[:, 0], chosen[:, 1], s=12, zorder=3, **style)

    def _plot_combined(self) -> None:
        ax = self.ax_
        extent = (self.xx0[0, 0], self.xx0[0, -1], self.xx1[0, 0], self.xx1[-1, 0])
        shares = self.response if self.is_probability else self.decisions
        if len(self.label_names) <= MIXED_LABELS:
            image: Any = ax.imshow(_mix(shares), extent=extent, origin="lower", aspect="auto", interpolation="bilinear")
        else:
            image = ax.pcolormesh(
                self.xx0, self.xx1, shares.sum(axis=2), cmap="Greys", vmin=0, alpha=0.5, rasterized=True
            )
        self.surfaces_.append(image)
        for j in range(len(self.label_names)):
            self.cut_lines_.append(self._plot_cut(ax, j, {**line_style(j), "linewidth": 1.8}))
        if self.points is not None:
            ax.scatter(self.points[:, 0], self.points[:, 1], s=8, color="0.25", linewidth=0, alpha=0.6, zorder=3)

    def _plot_cut(self, ax: Axes, j: int, style: dict[str, Any]) -> Any:
        if np.isnan(self.cuts[j]):
            return _contour(ax, self.xx0, self.xx1, self.decisions[..., j], [0.5], style)
        return _contour(ax, self.xx0, self.xx1, self.response[..., j], [self.cuts[j]], style)

    def _name_features(self, panels: Panels) -> None:
        for ax in self.axes_:
            ax.set_xlim(self.xx0[0, 0], self.xx0[0, -1])
            ax.set_ylim(self.xx1[0, 0], self.xx1[-1, 0])
        first, second = (shorten(name, max(panels.title_width, 14)) for name in self.feature_names)
        panels.label_axes(xlabel=first, ylabel=second)

    def _add_colorbar(self, combined: bool) -> Any:
        name = "probability" if self.is_probability else "decision function"
        if combined:
            name = "expected number of labels" if self.is_probability else "number of labels"
        return self.figure_.colorbar(self.surfaces_[0], ax=list(self.axes_), label=name, fraction=0.05, aspect=30)

    def _legend_handles(self, combined: bool, mixed: bool, levels: Sequence[float]) -> list[Any]:
        if combined:
            return self._combined_handles(mixed)
        handles = [legend_line("threshold", **CUT)] if any(self.cut_lines_) else []
        if len(levels):
            handles.append(legend_line("at " + ", ".join(f"{level:g}" for level in sorted(levels)), **LEVEL))
        if self.point_labels is not None:
            handles += [_dot(PRESENT, "has the label"), _dot(ABSENT, "lacks the label")]
        return handles

    def _combined_handles(self, mixed: bool) -> list[Any]:
        from matplotlib.patches import Patch

        names = [shorten(name, 22) for name in self.label_names]
        handles: list[Any] = []
        for j, (name, line) in enumerate(zip(names, self.cut_lines_, strict=True)):
            if line is None:
                side = "everywhere" if self.decisions[..., j].all() else "nowhere"
                handles.append(legend_line(f"{name}: {side}", linestyle=""))
            else:
                handles.append(legend_line(f"{name}: threshold", **line_style(j), linewidth=1.8))
        if mixed:
            sets = sorted(product((1.0, 0.0), repeat=len(names)), key=sum)
            handles += [
                Patch(facecolor=_mix(np.array(members)), edgecolor="0.5", label=_name_set(members, names))
                for members in sets
            ]
        return handles


def _evaluate(estimator: Any, grid: FeatureGrid, response_method: str) -> tuple[Response, Floats]:
    """Return responses and decisions at the points of a grid, of shape (n_points, n_labels)."""
    parts = [(respond(estimator, rows, response_method), predict_labels(estimator, rows)) for rows in grid.chunks()]
    values = np.concatenate([response.values for response, _ in parts])
    return Response(values, parts[0][0].is_probability), np.concatenate([decisions for _, decisions in parts])


def _choose_points(X: Any, y: Any, columns: tuple[int, int], n_labels: int) -> tuple[Floats | None, Floats | None]:
    """Return two features and the labels of at most `MAX_POINTS` samples."""
    if y is None:
        return None, None
    labels = read_labels(y, parameter="y", missing=True)
    points = np.column_stack([column_of(X, j) for j in columns]).astype(np.float64)
    check_same_shape(y=labels, prediction=np.empty((len(points), n_labels)))
    chosen = np.random.default_rng(0).permutation(len(points))[:MAX_POINTS]  # every k-th would follow an order in X
    return points[chosen], labels[chosen]


def _contour(ax: Axes, xx0: Floats, xx1: Floats, field: Floats, levels: Sequence[float], style: dict[str, Any]) -> Any:
    """Return lines at the levels that the field crosses, None if there is none."""
    crossed = [level for level in levels if field.min() < level < field.max()]
    if not crossed:
        return None
    return ax.contour(
        xx0,
        xx1,
        field,
        levels=crossed,
        colors=style["color"],
        linestyles=[style["linestyle"]],
        linewidths=style["linewidth"],
    )


def _mix(shares: Floats) -> Floats:
    """Return colours of shape (..., 3): white from which each label takes away the complement of its colour."""
    from matplotlib.colors import to_rgb

    colors = 1 - 0.55 * (1 - np.array([to_rgb(color) for color in COLORS[: shares.shape[-1]]]))
    return np.asarray(np.prod(1 - shares[..., np.newaxis] * (1 - colors), axis=-2))


def _name_set(members: Sequence[float], names: list[str]) -> str:
    """Return the names of a set of labels."""
    return " + ".join(name for name, member in zip(names, members, strict=True) if member) or "no label"


def _dot(style: dict[str, Any], label: str) -> Any:
    """Return a legend entry for points."""
    return legend_line(
        label,
        linestyle="",
        marker=style["marker"],
        markersize=4,
        markerfacecolor=style["facecolor"],
        markeredgecolor=style["edgecolor"],
    )
