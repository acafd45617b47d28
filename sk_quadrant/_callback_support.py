"""Support for the experimental callbacks of scikit-learn 1.9, where the installed version has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["FIT_CALLER", "CallbackSupportMixin", "FitTask", "PartOfFit", "has_callbacks", "with_callbacks"]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Base of estimators without `set_callbacks`, which this version of scikit-learn does not have."""

    def with_callbacks(method: Any) -> Any:
        """Return a method as it is."""
        return method


FIT_CALLER = 3 + hasattr(CallbackSupportMixin, "set_callbacks")  # stack level of callers of a fit with both decorators


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks have been set by `set_callbacks`."""
    return bool(getattr(estimator, "_skl_callbacks", None))


@dataclass(frozen=True)
class PartOfFit:
    """Fit of a classifier as a step of the fit of a meta-estimator.

    Attributes
    ----------
    estimator : object
        The meta-estimator.
    context : CallbackContext
    """

    estimator: Any
    context: Any

    @contextmanager
    def of(self, classifier: Any) -> Iterator[None]:
        """Report the fit of a classifier, and pass on to it the callbacks that propagate."""
        with self.context.propagate_callback_context(classifier):
            self.context.call_on_fit_task_begin(estimator=self.estimator)
            yield
        self.context.call_on_fit_task_end(estimator=self.estimator)


class FitTask:
    """A fit that reports its steps to callbacks.

    Parameters
    ----------
    estimator : object
        Estimator with callbacks.
    name : str
        Name of its steps.
    n_steps : int
        Largest number of reported steps.
    X, y : object
        Data, unchanged.
    metadata : mapping or None
        Further metadata, for scorers.
    """

    def __init__(
        self, estimator: Any, name: str, n_steps: int, X: Any, y: Any, metadata: Mapping[str, Any] | None
    ) -> None:
        self.estimator, self.name, self.n_steps, self.n_begun = estimator, name, n_steps, 0
        self.data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.context = estimator._init_callback_context(max_subtasks=n_steps)
        self.context.call_on_fit_task_begin(**self.data)

    @classmethod
    def of(cls, estimator: Any, name: str, n_steps: int, X: Any, y: Any, metadata: Any = None) -> FitTask | None:
        """Return the fit of an estimator with callbacks, None for one without."""
        if not has_callbacks(estimator):
            return None
        return cls(estimator, name, n_steps, X, y, metadata)

    def step(self, attributes: Callable[[], dict[str, Any]] | None) -> bool:
        """Report a step, with the attributes of an estimator that ends there; return whether to stop."""
        if self.n_begun == self.n_steps:  # labels solved in parts can take more iterations than announced
            return False
        self.n_begun += 1
        context = self.context.subcontext(task_name=self.name)
        context.call_on_fit_task_begin(**self.data)
        return bool(context.call_on_fit_task_end(**self.data, reconstruction_attributes=attributes))

    def part(self) -> PartOfFit:
        """Return the next step of a meta-estimator: the fit of a classifier, perhaps in another process."""
        return PartOfFit(self.estimator, self.context.subcontext(task_name=self.name))

    def end(self) -> None:
        """Report the end of the fit: the estimator is fitted."""
        self.context.call_on_fit_task_end(**self.data, reconstruction_attributes={})
