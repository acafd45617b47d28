"""Panels, colours and legends of the pictures; matplotlib is imported when a picture is drawn."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sk_quadrant.displays._labels import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AxesArray: TypeAlias = NDArray[np.object_]

# Okabe and Ito, "Color universal design", 2008, without the yellow that is lost on white; neighbours differ in line
# style as well, so that no picture rests on colour alone.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINESTYLES = ("-", "--", "-.", ":")
GREY = "0.45"
LEGEND_INCHES = 1.4


def check_matplotlib(caller: str) -> None:
    """Raise with the way out where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{caller} requires matplotlib; `pip install sk-quadrant[plot]` brings it.") from error


def line_style(i: int) -> dict[str, Any]:
    """Return colour and line style of the i-th line of a panel."""
    return {"color": COLORS[i % len(COLORS)], "linestyle": LINESTYLES[i % len(LINESTYLES)]}


def merge_style(style: dict[str, Any], user: dict[str, Any] | None) -> dict[str, Any]:
    """Return the style of a line with what the user asks for in its place, `c` and `color` being the same thing."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**style, **normalize_kwargs(user or {}, Line2D)}


def legend_line(label: str, **style: Any) -> Any:
    """Return a legend entry for lines or points of a style."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)


def check_parts(parts: Sequence[str], allowed: Sequence[str]) -> None:
    """Raise unless the parts of a picture are some of those it has."""
    if not parts or set(parts) - set(allowed):
        raise ValueError(f"parts must be some of {', '.join(allowed)}, got {list(parts)}.")


@dataclass(frozen=True)
class Panels:
    """Axes of a picture and the room around them.

    Parameters
    ----------
    axes : ndarray of shape (n_panels,), dtype=matplotlib Axes
        Panels, row by row.
    figure : Figure
        Figure of the panels.
    own : bool
        Whether the figure was made for them.
    margin : float, default=0.0
        Inches at the right kept for the legend.
    divided : Axes, default=None
        The axes whose place they took.
    """

    axes: AxesArray
    figure: Figure
    own: bool = False
    margin: float = 0.0
    divided: Axes | None = None

    def add_legend(self, handles: Sequence[Any]) -> Any:
        """Return a legend beside the panels, or in the last of them where they are the user's; None without entries."""
        if not handles:
            return None
        if self.own:
            return self.figure.legend(handles=handles, loc="outside right upper", fontsize="small", frameon=False)
        if self.divided is not None:
            return self.divided.legend(
                handles=handles, loc="upper right", borderaxespad=0, fontsize="small", frameon=False
            )
        return self.axes[-1].legend(handles=handles, loc="best", fontsize="small")

    def add_titles(self, names: Sequence[str]) -> None:
        """Write a name above each panel, as much of it as there is room for."""
        for ax, name in zip(self.axes, names, strict=True):
            ax.set_title(shorten(name, self.title_width), fontsize="medium")

    def add_note(self, *sentences: str) -> None:
        """Say above a figure of our own what is not to be seen in it."""
        text = "; ".join(sentence for sentence in sentences if sentence)
        if self.own and text:
            width = round(13 * (self.figure.get_figwidth() - self.margin))  # 13 small letters an inch
            lines = textwrap.fill(text, max(width, 20))
            self.figure.suptitle(lines, x=0.01, ha="left", fontsize="small", color=GREY)

    def label_axes(self, *, xlabel: str = "", ylabel: str = "", brief: str = "") -> None:
        """Name the axes: once for a grid of our own, else at the left and at the lower end, in `brief` if given."""
        if self.own and len(self.axes) > 1:
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
        return max(int(11 * inches), 8)  # 11 letters of the size of titles an inch


def _is_below(place: Any, other: Any) -> bool:
    """Return whether another panel of the same grid is under this one."""
    if other is None or other.get_gridspec() is not place.get_gridspec():
        return False
    return bool(other.colspan == place.colspan and other.rowspan.start >= place.rowspan.stop)


def make_panels(
    ax: Any,
    n_panels: int,
    *,
    n_columns: int | None = None,
    size: tuple[float, float] = (2.6, 2.3),
    margin: float = LEGEND_INCHES,
    width_ratios: Sequence[float] | None = None,
    spacing: float = 0.4,
    sharex: bool | str = True,
    sharey: bool | str = True,
) -> Panels:
    """Return panels row by row.

    Parameters
    ----------
    ax : Axes, array-like of Axes of shape (n_panels,) or None
        One axes is divided into the panels, `spacing` of their size apart; None makes a figure of panels of `size`
        inches. A `margin` at their right is kept for the legend.
    """
    if ax is not None and np.ndim(ax) > 0:
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) != n_panels:
            raise ValueError(f"ax must hold one axes a panel: expected {n_panels}, got {len(axes)}.")
        return Panels(axes, axes[0].figure)
    if ax is not None and n_panels == 1:
        return Panels(np.array([ax], dtype=object), ax.figure)
    n_columns = n_columns or best_columns(n_panels)
    n_rows = math.ceil(n_panels / n_columns)
    if ax is None:
        import matplotlib.pyplot as plt

        figsize = (size[0] * n_columns + margin, size[1] * n_rows + 0.4)
        figure = plt.figure(figsize=figsize, layout="constrained")
        grid = figure.add_gridspec(n_rows, n_columns, width_ratios=width_ratios)
    else:
        figure, place = ax.figure, _divide(ax, margin)
        grid = place.subgridspec(n_rows, n_columns, width_ratios=width_ratios, hspace=spacing, wspace=spacing)
    axes = grid.subplots(sharex=sharex, sharey=sharey, squeeze=False).ravel()
    remove_spare(axes[max(n_panels - n_columns, 0) : n_panels], axes[n_panels:])
    return Panels(axes[:n_panels], figure, own=ax is None, margin=margin, divided=ax)


class PanelDisplay:
    """A display that keeps the panels it was drawn on."""

    axes_: AxesArray
    ax_: Axes
    figure_: Figure

    def _make_panels(self, ax: Any, n_panels: int, **options: Any) -> Panels:
        """Return panels for a drawing, see `make_panels`."""
        check_matplotlib(f"{type(self).__name__}.plot")
        panels = make_panels(ax, n_panels, **options)
        self.axes_, self.ax_, self.figure_ = panels.axes, panels.axes[0], panels.figure
        return panels


def remove_spare(lowest: AxesArray, spare: AxesArray) -> None:
    """Remove panels that show nothing and give their tick labels to the lowest that stay."""
    for panel in spare:
        panel.remove()
    for panel in lowest:
        panel.tick_params(labelbottom=True)


def best_columns(n_panels: int) -> int:
    """Return the number of columns of a grid that is a little wider than high."""
    return n_panels if n_panels <= 3 else min(math.ceil(math.sqrt(n_panels)), 5)


def _divide(ax: Axes, margin: float) -> Any:
    """Return the place of an axes, but for a margin at its right where the legend goes."""
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError("ax must be an axes of a subplot grid to be divided into panels; or pass one axes a panel.")
    ax.set_axis_off()
    inches = ax.get_window_extent().width / ax.figure.dpi
    return place.subgridspec(1, 2, width_ratios=(max(inches - margin, inches / 2), max(margin, 0.01)))[0]
