"""Training of the estimator: from its parameters and rows to its fitted attributes.

One procedure for rows in memory, on disk, on a Dask cluster and under ``torchrun``. It reads only public parameters and
sets only public attributes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from itertools import pairwise
from math import prod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import InvalidParameterError

from sk_quadrant._callback_support import FitTask
from sk_quadrant._model.fitted import ROWS_AT_ONCE, Architecture, FittedModel, ModuleModel
from sk_quadrant._model.module_parameter import ModuleName
from sk_quadrant._solvers.base import PARAMETERS, FitResult, Problem, Solver
from sk_quadrant._solvers.registry import SOLVERS, check_solver_can
from sk_quadrant._targets.label_names import listed
from sk_quadrant._targets.label_values import read_label_values
from sk_quadrant.losses import LOSSES, Loss

if TYPE_CHECKING:
    from sk_quadrant._rows.parts import Schema, ShardedRows, Summary
    from sk_quadrant._rows.training import TrainingRows
    from sk_quadrant._rows.validation import Division
    from sk_quadrant._targets.encodings import Encoding
    from sk_quadrant._validation_score import ValidationScore

WHOLE_FIT_ONLY = {  # parameters that partial_fit cannot follow, with the reason
    "early_stopping": "there is no second call in which to train on the rows held out",
    "learning_rate": "the number of steps is not known in advance",
    "warmup_fraction": "the number of steps is not known in advance",
}

VALIDATION_DATA = ("X_val", "y_val", "sample_weight_val", "groups")  # parameters of fit
NO_EARLY_STOPPING = "it makes one pass over the rows and does not stop early. Use fit"

NEUTRAL: dict[str, Any] = {  # parameters that not all solvers and models have, with the values of no effect
    "hidden_layer_sizes": (), "activation": "relu", "residual": False, "fit_intercept": True, "mixup_alpha": 0.0,
    "coef_threshold": 0.0, "learning_rate": "constant", "warmup_fraction": 0.0, "early_stopping": False,
}  # fmt: skip
NOT_WITH_MODULE = ("hidden_layer_sizes", "activation", "residual", "fit_intercept", "mixup_alpha")
ONLY_WITH_MODULE = ("param_groups", "micro_batch_size")


def resolve_loss(loss: Any) -> Loss:
    """Return the loss object of a name or a loss."""
    return LOSSES[loss]() if isinstance(loss, str) else loss


def check_loss(estimator: Any) -> None:
    """Raise an InvalidParameterError for an unknown loss, with all names and the most similar one."""
    loss = estimator.loss
    if isinstance(loss, Loss) or (isinstance(loss, str) and loss in LOSSES):
        return
    meant = ""
    if isinstance(loss, type) and issubclass(loss, Loss):
        meant = f" Pass an object: {loss.__name__}()."
    elif isinstance(loss, str) and loss:
        near = [name for name in LOSSES if loss.lower() in name] or get_close_matches(loss.lower(), LOSSES, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
    raise InvalidParameterError(
        f"The 'loss' parameter of {type(estimator).__name__} must be a str among {sorted(LOSSES)} or an object of "
        f"sk_quadrant.losses. Got {loss!r} instead.{meant}"
    )


def solver_of(estimator: Any) -> Solver:
    """Return the solver of an estimator."""
    return SOLVERS[estimator.solver]


def find_tol(estimator: Any) -> float:
    """Return the tolerance of an estimator, that of its solver for "auto"."""
    return solver_of(estimator).default_tol if estimator.tol == "auto" else float(estimator.tol)


def warm_start_of(estimator: Any) -> FittedModel | None:
    """Return the model from which `fit` starts, None for a new start."""
    return getattr(estimator, "model_", None) if estimator.warm_start else None


def reads_chunks(estimator: Any) -> bool:
    """Whether rows are read from disk each time they are needed."""
    return solver_of(estimator).needs_sums_only and estimator.batch_size != "auto" and estimator.module is None


def check_chunk_device(estimator: Any) -> None:
    """Raise a ValueError if chunks of rows are to be read for a device other than the CPU."""
    from sk_quadrant._solvers.devices import resolve_device

    if reads_chunks(estimator) and resolve_device(estimator.device).type != "cpu":
        raise ValueError(
            f"device must be 'cpu' for rows that solver={estimator.solver!r} reads in batches, got "
            f"{estimator.device!r}. Use batch_size='auto', or a solver that goes through batches."
        )


def check_takes_tensors(estimator: Any) -> None:
    """Refuse parameters that need an `X` of NumPy or SciPy."""
    own = {"coef_threshold": estimator.coef_threshold != 0, "batch_size": reads_chunks(estimator)}
    for name in (name for name, is_set in own.items() if is_set):
        raise ValueError(
            f"{name}={getattr(estimator, name)!r} with solver={estimator.solver!r} needs X of NumPy or SciPy, got an "
            f"array of another library. Leave the default of {name}, or move X to NumPy."
        )


def merge_summaries(estimator: Any, summaries: list[Summary]) -> Schema:
    """Return the schema of all parts of the rows, with the class weights of an estimator."""
    from sk_quadrant._rows.parts import Schema

    return Schema.merge(summaries, class_weight=estimator.class_weight, label_smoothing=estimator.label_smoothing)


def chunked_rows(estimator: Any, X: Any, y: Any, sample_weight: Any) -> ShardedRows:
    """Return rows of which `batch_size` are read at a time, each time the solver needs a sum over them."""
    from sk_quadrant._rows.parts import Chunks, ShardedRows
    from sk_quadrant._solvers.full_batch.sums import chunk_sums

    check_chunk_device(estimator)
    chunks = Chunks(X, y, sample_weight, chunk_size=estimator.batch_size, missing_labels=estimator.missing_labels)
    schema = merge_summaries(estimator, [part.summary for part in chunks])
    return ShardedRows.of(schema, partial(chunk_sums, chunks, schema))


def fit_rows(
    estimator: Any,
    rows: TrainingRows | ShardedRows,
    *,
    start: FittedModel | None = None,
    score: ValidationScore | None = None,
    validation: TrainingRows | Division | None = None,
    task: FitTask | None = None,
) -> FitResult:
    """Fit an estimator to rows, set its fitted attributes, and return the result of the solver.

    Parameters
    ----------
    estimator : QuadrantMultiLabelClassifier
    rows : TrainingRows or ShardedRows
    start : FittedModel or None, default=None
        Model to start from.
    score : ValidationScore or None, default=None
        What early stopping monitors, None for the loss.
    validation : TrainingRows, Division or None, default=None
        Validation rows of early stopping, or the split that gives them.
    task : FitTask or None, default=None
        Reports iterations or epochs to callbacks.
    """
    result = _train(estimator, rows, start=start, score=score, validation=validation, task=task)
    estimator.n_iter_, estimator.loss_curve_, estimator.history_ = result.n_iter, result.loss_curve, result.history
    _remember(estimator, moments=result.moments if estimator.warm_start else None)
    return result


def wrap_module(estimator: Any, encoding: Encoding) -> None:
    """Set the fitted attributes of an estimator around a trained module, without training it."""
    from sk_quadrant._solvers.devices import resolve_device
    from sk_quadrant._solvers.own_modules import frozen_in_evaluation

    loss = resolve_loss(estimator.loss)
    _check_parameters(estimator, solver_of(estimator), loss, is_soft=False)
    estimator.model_ = replace(
        _untrained_model(estimator, loss, encoding),
        trained_module=deepcopy(estimator.module).to(resolve_device(estimator.device)).eval(),
        frozen_parts=tuple(frozen_in_evaluation(estimator.module)),
    )
    estimator.n_iter_, estimator.loss_curve_, estimator.history_ = 0, [], []
    estimator.training_state_ = {}


def update_with_rows(estimator: Any, rows: TrainingRows, *, start: FittedModel | None) -> None:
    """Train an estimator further with one pass over rows, and update its fitted attributes."""
    result = _train(estimator, rows, start=start, max_iter=1)
    before = (0, [], []) if start is None else (estimator.n_iter_, estimator.loss_curve_, estimator.history_)
    estimator.n_iter_ = before[0] + result.n_iter
    estimator.loss_curve_ = before[1] + result.loss_curve
    estimator.history_ = before[2] + [row | {"epoch": estimator.n_iter_} for row in result.history]
    _remember(estimator, moments=result.moments)


def check_partial_fit(estimator: Any) -> None:
    """Raise a ValueError for parameters that need all rows or the number of epochs."""
    for name in _active_parameters(estimator) & WHOLE_FIT_ONLY.keys():
        raise ValueError(
            f"partial_fit does not support {name}={getattr(estimator, name)!r}: {WHOLE_FIT_ONLY[name]}. Use fit."
        )


def check_validation_data(estimator: Any, X_val: Any, y_val: Any, sample_weight_val: Any, groups: Any) -> None:
    """Raise a ValueError for validation data that are incomplete or would have no effect."""
    given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val, "groups": groups}
    names = [name for name, value in given.items() if value is not None]
    if names and not estimator.early_stopping:
        raise ValueError(f"{' and '.join(names)} need early_stopping=True, got {estimator.early_stopping!r}.")
    if names:
        check_solver_can(solver_of(estimator), {"early_stopping": True})
    if (X_val is None) != (y_val is None) or (sample_weight_val is not None and X_val is None):
        raise ValueError(f"X_val and y_val must be passed together, got {' and '.join(names)}.")
    if groups is not None and X_val is not None:
        raise ValueError("groups say which rows to hold out, and cannot be passed with X_val.")
    if groups is not None and not hasattr(estimator.validation_fraction, "split"):
        raise ValueError(
            "groups need a splitter as validation_fraction, such as sklearn.model_selection.GroupShuffleSplit("
            f"n_splits=1), got {estimator.validation_fraction!r}."
        )


def refuse_validation_data(caller: str, given: Mapping[str, Any], reason: str) -> None:
    """Raise unless the validation data of `fit`, which the caller does not use, are None."""
    for name in given:
        if name not in VALIDATION_DATA:
            raise TypeError(f"{caller} got an unexpected keyword argument {name!r}.")
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ValueError(f"{' and '.join(names)} cannot be used with {caller}: {reason}.")


def warn_after_fit(estimator: Any, result: FitResult, *, stacklevel: int) -> None:
    """Warn about training that was interrupted or has not converged, and about labels that are unknown in all rows."""
    _warn_unless_converged(estimator, result, stacklevel=stacklevel + 1)
    _warn_of_unobserved_labels(estimator.model_.encoding, stacklevel=stacklevel + 1)


def _warn_unless_converged(estimator: Any, result: FitResult, *, stacklevel: int) -> None:
    """Warn if training was interrupted or has not converged."""
    if result.interrupted:
        message = f"Training was interrupted after {result.n_iter} iterations; the model is usable."
    elif not result.converged:
        message = (
            f"The {estimator.solver} solver did not converge within max_iter={estimator.max_iter} iterations to "
            f"tol={find_tol(estimator):g}. Raise max_iter or tol, or scale the features of X."
        )
    else:
        return
    warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel + 1)


def _warn_of_unobserved_labels(encoding: Encoding, *, stacklevel: int) -> None:
    """Warn about labels that are unknown in all rows."""
    unobserved = np.flatnonzero(encoding.decision_thresholds(np.zeros(encoding.n_labels)))
    if not unobserved.size:
        return
    warnings.warn(
        f"y has no known entry of positive weight for the labels {listed(encoding.titles[unobserved])}. They are never "
        "predicted, and their probabilities are not meaningful. Leave them out, or label some rows.",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Restore all attributes if an error is raised."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _train(
    estimator: Any,
    rows: TrainingRows | ShardedRows,
    *,
    start: FittedModel | None,
    score: ValidationScore | None = None,
    validation: TrainingRows | Division | None = None,
    task: FitTask | None = None,
    **changes: Any,
) -> FitResult:
    """Run the solver of an estimator on rows, and set the fitted model."""
    from sk_quadrant._solvers.devices import resolve_device

    device = resolve_device(estimator.device)
    if rows.namespace is not None and device.type == "cpu":  # then rows are trained on where they are
        device = rows.namespace.tensor_device
    loss, solver = copy(resolve_loss(estimator.loss)), solver_of(estimator)  # set_params changes the original
    loss.check_n_labels(rows.encoding.n_labels)
    _check_parameters(estimator, solver, loss, is_soft=rows.is_soft or getattr(validation, "is_soft", False))
    if start is not None:
        start.encoding.check_same(rows.encoding)
    before = start.encoding if start is not None and not solver.needs_sums_only else None  # mini-batch solvers continue
    encoding = rows.encoding.with_observed(rows.observed, before=before)
    fitted = _untrained_model(estimator, loss, encoding, rows)
    if start is not None:
        fitted.check_continues(start)
    seed, estimator.training_state_ = _draw_seed(estimator, solver, goes_on=start is not None)
    problem = Problem(
        rows=rows,
        loss=loss,
        architecture=fitted.architecture,
        device=device,
        start=None if start is None else start.start(),
        moments=_moments(estimator),
        seed=seed,
        seed_is_free=estimator.random_state is None and start is None,
        score_on=None if score is None else partial(_score_weights, score, fitted),
        validation=validation,
        observe=None if task is None else partial(_report, task, fitted),
        module=estimator.module,
        C=_inverse_penalty(estimator.C, rows.encoding),
        tol=find_tol(estimator),
        **{name: getattr(estimator, name) for name in PARAMETERS} | changes,
    )
    result = solver.solve(problem)
    if not result.is_finite:
        raise FloatingPointError(
            f"The weights became infinite or NaN with loss={loss.name!r} and solver={estimator.solver!r}. "
            "Scale X, lower learning_rate_init, or lower C."
        )
    estimator.model_ = fitted.trained(result)
    estimator.__dict__.pop("net_", None)
    if result.net is not None:
        estimator.net_ = result.net
    return result


def _untrained_model(estimator: Any, loss: Loss, encoding: Encoding, rows: Any = None) -> Any:
    """Return the model without weights; without rows for a module that was trained elsewhere."""
    unset, threshold = np.empty(0), estimator.threshold
    namespace = None if rows is None else rows.namespace
    if estimator.module is None:
        architecture = _architecture(estimator, rows.n_features)
        return FittedModel([], architecture, encoding, loss, unset, unset, None, namespace).with_threshold(threshold)
    from sk_quadrant._solvers.own_modules import describe

    size = estimator.micro_batch_size or estimator.batch_size
    own: dict[str, Any] = {
        "signature": None if rows is None else rows.X.signature(),
        "description": describe(estimator.module),
        "rows_at_once": ROWS_AT_ONCE if isinstance(size, str) else int(size),
    }
    return ModuleModel([], Architecture(), encoding, loss, unset, unset, None, namespace, **own).with_threshold(
        threshold
    )


def _report(task: FitTask, fitted: FittedModel, weights: Callable[[], Any] | None) -> bool:
    """Report an iteration or epoch to callbacks, and return whether one of them requests a stop."""
    return task.step(None if weights is None else lambda: {"model_": fitted.with_weights(weights())})


def _score_weights(score: ValidationScore, fitted: FittedModel, rows: Any) -> Callable[[Any], dict[str, float]]:
    """Return the function of weights whose results are scores on some rows."""
    held_out = score.on(rows)
    return lambda weights: held_out(fitted.with_weights(weights))


def _inverse_penalty(C: Any, encoding: Encoding) -> Any:
    """Return C as a float, or as an array with one value per label."""
    if isinstance(C, Real):
        return float(C)
    values = read_label_values(C, encoding.names, encoding.n_labels, name="C")
    if not (values > 0).all():
        raise ValueError(f"C must be positive for every label, got {C!r}.")
    return values


def _check_parameters(estimator: Any, solver: Solver, loss: Loss, *, is_soft: bool) -> None:
    """Raise a ValueError for parameters that have no effect with the solver, loss or model."""
    if (is_soft or estimator.label_smoothing) and not loss.soft_targets:
        raise ValueError(
            f"loss={loss.name!r} takes targets 0 and 1 only, got soft targets in y or label_smoothing="
            f"{estimator.label_smoothing}."
        )
    active = {name: getattr(estimator, name) for name in _active_parameters(estimator)}
    if estimator.module is not None:
        active["module"] = ModuleName.of(estimator.module)
    check_solver_can(solver, active)
    _check_beside_module(estimator)
    if estimator.coef_threshold and estimator.callbacks:
        raise ValueError(
            f"coef_threshold={estimator.coef_threshold} cannot be used with callbacks, which would see a net without "
            "weights. Leave callbacks=None."
        )
    if estimator.scoring is not None and not estimator.early_stopping:
        raise ValueError(
            f"scoring={estimator.scoring!r} needs early_stopping=True, which holds out the rows that are scored."
        )


def _check_beside_module(estimator: Any) -> None:
    """Raise a ValueError for parameters that have no effect with a module of the user, or without one."""
    if estimator.module is None:
        for name in ONLY_WITH_MODULE:
            if getattr(estimator, name) is not None:
                raise ValueError(f"{name}={getattr(estimator, name)!r} needs a module, got module=None.")
        return
    for name in NOT_WITH_MODULE:
        if _is_active(estimator, name):
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} has no effect on a module, which has its own layers. Leave "
                f"{name}={NEUTRAL[name]!r} and change the module."
            )


def _active_parameters(estimator: Any) -> set[str]:
    """Return the names of parameters that not all solvers have and that are set to other than neutral values."""
    active = {name for name in NEUTRAL if _is_active(estimator, name)}
    own = {"C": not isinstance(estimator.C, Real), "module": estimator.module is not None}
    return active | {name for name, is_set in own.items() if is_set}


def _is_active(estimator: Any, name: str) -> bool:
    value, neutral = getattr(estimator, name), NEUTRAL[name]
    size = prod(np.shape(value))  # np.size of a tensor is its method
    return size != np.size(neutral) or bool(size == 1 and value != neutral)


def _architecture(estimator: Any, n_features: int) -> Architecture:
    """Return the architecture from the parameters of an estimator."""
    hidden = np.atleast_1d(np.asarray(estimator.hidden_layer_sizes, dtype=object)).tolist()
    if not all(isinstance(size, Integral) and int(size) > 0 for size in hidden):
        raise ValueError(f"hidden_layer_sizes must be positive integers, got {estimator.hidden_layer_sizes!r}.")
    if estimator.residual and not any(wide == next_wide for wide, next_wide in pairwise([n_features, *hidden])):
        raise ValueError(
            f"residual=True needs a hidden layer as wide as its input, got {n_features} features and "
            f"hidden_layer_sizes={estimator.hidden_layer_sizes!r}."
        )
    sizes = tuple(map(int, hidden))
    return Architecture(sizes, estimator.activation, bool(estimator.residual), bool(estimator.fit_intercept))


def _draw_seed(estimator: Any, solver: Solver, *, goes_on: bool) -> tuple[int, dict[str, Any]]:
    """Return a seed, and the state of training with the random state after it has been drawn.

    One number is drawn from the random state of the user, or the global one; continued training uses a copy.
    """
    state = dict(getattr(estimator, "training_state_", {})) if goes_on else {}
    if not solver.random:
        return 0, state
    has_own = "random_state" in state
    random_state = deepcopy(state["random_state"]) if has_own else check_random_state(estimator.random_state)
    seed = int(random_state.randint(np.iinfo(np.int32).max))
    return seed, state | {"random_state": random_state if has_own else deepcopy(random_state)}


def _moments(estimator: Any) -> Any:
    """Return the moments of the optimizer, None if another solver has trained."""
    state = estimator.training_state_
    return deepcopy(state.get("moments")) if state.get("solver") == estimator.solver else None


def _remember(estimator: Any, *, moments: Any) -> None:
    """Keep the state from which later training continues."""
    estimator.training_state_ = estimator.training_state_ | {"solver": estimator.solver, "moments": moments}
