"""Panels, line styles and legends of the displays; matplotlib is imported when a display is drawn."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

AxesArray: TypeAlias = NDArray[np.object_]

# Okabe and Ito, "Color universal design", 2008, without the yellow, which is hard to see on white. Neighbours differ in
# line style as well, for readers who do not see the colours.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINESTYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v")
GREY = "0.45"
LEGEND_INCHES = 1.4


def check_matplotlib(caller: str) -> None:
    """Raise, with the command that installs it, if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{caller} requires matplotlib; `pip install sk-quadrant[plot]` brings it.") from error


def check_parts(parts: Sequence[str], allowed: Sequence[str]) -> None:
    """Raise unless `parts` is a non-empty selection of the allowed ones."""
    if not parts or set(parts) - set(allowed):
        raise ValueError(f"parts must be some of {', '.join(allowed)}, got {list(parts)}.")


def line_style(i: int) -> dict[str, Any]:
    """Return colour and line style of the i-th line of a panel."""
    return {"color": COLORS[i % len(COLORS)], "linestyle": LINESTYLES[i % len(LINESTYLES)]}


def merge_style(style: dict[str, Any], user: dict[str, Any] | None) -> dict[str, Any]:
    """Return a line style updated with the keywords of the user, aliases such as `c` for `color` included."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**style, **normalize_kwargs(user or {}, Line2D)}


def shorten(name: str, width: int) -> str:
    """Return a name on one line of at most `width` characters, cut in the middle if it is longer."""
    name = " ".join(name.split())
    if len(name) > width:
        tail = (width - 1) // 2
        name = f"{name[: width - 1 - tail]}…{name[-tail:]}"
    return name.replace("$", r"\$")  # matplotlib typesets text between two dollar signs as mathematics


@dataclass(frozen=True)
class Panels:
    """Axes of a display, row by row, and the figure around them.

    `legend_inches` is the width kept for the legend at the right; None if the axes belong to the user, who may draw
    more in the same figure.
    """

    axes: AxesArray
    figure: Figure | SubFigure
    legend_inches: float | None = None

    def add_legend(self, handles: Sequence[Any]) -> Any:
        """Draw a legend beside the panels, or inside the last one if the axes belong to the user."""
        if not handles:
            return None
        if self.legend_inches is None:
            return self.axes[-1].legend(handles=handles, loc="best", fontsize="small")
        return self.figure.legend(handles=handles, loc="outside right upper", fontsize="small", frameon=False)

    def add_titles(self, names: Sequence[str]) -> None:
        """Write a name above each panel, shortened to the width of the panel."""
        for ax, name in zip(self.axes, names, strict=True):
            ax.set_title(shorten(name, self.title_width), fontsize="medium")

    def add_note(self, *sentences: str) -> None:
        """Write above the panels what they leave out; axes of the user get no note."""
        text = "; ".join(sentence for sentence in sentences if sentence)
        if self.legend_inches is not None and text:
            inches = self.figure.bbox.width / self.figure.dpi - self.legend_inches
            lines = textwrap.fill(text, max(round(13 * inches), 20))  # 13 small letters per inch
            self.figure.suptitle(lines, x=0.01, ha="left", fontsize="small", color=GREY)

    def label_axes(self, *, xlabel: str, ylabel: str = "", brief: str = "") -> None:
        """Name the axes once for all panels; axes of the user at the left and at the lower end, there in `brief`."""
        if self.legend_inches is not None and len(self.axes) > 1:
            self.figure.supxlabel(xlabel, fontsize="medium")
            self.figure.supylabel(ylabel, fontsize="medium")
            return
        for ax in self.axes:
            place = ax.get_subplotspec()
            if place is None or not any(_is_below(place, other.get_subplotspec()) for other in self.axes):
                ax.set_xlabel((brief or xlabel) if len(self.axes) > 1 else xlabel)
            if place is None or place.is_first_col():
                ax.set_ylabel(ylabel)

    @property
    def title_width(self) -> int:
        """Number of letters that fit above a panel."""
        inches = min(ax.get_window_extent().width for ax in self.axes) / self.figure.dpi
        return max(int(11 * inches), 8)  # 11 letters of the size of titles per inch


def _is_below(place: Any, other: Any) -> bool:
    """Return whether another panel of the same grid is below this one."""
    if other is None or other.get_gridspec() is not place.get_gridspec():
        return False
    return bool(other.colspan == place.colspan and other.rowspan.start >= place.rowspan.stop)


class PanelDisplay:
    """A display that keeps the panels it was drawn on."""

    axes_: AxesArray
    ax_: Axes
    figure_: Figure | SubFigure
    legend_: Any

    def _make_panels(self, ax: Any, n_panels: int, **options: Any) -> Panels:
        """Return the panels to draw on and keep them, see `make_panels`."""
        check_matplotlib(f"{type(self).__name__}.plot")
        panels = make_panels(ax, n_panels, **options)
        self.axes_, self.ax_ = panels.axes, panels.axes[0]
        self.figure_ = panels.figure if ax is None else np.ravel(ax)[0].figure
        return panels

    def _plot_lines(
        self, curves: Mapping[str, Iterable[tuple[Any, Any]]], line_kw: dict[str, Any] | None, **style: Any
    ) -> dict[str, list[Any]]:
        """Draw the curves of each name, one per panel and in the same style, and return their lines."""
        lines = {}
        for i, (name, points) in enumerate(curves.items()):
            marker = {"marker": MARKERS[i % len(MARKERS)], "markersize": 4} if style.get("marker") else {}
            named = merge_style({**line_style(i), **style, **marker, "label": shorten(name, 24)}, line_kw)
            lines[name] = [ax.plot(x, y, **named)[0] for ax, (x, y) in zip(self.axes_, points, strict=True)]
        return lines


def make_panels(
    ax: Any,
    n_panels: int,
    *,
    n_columns: int | None = None,
    size: tuple[float, float] = (2.6, 2.3),
    legend_inches: float = LEGEND_INCHES,
    **options: Any,
) -> Panels:
    """Return panels row by row: axes of the user, a subfigure in place of a single one, or a new figure without.

    `size` is that of a panel in a new figure, in inches. `n_columns=None` makes a grid slightly wider than high.
    Further options are those of `Figure.subplots`; panels share their axes by default.
    """
    if ax is not None and (np.ndim(ax) > 0 or n_panels == 1):
        return _given_panels(np.ravel(ax), n_panels)
    n_columns = n_columns or (n_panels if n_panels <= 3 else min(math.ceil(math.sqrt(n_panels)), 5))
    n_rows = math.ceil(n_panels / n_columns)
    if ax is None:
        import matplotlib.pyplot as plt

        figsize = (size[0] * n_columns + legend_inches, size[1] * n_rows + 0.4)
        figure: Any = plt.figure(figsize=figsize, layout="constrained")
    else:
        figure = _replace_axes(ax)
    grid = {"sharex": True, "sharey": True, "gridspec_kw": _fixed_margins(figure, legend_inches), **options}
    axes = figure.subplots(n_rows, n_columns, squeeze=False, **grid).ravel()
    remove_unused(axes[max(n_panels - n_columns, 0) : n_panels], axes[n_panels:])
    return Panels(axes[:n_panels], figure, legend_inches)


def remove_unused(lowest: AxesArray, unused: AxesArray) -> None:
    """Remove unused panels and show the tick labels of the lowest panels that remain."""
    for panel in unused:
        panel.remove()
    for panel in lowest:
        panel.tick_params(labelbottom=True)


def _given_panels(axes: AxesArray, n_panels: int) -> Panels:
    if len(axes) != n_panels:
        raise ValueError(f"ax must hold one axes a panel: expected {n_panels}, got {len(axes)}.")
    return Panels(axes, axes[0].figure)


def _replace_axes(ax: Axes) -> SubFigure:
    """Return a subfigure in place of an axes."""
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError("ax must be an axes of a subplot grid to be divided into panels; or pass one axes a panel.")
    ax.set_axis_off()
    return ax.figure.add_subfigure(place, facecolor="none")


def _fixed_margins(figure: Figure | SubFigure, legend_inches: float) -> dict[str, float]:
    """Return margins and gaps of a grid in a figure without constrained layout, in fractions of its size."""
    engine: Any = figure.get_layout_engine()
    if engine is not None and not engine.adjust_compatible:
        return {}
    right = 1 - min(legend_inches * figure.dpi / figure.bbox.width, 0.5)
    return {"left": 0.14, "right": right, "bottom": 0.14, "top": 0.86, "wspace": 0.4, "hspace": 0.4}
