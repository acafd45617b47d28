"""Architecture of a model of this package, and its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Layers = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Architecture:
    """Shape of a model, apart from the numbers of features and labels.

    Attributes
    ----------
    hidden_layer_sizes : tuple of int
    activation : str
    residual, fit_intercept : bool
    """

    hidden_layer_sizes: tuple[int, ...] = ()
    activation: str = "relu"
    residual: bool = False
    fit_intercept: bool = True
