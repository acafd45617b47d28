"""Training of the estimator on rows that are read: runs its solver, and sets its fitted attributes.

One procedure for rows in memory, on disk, on a Dask cluster and under ``torchrun``. It reads only public parameters and
sets only public attributes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from sk_quadrant._callback_support import FitTask
from sk_quadrant._model.architecture import Architecture
from sk_quadrant._model.fitted import ROWS_AT_ONCE, FittedModel, ModuleModel
from sk_quadrant._solvers.base import PARAMETERS, FitResult, Problem, Solver
from sk_quadrant._targets.label_names import listed
from sk_quadrant._training.parameters import (
    architecture_of,
    check_parameters,
    find_tol,
    inverse_penalty,
    resolve_loss,
    solver_of,
)
from sk_quadrant.losses import Loss

if TYPE_CHECKING:
    from sk_quadrant._rows.parts import ShardedRows
    from sk_quadrant._rows.training import TrainingRows
    from sk_quadrant._rows.validation import Division
    from sk_quadrant._targets.encodings import Encoding
    from sk_quadrant._training.validation_score import ValidationScore


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
    model, problem = _prepare(estimator, rows, start=start, score=score, validation=validation, task=task)
    result = solver_of(estimator).solve(problem)
    _publish(estimator, model, result, keep_moments=estimator.warm_start)
    return result


def update_with_rows(estimator: Any, rows: TrainingRows, *, start: FittedModel | None) -> None:
    """Train an estimator further with one pass over rows, and update its fitted attributes."""
    before = (0, [], []) if start is None else (estimator.n_iter_, estimator.loss_curve_, estimator.history_)
    model, problem = _prepare(estimator, rows, start=start)
    result = solver_of(estimator).solve(replace(problem, max_iter=1))
    _publish(estimator, model, result, before, keep_moments=True)


def wrap_module(estimator: Any, encoding: Encoding) -> None:
    """Set the fitted attributes of an estimator around a trained module, without training it."""
    from sk_quadrant._solvers.devices import resolve_device
    from sk_quadrant._solvers.own_modules import frozen_in_evaluation

    loss = resolve_loss(estimator.loss)
    check_parameters(estimator, solver_of(estimator), loss, is_soft=False)
    estimator.model_ = replace(
        _untrained_model(estimator, loss, encoding),
        trained_module=deepcopy(estimator.module).to(resolve_device(estimator.device)).eval(),
        frozen_parts=tuple(frozen_in_evaluation(estimator.module)),
    )
    estimator.n_iter_, estimator.loss_curve_, estimator.history_ = 0, [], []
    estimator.training_state_ = {}


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


def warm_start_of(estimator: Any) -> FittedModel | None:
    """Return the model from which `fit` starts, None for a new start."""
    return getattr(estimator, "model_", None) if estimator.warm_start else None


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


def _prepare(
    estimator: Any,
    rows: TrainingRows | ShardedRows,
    *,
    start: FittedModel | None,
    score: ValidationScore | None = None,
    validation: TrainingRows | Division | None = None,
    task: FitTask | None = None,
) -> tuple[FittedModel, Problem]:
    """Return the model without weights and the problem of its solver, from checked parameters."""
    from sk_quadrant._solvers.devices import resolve_device

    device = resolve_device(estimator.device)
    if rows.namespace is not None and device.type == "cpu":  # then rows are trained on where they are
        device = rows.namespace.tensor_device
    loss, solver = copy(resolve_loss(estimator.loss)), solver_of(estimator)  # set_params changes the original
    loss.check_n_labels(rows.encoding.n_labels)
    check_parameters(estimator, solver, loss, is_soft=rows.is_soft or getattr(validation, "is_soft", False))
    if start is not None:
        start.encoding.check_same(rows.encoding)
    before = start.encoding if start is not None and not solver.needs_sums_only else None  # mini-batch solvers continue
    encoding = rows.encoding.with_observed(rows.observed, before=before)
    model = _untrained_model(estimator, loss, encoding, rows)
    if start is not None:
        model.check_continues(start)
    seed, estimator.training_state_ = _draw_seed(estimator, solver, goes_on=start is not None)
    problem = Problem(
        rows=rows,
        loss=loss,
        architecture=model.architecture,
        device=device,
        start=None if start is None else start.start(),
        moments=_moments(estimator),
        seed=seed,
        seed_is_free=estimator.random_state is None and start is None,
        score_on=None if score is None else partial(_score_weights, score, model),
        validation=validation,
        observe=None if task is None else partial(_report, task, model),
        module=estimator.module,
        C=inverse_penalty(estimator.C, rows.encoding),
        tol=find_tol(estimator),
        **{name: getattr(estimator, name) for name in PARAMETERS},
    )
    return model, problem


def _publish(
    estimator: Any,
    model: FittedModel,
    result: FitResult,
    before: tuple[int, list[Any], list[Any]] = (0, [], []),
    *,
    keep_moments: bool,
) -> None:
    """Set the fitted attributes; `before` are the iterations, losses and history of earlier calls."""
    if not result.is_finite:
        raise FloatingPointError(
            f"The weights became infinite or NaN with loss={model.loss.name!r} and solver={estimator.solver!r}. "
            "Scale X, lower learning_rate_init, or lower C."
        )
    n_iter, loss_curve, history = before
    estimator.model_ = model.trained(result)
    estimator.n_iter_ = n_iter + result.n_iter
    estimator.loss_curve_ = loss_curve + result.loss_curve
    estimator.history_ = history + [row | {"epoch": row["epoch"] + n_iter} for row in result.history]
    moments = result.moments if keep_moments else None
    estimator.training_state_ = estimator.training_state_ | {"solver": estimator.solver, "moments": moments}
    estimator.__dict__.pop("net_", None)
    if result.net is not None:
        estimator.net_ = result.net


def _untrained_model(estimator: Any, loss: Loss, encoding: Encoding, rows: Any = None) -> Any:
    """Return the model without weights; without rows for a module that was trained elsewhere."""
    unset, threshold = np.empty(0), estimator.threshold
    namespace = None if rows is None else rows.namespace
    if estimator.module is None:
        architecture = architecture_of(estimator, rows.n_features)
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
