"""Parameters of the estimator: their values for training, and checks of those that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise
from math import prod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from sk_quadrant._model.architecture import Architecture
from sk_quadrant._model.module_parameter import ModuleName
from sk_quadrant._solvers.base import Solver
from sk_quadrant._solvers.registry import SOLVERS, check_solver_can
from sk_quadrant._targets.label_values import read_label_values
from sk_quadrant.losses import LOSSES, Loss

if TYPE_CHECKING:
    from sk_quadrant._targets.encodings import Encoding

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


def check_parameters(estimator: Any, solver: Solver, loss: Loss, *, is_soft: bool) -> None:
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


def architecture_of(estimator: Any, n_features: int) -> Architecture:
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


def inverse_penalty(C: Any, encoding: Encoding) -> Any:
    """Return C as a float, or as an array with one value per label."""
    if isinstance(C, Real):
        return float(C)
    values = read_label_values(C, encoding.names, encoding.n_labels, name="C")
    if not (values > 0).all():
        raise ValueError(f"C must be positive for every label, got {C!r}.")
    return values
