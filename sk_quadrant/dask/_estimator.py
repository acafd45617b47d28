"""The estimator whose rows are on the workers of a Dask cluster."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from operator import attrgetter
from typing import Any

import dask
import dask.array as da
import numpy as np
from distributed import get_client
from sklearn import config_context, get_config
from sklearn.base import _fit_context
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from sk_quadrant._callback_support import FIT_CALLER, with_callbacks
from sk_quadrant._classifier import QuadrantMultiLabelClassifier, can_learn_in_parts, has_link
from sk_quadrant._rows.parts import ShardedRows, read_part
from sk_quadrant._solvers.registry import SOLVERS
from sk_quadrant._targets.accuracy import count_right, share_of_right
from sk_quadrant._training.data import merge_summaries
from sk_quadrant._training.fit import fit_rows, unchanged_on_error, warm_start_of, warn_after_fit
from sk_quadrant._training.parameters import NO_EARLY_STOPPING, refuse_validation_data
from sk_quadrant.dask._blocks import is_collection, map_rows, row_blocks


class DaskQuadrantMultiLabelClassifier(QuadrantMultiLabelClassifier):
    """`QuadrantMultiLabelClassifier` for rows on the workers of a Dask cluster.

    In each iteration of "lbfgs" the workers receive the parameters and return sums over their rows, so that the
    coefficients equal those of a fit on one machine, up to rounding. Rows are not moved; the size of messages does not
    depend on the number of rows. If a worker dies, Dask computes its blocks again if it can.

    The current client is used (``distributed.Client()`` makes one). Predictions of a Dask array or DataFrame are lazy
    arrays, with sparse blocks if `y` was sparse in `fit`; other inputs are predicted at once, as by
    `QuadrantMultiLabelClassifier`.

    Parameters
    ----------
    loss, C, fit_intercept, threshold, coef_threshold, solver, max_iter, tol, hidden_layer_sizes, activation, \
residual, batch_size, learning_rate_init, learning_rate, warmup_fraction, label_smoothing, mixup_alpha, \
class_weight, missing_labels, early_stopping, scoring, validation_fraction, n_iter_no_change, warm_start, \
random_state, device, module, param_groups, micro_batch_size, callbacks, verbose : as in QuadrantMultiLabelClassifier
        `fit` needs solver="lbfgs"; the other solvers have `partial_fit`. `device` must be "cpu".

    Attributes
    ----------
    coef_, intercept_, classes_, threshold_, loss_, n_iter_, loss_curve_, history_, n_features_in_, feature_names_in_, \
label_names_in_ : as in QuadrantMultiLabelClassifier
        Fitted attributes.

    See Also
    --------
    sk_quadrant.QuadrantMultiLabelClassifier : The estimator for rows on one machine, which `to_local` returns.
    sk_quadrant.distributed.fit_distributed : Rows in processes that ``torchrun`` has started.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sk_quadrant import make_quadrants
    >>> from sk_quadrant.dask import DaskQuadrantMultiLabelClassifier
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> with Client(processes=False, dashboard_address=None) as client:
    ...     clf = DaskQuadrantMultiLabelClassifier().fit(da.from_array(X, chunks=(150, 2)), da.from_array(Y))
    >>> clf.to_local().predict([[2.0, -1.0]])
    array([[1, 0]])
    """

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **validation: Any) -> DaskQuadrantMultiLabelClassifier:
        """Fit the model.

        Parameters
        ----------
        X : dask array or DataFrame of shape (n_samples, n_features)
            Blocks are NumPy arrays or SciPy CSR matrices. Sizes of blocks may be unknown.
        y : dask array, DataFrame or Series of shape (n_samples,) or (n_samples, n_labels)
            As in `QuadrantMultiLabelClassifier.fit`, in as many blocks as X where sizes are unknown.
        sample_weight : dask array or Series of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of each label of each row.
        **validation : None
            `X_val`, `y_val`, `sample_weight_val` and `groups` must be None: "lbfgs" does not stop early.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        TypeError
            If an argument is not a Dask collection.
        ValueError
            If data or parameters are invalid, or there is no client; the estimator is not changed.
        RuntimeError
            If rows are lost with a worker, if there is no worker for five minutes, or no answer of the scheduler for
            about half a minute; the estimator is not changed.
        """
        refuse_validation_data("fit on Dask collections", validation, "the solver 'lbfgs' does not stop early")
        task = self._fit_task(X, y, sample_weight)
        with unchanged_on_error(self):
            self._check_solver()
            start = warm_start_of(self)
            y = y if start is None else start.encoding.align(y)
            rows = self._send(X, y, sample_weight)
            validate_data(self, rows.head, skip_check_array=True, reset=start is None)
            result = fit_rows(self, rows, start=start, task=task)
        if task is not None:
            task.end()
        warn_after_fit(self, result, stacklevel=FIT_CALLER)
        return self

    def _check_solver(self):
        if not SOLVERS[self.solver].needs_sums_only:
            raise ValueError(
                f"fit needs solver='lbfgs' on Dask collections, got {self.solver!r}. Use partial_fit, which goes "
                "through the blocks in their order."
            )
        if self.device != "cpu":
            raise ValueError(f"device must be 'cpu' on Dask collections, got {self.device!r}.")

    def _send(self, X, y, sample_weight):
        """Return the rows as shards on the workers."""
        from sk_quadrant.dask._sums import DaskSums, result_of

        client = _client()
        read = dask.delayed(partial(read_part, missing_labels=self.missing_labels), pure=True)
        parts = client.compute([read(*block) for block in row_blocks(X, y, sample_weight)])
        each = partial(client.map, attrgetter("summary"), parts, pure=False)
        summaries = result_of(client, lambda: client.submit(list, each(), pure=False))
        schema = merge_summaries(self, summaries)
        kept = [part for part, summary in zip(parts, summaries, strict=True) if summary.n_rows]
        return ShardedRows.of(schema, partial(DaskSums, client, schema, kept))

    @available_if(can_learn_in_parts)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None, **validation: Any
    ) -> DaskQuadrantMultiLabelClassifier:
        """Update the model with one pass over blocks of rows, block by block in their order.

        The model is sent to the blocks; the result equals calls of `QuadrantMultiLabelClassifier.partial_fit` with each
        block.

        Parameters
        ----------
        X : dask array or DataFrame of shape (n_samples, n_features)
            Features, as in `fit`.
        y : dask array, DataFrame or Series of shape (n_samples,) or (n_samples, n_labels)
            Labels, as in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes of a 1-D `y`, needed in the first call.
        sample_weight : dask array or Series of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of each label of each row.
        **validation : None
            `X_val`, `y_val`, `sample_weight_val` and `groups` must be None: there is no early stopping.

        Returns
        -------
        self : object
            Updated estimator.

        Raises
        ------
        TypeError
            If an argument is not a Dask collection.
        ValueError
            If data or parameters are invalid, or there is no client; the estimator is not changed.
        """
        from sk_quadrant.dask._sums import result_of

        refuse_validation_data("partial_fit", validation, NO_EARLY_STOPPING)
        client, model, step = _client(), self.to_local(), dask.delayed(_partial_fit, pure=True)
        for X_block, y_block, weight in row_blocks(X, y, sample_weight):
            model = step(model, X_block, y_block, classes, weight)
        state = vars(result_of(client, lambda: client.compute(model)))
        self.__dict__.update({name: value for name, value in state.items() if name not in self.get_params(deep=False)})
        return self

    def to_local(self) -> QuadrantMultiLabelClassifier:
        """Return an estimator for data in memory, with the same parameters and fitted attributes.

        Returns
        -------
        QuadrantMultiLabelClassifier
            Fitted if this estimator is fitted.
        """
        local = QuadrantMultiLabelClassifier()
        local.__setstate__(self.__getstate__())
        return local

    def decision_function(self, X: Any) -> Any:  # the documentation of the methods that predict is inherited
        return self._by_blocks("decision_function", X)

    def predict(self, X: Any) -> Any:
        return self._by_blocks("predict", X)

    @available_if(has_link)
    def predict_proba(self, X: Any) -> Any:
        return self._by_blocks("predict_proba", X)

    @available_if(has_link)
    def predict_log_proba(self, X: Any) -> Any:
        return self._by_blocks("predict_log_proba", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        if not is_collection(X):
            return super().score(X, y, sample_weight)
        model, count = dask.delayed(self.to_local(), pure=True), dask.delayed(_count_right)
        counts = dask.compute(*[count(model, *block) for block in row_blocks(X, y, sample_weight)])
        return share_of_right(*np.sum(counts, axis=0))

    def _by_blocks(self, method, X):
        """Return predictions, lazy ones for a collection."""
        if not is_collection(X):
            return getattr(super(), method)(X)
        check_is_fitted(self)
        dtype, encoding = self.model_.dtype, self.model_.encoding
        if isinstance(X, da.Array) and X.dtype.kind == "f":
            dtype = np.result_type(dtype, X.dtype)
        shape = encoding.decision_shape if method == "decision_function" else (len(self.classes_),)
        meta = encoding.prediction_meta if method == "predict" else np.empty((0, *shape), dtype)
        predict = partial(_predict, method=method, config=get_config())  # that of a worker is its own
        return map_rows(predict, self.to_local(), X, meta=meta)


def _client():
    try:
        return get_client()
    except ValueError as error:
        raise ValueError("There is no Dask client. Make one by distributed.Client().") from error


def _predict(model, X, *, method, config):
    """Return predictions of a block, which may be empty, as a configuration of scikit-learn asks for."""
    with config_context(**config):
        if X.shape[0]:
            return getattr(model, method)(X)
        row = np.zeros((1, X.shape[1]), dtype=getattr(X, "dtype", np.float64))
        return getattr(model, method)(type(X)(row, columns=X.columns) if hasattr(X, "columns") else row)[:0]


def _partial_fit(model, X, y, classes, sample_weight):
    """Return the model after a block, which may be empty."""
    if not X.shape[0]:
        return model
    return deepcopy(model).partial_fit(X, y, classes=classes, sample_weight=sample_weight)


def _count_right(model, X, y, sample_weight):
    """Return the weight of the rows of a block that are predicted right, and of all."""
    if not X.shape[0]:
        return 0.0, 0.0
    predicted, missing_labels = model.predict(X), model.missing_labels
    return count_right(model.model_.encoding, y, predicted, sample_weight, missing_labels=missing_labels)
