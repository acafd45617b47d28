"""Display of losses and scores per epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from sk_quadrant._arrays import FloatArray
from sk_quadrant.displays._fitted import find_attribute
from sk_quadrant.displays._panels import PanelDisplay, check_choices, draw_line, is_number, shorten

# Keys of a history that are neither losses nor scores.
BOOKKEEPING = {"epoch", "dur", "batches", "lr", "learning_rate", "event_lr", "train_batch_count", "valid_batch_count"}


@dataclass(eq=False, repr=False)
class LearningHistoryDisplay(PanelDisplay):
    """Losses and scores per epoch of a fitted estimator.

    Use :meth:`from_estimator` or :meth:`from_history` to create one. Losses are in the upper panel, scores in the lower
    one; a dot marks the best epoch of a curve on validation data.

    Parameters
    ----------
    epochs : ndarray of shape (n_epochs,)
        Epoch numbers.

    losses, scores : dict of {str: ndarray of shape (n_epochs,)}
        Curves; NaN for an epoch without a value.

    step_name : str, default="epoch"
        Label of the x axis.

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype=matplotlib Axes
        Panels: losses, scores, or both; `ax_` is the first of them, `figure_` their figure.

    lines_ : dict of {str: matplotlib Line2D}
        Curves.

    best_ : dict of {str: matplotlib Line2D}
        Dots at the best epochs of the curves on validation data.

    legend_ : matplotlib Legend
        Legend.

    See Also
    --------
    sk_quadrant.QuadrantMultiLabelClassifier : Its `history_` is drawn.
    sklearn.model_selection.LearningCurveDisplay : Scores against the number of rows.

    Examples
    --------
    >>> from sk_quadrant.displays import LearningHistoryDisplay
    >>> history = [{"epoch": 1, "train_loss": 0.7, "dur": 0.1}, {"epoch": 2, "train_loss": 0.5, "valid_f1": 0.6}]
    >>> display = LearningHistoryDisplay.from_history(history)
    >>> display.losses
    {'train_loss': array([0.7, 0.5])}
    >>> display.scores
    {'valid_f1': array([nan, 0.6])}
    """

    epochs: FloatArray
    losses: dict[str, FloatArray]
    scores: dict[str, FloatArray]
    _: KW_ONLY
    step_name: str = "epoch"

    @classmethod
    def from_estimator(cls, estimator: Any, **options: Any) -> LearningHistoryDisplay:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator, or a pipeline or search around one, with a `history_` (or skorch's `history`), or with a
            `loss_curve_` and, if it stops early, `validation_scores_`, as scikit-learn's networks.

        **options : dict
            Options of :meth:`from_history`.

        Returns
        -------
        display : LearningHistoryDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no history, or an option is not allowed.
        ImportError
            If matplotlib is not installed.
        """
        history = find_attribute(estimator, "history_", "history")
        if history:
            return cls.from_history(history, **options)
        losses = find_attribute(estimator, "loss_curve_")
        if losses is None:
            raise ValueError(
                f"{type(estimator).__name__} has neither history_ nor loss_curve_; "
                "fit it, or pass the rows of a history to from_history."
            )
        curves = {"train_loss": losses, "validation_score": find_attribute(estimator, "validation_scores_")}
        curves = {name: curve for name, curve in curves.items() if curve is not None}
        epochs = zip_longest(*curves.values(), fillvalue=np.nan)
        rows = [dict(zip(curves, row, strict=True)) for row in epochs]
        return cls.from_history(rows, **{"step_name": "iteration", **options})

    @classmethod
    def from_history(
        cls,
        history: Sequence[Mapping[str, Any]],
        *,
        keys: Sequence[str] | None = None,
        step_name: str = "epoch",
        **options: Any,
    ) -> LearningHistoryDisplay:
        """Draw a history.

        Parameters
        ----------
        history : sequence of dict
            One row per epoch, such as skorch's history. A curve whose name contains "loss" or "objective" is a loss.

        keys : sequence of str, default=None
            Curves to draw. None draws all numbers except times, sizes and learning rates.

        step_name : str, default="epoch"
            Label of the x axis.

        **options : dict
            Options of :meth:`plot`.

        Returns
        -------
        display : LearningHistoryDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the history is empty or has no numbers, or has no curve of that name.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_history")
        rows = list(history)
        if not rows:
            raise ValueError("history must hold at least one epoch, got none.")
        curves = {key: np.array([row.get(key, np.nan) for row in rows], dtype=np.float64) for key in _keys(rows, keys)}
        display = cls(
            np.array([row.get("epoch", i) for i, row in enumerate(rows, start=1)], dtype=np.float64),
            {key: curve for key, curve in curves.items() if _is_loss(key)},
            {key: curve for key, curve in curves.items() if not _is_loss(key)},
            step_name=step_name,
        )
        return display.plot(**options)

    def plot(
        self, *, yscale: str = "linear", line_kw: dict[str, Any] | None = None, ax: Any = None
    ) -> LearningHistoryDisplay:
        """Draw.

        Parameters
        ----------
        yscale : {"linear", "log", ...}, default="linear"
            Scale of the losses.

        line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.plot` for the curves.

        ax : Axes or array-like of Axes of shape (n_panels,), default=None
            Axes to draw on; several panels replace a single axes. None makes a figure.

        Returns
        -------
        display : LearningHistoryDisplay
            The display itself.
        """
        parts = {name: curves for name, curves in (("loss", self.losses), ("score", self.scores)) if curves}
        self._make_panels(ax, len(parts), n_columns=1, size=(4.2, 2.2), sharey=False)
        self.lines_: dict[str, Any] = {}
        self.best_: dict[str, Any] = {}
        for panel, (part, curves) in zip(self.axes_, parts.items(), strict=True):
            for name, curve in curves.items():
                self._plot_curve(panel, name, curve, line_kw)
            panel.set_ylabel(part)
            panel.set_yscale(yscale if part == "loss" else "linear")
            panel.xaxis.get_major_locator().set_params(integer=True)
        self.axes_[-1].set_xlabel(self.step_name)
        self.legend_ = self._add_legend(list(self.lines_.values()))
        return self

    def _plot_curve(self, ax: Any, name: str, curve: FloatArray, line_kw: Any) -> None:
        marker = "o" if np.isfinite(curve).sum() == 1 else ""  # a single epoch has no line to show
        style = {"label": shorten(name.replace("_", " "), 24), "marker": marker}
        self.lines_[name] = line = draw_line(ax, self.epochs, curve, len(self.lines_), line_kw, **style)
        if name.startswith("valid") and np.isfinite(curve).any():
            best = np.nanargmin(curve) if _is_loss(name) else np.nanargmax(curve)
            (self.best_[name],) = ax.plot(
                self.epochs[[best]], curve[[best]], "o", color=line.get_color(), markersize=5, zorder=3
            )


def _keys(rows: Sequence[Mapping[str, Any]], keys: Sequence[str] | None) -> list[str]:
    """Return the curves to draw, in their order of appearance."""
    present = list(dict.fromkeys(key for row in rows for key in row))
    if keys is not None:
        check_choices("keys", keys, present)
        return list(keys)
    found = [key for key in present if key not in BOOKKEEPING and all(is_number(row.get(key, 0.0)) for row in rows)]
    if not found:
        raise ValueError(f"history must hold losses or scores, got {', '.join(present) or 'empty rows'}.")
    return found


def _is_loss(key: str) -> bool:
    return "loss" in key or "objective" in key
