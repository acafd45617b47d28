"""Callbacks for training by epochs; those of skorch work as well.

Names are imported on first use, because they need skorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sk_quadrant.callbacks._checkpoint import Checkpoint

__all__ = ["Checkpoint"]


if not TYPE_CHECKING:  # which would let type checkers take any name for one of the package

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return getattr(import_module("sk_quadrant.callbacks._checkpoint"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
