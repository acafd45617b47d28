"""Arrays of other libraries than NumPy, such as PyTorch or CuPy: the one place where they enter and leave.

With ``sklearn.set_config(array_api_dispatch=True)`` an `X` of another library is taken as a PyTorch tensor on its own
device, by DLPack and so without a copy where both libraries can share memory. Inside, features, weights and scores are
NumPy arrays or such tensors. Labels and sample weights become NumPy arrays. Results go back to the library and the
device of `X`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context, get_config

CUDA = (2, 13)  # types of a device in DLPack: memory of a GPU, and memory that GPU and CPU share


def is_tensor(array: Any) -> bool:
    """Whether an array is a tensor of PyTorch, which is not imported for this question."""
    return hasattr(array, "detach")


def readable(tensor: Any) -> Any:
    """Return a tensor without its graph, in a precision that NumPy has: single in place of bfloat16."""
    tensor = tensor.detach()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


@dataclass(frozen=True)
class Namespace:
    """The library of an array, other than NumPy, and the device where it lies.

    Attributes
    ----------
    xp : module
        Functions of the library, as scikit-learn's `get_namespace` returns them.
    device : object
        Device, as the library names it.
    tensor_device : torch.device
        Device of the tensors that stand for its arrays.
    """

    xp: Any
    device: Any
    tensor_device: Any

    @classmethod
    def of(cls, array: Any) -> Namespace | None:
        """Return the namespace of an array, None for NumPy, for what becomes a NumPy array, and without dispatch.

        Raises
        ------
        ImportError
            If the installed scikit-learn cannot move arrays between libraries.
        TypeError
            If the array is a sparse tensor.
        """
        if not _is_foreign(array):
            return None
        if str(getattr(array, "layout", "torch.strided")) != "torch.strided":
            raise TypeError(
                f"Tensors must be dense, got one of layout {array.layout}. Use to_dense(), or a sparse matrix of SciPy."
            )
        sklearn = _array_api()
        xp, _, device = sklearn.get_namespace_and_device(array)
        return cls(xp, device, _tensor_device(array))

    @property
    def name(self) -> str:
        """Name of the library."""
        return str(self.xp.__name__).removeprefix("sklearn.externals.").removeprefix("array_api_compat.")

    @property
    def dtypes(self) -> list[Any]:
        """Dtypes of features that stay as they are; others become the first of them."""
        found = _array_api().supported_float_dtypes(self.xp, self.device)
        return [dtype for dtype in found if dtype in (self.xp.float64, self.xp.float32)]

    def tensor(self, array: Any) -> Any:
        """Return an array of this library, or of NumPy, as a tensor; with shared memory where that is possible."""
        import torch

        if isinstance(array, torch.Tensor):
            return readable(array).to(self.tensor_device)
        xp, _ = _with_dispatch("get_namespace", torch.empty(0))
        return _with_dispatch("move_to", array, xp=xp, device=self.tensor_device)

    def bring(self, array: Any) -> Any:
        """Return an `X`, of any library, as an array of this one.

        Raises
        ------
        ValueError
            If `X` is complex: libraries would drop its imaginary part.
        """
        array = array if hasattr(array, "dtype") else np.asarray(array)
        array = array.detach() if is_tensor(array) else array
        moved = _with_dispatch("move_to", array, xp=self.xp, device=self.device)
        if self.xp.isdtype(moved.dtype, "complex floating"):
            raise ValueError(f"X must hold real numbers, got {moved.dtype}.")
        return moved

    def give(self, array: Any) -> Any:
        """Return a tensor, or numbers of NumPy, as an array of this library; anything else as it is."""
        if not hasattr(array, "__dlpack__") or (isinstance(array, np.ndarray) and array.dtype.kind not in "biuf"):
            return array  # sparse predictions, lists, and classes that are strings
        if self.name == "torch" and not isinstance(array, np.ndarray):
            return array.to(self.device)
        return _with_dispatch("move_to", array, xp=self.xp, device=self.device)

    def __reduce__(self) -> tuple[Any, ...]:
        return Namespace.from_dict, (self.to_dict(),)  # modules cannot be pickled

    def to_dict(self) -> dict[str, str]:
        """Return plain values, which `from_dict` reads."""
        return {"name": self.name, "device": str(self.tensor_device)}

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Namespace | None:
        """Return the namespace of what `to_dict` returned, with the CPU if its device is not available.

        Warns
        -----
        UserWarning
            If the library or the device is missing.
        """
        import torch

        try:
            tensor = torch.empty(0, device=values["device"])
        except (AssertionError, RuntimeError):  # the former in builds of PyTorch without CUDA
            warn(
                f"The model was fitted on {values['device']}, which is not available: its arrays are on the CPU.",
                stacklevel=2,
            )
            tensor = torch.empty(0)
        try:
            library = import_module(values["name"])
        except ImportError:
            warn(f"The model was fitted with {values['name']}, which is not installed: it takes NumPy.", stacklevel=2)
            return None
        array = tensor if library is torch else library.from_dlpack(tensor)
        with config_context(array_api_dispatch=True):
            return cls.of(array)


def in_numpy(array: Any) -> Any:
    """Return an array of another library as a NumPy array, with dispatch, and anything else as it is."""
    return move_to_numpy(array) if _is_foreign(array) else array


def move_to_numpy(array: Any) -> NDArray[Any]:
    """Return an array of any library as a NumPy array."""
    if isinstance(array, np.ndarray):
        return array
    array = readable(array) if is_tensor(array) else array
    moved: NDArray[Any] = _with_dispatch("move_to", array, xp=np, device="cpu")
    return np.asarray(moved)


def give(namespace: Namespace | None, array: Any) -> Any:
    """Return an array, or tensor, in a namespace; as it is without one."""
    return array if namespace is None else namespace.give(array)


def check_namespace(estimator: Any, X: Any, method: str) -> None:
    """Raise a ValueError unless X is of the library and device of the `X` that an estimator was fitted to.

    Parameters
    ----------
    estimator : QuadrantMultiLabelClassifier
    X : array-like
    method : str
        Method that X was passed to, for the message.
    """
    if isinstance(X, Mapping):  # arrays for a module of the user, which become NumPy arrays
        return
    if get_config()["array_api_dispatch"]:
        _array_api().check_same_namespace(X, estimator, attribute="threshold_", method=method)
    elif estimator.model_.namespace is not None:
        raise ValueError(
            f"This {type(estimator).__name__} was fitted to arrays of {estimator.model_.namespace.name}. Predict with "
            "sklearn.set_config(array_api_dispatch=True), or move it to NumPy with sklearn.utils._array_api."
            "move_estimator_to(estimator, numpy, 'cpu') within sklearn.config_context(array_api_dispatch=True)."
        )


def in_namespace_of_X(predict: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a method of a meta-estimator whose results are in the namespace of X.

    An X of another namespace than in `fit` is an error of the classifier inside; its message gets the name of the
    method that was called.
    """

    @wraps(predict)
    def method(self: Any, X: Any) -> Any:
        try:
            result = predict(self, X)
        except ValueError as error:
            if "must use the same namespace" not in str(error):
                raise
            name = f"{type(self).__name__}.{predict.__name__}()"
            raise ValueError(re.sub(r"(?<=passed to )\w+\.\w+\(\)", name, str(error), count=1)) from error
        return give(Namespace.of(X), result)

    return method


def moved_estimator(estimator: Any, converter: Callable[[Any], Any]) -> Any:
    """Return an estimator with its arrays moved by a function of scikit-learn's `move_estimator_to`."""
    return _array_api()._estimator_with_converted_arrays(estimator, converter)


def pack_arrays(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes with arrays of other libraries as plain values, which `unpack_arrays` reads."""
    return {name: _packed(value) for name, value in state.items()}


def _packed(value: Any) -> Any:
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack__"):
        return value
    with config_context(array_api_dispatch=True):
        namespace = Namespace.of(value)
    return value if namespace is None else {"array": move_to_numpy(value), "namespace": namespace.to_dict()}


def unpack_arrays(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that `pack_arrays` was given."""
    return {name: _unpacked(value) for name, value in state.items()}


def _unpacked(value: Any) -> Any:
    if not isinstance(value, dict) or value.keys() != {"array", "namespace"}:
        return value
    return give(Namespace.from_dict(value["namespace"]), value["array"])


def _is_foreign(array: Any) -> bool:
    """Whether dispatch is switched on, and an array is of another library than NumPy."""
    if not get_config()["array_api_dispatch"] or isinstance(array, np.ndarray | np.generic | list | tuple):
        return False
    if hasattr(array, "__dask_graph__"):
        return False
    from sklearn.externals.array_api_compat import is_array_api_obj

    return bool(is_array_api_obj(array))


def can_dispatch() -> bool:
    """Whether the installed scikit-learn can move arrays between libraries, as it can since version 1.9."""
    return hasattr(import_module("sklearn.utils._array_api"), "move_to")


def _array_api() -> Any:
    if not can_dispatch():
        raise ImportError("array_api_dispatch=True needs scikit-learn 1.9 or newer for arrays that are not NumPy's.")
    return import_module("sklearn.utils._array_api")


def _with_dispatch(function: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of scikit-learn that tells libraries apart, which it does with dispatch only."""
    with config_context(array_api_dispatch=True):
        return getattr(_array_api(), function)(*args, **kwargs)


def _tensor_device(array: Any) -> Any:
    import torch

    if isinstance(array, torch.Tensor):
        return array.device
    kind, number = array.__dlpack_device__()
    return torch.device("cuda", number) if int(kind) in CUDA else torch.device("cpu")
