"""Panels, line styles and legends of the displays; matplotlib is imported when a display is drawn."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

AxesArray: TypeAlias = NDArray[np.object_]

# Okabe and Ito, "Color universal design", 2008, without yellow, which is hard to see on white. Successive lines also
# differ in line style, for readers with colour vision deficiency.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINESTYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v")
GREY = "0.45"


def check_choices(name: str, choices: Iterable[Any], allowed: Iterable[Any]) -> None:
    """Raise a ValueError that names a parameter unless all its values are among the allowed ones."""
    for choice in choices:
        if choice not in allowed:
            raise ValueError(f"{name} must be among {', '.join(map(str, allowed))}, got {choice!r}.")


def line_style(i: int) -> dict[str, Any]:
    """Return colour and line style of the i-th line of a panel."""
    return {"color": COLORS[i % len(COLORS)], "linestyle": LINESTYLES[i % len(LINESTYLES)]}


def merge_style(style: dict[str, Any], user: dict[str, Any] | None) -> dict[str, Any]:
    """Return a line style updated with the keywords of the user, aliases such as `c` for `color` included."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**style, **normalize_kwargs(user or {}, Line2D)}


def draw_line(ax: Axes, x: Any, y: Any, i: int, line_kw: Any, **style: Any) -> Any:
    """Draw the i-th line of a panel, in its style and in that of the user, and return it."""
    (line,) = ax.plot(x, y, **merge_style({**line_style(i), **style}, line_kw))
    return line


def is_number(value: Any) -> bool:
    """Whether a value is a real number, not a boolean."""
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def shorten(name: str, width: int) -> str:
    """Return a name on one line of at most `width` characters, cut in the middle if it is longer."""
    name = " ".join(name.split())
    if len(name) > width:
        tail = (width - 1) // 2
        name = f"{name[: width - 1 - tail]}…{name[-tail:]}"
    return name.replace("$", r"\$")  # matplotlib typesets text between two dollar signs as mathematics


class PanelDisplay:
    """A display drawn on panels: axes of the user, a subfigure in place of one axes, or a new figure."""

    axes_: AxesArray
    ax_: Axes
    figure_: Figure | SubFigure
    legend_: Any
    _nothing: ClassVar[str] = "parts is empty"  # the options without panels

    @classmethod
    def _require_matplotlib(cls, method: str) -> None:
        """Raise an ImportError with the installation command if matplotlib is missing."""
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            command = "pip install sk-quadrant[plot]"
            raise ImportError(f"{cls.__name__}.{method} requires matplotlib; install it with `{command}`.") from error

    def _make_panels(
        self,
        ax: Any,
        n_panels: int,
        *,
        n_columns: int | None = None,
        size: tuple[float, float] = (2.4, 2.3),
        single: tuple[float, float] = (4.2, 3.4),
        legend_inches: float = 2.0,
        **options: Any,
    ) -> None:
        """Keep the panels to draw on, row by row.

        `size` is that of a panel in a new figure, `single` that of a single one, in inches. `n_columns=None` makes a
        grid slightly wider than high. Further options are those of `Figure.subplots`; panels share their axes by
        default.
        """
        self._require_matplotlib("plot")
        import matplotlib.pyplot as plt

        if n_panels == 0:
            raise ValueError(f"There is nothing to draw: {self._nothing}.")
        self._is_own = ax is None or (np.ndim(ax) == 0 and n_panels > 1)  # else the user may draw more in the figure
        self._legend_inches = legend_inches
        if self._is_own:
            n_columns = n_columns or (n_panels if n_panels <= 3 else min(math.ceil(math.sqrt(n_panels)), 5))
            n_rows = math.ceil(n_panels / n_columns)
            width, height = size if n_panels > 1 else single
            inches = (width * n_columns + legend_inches, height * n_rows + 0.4)
            self._part = plt.figure(figsize=inches, layout="constrained") if ax is None else _replace_axes(ax)
            margins = _fixed_margins(self._part, legend_inches)
            grid = {"sharex": True, "sharey": True, "gridspec_kw": margins, **options}
            axes = self._part.subplots(n_rows, n_columns, squeeze=False, **grid).ravel()
            remove_unused(axes[max(n_panels - n_columns, 0) : n_panels], axes[n_panels:])
            self.axes_ = axes[:n_panels]
        else:
            self.axes_ = np.ravel(ax)
            if len(self.axes_) != n_panels:
                raise ValueError(f"ax must hold one axes a panel: expected {n_panels}, got {len(self.axes_)}.")
            self._part = self.axes_[0].figure
        self.ax_ = self.axes_[0]
        self.figure_ = self._part if ax is None else np.ravel(ax)[0].figure

    def _plot_lines(
        self, curves: Mapping[str, Iterable[tuple[Any, Any]]], line_kw: Any, **style: Any
    ) -> dict[str, list[Any]]:
        """Draw the curves of each name, one per panel and in the same style, and return their lines."""
        lines = {}
        for i, (name, points) in enumerate(curves.items()):
            marker = {"marker": MARKERS[i % len(MARKERS)], "markersize": 4} if style.get("marker") else {}
            named = {**style, **marker, "label": shorten(name, 24)}
            lines[name] = [draw_line(ax, *xy, i, line_kw, **named) for ax, xy in zip(self.axes_, points, strict=True)]
        return lines

    def _add_legend(self, handles: Sequence[Any], *, title: str | None = None) -> Any:
        """Draw a legend beside the panels, or inside the last one if the axes belong to the user."""
        if not handles:
            return None
        if not self._is_own:
            return self.axes_.ravel()[-1].legend(handles=handles, title=title, loc="best", fontsize="small")
        style = {"fontsize": "small", "title_fontsize": "small", "frameon": False}
        return self._part.legend(handles=handles, title=title, loc="outside right upper", **style)

    def _add_titles(self, names: Sequence[str]) -> None:
        """Write a name above each panel, shortened to the width of the panel."""
        for ax, name in zip(self.axes_, names, strict=True):
            ax.set_title(shorten(name, self._title_width), fontsize="medium")

    def _add_note(self, text: str) -> None:
        """Write a note above the panels; axes of the user get no note."""
        if self._is_own and text:
            inches = self._part.bbox.width / self._part.dpi - self._legend_inches
            lines = textwrap.fill(text, max(round(13 * inches), 20))  # 13 small letters per inch
            self._part.suptitle(lines, x=0.01, ha="left", fontsize="small", color=GREY)

    def _name_axes(self, *, xlabel: str, ylabel: str = "", brief: str = "") -> None:
        """Name the axes once for all panels; axes of the user at the left and at the lower end, there in `brief`."""
        if self._is_own and len(self.axes_) > 1:
            self._part.supxlabel(xlabel, fontsize="medium")
            self._part.supylabel(ylabel, fontsize="medium")
            return
        places = {ax: ax.get_subplotspec() for ax in self.axes_}
        # of the panels of one column of a grid, the last one
        lowest = {(place.get_gridspec(), place.colspan.start) if place else ax: ax for ax, place in places.items()}
        for ax in lowest.values():
            ax.set_xlabel((brief or xlabel) if len(places) > 1 else xlabel)
        for ax, place in places.items():
            if place is None or place.is_first_col():
                ax.set_ylabel(ylabel)

    @property
    def _title_width(self) -> int:
        """Number of letters that fit above a panel."""
        inches = min(ax.get_window_extent().width for ax in self.axes_) / self._part.dpi
        return max(int(11 * inches), 8)  # 11 letters of the size of titles per inch


def remove_unused(lowest: AxesArray, unused: AxesArray) -> None:
    """Remove unused panels and show the tick labels of the lowest panels that remain."""
    for panel in unused:
        panel.remove()
    for panel in lowest:
        panel.tick_params(labelbottom=True)


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
