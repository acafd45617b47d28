"""Rows held out for validation."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._inputs.data import TrainingData


def hold_out(data: TrainingData, fraction: float, seed: int) -> tuple[TrainingData, TrainingData]:
    """Split rows into those to train on and those held out, with every label's positives in both where possible.

    Parameters
    ----------
    data : TrainingData
    fraction : float
        Share of the rows to hold out.
    seed : int

    Raises
    ------
    ValueError
        If no row would be left on one side.
    """
    n_held_out = round(fraction * len(data))
    if not 0 < n_held_out < len(data):
        raise ValueError(
            f"validation_fraction={fraction} of {len(data)} rows leaves no row to train on or none to validate on."
        )
    training, held_out = _stratify(_columns(data.presence()), fraction, seed)
    return data.subset(training, label_smoothing=data.label_smoothing), data.subset(held_out, label_smoothing=0.0)


def _columns(present: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return presence of labels as integers, with absence as a second column if there is one label only."""
    if present.shape[1] == 1:
        present = np.hstack([present, ~present])
    return present.astype(np.int8)


def _stratify(labels: NDArray[np.int8], fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about labels with fewer positives than parts
        training, held_out = next(splitter.split(np.empty((len(labels), 1)), labels))
    return np.asarray(training), np.asarray(held_out)
