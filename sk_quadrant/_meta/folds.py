"""Folds that spread every label, from nothing but their number."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import PredefinedSplit, check_cv
from sklearn.utils import check_random_state

IndexArray = NDArray[np.intp]


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
        return PredefinedSplit(_stratified_test_fold(_rarest_label(is_positive), float(cv), random_state))
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


def _stratified_test_fold(stratum: IndexArray, fraction: float, random_state: Any) -> IndexArray:
    """Return 0 for a random fraction of every stratum, -1 for the rows that stay in the training part."""
    n_test = int(np.ceil(fraction * stratum.size))
    if n_test == stratum.size:
        raise ValueError(f"cv={fraction} leaves no row to train on, got n_samples={stratum.size}.")
    shuffled = check_random_state(random_state).permutation(stratum.size)
    order = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    fold = np.full(stratum.size, -1)
    fold[order[(2 * np.arange(n_test) + 1) * stratum.size // (2 * n_test)]] = 0  # evenly spaced over the strata
    return fold
