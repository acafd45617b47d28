"""The parameter `module`: its name in messages, and its form in saved models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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


def is_instance(module: Any) -> bool:
    """Whether a parameter `module` is an instance of a module rather than something that makes one."""
    return hasattr(module, "state_dict") and not isinstance(module, type)


def module_to_dict(module: Any) -> Any:
    """Return a parameter `module` as it is saved: an instance without its tensors, and anything else as it is."""
    if not is_instance(module):
        return module
    from sk_quadrant._solvers.own_modules import take_apart

    return take_apart(module)


def module_from_dict(module: Any) -> Any:
    """Return the parameter `module` from the result of `module_to_dict`."""
    if not isinstance(module, Mapping):
        return module
    from sk_quadrant._solvers.own_modules import put_together

    return put_together(module)
