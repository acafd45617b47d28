"""Stratification by the rarest label: folds, and rows held out, that spread the positives of every label.

Each row belongs to the stratum of the rarest of its positive labels. Sorted by stratum, rows are dealt to folds one
after the other, so that any run of rows, and with it every stratum, is divided as evenly as its size allows.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import PredefinedSplit, check_cv
from sklearn.utils import check_random_state

from sk_quadrant._arrays import IndexArray


def check_label_cv(cv: Any, is_positive: Any, random_state: Any = None) -> Any:
    """Return the splitter that a meta-estimator's `cv` means.

    Parameters
    ----------
    cv : int, float, cross-validation generator, iterable or None
        A number of folds, 5 for None, or the fraction of the rows to hold out once: rows are stratified by the rarest
        of their positive labels. Anything else is as in scikit-learn.
    is_positive : {ndarray, sparse matrix} of bool of shape (n_samples, n_labels)
        Labels of the rows.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out rows if `cv` is a fraction.
    """
    if cv is None or isinstance(cv, Integral):
        return PredefinedSplit(_stratified_folds(_rarest_label(is_positive), 5 if cv is None else int(cv)))
    if isinstance(cv, Real):
        n_rows = is_positive.shape[0]
        n_test = int(np.ceil(cv * n_rows))
        if n_test == n_rows:
            raise ValueError(f"cv={cv} leaves no row to train on, got n_samples={n_rows}.")
        return PredefinedSplit(_stratified_test_fold(_rarest_label(is_positive), n_test, random_state))
    return check_cv(cv)


def _rarest_label(is_positive: Any) -> IndexArray:
    """Return for each row the rank by rarity of its rarest positive label; n_labels if it has none."""
    is_positive = sparse.csr_array(is_positive)
    n_samples, n_labels = is_positive.shape
    rank = np.empty(n_labels, dtype=np.intp)
    rank[np.argsort(is_positive.sum(axis=0), kind="stable")] = np.arange(n_labels)
    rarest = np.full(n_samples, n_labels)
    row, column = is_positive.nonzero()
    np.minimum.at(rarest, row, rank[column])
    return rarest


def _stratified_folds(stratum: IndexArray, n_splits: int) -> IndexArray:
    """Return the fold of each row, that of StratifiedKFold, which refuses strata smaller than n_splits."""
    if n_splits > stratum.size:
        raise ValueError(f"cv={n_splits} folds need at least {n_splits} rows, got n_samples={stratum.size}.")
    _, first, code = np.unique(stratum, return_index=True, return_inverse=True)
    stratum = np.argsort(np.argsort(first))[code]
    order = np.argsort(stratum, kind="stable")
    dealt = np.arange(stratum.size) % n_splits
    folds = np.empty_like(dealt)
    folds[order] = dealt[np.lexsort((dealt, stratum[order]))]  # neighbouring rows stay in one fold
    return folds


def _stratified_test_fold(stratum: IndexArray, n_test: int, random_state: Any) -> IndexArray:
    """Return 0 for random rows in proportion to every stratum, -1 for the rows that stay in the training part."""
    shuffled = check_random_state(random_state).permutation(stratum.size)
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    fold = np.full(stratum.size, -1)
    fold[order[(2 * np.arange(n_test) + 1) * stratum.size // (2 * n_test)]] = 0  # evenly spaced over the strata
    return fold


def hold_out(present: NDArray[np.bool_], fraction: float, seed: int) -> tuple[IndexArray, IndexArray]:
    """Return the rows to train on and those to validate on.

    Parameters
    ----------
    present : bool ndarray of shape (n_samples, n_labels)
    fraction : float
        Share of the rows to validate on.
    seed : int

    Raises
    ------
    ValueError
        If no row would be left on one side.
    """
    n_held_out = round(fraction * len(present))
    if not 0 < n_held_out < len(present):
        raise ValueError(
            f"validation_fraction={fraction} of {len(present)} rows leaves no row to train on or none to validate on."
        )
    fold = _stratified_test_fold(_rarest_label(present), n_held_out, seed)
    return np.flatnonzero(fold == -1), np.flatnonzero(fold == 0)
