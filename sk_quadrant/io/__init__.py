"""Model files for other programs, which run no code when they are loaded.

Names are imported when they are first used, since they need packages that are optional.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sk_quadrant.io._onnx import register_onnx_converters
    from sk_quadrant.io._onnx_verification import verify_onnx
    from sk_quadrant.io._safetensors import load_safetensors, save_safetensors

__all__ = ["load_safetensors", "register_onnx_converters", "save_safetensors", "verify_onnx"]

_HOMES = {
    "load_safetensors": "_safetensors",
    "register_onnx_converters": "_onnx",
    "save_safetensors": "_safetensors",
    "verify_onnx": "_onnx_verification",
}


if not TYPE_CHECKING:  # which would let type checkers take any name for one of the package

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(f"sk_quadrant.io.{_HOMES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
