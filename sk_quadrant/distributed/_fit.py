"""The fit of an estimator on the rows of all processes of a group."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sk_quadrant._classifier import QuadrantMultiLabelClassifier
from sk_quadrant._devices import resolve_device
from sk_quadrant._inputs.data import TrainingData
from sk_quadrant._inputs.targets import Targets
from sk_quadrant._inputs.weights import check_known, known_weight
from sk_quadrant._partitioned.partitions import LocalPartitions, Partitions, Shard
from sk_quadrant._partitioned.reading import Agreement, Description, Part
from sk_quadrant._partitioned.stored import StoredPartitions, StoredRows
from sk_quadrant._training.solvers import SOLVERS
from sk_quadrant.distributed._batches import RankData, RankExchange
from sk_quadrant.distributed._ranks import Ranks
from sk_quadrant.distributed._shards import Desk, RankPartitions, lead, serve

NOT_TOGETHER = {  # parameters that cannot be followed, with the reason
    "mixup_alpha": "rows would have to be mixed with those of other ranks",
    "scoring": "a scorer needs all rows that are held out in one place; early_stopping can watch the loss",
    "callbacks": "they would look at one rank's part of training",
}


def fit_distributed(estimator: Any, X: Any, y: Any, sample_weight: Any = None, *, group: Any = None) -> Any:
    """Fit an estimator on the rows of all processes, to each of which this is called with rows of its own.

    The result is that of `QuadrantMultiLabelClassifier.fit` on the rows of rank 0, of rank 1 and so on, one after the
    other, up to rounding and however many ranks hold them; every rank has it in the end. Batches of "adamw" and "sgd"
    are of `batch_size` rows over all ranks, in the order that `random_state` gives to all rows. Rows stay where they
    are; what an iteration, or a step, sends has the size of the coefficients.

    Parameters
    ----------
    estimator : QuadrantMultiLabelClassifier
        Its parameters are those of rank 0 but for `device`, which is each rank's own. `mixup_alpha`, `scoring` and
        `callbacks` cannot be used. With "lbfgs" an integer `batch_size` reads the rows of a rank from disk in batches.
    X : {array-like, sparse matrix} of shape (n_rows, n_features)
        Rows of this rank, of which there may be none; dense on all ranks or sparse on all.
    y : {array-like, sparse matrix, DataFrame} of shape (n_rows,) or (n_rows, n_labels)
        Their labels, as in `QuadrantMultiLabelClassifier.fit`. A rank need not have all classes.
    sample_weight : array-like of shape (n_rows,) or (n_rows, n_labels), default=None
        Weights of rows, or of each label of each row, on all ranks or on none.
    group : torch.distributed.ProcessGroup, default=None
        Processes that take part, None for all. With the backend "gloo" rows may be on any device, with "nccl" each
        rank needs a GPU of its own, chosen by ``torch.cuda.set_device``.

    Returns
    -------
    estimator : QuadrantMultiLabelClassifier
        The estimator, fitted, the same on every rank. Rank 0 prints and warns.

    Raises
    ------
    ValueError
        If there is no process group, or data or parameters do not fit; the estimator stays as it was.
    RuntimeError
        If another rank has failed; the estimator stays as it was.

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
    ranks.attempt(_check, estimator)
    first = ranks.share(copy(estimator))
    first.device = estimator.device
    model = copy(first)
    outcome = _fit(ranks, model, X, y, sample_weight)
    _publish(estimator, ranks.share(copy(model)), first.get_params(deep=False))
    _warn(ranks, estimator, outcome)
    return estimator


def _check(estimator: Any) -> None:
    """Raise an error unless the estimator can be fitted on the rows of several processes."""
    if not isinstance(estimator, QuadrantMultiLabelClassifier):
        raise TypeError(f"estimator must be a QuadrantMultiLabelClassifier, got {type(estimator).__name__}.")
    estimator._validate_params()
    for name, reason in NOT_TOGETHER.items():
        if getattr(estimator, name):
            raise ValueError(f"{name} cannot be used with fit_distributed: {reason}. Got {getattr(estimator, name)!r}.")
    estimator._check_reading()


def _publish(estimator: Any, fitted: Any, parameters: dict[str, Any]) -> None:
    """Give an estimator what has been fitted, and parameters that may have been others during the fit."""
    vars(estimator).clear()
    vars(estimator).update(vars(fitted) | parameters)


def _warn(ranks: Ranks, estimator: Any, outcome: Any) -> None:
    """Warn once, of the line that called `fit_distributed`: it is as many calls away as one of `fit` would be."""
    if not ranks.rank:
        estimator._warn(outcome)


def _fit(ranks: Ranks, model: Any, X: Any, y: Any, sample_weight: Any) -> Any:
    """Fit on the rows of all ranks, and return the outcome on those that have solved."""
    if ranks.rank:
        model.verbose = 0
    again = model.warm_start and hasattr(model, "_encoding")
    rows, descriptions = ranks.attempt(_read, model, X, y, sample_weight)
    agreement, counts = _agree(ranks, model, descriptions, weighted=sample_weight is not None)
    validate_data(model, agreement.head, skip_check_array=True, reset=not again)
    model._prepare(agreement.encoding, soft=agreement.is_soft, again=again)
    solve = _by_batches if SOLVERS[model.solver].stochastic else _by_sums
    return solve(ranks, model, rows, agreement, counts, again)


def _read(model: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Iterable[Part], list[Description]]:
    """Return the parts of the rows of this rank and what they hold."""
    rows = StoredRows(X, y, sample_weight, chunk_size=1, missing_labels=model.missing_labels)
    if model._reads_batches():
        rows.chunk_size = model.batch_size
        return rows, [part.description for part in rows]
    rows.chunk_size = max(1, rows.n_rows)
    parts = list(rows)
    return parts, [part.description for part in parts]


def _agree(ranks: Ranks, model: Any, descriptions: list[Description], *, weighted: bool) -> tuple[Agreement, list[int]]:
    """Return what the rows of all ranks have in common, and how many each has."""
    everybody = ranks.gather((descriptions, weighted))
    holders = [(found, is_weighted) for found, is_weighted in everybody if found]
    if len({is_weighted for _, is_weighted in holders}) > 1:
        raise ValueError("sample_weight must be passed on all ranks or on none, got it on some.")
    agreement = model._agree([description for found, _ in holders for description in found])
    return agreement, [sum(description.n_rows for description in found) for found, _ in everybody]


def _by_sums(
    ranks: Ranks, model: Any, rows: Iterable[Part], agreement: Agreement, counts: list[int], again: bool
) -> Any:
    """Solve for all rows at once on rank 0."""
    desk = Desk(ranks, ranks.attempt(_partitions, model, rows, agreement))
    check_known(*desk.total(0, Shard.known_weight))
    if ranks.rank:
        return serve(ranks, desk)
    data = RankPartitions(desk, agreement, n_rows=sum(counts), block_rows=max(counts))
    return lead(ranks, lambda: _solve(model, data, again))


def _solve(model: Any, data: Any, again: bool) -> Any:
    """Solve, and return the outcome."""
    outcome = model._fit(data, again=again)
    if outcome.interrupted:
        raise KeyboardInterrupt  # the other ranks cannot know, so that there is no model that all of them have
    return outcome


def _partitions(model: Any, rows: Iterable[Part], agreement: Agreement) -> Partitions:
    """Return the rows of this rank as shards."""
    if isinstance(rows, StoredRows) and rows.n_rows:
        return StoredPartitions(rows, agreement)
    return LocalPartitions(
        [Shard(_data(rows, agreement), fit_intercept=model.fit_intercept, device=resolve_device(model.device))]
    )


def _by_batches(
    ranks: Ranks, model: Any, rows: Iterable[Part], agreement: Agreement, counts: list[int], again: bool
) -> Any:
    """Go through batches of the rows of all ranks, on each rank."""
    own = ranks.attempt(_data, rows, agreement)
    ranks.attempt(_check_sparse, model, agreement)
    check_known(*np.sum(ranks.gather(known_weight(own.targets)), axis=0))
    if model.random_state is None:
        model.random_state = ranks.share(None if ranks.rank else check_random_state(None).randint(2**31 - 1))
    data = RankData(own.X, own.targets, RankExchange(ranks), counts, label_smoothing=own.label_smoothing)
    return _solve(model, data, again)


def _check_sparse(model: Any, agreement: Agreement) -> None:
    if agreement.is_sparse and resolve_device(model.device).type != "cpu":
        raise ValueError(
            f"device must be 'cpu' for sparse X with solver={model.solver!r} on several ranks, got {model.device!r}."
        )


def _data(parts: Iterable[Part], agreement: Agreement) -> TrainingData:
    """Return the rows of this rank as they are trained on; there may be none."""
    for part in parts:
        return agreement.data(part)
    shape = 0, agreement.head.shape[1]
    X = sparse.csr_matrix(shape, dtype=agreement.dtype) if agreement.is_sparse else np.empty(shape, agreement.dtype)
    targets = Targets(np.empty((0, agreement.encoding.n_labels), dtype=np.uint8))
    return TrainingData(X, targets, label_smoothing=agreement.label_smoothing)
