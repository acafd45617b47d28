"""Checks of the parameters of functions by scikit-learn, whose decorator has no types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sklearn.utils import _param_validation

Function = TypeVar("Function", bound=Callable[..., Any])


def validate_params(
    constraints: Mapping[str, Any], *, prefer_skip_nested_validation: bool = True
) -> Callable[[Function], Function]:
    """Return scikit-learn's decorator that checks the parameters of a function before it runs.

    Parameters
    ----------
    constraints : dict
        Of each parameter what it may be, as in `_parameter_constraints` of an estimator.
    prefer_skip_nested_validation : bool, default=True
        Whether what the function calls need not check its own parameters again.
    """
    decorator: Callable[[Function], Function] = _param_validation.validate_params(
        constraints, prefer_skip_nested_validation=prefer_skip_nested_validation
    )
    return decorator
