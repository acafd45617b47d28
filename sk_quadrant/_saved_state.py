"""Saved state of an estimator: plain values and arrays, and the version of the package."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from inspect import signature
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

import sk_quadrant

VERSION = "_sk_quadrant_version"


class SavedByOtherVersionWarning(InconsistentVersionWarning):
    """Warning for an estimator that was saved by another version of this package.

    Parameters
    ----------
    estimator_name : str
    current_version, original_version : str
        Versions of sk_quadrant.
    """

    def __init__(self, *, estimator_name: str, current_version: str, original_version: str) -> None:
        self.estimator_name = estimator_name
        self.current_version, self.original_version = current_version, original_version

    def __str__(self) -> str:
        return (
            f"{self.estimator_name} was saved by sk_quadrant {self.original_version} and is loaded by sk_quadrant "
            f"{self.current_version}. Its predictions may differ, or fail. Fit it again, or load it with the version "
            "that saved it."
        )


class SavedState:
    """Mixin of estimators whose saved state consists of plain values and arrays.

    Files then stay readable when private classes move, and formats that allow few types can hold them. A subclass
    writes `_pack` and `_unpack`.
    """

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {**self._pack(dict(state)), VERSION: sk_quadrant.__version__}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        state = dict(state)
        warn_of_version(type(self).__name__, str(state.pop(VERSION, "before 0.1")))
        self.__dict__.update(self._defaults() | self._unpack(state))

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return the default values of parameters, for states saved before a parameter existed."""
        parameters = signature(cls).parameters.values()
        return {each.name: each.default for each in parameters if each.default is not each.empty}

    def _pack(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the state with objects of this package replaced by plain values."""
        return state

    def _unpack(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the state with plain values replaced by objects of this package."""
        return state


def warn_of_version(name: str, version: str) -> None:
    """Warn if an estimator was saved by another version."""
    if version != sk_quadrant.__version__:
        warnings.warn(
            SavedByOtherVersionWarning(
                estimator_name=name, current_version=sk_quadrant.__version__, original_version=version
            ),
            stacklevel=3,
        )


def plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass."""
    return {one.name: getattr(value, one.name) for one in fields(value)}


def upgrade_classifier(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a classifier saved by version 0.1.0.dev0, which had the parts of `model_` as attributes."""
    if "_encoding" not in state:
        return state
    state = dict(state)
    encoding = dict(state.pop("_encoding"))
    is_sparse, names = encoding.pop("sparse_output", False), encoding.pop("label_names", None)
    if encoding["kind"] == "multilabel":
        encoding |= {"label_names": names, "container": "csr_matrix" if is_sparse else None}
    sizes, activation, residual, fit_intercept = state.pop("_network")
    layers = state.pop("_hidden") if sizes else [(state.pop("coef_"), state.pop("intercept_"))]
    solver, moments = state.pop("_optimizer_state", (state["solver"], None))
    training = {"solver": solver, "moments": moments}
    if "_random_state" in state:
        training["random_state"] = state.pop("_random_state")
    model = {
        "layers": layers,
        "architecture": {
            "hidden_layer_sizes": sizes, "activation": activation, "residual": residual, "fit_intercept": fit_intercept
        },
        "encoding": encoding,
        "loss": state.pop("loss_"),
        "threshold": state.pop("threshold_"),
        "score_threshold": state.pop("_cut"),
    }  # fmt: skip
    for name in ("classes_", "label_names_in_"):
        state.pop(name, None)
    return state | {"model_": model, "training_state_": training}
