"""The decorator of scikit-learn that checks parameters of functions, with types."""

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
        Allowed values by parameter, as in `_parameter_constraints` of an estimator.
    prefer_skip_nested_validation : bool, default=True
        Whether functions called inside skip the checks of their parameters.
    """
    decorator: Callable[[Function], Function] = _param_validation.validate_params(
        constraints, prefer_skip_nested_validation=prefer_skip_nested_validation
    )
    return decorator
