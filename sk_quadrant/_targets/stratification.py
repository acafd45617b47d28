"""Stratification by the rarest label: folds, and rows held out, that spread the positives of every label.

Each row belongs to the stratum of the rarest of its positive labels. Rows sorted by stratum are assigned to the folds
in turn, so that every stratum is divided as evenly as its size allows: this fixes how many rows of a stratum each fold
takes. Which rows it takes follows the iterative stratification of Sechidis et al. (2011),
:doi:`10.1007/978-3-642-23808-6_10`: a row goes to the fold that needs its next rarest label most.
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
    """Return the splitter for the parameter `cv` of a meta-estimator.

    Parameters
    ----------
    cv : int, float, cross-validation generator, iterable or None
        Number of folds, 5 for None, or fraction of the rows for a single split: rows are stratified by the rarest of
        their positive labels. Otherwise a splitter or an iterable, as in scikit-learn.
    is_positive : {ndarray, sparse matrix} of bool of shape (n_samples, n_labels)
        Labels of the rows.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out rows if `cv` is a fraction.
    """
    if cv is None or isinstance(cv, Integral):
        return PredefinedSplit(stratified_folds(is_positive, 5 if cv is None else int(cv)))
    if isinstance(cv, Real):
        n_rows = is_positive.shape[0]
        n_test = int(np.ceil(cv * n_rows))
        if n_test == n_rows:
            raise ValueError(f"cv={cv} leaves no row to train on, got n_samples={n_rows}.")
        _, test = stratified_parts(is_positive, n_rows - n_test, n_test, random_state)
        fold = np.full(n_rows, -1)
        fold[test] = 0
        return PredefinedSplit(fold)
    return check_cv(cv)


def stratified_folds(is_positive: Any, n_splits: int, order: IndexArray | None = None) -> IndexArray:
    """Return the fold of each row; for a single label the folds of StratifiedKFold, also for small strata.

    Parameters
    ----------
    is_positive : {ndarray, sparse matrix} of bool of shape (n_samples, n_labels)
    n_splits : int
    order : ndarray of shape (n_samples,) or None, default=None
        Order in which rows are taken, None for that of the data.

    Raises
    ------
    ValueError
        If there are fewer rows than folds.
    """
    n_rows = is_positive.shape[0]
    if n_splits > n_rows:
        raise ValueError(f"cv={n_splits} folds need at least {n_splits} rows, got n_samples={n_rows}.")
    return _divide(is_positive, np.arange(n_rows) % n_splits, np.arange(n_rows) if order is None else order)


def stratified_parts(is_positive: Any, n_train: int, n_test: int, random_state: Any) -> tuple[IndexArray, IndexArray]:
    """Return random rows to train on and others to test on, both in proportion to every stratum.

    Parameters
    ----------
    is_positive : {ndarray, sparse matrix} of bool of shape (n_samples, n_labels)
    n_train, n_test : int
        Rows of each part, together at most n_samples.
    random_state : int, RandomState instance or None
    """
    n_rows = is_positive.shape[0]
    # 0 for training, 1 for test, 2 for neither; places are those of rows sorted by stratum
    part_of_place = np.full(n_rows, 2)
    part_of_place[_evenly_spaced(np.arange(n_rows), n_test)] = 1
    part_of_place[_evenly_spaced(np.flatnonzero(part_of_place == 2), n_train)] = 0
    part = _divide(is_positive, part_of_place, check_random_state(random_state).permutation(n_rows))
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1)


def hold_out(present: NDArray[np.bool_], fraction: float, seed: int) -> tuple[IndexArray, IndexArray]:
    """Return the rows to train on and those to validate on.

    Parameters
    ----------
    present : bool ndarray of shape (n_samples, n_labels)
    fraction : float
        Fraction of the rows to validate on.
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
    return stratified_parts(present, len(present) - n_held_out, n_held_out, seed)


def _evenly_spaced(places: IndexArray, n: int) -> IndexArray:
    """Return n of some places, evenly spaced."""
    # the middles of n equal intervals
    return places[(2 * np.arange(n) + 1) * places.size // (2 * n)]


def _divide(is_positive: Any, part_of_place: IndexArray, order: IndexArray) -> IndexArray:
    """Return the part of each row.

    Parameters
    ----------
    is_positive : {ndarray, sparse matrix} of bool of shape (n_samples, n_labels)
    part_of_place : ndarray of shape (n_samples,)
        Part of each place where rows are sorted by stratum, which fixes how many rows of a stratum each part takes.
    order : ndarray of shape (n_samples,)
        Order in which rows are taken.
    """
    labels, counts = _labels_by_rarity(is_positive)
    rarest, second = _nth_label(labels, 0), _nth_label(labels, 1)
    quotas = _quotas(rarest[order], part_of_place, labels.shape[1] + 1)
    # positives of each label that a part still needs, divided by its rows, and the change by one more row
    lack = np.repeat(counts[:, None] / len(order), quotas.shape[1], axis=1).tolist()
    step = (1 / np.maximum(quotas.sum(axis=0), 1)).tolist()
    rows = order[np.lexsort((second[order], rarest[order]))]
    part = np.empty_like(order)
    for stratum in np.split(rows, np.flatnonzero(np.diff(rarest[rows])) + 1):
        n_several = int(np.searchsorted(second[stratum], labels.shape[1]))  # rows without a second label are the last
        quota = quotas[rarest[stratum[0]]].tolist()
        for i in stratum[:n_several]:
            others = labels.indices[labels.indptr[i] + 1 : labels.indptr[i + 1]].tolist()
            part[i] = _take_part(others, quota, lack, step)
        part[stratum[n_several:]] = np.repeat(np.arange(len(quota)), quota)  # neighbouring rows stay in one fold
    return part


def _labels_by_rarity(is_positive: Any) -> tuple[Any, NDArray[Any]]:
    """Return the labels as a CSR array, columns sorted from the rarest to the most frequent, and their counts."""
    is_positive = sparse.csc_array(is_positive)
    counts = is_positive.sum(axis=0)
    by_rarity = np.argsort(counts, kind="stable")
    labels = is_positive[:, by_rarity].tocsr()
    labels.eliminate_zeros()
    return labels, counts[by_rarity]


def _nth_label(labels: Any, n: int) -> IndexArray:
    """Return the n-th label of each row, n_labels if it has fewer."""
    label = np.full(labels.shape[0], labels.shape[1])
    has = np.diff(labels.indptr) > n
    label[has] = labels.indices[labels.indptr[:-1][has] + n]
    return label


def _quotas(stratum: IndexArray, part_of_place: IndexArray, n_strata: int) -> IndexArray:
    """Return how many rows of each stratum each part takes; strata have their places in the order of appearance."""
    values, first, sizes = np.unique(stratum, return_index=True, return_counts=True)
    # as in StratifiedKFold, which counts the rows of a class in each fold over the sorted classes
    by_appearance = np.argsort(first)
    quotas = np.zeros((n_strata, part_of_place.max() + 1), dtype=np.intp)
    np.add.at(quotas, (np.repeat(values[by_appearance], sizes[by_appearance]), part_of_place), 1)
    return quotas


def _take_part(labels: list[int], quota: list[int], lack: list[list[float]], step: list[float]) -> int:
    """Return the part, among those with places left, that needs the other labels of a row most; take a place."""
    deciding = labels[:3]  # the second and third only break ties
    part = max((k for k, left in enumerate(quota) if left), key=lambda k: [lack[label][k] for label in deciding])
    quota[part] -= 1
    for label in labels:
        # lack = n_l / n - (positives of label l in the part) / (rows of the part)
        lack[label][part] -= step[part]
    return part
