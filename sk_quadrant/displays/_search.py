"""Display of the scores of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._arrays import FloatArray
from sk_quadrant.displays._fitted import find_attribute
from sk_quadrant.displays._panels import PanelDisplay, check_choices, draw_line, is_number, shorten

LOG_RATIO = 20  # ratio of the largest to the smallest value above which an axis is logarithmic


@dataclass(eq=False, repr=False)
class SearchDisplay(PanelDisplay):
    """Cross-validated scores of the candidates of a search, against one of their parameters.

    Use :meth:`from_estimator` or :meth:`from_results` to create one, of
    :class:`~sk_quadrant.QuadrantMultiLabelClassifierCV` or of a search of scikit-learn. A second parameter has a line
    for each of its values, a third one a panel. Lines are means over splits, bands one standard deviation to both
    sides, the star is the best candidate.

    Parameters
    ----------
    scores : ndarray of shape (n_panels, n_lines, n_values, n_splits)
        Scores of each split; NaN for a combination that was not tried. Of candidates that differ only in other
        parameters the best is shown.

    names : tuple of (str, str, str)
        Names of the parameters of panels, lines and the x axis; an empty one if there is none.

    values : tuple of (list, list, list)
        Values of the parameters.

    best : tuple of (int, int, int)
        Panel, line and value of the best candidate.

    score_name : str, default="score"
        Name of the score, for the y axis.

    note : str, default=""
        Note above the panels, such as the number of labels that are not shown.

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype=matplotlib Axes
        Panels; `ax_` is the first of them, `figure_` their figure.

    lines_ : list of list of matplotlib Line2D
        Mean scores, by panel and line.

    bands_ : list of list of matplotlib FillBetweenPolyCollection
        Bands around them.

    best_ : matplotlib Line2D
        Star at the candidate with the best score, of the last iteration in a search with successive halving.

    legend_ : matplotlib Legend
        Legend.

    See Also
    --------
    sklearn.model_selection.ValidationCurveDisplay : Scores against one parameter, with those of the training part.

    Examples
    --------
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, QuadrantMultiLabelClassifierCV, make_quadrants
    >>> from sk_quadrant.displays import SearchDisplay
    >>> X, Y = make_quadrants(n_samples=100, random_state=0)
    >>> options = {"cv": 3, "thresholds": "natural", "estimator": QuadrantMultiLabelClassifier()}
    >>> search = QuadrantMultiLabelClassifierCV(["zlpr", "hinge"], [0.1, 1.0], **options).fit(X, Y)
    >>> display = SearchDisplay.from_estimator(search)
    >>> display.names, display.values
    (('', 'loss', 'C'), ([''], ['zlpr', 'hinge'], [0.1, 1.0, 'label']))
    >>> display.scores.shape  # a panel, two losses, two values of C, three splits
    (1, 2, 3, 3)
    """

    scores: FloatArray
    _: KW_ONLY
    names: tuple[str, ...]
    values: tuple[list[Any], ...]
    best: tuple[int, ...]
    score_name: str = "score"
    note: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, **options: Any) -> SearchDisplay:
        """Draw the scores of a fitted search.

        Parameters
        ----------
        estimator : estimator instance
            Fitted search with `cv_results_`, or a pipeline that ends with one.

        **options : dict
            Options of :meth:`from_results`.

        Returns
        -------
        display : SearchDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no `cv_results_`, or an option does not fit them.
        ImportError
            If matplotlib is not installed.
        """
        results = find_attribute(estimator, "cv_results_", otherwise="pass the results to from_results")
        scoring = find_attribute(estimator, "scoring")
        name = scoring if isinstance(scoring, str) else "score"
        return cls.from_results(results, **{"score_name": name, **options})

    @classmethod
    def from_results(
        cls,
        cv_results: Mapping[str, Any],
        *,
        x: str | None = None,
        lines: str | None = None,
        panels: str | None = None,
        metric: str = "score",
        score_name: str = "score",
        **options: Any,
    ) -> SearchDisplay:
        """Draw the results of a search.

        Parameters
        ----------
        cv_results : dict
            `cv_results_` of a search.

        x : str, default=None
            Parameter of the x axis, with or without the name of its step. None takes the numeric parameter with most
            values.

        lines : str, default=None
            Parameter with one line per value. None takes the next parameter with several values.

        panels : str, default=None
            Parameter with one panel per value. None takes the next parameter with several values.

        metric : str, default="score"
            Name of the score to draw, if the search has several.

        score_name : str, default="score"
            Name of the score, for the y axis.

        **options : dict
            Options of :meth:`plot`.

        Returns
        -------
        display : SearchDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are no candidates, or no parameter or score of that name.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_results")
        candidates = cv_results["params"]
        if len(candidates) == 0:
            raise ValueError("cv_results must hold at least one candidate, got none.")
        parameters = dict.fromkeys(name for params in candidates for name in params)
        given = {name: _distinct([params.get(name) for params in candidates]) for name in parameters}
        tried = {name: _in_order(values) for name, values in given.items()}
        chosen = _choose_parameters(tried, panels=panels, lines=lines, x=x)
        others = [_last(name) for name, values in tried.items() if len(values) > 1 and name not in chosen]
        given[""], tried[""] = [""] * len(candidates), [""]  # in place of a parameter
        places = list(zip(*(map(tried[name].index, given[name]) for name in chosen), strict=True))
        splits = _split_scores(cv_results, metric)
        scores = np.full((*(len(tried[name]) for name in chosen), splits.shape[1]), np.nan)
        iteration = np.asarray(cv_results.get("iter", np.zeros(len(splits))))  # of a search with successive halving
        worst_first = np.lexsort((np.nan_to_num(splits.mean(axis=1), nan=-np.inf), iteration))
        for i in worst_first:
            scores[places[i]] = splits[i]
        notes = [f"best over {', '.join(others)}"] if others else []
        notes += ["each candidate at its last iteration"] if iteration.any() else []
        rank = np.where(iteration == iteration.max(), cv_results[f"rank_test_{metric}"], np.inf)
        display = cls(
            scores,
            names=tuple(map(_last, chosen)),
            values=tuple(tried[name] for name in chosen),
            best=places[rank.argmin()],
            score_name=score_name.replace("_", " "),
            note="; ".join(notes),
        )
        return display.plot(**options)

    def plot(self, *, line_kw: dict[str, Any] | None = None, ax: Any = None) -> SearchDisplay:
        """Draw.

        Parameters
        ----------
        line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.plot` for the lines.

        ax : Axes or array-like of Axes of shape (n_panels,), default=None
            Axes to draw on; several panels replace a single axes. None makes a figure.

        Returns
        -------
        display : SearchDisplay
            The display itself.
        """
        panel_name, lines_name, x_name = self.names
        panels, line_values, x_values = self.values
        self._make_panels(ax, len(panels), size=(2.6, 2.8))
        is_numeric = all(map(is_number, x_values))
        x = np.array(x_values if is_numeric else range(len(x_values)), dtype=np.float64)
        self.lines_: list[list[Any]] = []
        self.bands_: list[list[Any]] = []
        for panel, scores in zip(self.axes_, self.scores, strict=True):
            drawn = [self._plot_line(panel, x, each, i, line_kw) for i, each in enumerate(scores)]
            self.lines_.append([line for line, _ in drawn])
            self.bands_.append([band for _, band in drawn])
            if not is_numeric:
                panel.set_xticks(x, [shorten(_word(value), 18) for value in x_values], rotation=90)
            elif x.min() > 0 and x.max() > LOG_RATIO * x.min():
                panel.set_xscale("log")
        for line, value in zip(self.lines_[0], line_values, strict=True):
            line.set_label(shorten(_word(value), 24))
        self._plot_best(x)
        if panel_name:
            self._add_titles([f"{panel_name}: {_word(value)}" for value in panels])
        self._name_axes(xlabel=x_name, ylabel=self.score_name)
        handles = self.lines_[0] if lines_name else []
        self.legend_ = self._add_legend([*handles, self.best_], title=lines_name or None)
        self._add_note(self.note)
        return self

    def _plot_line(self, ax: Any, x: FloatArray, scores: FloatArray, i: int, line_kw: Any) -> tuple[Any, Any]:
        """Draw the mean over splits, with a gap between numbers and words, and a band around it."""
        tried = np.asarray(np.isfinite(scores).all(axis=1))
        n_numbers = sum(map(is_number, self.values[2]))
        gap = [np.count_nonzero(tried[:n_numbers])] if 0 < n_numbers < len(x) else []
        statistics = (x[tried], scores[tried].mean(axis=1), scores[tried].std(axis=1))
        x, mean, deviation = (np.insert(each, gap, np.nan) for each in statistics)
        line = draw_line(ax, x, mean, i, line_kw, marker="o", markersize=4)
        style = {"color": line.get_color(), "alpha": 0.15, "linewidth": 0}
        return line, ax.fill_between(x, mean - deviation, mean + deviation, **style)

    def _plot_best(self, x: FloatArray) -> None:
        panel, line, value = self.best
        best = self.scores[self.best].mean()
        style = {"color": self.lines_[panel][line].get_color(), "markeredgecolor": "black", "markersize": 13}
        ax = self.axes_[panel]
        (self.best_,) = ax.plot(x[value], best, "*", label=f"best: {best:.3f}", zorder=4, **style)


def _distinct(values: list[Any]) -> list[Any]:
    """Return numbers and names, with the parameters that differ where values, such as two losses, share a name."""
    plain = [_plain(value) for value in values]
    if len(set(map(str, values))) <= len(set(plain)):
        return plain
    params = [value.get_params() if hasattr(value, "get_params") else {} for value in values]
    differ = {name for each in params for name in each if len({str(other.get(name)) for other in params}) > 1}
    return [
        ", ".join([str(word), *(f"{name}={_word(each[name])}" for name in each if name in differ)])
        if each
        else (word if is_number(word) else str(value))
        for value, word, each in zip(values, plain, params, strict=True)
    ]


def _in_order(values: list[Any]) -> list[Any]:
    """Return sorted numbers first, then other values in their order."""
    return sorted(dict.fromkeys(values), key=lambda value: (0, value) if is_number(value) else (1, 0))


def _choose_parameters(tried: dict[str, list[Any]], **asked: str | None) -> list[str]:
    """Return the parameters of panels, lines and x axis; empty strings if there are too few."""
    chosen = {role: _find_parameter(name, list(tried), role) for role, name in asked.items() if name is not None}
    free = [name for name, values in tried.items() if len(values) > 1 and name not in chosen.values()]
    if "x" not in chosen:
        chosen["x"] = max(free or tried, key=lambda name: sum(map(is_number, tried[name])), default="")
    rest = (name for name in free if name != chosen["x"])
    for role in ("lines", "panels"):
        chosen[role] = chosen.get(role) or next(rest, "")
    return [chosen[role] for role in ("panels", "lines", "x")]


def _find_parameter(name: str, names: list[str], role: str) -> str:
    """Return the full name of a parameter that was given with or without its step."""
    found = [each for each in names if name in (each, _last(each))]
    if len(found) != 1:
        raise ValueError(f"{role} must be one of the parameters {', '.join(names)}, got {name!r}.")
    return found[0]


def _split_scores(cv_results: Mapping[str, Any], metric: str) -> NDArray[np.float64]:
    """Return the scores of each candidate and split."""
    ranks = sorted(key for key in cv_results if key.startswith("rank_test_"))
    check_choices("metric", [metric], [key.removeprefix("rank_test_") for key in ranks])
    keys = [key for key in cv_results if key.startswith("split") and key.endswith(f"_test_{metric}")]
    return np.column_stack([np.asarray(cv_results[key], dtype=np.float64) for key in keys])


def _plain(value: Any) -> Any:
    """Return a number, or a name, that can be compared and shown."""
    if is_number(value):
        return float(value) if isinstance(value, (float, np.floating)) else value
    return value if isinstance(value, str) else str(getattr(value, "name", value))


def _word(value: Any) -> str:
    if not is_number(value):
        return str(value)
    return f"{value:g}" if float(value).is_integer() else f"{value:.3g}"


def _last(name: str) -> str:
    """Return the name of a parameter without its step."""
    return name.rpartition("__")[2]
