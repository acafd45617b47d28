"""Fitted models whose PyTorch module the user has written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._arrays import join, row_blocks
from sk_quadrant._model.fitted import FittedModel
from sk_quadrant._namespaces import Namespace

if TYPE_CHECKING:
    from sk_quadrant._rows.inputs import Inputs, Signature
    from sk_quadrant._solvers.base import FitResult

ROWS_AT_ONCE = 200  # of predictions with batch_size="auto", whose batches are as large


@dataclass(frozen=True, eq=False)
class ModuleModel(FittedModel):
    """A fitted module of the user. It has no layers; all else is as in `FittedModel`.

    Attributes
    ----------
    trained_module : torch.nn.Module
    signature : dict or None
        Form of X: dtypes and shapes; None if it is unknown, because the module was trained elsewhere.
    description : str
        Description of the parameter `module`.
    rows_at_once : int
        Number of rows that the module scores at a time.
    frozen_parts : tuple of str
        Names of parts that training leaves in evaluation mode.
    """

    signature: Signature | None = None
    description: str = field(default="", repr=False)
    rows_at_once: int = ROWS_AT_ONCE
    frozen_parts: tuple[str, ...] = ()

    @property
    def is_linear(self) -> bool:
        """Whether its weights are coefficients: unknown for a module of the user, so False."""
        return False

    @property
    def takes_inputs(self) -> bool:
        """Whether X may be other things than a matrix."""
        return True

    @property
    def summary(self) -> str:
        """The kind of model in words."""
        return f"the module {ModuleName.of(self.trained_module)}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the scores."""
        return np.dtype(np.float64)

    def with_weights(self, weights: Any) -> ModuleModel:
        return replace(self, trained_module=weights)

    def trained(self, result: FitResult) -> ModuleModel:
        return replace(self, trained_module=result.net.module_, frozen_parts=result.frozen_parts)

    def moved(self, namespace: Namespace | None) -> ModuleModel:
        """Return the same model, with a copy of the module, for the `X` of another namespace, None for NumPy."""
        device = "cpu" if namespace is None else namespace.tensor_device
        return replace(self, namespace=namespace, trained_module=deepcopy(self.trained_module).to(device))

    def check_continues(self, start: FittedModel) -> None:
        if not isinstance(start, ModuleModel) or start.description != self.description:
            was = start.description if isinstance(start, ModuleModel) else start.architecture
            raise ValueError(f"module must be that of the first call, {was}, got {self.description}.")

    def start(self) -> Any:
        # a copy: a failed fit must leave the fitted module as it was
        module = deepcopy(self.trained_module).train()
        for name in self.frozen_parts:
            module.get_submodule(name).eval()
        return module

    def conform(self, inputs: Inputs) -> Inputs:
        """Return inputs in the form of those in `fit`, or raise a ValueError."""
        return inputs if self.signature is None else inputs.conform(self.signature)

    def map_scores(self, X: Any, function: Callable[[slice, NDArray[Any]], Any]) -> list[Any]:
        return [function(rows, self._scores_of(X[rows])) for rows in row_blocks(len(X), self.rows_at_once)]

    def scores(self, X: Any, transform: Callable[[Any], Any] | None = None) -> Any:
        """Return the scores of rows, tensors where the model has a namespace; see `FittedModel.scores`."""
        if self.namespace is None:
            return super().scores(X, transform)
        return join(self.map_scores(X, lambda _, block: block if transform is None else transform(block)))

    def _scores_of(self, X: Any) -> Any:
        from sk_quadrant._solvers.own_modules import scores_of_inputs

        scores: Any = scores_of_inputs(self.trained_module, X, self.encoding.n_labels)
        scores = scores.cpu().numpy() if self.namespace is None else scores
        if not abs(scores).max() < np.inf:
            raise FloatingPointError("module gives scores that are infinite or NaN. Scale X before fit and predict.")
        return scores

    def to_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in OWN_FIELDS}
        return super().to_dict() | own | {"trained_module": module_to_dict(self.trained_module)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModuleModel:
        """Return the model of what `to_dict` returned."""
        model = FittedModel.from_dict({name: part for name, part in values.items() if name not in OWN_FIELDS})
        shared = {one.name: getattr(model, one.name) for one in fields(FittedModel)}
        own = {name: values[name] for name in OWN_FIELDS}
        loaded = cls(**shared | own | {"trained_module": module_from_dict(values["trained_module"])})
        return loaded if loaded.namespace is None else loaded.moved(loaded.namespace)


class ModuleName(str):
    """Short name of a parameter `module`, which is shown without quotes."""

    __repr__ = str.__str__

    @classmethod
    def of(cls, module: Any) -> ModuleName:
        """Return the class of an instance with its number of parameters, and the name of a callable."""
        if not is_instance(module):
            return cls(getattr(module, "__qualname__", repr(module)))
        from torch.nn.parameter import is_lazy

        n_parameters = sum(parameter.numel() for parameter in module.parameters() if not is_lazy(parameter))
        return cls(f"<{type(module).__name__}, {n_parameters} parameters>")


def module_model(fitted: FittedModel, estimator: Any, *, signature: Signature | None) -> ModuleModel:
    """Return the model of a module of the user, without the module.

    Parameters
    ----------
    fitted : FittedModel
        Encoding, loss and thresholds.
    estimator : QuadrantMultiLabelClassifier
        Estimator with the parameters `module`, `batch_size` and `micro_batch_size`.
    signature : dict or None
        Form of X.
    """
    from sk_quadrant._solvers.own_modules import describe

    size = estimator.micro_batch_size or estimator.batch_size
    return ModuleModel(
        **{one.name: getattr(fitted, one.name) for one in fields(FittedModel)},
        signature=signature,
        description=describe(estimator.module),
        rows_at_once=ROWS_AT_ONCE if isinstance(size, str) else int(size),
    )


OWN_FIELDS = ("trained_module", "signature", "description", "rows_at_once", "frozen_parts")


def is_instance(module: Any) -> bool:
    """Whether a parameter `module` is an instance of a module rather than something that makes one."""
    return hasattr(module, "state_dict") and not isinstance(module, type)


def module_to_dict(module: Any) -> Any:
    """Return a parameter `module` as it is saved: an instance without its tensors, and anything else as it is."""
    if not is_instance(module):
        return module
    from sk_quadrant._solvers.module_parts import take_apart

    return take_apart(module)


def module_from_dict(module: Any) -> Any:
    """Return the parameter `module` from the result of `module_to_dict`."""
    if not isinstance(module, Mapping):
        return module
    from sk_quadrant._solvers.module_parts import put_together

    return put_together(module)
