"""Estimators that delegate: pipelines to their last step, searches to their best estimator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def delegates(estimator: Any, inner: Sequence[str] = ("best_estimator_",)) -> Iterator[Any]:
    """Yield an estimator and those that it delegates to, by the attributes of `inner` where it is no pipeline."""
    while estimator is not None:
        yield estimator
        steps = getattr(estimator, "steps", None)
        found = (getattr(estimator, name, None) for name in inner)
        estimator = steps[-1][1] if steps else next((each for each in found if each is not None), None)
