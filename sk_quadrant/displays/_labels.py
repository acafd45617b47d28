"""Labels of a display: their values beside those of classifiers, their names, and the ones to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite

from sk_quadrant._arrays import FloatArray, IndexArray
from sk_quadrant._targets.scored import ScoredTargets, check_ranked_targets

Entries: TypeAlias = tuple[IndexArray, FloatArray, FloatArray]  # labels, scores and weights


@dataclass(frozen=True)
class ScoredLabels:
    """Labels and scores to draw.

    Attributes
    ----------
    inputs : dict of {str: ScoredTargets}
        Labels, scores and weights by name of the classifier.
    names : list of str of length n_labels
        Names of all labels.
    shown : ndarray of shape (n_shown,)
        Columns of the labels that have a panel.
    note : str
        Note on how they were chosen, for the figure.
    """

    inputs: dict[str, ScoredTargets]
    names: list[str]
    shown: IndexArray
    note: str

    @property
    def shown_names(self) -> list[str]:
        """Names of the labels that have a panel."""
        return [self.names[j] for j in self.shown]


def read_scored_labels(
    y_true: Any,
    y_score: Any,
    sample_weight: Any = None,
    *,
    parameter: str = "y_score",
    label_names: Sequence[Any] | None,
    **choice: Any,
) -> ScoredLabels:
    """Return checked labels and scores, of one classifier or of a dict of them; `choice` as in `choose_labels`."""
    named = y_score if isinstance(y_score, Mapping) else {"classifier": y_score}
    inputs = {
        str(name): check_ranked_targets(y_true, each, sample_weight, name=parameter) for name, each in named.items()
    }
    if not inputs:
        raise ValueError(f"There is nothing to draw: {parameter} is an empty dict.")
    for each in inputs.values():
        assert_all_finite(each.scores, input_name=parameter)
    names = name_labels(label_names, each.n_labels, y=y_true)
    frequency = each.targets.mean(axis=0)
    shown, note = choose_labels(names, frequency, "most frequent", **choice)
    return ScoredLabels(inputs, names, shown, note)


def known_entries(inputs: ScoredTargets, selections: Iterable[Any]) -> list[Entries]:
    """Return labels, scores and weights of the known entries in each selection of columns, as vectors."""
    weight = inputs.weight
    columns = [(inputs.targets[:, j], inputs.scores[:, j], weight[:, j]) for j in selections]
    return [(y[w > 0].astype(np.intp), s[w > 0], w[w > 0]) for y, s, w in columns]


def name_labels(label_names: Sequence[Any] | None, n_labels: int, *, y: Any = None, word: str = "label") -> list[str]:
    """Return the given names, the columns of y, or numbered names; of features with another `word`."""
    names = getattr(y, "columns", None) if label_names is None else label_names
    if names is None:
        return [f"{word} {j}" for j in range(n_labels)]
    if len(names) != n_labels:
        raise ValueError(f"label_names must hold one name a label: expected {n_labels}, got {len(names)}.")
    return [str(name) for name in names]


def choose_labels(
    names: list[str],
    importance: NDArray[Any],
    important: str,
    *,
    labels: Any,
    max_labels: float,
    may_be_empty: bool = False,
) -> tuple[IndexArray, str]:
    """Return the columns to show and a note on how they were chosen.

    They are the requested `labels`, else all labels, else the `max_labels` with the highest `importance`, which the
    note describes as the most `important`.
    """
    if max_labels < 1:
        raise ValueError(f"max_labels must be at least 1, got {max_labels}.")
    if labels is not None:
        if len(labels) == 0 and not may_be_empty:
            raise ValueError("labels must hold at least one name or column, got none.")
        columns = [find_column(label, names, parameter="labels") for label in labels]
        return np.array(columns, dtype=np.intp), ""
    if len(names) <= max_labels:
        return np.arange(len(names)), ""
    note = f"{max_labels} of {len(names)} labels: {important}"
    return np.argsort(-importance, kind="stable")[: int(max_labels)], note


def find_column(member: Any, names: list[str], *, parameter: str) -> int:
    """Return the column of a label or a feature given by its name or its number."""
    if isinstance(member, str) and member in names:
        return names.index(member)
    if not isinstance(member, str) and 0 <= member < len(names):
        return int(member)
    raise ValueError(f"{parameter} must be names or columns between 0 and {len(names) - 1}, got {member!r}.")
