"""Out-of-fold predictions, with y passed to the classifier unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import indexable
from sklearn.utils._param_validation import HasMethods, Options, StrOptions
from sklearn.utils.parallel import Parallel, delayed

from sk_quadrant._meta_estimator import FitData, Split
from sk_quadrant._namespaces import Namespace, give, in_numpy
from sk_quadrant._parameters import validate_params
from sk_quadrant._targets.any_classifier import read_for_any_classifier
from sk_quadrant._targets.responses import RESPONSE_METHODS


@validate_params(
    {
        "estimator": [HasMethods(["fit"])],
        "method": [StrOptions(set(RESPONSE_METHODS))],
        "fit_params": [dict, None],
        "n_jobs": [int, Options(object, {None})],
    },
    prefer_skip_nested_validation=False,
)
def multilabel_cross_val_predict(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = None,
    groups: Any = None,
    method: str = "predict_proba",
    fit_params: dict[str, Any] | None = None,
    n_jobs: int | None = None,
) -> NDArray[Any]:
    """Return for each row the probabilities, or scores, of a classifier that was trained on other rows.

    For all methods except `predict`, :func:`sklearn.model_selection.cross_val_predict` encodes each column of `y`
    before it calls `fit`: a label that is always present becomes always absent, and NaN becomes a class. Here `y` is
    not changed.

    Parameters
    ----------
    estimator : estimator instance
        Multi-label classifier. It is cloned for each split.
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
        Rows, as `estimator` takes them.
    y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels), or array-like of shape (n_samples,)
        Labels; probabilities for soft labels and NaN for unknown labels if `estimator` accepts them; or two classes.
    cv : int, cross-validation generator, iterable or None, default=None
        Number of folds of a :class:`MultilabelStratifiedKFold`, 5 for None; or a splitter or iterable of
        (train, test) indices.
    groups : array-like of shape (n_samples,), default=None
        Groups of rows, for `cv`.
    method : {"decision_function", "predict_proba"}, default="predict_proba"
        Method of the classifier to call.
    fit_params : dict or None, default=None
        Parameters of `fit`; those with one entry per row are split with the rows.
    n_jobs : int or None, default=None
        Number of jobs that train clones in parallel. None means 1 unless in a :obj:`joblib.parallel_backend` context,
        -1 all processors.

    Returns
    -------
    ndarray of shape (n_samples, n_labels)
        One column per label; for a 1-D `y` the column of the second class. Probabilities of classifiers that return a
        list of arrays are stacked.

    Raises
    ------
    ValueError
        If `cv` does not test each row exactly once, or `estimator` cannot be trained on some of the rows.

    See Also
    --------
    sklearn.model_selection.cross_val_predict : For ``method="predict"``.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.model_selection import multilabel_cross_val_predict
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> Y[:, 0] = 1
    >>> proba = multilabel_cross_val_predict(QuadrantMultiLabelClassifier(), X, Y)
    >>> bool((proba[:, 0] > 0.9).all())
    True
    """
    X, y = indexable(X, y)
    namespace, y = Namespace.of(X), in_numpy(y)
    y, encoding, targets = read_for_any_classifier(y, soft=True)
    data = FitData(X, y, encoding, targets, fit_params or {})
    splits = data.split(cv, {} if groups is None else {"groups": groups})
    rows = np.concatenate([split.test for split in splits])
    if not np.array_equal(np.sort(rows), np.arange(data.n_samples)):
        raise ValueError(f"cv must test each row exactly once, got {len(rows)} tests of {data.n_samples} rows by {cv}.")
    parts = Parallel(n_jobs=n_jobs)(delayed(_predict_part)(clone(estimator), data, split, method) for split in splits)
    values = np.concatenate(parts)
    result = np.empty_like(values)
    result[rows] = values
    return give(namespace, result)  # type: ignore[no-any-return]


def _predict_part(estimator: Any, data: FitData, split: Split, method: str) -> NDArray[Any]:
    return data.fit_and_respond(estimator, split, [method])[1].values
