"""The fit of an estimator on the rows of all processes of a group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sk_quadrant._callback_support import has_callbacks
from sk_quadrant._classifier import QuadrantMultiLabelClassifier
from sk_quadrant._model.module_parameter import ModuleName
from sk_quadrant._rows.parts import Chunks, Part, Schema, ShardedRows
from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.devices import resolve_device
from sk_quadrant._solvers.full_batch.shard import Shard
from sk_quadrant._solvers.full_batch.sums import ChunkShards
from sk_quadrant._targets.weights import check_known
from sk_quadrant._training.data import merge_summaries
from sk_quadrant._training.fit import fit_rows, warm_start_of, warn_after_fit
from sk_quadrant._training.parameters import check_chunk_device, reads_chunks, refuse_validation_data, solver_of
from sk_quadrant.distributed._ranks import Ranks
from sk_quadrant.distributed._sums import RankData, RankExchange, RankSums

NOT_TOGETHER = {  # parameters that cannot be used, with the reason
    "mixup_alpha": "rows would have to be mixed with those of other ranks",
    "scoring": "a scorer needs all rows that are held out in one place; early_stopping can monitor the loss",
    "callbacks": "they would look at one rank's part of training",
    "module": "the gradients of modules of the user are not summed over ranks; PyTorch's DistributedDataParallel does",
}


def fit_distributed(
    estimator: Any, X: Any, y: Any, sample_weight: Any = None, *, group: Any = None, **validation: Any
) -> Any:
    """Fit an estimator on the rows of all processes; each process calls it with its own rows.

    The result equals `QuadrantMultiLabelClassifier.fit` on the concatenated rows of rank 0, 1 and so on, up to
    rounding, on every rank. Batches of "adamw" and "sgd" have `batch_size` rows over all ranks, in the order that
    `random_state` gives to all rows. Rows are not moved; the messages of an iteration, or a step, have the size of the
    coefficients.

    Parameters
    ----------
    estimator : QuadrantMultiLabelClassifier
        The parameters of rank 0 are used, except for `device`, which each rank sets. `mixup_alpha`, `scoring` and
        `callbacks` cannot be used. With "lbfgs" an integer `batch_size` reads the rows of a rank from disk in batches.
    X : {array-like, sparse matrix} of shape (n_rows, n_features)
        Rows of this rank, possibly none; dense on all ranks or sparse on all.
    y : {array-like, sparse matrix, DataFrame} of shape (n_rows,) or (n_rows, n_labels)
        Labels of the rows, as in `QuadrantMultiLabelClassifier.fit`. A rank need not have all classes.
    sample_weight : array-like of shape (n_rows,) or (n_rows, n_labels), default=None
        Weights of rows, or of each label of each row, on all ranks or on none.
    group : torch.distributed.ProcessGroup, default=None
        Processes that take part, None for all. With the backend "gloo" rows may be on any device, with "nccl" each
        rank needs its own GPU, chosen by ``torch.cuda.set_device``.
    **validation : None
        `X_val`, `y_val`, `sample_weight_val` and `groups` of `QuadrantMultiLabelClassifier.fit` must be None:
        `early_stopping` holds out a share of the rows of all ranks, `validation_fraction`.

    Returns
    -------
    estimator : QuadrantMultiLabelClassifier
        The estimator, fitted, the same on every rank. Rank 0 prints and warns.

    Raises
    ------
    ValueError
        If there is no process group, or data or parameters are invalid; the estimator is not changed.
    RuntimeError
        If another rank has failed; the estimator is not changed.

    See Also
    --------
    sk_quadrant.dask.DaskQuadrantMultiLabelClassifier : Rows on the workers of a Dask cluster.

    Examples
    --------
    ``torchrun --nproc-per-node 2 program.py`` starts a program like this one in two processes.

    >>> import torch.distributed as dist
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.distributed import fit_distributed
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # by torchrun: only "gloo"
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> rank, n_ranks = dist.get_rank(), dist.get_world_size()
    >>> clf = fit_distributed(QuadrantMultiLabelClassifier(), X[rank::n_ranks], Y[rank::n_ranks])
    >>> clf.predict([[2.0, -1.0]])
    array([[1, 0]])
    >>> dist.destroy_process_group()
    """
    ranks = Ranks(group)
    ranks.attempt(lambda: _check(estimator, validation))
    first = ranks.share(copy(estimator))
    first.device = estimator.device
    model = copy(first)
    result = _fit(ranks, model, X, y, sample_weight)
    fitted = ranks.share(copy(model))
    vars(estimator).clear()
    vars(estimator).update(vars(fitted) | first.get_params(deep=False))
    if not ranks.rank:
        warn_after_fit(estimator, result, stacklevel=2)
    return estimator


def _check(estimator: Any, validation: Mapping[str, Any]) -> None:
    """Raise an error unless the estimator can be fitted on the rows of several processes."""
    held_out = "early_stopping holds out a share of the rows of all ranks, validation_fraction"
    refuse_validation_data("fit_distributed", validation, held_out)
    if not isinstance(estimator, QuadrantMultiLabelClassifier):
        raise TypeError(f"estimator must be a QuadrantMultiLabelClassifier, got {type(estimator).__name__}.")
    estimator._validate_params()
    for name, reason in NOT_TOGETHER.items():
        if getattr(estimator, name):
            value = ModuleName.of(estimator.module) if name == "module" else getattr(estimator, name)
            raise ValueError(f"{name} cannot be used with fit_distributed: {reason}. Got {value!r}.")
    if has_callbacks(estimator):
        raise ValueError(
            "Callbacks of set_callbacks cannot be used with fit_distributed: they would look at one rank's part of "
            "training. Remove them by set_callbacks()."
        )
    if hasattr(estimator.validation_fraction, "split"):
        raise ValueError(
            "validation_fraction must be a float for fit_distributed: a splitter needs the rows of all ranks in one "
            f"place. Got {estimator.validation_fraction!r}."
        )
    check_chunk_device(estimator)


def _fit(ranks: Ranks, model: Any, X: Any, y: Any, sample_weight: Any) -> Any:
    """Fit on the rows of all ranks, and return the result of the solver."""
    if ranks.rank:
        model.verbose = 0
    start = warm_start_of(model)
    y = y if start is None else ranks.attempt(lambda: start.encoding.align(y))
    own = ranks.attempt(lambda: OwnRows(ranks, model, X, y, sample_weight))
    everybody = ranks.gather((own.summaries, sample_weight is not None))
    if len({weighted for summaries, weighted in everybody if summaries}) > 1:
        raise ValueError("sample_weight must be passed on all ranks or on none, got it on some.")
    schema = merge_summaries(model, [summary for summaries, _ in everybody for summary in summaries])
    counts = [sum(summary.n_rows for summary in summaries) for summaries, _ in everybody]
    validate_data(model, schema.head, skip_check_array=True, reset=start is None)
    if solver_of(model).random and model.random_state is None:
        model.random_state = ranks.share(None if ranks.rank else check_random_state(None).randint(2**31 - 1))
    batch_data = partial(own.batch_data, schema, counts)
    rows = ShardedRows.of(schema, row_sums=partial(own.row_sums, schema), batch_data=batch_data)
    result = fit_rows(model, rows, start=start)
    if result.interrupted:
        raise KeyboardInterrupt  # the other ranks cannot know, so that there is no model that all of them have
    return result


class OwnRows:
    """The rows of this rank, in memory or on disk, as a part of those of all ranks.

    Parameters
    ----------
    ranks : Ranks
    model : QuadrantMultiLabelClassifier
    X, y, sample_weight
        As in `fit_distributed`.

    Attributes
    ----------
    summaries : list of Summary
        Summaries of the parts.
    """

    def __init__(self, ranks: Ranks, model: Any, X: Any, y: Any, sample_weight: Any) -> None:
        on_disk = reads_chunks(model)
        chunk_size = model.batch_size if on_disk else None
        chunks = Chunks(X, y, sample_weight, chunk_size=chunk_size, missing_labels=model.missing_labels)
        self.ranks, self.model = ranks, model
        self.parts: Iterable[Part] = chunks if on_disk else list(chunks)
        self.summaries = [part.summary for part in self.parts]

    def row_sums(self, schema: Schema, *, fit_intercept: bool) -> RankSums:
        """Return the sums over the rows of all ranks, for training on all rows at once."""

        def shards() -> Iterable[Shard]:
            device = resolve_device(self.model.device)
            if isinstance(self.parts, Chunks) and self.summaries:
                return ChunkShards(self.parts, schema, fit_intercept, device)  # reads them in every iteration
            return [Shard(self._in_memory(schema), fit_intercept=fit_intercept, device=device)]

        return RankSums(self.ranks, schema, self.ranks.attempt(shards))

    def batch_data(self, schema: Schema, counts: list[int]) -> RankData:
        """Return the rows of this rank as a part of the rows of all ranks, for training by batches."""
        rows = self.ranks.attempt(lambda: self._in_memory(schema, for_batches=True))
        check_known(*np.sum(self.ranks.gather(rows.targets.known_weight()), axis=0))
        return RankData(rows, RankExchange(self.ranks), counts)

    def _in_memory(self, schema: Schema, *, for_batches: bool = False) -> TrainingRows:
        """Return the training rows, possibly none."""
        solver, device = self.model.solver, self.model.device
        if for_batches and schema.is_sparse and resolve_device(device).type != "cpu":
            raise ValueError(
                f"device must be 'cpu' for sparse X with solver={solver!r} on several ranks, got {device!r}."
            )
        for part in self.parts:
            return schema.rows(part)
        return schema.no_rows()
