"""Display of losses, their gradients and their links against the score."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from sk_quadrant._arrays import FloatArray
from sk_quadrant.displays._fitted import find_attribute
from sk_quadrant.displays._panels import (
    GREY,
    PanelDisplay,
    check_choices,
    draw_line,
    is_number,
    remove_unused,
)

MOST_LABELS = 12
LOSSES_ACROSS = 4
PARTS = ("loss", "gradient", "link")
NATURAL: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "label": "natural threshold"}
BAYES: dict[str, Any] = {"color": "#CC79A7", "linestyle": (0, (3, 2)), "linewidth": 1.6, "label": "Bayes threshold"}


@dataclass(eq=False, repr=False)
class LossDisplay(PanelDisplay):
    """Losses against the score, with their gradients, links and thresholds.

    Use :meth:`from_loss` or :meth:`from_estimator` to create one. Each loss has a column of panels: the loss, its
    gradient with respect to the score, and its link, the probability of a score. Vertical lines mark the natural
    threshold, above which the loss itself treats a label as present, and the Bayes threshold, the score of probability
    1/2; dots on the link show their probabilities.

    Parameters
    ----------
    scores : ndarray of shape (n_scores,)
        Scores.

    targets : ndarray of shape (n_targets,)
        Targets in [0, 1], one curve each.

    values, gradients : ndarray of shape (n_losses, n_targets, n_scores)
        Loss and its derivative with respect to the score; NaN for a target the loss does not accept.

    probabilities : ndarray of shape (n_losses, n_scores)
        Probabilities of the scores; NaN for a loss without a link.

    thresholds, bayes_thresholds : ndarray of shape (n_losses,)
        Natural and Bayes thresholds, as scores; NaN if a loss has none.

    names : list of str of length n_losses
        Titles.

    Attributes
    ----------
    axes_ : ndarray of shape (n_parts, n_losses), dtype=matplotlib Axes
        Panels; `ax_` is the first of them, `figure_` their figure.

    lines_ : dict of {(part, name): list of matplotlib Line2D}
        Curves, in the order of the targets; one for the link.

    threshold_lines_, bayes_threshold_lines_ : list of matplotlib Line2D
        Lines at the thresholds within the range of scores.

    legend_ : matplotlib Legend
        Legend.

    See Also
    --------
    sk_quadrant.losses.Loss : Base class of losses, with links and thresholds.

    Examples
    --------
    >>> from sk_quadrant.displays import LossDisplay
    >>> display = LossDisplay.from_loss("shifted_sigmoid_bce", score_range=(-1, 1), n_points=3)
    >>> display.probabilities.round(2)  # 1 / (2 + exp(-s)) is 1/3 at the threshold 0
    array([[0.21, 0.33, 0.42]])
    """

    scores: FloatArray
    targets: FloatArray
    values: FloatArray
    gradients: FloatArray
    probabilities: FloatArray
    _: KW_ONLY
    thresholds: FloatArray
    bayes_thresholds: FloatArray
    names: list[str]

    @classmethod
    def from_estimator(cls, estimator: Any, **options: Any) -> LossDisplay:
        """Draw the loss of a fitted estimator that has a `loss_`.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, or a pipeline or search around one, whose `loss_` is a loss.

        **options : dict
            Options of :meth:`from_loss`.

        Returns
        -------
        display : LossDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no `loss_`, or an option is not allowed.
        ImportError
            If matplotlib is not installed.
        """
        loss = find_attribute(estimator, "loss_", otherwise="pass its loss to from_loss")
        return cls.from_loss(loss, **options)

    @classmethod
    def from_loss(
        cls,
        loss: Any,
        *,
        score_range: tuple[float, float] = (-5.0, 5.0),
        n_points: int = 401,
        targets: Sequence[float] = (0.0, 1.0, 0.3),
        held: Sequence[tuple[float, float]] | None = None,
        **options: Any,
    ) -> LossDisplay:
        """Draw one loss or several side by side.

        Parameters
        ----------
        loss : str, Loss, list of them or dict of {title: Loss}
            Names in `sk_quadrant.losses.LOSSES` or loss objects. A loss that has parameters for each label is drawn
            label by label, at most 12 of them.

        score_range : tuple of (float, float), default=(-5.0, 5.0)
            Lowest and highest score.

        n_points : int, default=401
            Number of scores.

        targets : sequence of float, default=(0.0, 1.0, 0.3)
            Targets in [0, 1], one curve each.

        held : sequence of (score, target), default=None
            Other labels of the sample, for a loss over label sets; they are constant while the score of one label
            varies. None holds one present and one absent label at the natural threshold. Labelwise losses ignore it.

        **options : dict
            Options of :meth:`plot`.

        Returns
        -------
        display : LossDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If a loss is unknown, or an option is not allowed.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_loss")
        named = _name_losses(loss)
        if n_points < 2 or not -math.inf < score_range[0] < score_range[1] < math.inf:
            raise ValueError(
                "score_range must be two finite numbers, the lower first, and n_points at least 2, "
                f"got {score_range} and {n_points}."
            )
        scores = np.linspace(*score_range, n_points)
        goals = np.asarray(targets, dtype=np.float64)
        if goals.ndim != 1 or goals.size == 0 or not ((goals >= 0) & (goals <= 1)).all():
            raise ValueError(f"targets must be numbers in [0, 1], got {targets}.")
        curves = np.array([[_curve(each, scores, goal, held) for goal in goals] for each in named.values()])
        display = cls(
            scores,
            goals,
            curves[:, :, 0],
            curves[:, :, 1],
            np.array([_probabilities(each, scores) for each in named.values()]),
            thresholds=np.array([each.threshold for each in named.values()], dtype=np.float64),
            bayes_thresholds=np.array([each.bayes_threshold for each in named.values()], dtype=np.float64),
            names=list(named),
        )
        return display.plot(**options)

    def plot(
        self, *, parts: Sequence[str] = PARTS, line_kw: dict[str, Any] | None = None, ax: Any = None
    ) -> LossDisplay:
        """Draw.

        Parameters
        ----------
        parts : sequence of {"loss", "gradient", "link"}, default=("loss", "gradient", "link")
            Rows of panels.

        line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.plot` for the curves.

        ax : Axes or array-like of Axes of shape (n_parts, n_losses), default=None
            Axes to draw on; several panels replace a single axes. None makes a figure.

        Returns
        -------
        display : LossDisplay
            The display itself.

        Raises
        ------
        ValueError
            If a part is unknown, or `ax` holds another number of axes.
        """
        check_choices("parts", parts, PARTS)
        self._make_columns(ax, len(parts))
        self.lines_: dict[tuple[str, str], list[Any]] = {}
        self.threshold_lines_: list[Any] = []
        self.bayes_threshold_lines_: list[Any] = []
        for part, row in zip(parts, self.axes_, strict=True):
            for name, panel, curves in zip(self.names, row, self._curves_of(part), strict=True):
                panel.set(xlim=(self.scores[0], self.scores[-1]), ylim=self._limits(part))
                self.lines_[part, name] = self._plot_curves(panel, part, curves, line_kw)
            for j, panel in enumerate(row):
                self._mark(panel, self.thresholds[j], self.threshold_lines_, NATURAL)
                self._mark(panel, self.bayes_thresholds[j], self.bayes_threshold_lines_, BAYES)
                if part == "link":
                    self._write_probabilities(panel, j)
            for panel in row[::LOSSES_ACROSS]:
                panel.set_ylabel({"link": "probability"}.get(part, part))
        for top, bottom, name in zip(self.axes_[0], self.axes_[-1], self.names, strict=True):
            top.set_title(name, fontsize="medium", parse_math=False)
            bottom.set_xlabel("score")
        curves = next((lines for (part, _), lines in self.lines_.items() if part != "link"), [])
        handles = [*curves, *self.threshold_lines_[:1], *self.bayes_threshold_lines_[:1]]
        self.legend_ = self._add_legend(handles)
        return self

    def _make_columns(self, ax: Any, n_parts: int) -> None:
        """Make panels, one column per loss; after `LOSSES_ACROSS` columns the next block of rows begins."""
        n_losses = len(self.names)
        n_columns = min(n_losses, LOSSES_ACROSS) if np.ndim(ax) == 0 else n_losses
        n_blocks = math.ceil(n_losses / n_columns)
        self._make_panels(ax, n_blocks * n_parts * n_columns, n_columns=n_columns, sharey="row")
        columns = self.axes_.reshape(n_blocks, n_parts, n_columns).swapaxes(0, 1).reshape(n_parts, -1)
        self.axes_ = columns[:, :n_losses]
        if n_blocks > 1:
            remove_unused(self.axes_[-1], columns[:, n_losses:].ravel())

    def _curves_of(self, part: str) -> FloatArray:
        """Return the curves of a part, shape (n_losses, n_curves, n_scores)."""
        return {"loss": self.values, "gradient": self.gradients}.get(part, self.probabilities[:, np.newaxis])

    def _limits(self, part: str) -> tuple[float, float]:
        """Return the ends of the y axis, shared by all losses; a loss far above the others is cut off."""
        if part == "link":
            return -0.03, 1.03
        curves = self._curves_of(part)
        tops = np.nanmax(np.abs(curves), axis=(1, 2))
        top = float(min(tops.max(), 3 * np.median(tops))) or 1.0
        return -0.03 * top if np.nanmin(curves) >= 0 else -1.05 * top, 1.05 * top

    def _plot_curves(self, ax: Any, part: str, curves: FloatArray, line_kw: Any) -> list[Any]:
        if np.isnan(curves).all():
            box = {"facecolor": "white", "edgecolor": "none"}
            ax.text(0.5, 0.5, f"no {part}", ha="center", va="center", transform=ax.transAxes, bbox=box)
            return []
        style = {"color": "black", "linestyle": "-"} if part == "link" else {}
        labels = [f"y = {target:g}" for target in self.targets]
        return [
            draw_line(ax, self.scores, curve, i, line_kw, label=labels[i], **style) for i, curve in enumerate(curves)
        ]

    def _mark(self, ax: Any, threshold: float, lines: list[Any], style: dict[str, Any]) -> None:
        if self.scores[0] <= threshold <= self.scores[-1]:
            lines.append(ax.axvline(threshold, zorder=1, **style))

    def _write_probabilities(self, ax: Any, j: int) -> None:
        """Mark the thresholds on the link and write their probabilities beside them."""
        natural, bayes = self.thresholds[j], self.bayes_thresholds[j]
        marks = [(natural, (-5, 4), "right", "bottom")]
        if not math.isclose(natural, bayes, abs_tol=1e-9):
            marks.append((bayes, (5, -4), "left", "top"))
        for threshold, offset, ha, va in marks:
            p = float(np.interp(threshold, self.scores, self.probabilities[j], left=np.nan, right=np.nan))
            if not math.isnan(p):
                ax.plot([threshold], [p], "o", color="black", markersize=4)
                place: dict[str, Any] = {"textcoords": "offset points", "ha": ha, "va": va}
                ax.annotate(f"{p:.2f}", (threshold, p), offset, fontsize="small", **place)


def _name_losses(loss: Any) -> dict[str, Any]:
    """Return the losses by title, label by label those whose parameters have one value for each label."""
    members = loss if isinstance(loss, (Mapping, Sequence)) and not isinstance(loss, str) else [loss]
    if not members:
        raise ValueError("loss must name at least one loss, got none.")
    if isinstance(members, Mapping):
        named = {str(title): _resolve(member) for title, member in members.items()}
    else:
        named = {_title(member): member for member in map(_resolve, members)}
    return {title: each for pair in named.items() for title, each in _label_by_label(*pair)}


def _label_by_label(title: str, loss: Any) -> Iterator[tuple[str, Any]]:
    """Yield a loss and its title, or those of each label for parameters with one value for each label."""
    parameters = loss.per_label_parameters() if hasattr(loss, "per_label_parameters") else {}
    if not parameters:
        yield title, loss
        return
    first, n_labels = title.splitlines()[0], len(next(iter(parameters.values())))
    if n_labels > MOST_LABELS:
        raise ValueError(f"{first} has parameters for {n_labels} labels; draw some: loss.take([0, 1]).")
    for j in range(n_labels):
        one = dataclasses.replace(loss, **{name: values[j] for name, values in parameters.items()})
        yield "\n".join([f"{first}, label {j}", *_title(one).splitlines()[1:]]), one


def _resolve(loss: Any) -> Any:
    """Return a loss given by name or as an object."""
    from sk_quadrant.losses import LOSSES

    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]()
    if not hasattr(loss, "values_and_gradient"):
        raise ValueError(f"loss must be one of {', '.join(sorted(LOSSES))} or a Loss, got {loss!r}.")
    return loss


def _title(loss: Any) -> str:
    """Return the class name of a loss and the parameters that differ from their defaults."""
    fields = dataclasses.fields(loss) if dataclasses.is_dataclass(loss) else ()
    values = {field.name: getattr(loss, field.name) for field in fields if getattr(loss, field.name) != field.default}
    changed = [f"{name}={value:g}" if is_number(value) else f"{name}={value}" for name, value in values.items()]
    return "\n".join([type(loss).__name__, *([", ".join(changed)] if changed else [])])


def _curve(loss: Any, scores: FloatArray, target: float, held: Sequence[tuple[float, float]] | None) -> FloatArray:
    """Return the loss and its gradient at each score of one label, the other labels held constant."""
    import torch

    if 0 < target < 1 and not loss.soft_targets:
        return np.full((2, len(scores)), np.nan)
    if loss.labelwise:
        held = ()
    elif held is None:
        held = ((loss.threshold, 1.0), (loss.threshold, 0.0))
    rows = torch.tensor([[score, *(score for score, _ in held)] for score in scores], dtype=torch.float64)
    goals = torch.tensor([target, *(goal for _, goal in held)], dtype=torch.float64).expand(rows.shape)
    values_and_gradient = loss.values_and_gradient(rows, goals.clone())
    return np.array([values[:, 0].numpy() for values in values_and_gradient])


def _probabilities(loss: Any, scores: FloatArray) -> FloatArray:
    """Return the probabilities of the scores; NaN without a link."""
    return np.full(len(scores), np.nan) if loss.link is None else np.asarray(loss.link.inverse(scores))
