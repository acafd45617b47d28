"""Stratified splitters of multi-label data, also for unknown labels, soft labels, sparse matrices and DataFrames."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from sklearn.model_selection import BaseShuffleSplit
from sklearn.model_selection._split import _BaseKFold, _validate_shuffle_split
from sklearn.utils import check_random_state

from sk_quadrant._arrays import IndexArray
from sk_quadrant._targets.encodings import read_targets
from sk_quadrant._targets.stratification import stratified_folds, stratified_parts


class _LabelSplitter:
    """Splitter of rows by their labels."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[IndexArray, IndexArray]]:
        """Yield the rows to train on and the rows to test on, for each split.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only the number of rows is used.
        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels) or (n_samples,), default=None
            Labels, NaN where unknown, probabilities for soft labels; or classes. They cannot be left out.
        groups : object, default=None
            Not used.

        Yields
        ------
        train : ndarray
            Indices of the rows to train on.
        test : ndarray
            Indices of the rows to test on.

        Raises
        ------
        ValueError
            If `y` is not passed or has another form, or there are too few rows.
        """
        if groups is not None:
            warnings.warn(
                f"The groups parameter is ignored by {type(self).__name__}. Use a splitter of groups, such as "
                "sklearn.model_selection.GroupKFold.",
                UserWarning,
                stacklevel=3,
            )
        splits: Iterator[tuple[IndexArray, IndexArray]] = super().split(X, y, groups)  # type: ignore[misc]
        yield from splits


class MultilabelStratifiedKFold(_LabelSplitter, _BaseKFold):
    """K folds that spread the positives of every label.

    Each row belongs to the stratum of the rarest of its positive labels, and every stratum is divided as evenly as its
    size allows. Unknown labels, NaN, are of no stratum; a soft label counts as positive from 0.5. For a 1-D `y` the
    strata are its classes.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to shuffle the rows of each stratum. Otherwise the folds do not depend on chance.
    random_state : int, RandomState instance or None, default=None
        Source of the order, with ``shuffle=True``.

    See Also
    --------
    sklearn.model_selection.StratifiedKFold : The same for a 1-D `y`.
    MultilabelStratifiedShuffleSplit : Random parts of any size.

    Notes
    -----
    The iterative stratification of Sechidis et al. [1]_ assigns one row at a time, to the fold that needs its rarest
    label most. Here rows are sorted by their rarest label and assigned to the folds in turn. Both divide the rarest
    labels evenly and frequent labels nearly so; here all folds have the same size, too.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.
       :doi:`10.1007/978-3-642-23808-6_10`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant.model_selection import MultilabelStratifiedKFold
    >>> Y = np.array([[1, 0], [0, 1], [1, np.nan], [0, 1], [0, 0], [0, 0]])
    >>> for train, test in MultilabelStratifiedKFold(2).split(Y, Y):
    ...     print(test, np.nansum(Y[test], axis=0))
    [0 1 4] [1. 1.]
    [2 3 5] [1. 1.]
    """

    def __init__(self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None) -> None:
        super().__init__(n_splits=n_splits, shuffle=shuffle, random_state=random_state)

    def _iter_test_masks(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Any]:
        is_positive = _read_labels(y)
        order = check_random_state(self.random_state).permutation(is_positive.shape[0]) if self.shuffle else None
        fold = stratified_folds(is_positive, self.n_splits, order)
        for k in range(self.n_splits):
            yield fold == k


class MultilabelStratifiedShuffleSplit(_LabelSplitter, BaseShuffleSplit):
    """Random splits in which both parts have their share of the positives of every label.

    Each row belongs to the stratum of the rarest of its positive labels, and both parts take rows in proportion to
    every stratum. Unknown labels, NaN, are of no stratum; a soft label counts as positive from 0.5. For a 1-D `y` the
    strata are its classes.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits.
    test_size : float or int, default=None
        Share or number of the rows to test on; None for the complement of `train_size`, 0.1 if that is None too.
    train_size : float or int, default=None
        Share or number of the rows to train on; None for the complement of `test_size`.
    random_state : int, RandomState instance or None, default=None
        Source of the splits.

    See Also
    --------
    sklearn.model_selection.StratifiedShuffleSplit : The same for a 1-D `y`.
    MultilabelStratifiedKFold : Every row is tested once.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant.model_selection import MultilabelStratifiedShuffleSplit
    >>> Y = np.zeros((100, 2))
    >>> Y[:10, 0], Y[50:, 1] = 1, np.nan
    >>> splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    >>> for train, test in splitter.split(Y, Y):
    ...     print(len(train), len(test), Y[test, 0].sum())
    80 20 2.0
    """

    def __init__(
        self, n_splits: int = 10, *, test_size: Any = None, train_size: Any = None, random_state: Any = None
    ) -> None:
        super().__init__(n_splits=n_splits, test_size=test_size, train_size=train_size, random_state=random_state)
        self._default_test_size = 0.1

    def _iter_indices(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[IndexArray, IndexArray]]:
        is_positive = _read_labels(y)
        n_train, n_test = _validate_shuffle_split(
            is_positive.shape[0], self.test_size, self.train_size, default_test_size=self._default_test_size
        )
        rng = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            train, test = stratified_parts(is_positive, n_train, n_test, rng)
            yield rng.permutation(train), rng.permutation(test)


def _read_labels(y: Any) -> Any:
    """Return which labels are known to be positive, sparse if y is."""
    if y is None:
        raise ValueError(
            "y must be passed to split, by whose labels rows are stratified, got None. scikit-learn's KFold and "
            "ShuffleSplit need no y."
        )
    _, targets = read_targets(y, missing_labels="ignore", min_classes=1)
    return targets.values >= 0.5
