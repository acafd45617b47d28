"""Callbacks of scikit-learn 1.9, which are experimental, where the installed version has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    class CallbackSupportMixin:
        """Base of estimators that take callbacks."""

    def with_callbacks(method: Any) -> Any:
        """Return a method that ends what callbacks have begun."""

else:
    try:
        from sklearn.callback import CallbackSupportMixin, with_callbacks
    except ImportError:

        class CallbackSupportMixin:
            """Base of estimators without `set_callbacks`, which this version of scikit-learn does not have."""

        def with_callbacks(method: Any) -> Any:
            """Return a method as it is."""
            return method


FIT_CALLER = 3 + hasattr(CallbackSupportMixin, "set_callbacks")  # stack level of who calls a fit with both decorators


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks have been set by `set_callbacks`."""
    return bool(getattr(estimator, "_skl_callbacks", None))


@dataclass(frozen=True)
class PartOfFit:
    """The fit of a classifier that is a step of the fit of a meta-estimator.

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
        """Tell of the fit of a classifier, and hand on to it the callbacks that want that."""
        with self.context.propagate_callback_context(classifier):
            self.context.call_on_fit_task_begin(estimator=self.estimator)
            yield
        self.context.call_on_fit_task_end(estimator=self.estimator)


class FitTask:
    """A fit of which callbacks are told, step by step.

    Parameters
    ----------
    estimator : object
        Estimator with callbacks.
    name : str
        What its steps are called.
    n_steps : int
        Largest number of steps of which callbacks are told.
    X, y : object
        The data, as they came.
    metadata : mapping or None
        What else was passed, for scorers.
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
        """Return a fit of which the callbacks of an estimator are told, None if it has none."""
        if not has_callbacks(estimator):
            return None
        return cls(estimator, name, n_steps, X, y, metadata)

    def step(self, attributes: Callable[[], dict[str, Any]] | None) -> bool:
        """Tell of a step, with the attributes of an estimator that had ended there; return whether to stop there."""
        if self.n_begun == self.n_steps:  # more iterations than announced, by labels that are solved in parts
            return False
        self.n_begun += 1
        context = self.context.subcontext(task_name=self.name)
        context.call_on_fit_task_begin(**self.data)
        return bool(context.call_on_fit_task_end(**self.data, reconstruction_attributes=attributes))

    def part(self) -> PartOfFit:
        """Return the next step of a meta-estimator, which is the fit of a classifier, perhaps in another process."""
        return PartOfFit(self.estimator, self.context.subcontext(task_name=self.name))

    def end(self) -> None:
        """Tell of the end of the fit: the estimator is fitted."""
        self.context.call_on_fit_task_end(**self.data, reconstruction_attributes={})
