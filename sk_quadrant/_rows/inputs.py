"""Inputs of a module of the user: numeric arrays of two or more axes, texts, and dicts of arrays. NumPy only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._namespaces import is_tensor, move_to_numpy
from sk_quadrant._tensors import numpy_dtype

Signature = dict[str, Any]


class Inputs(ABC):
    """Checked rows of the inputs of a module. They are indexed like an array.

    Attributes
    ----------
    kind : str
        Description of the rows, for messages.
    """

    kind: ClassVar[str]

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def __getitem__(self, rows: Any) -> Inputs:
        """Return some of the rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, where scikit-learn looks for it."""
        return (len(self),)

    @property
    @abstractmethod
    def values(self) -> Any:
        """Argument of the module: an array, an array of strings, or a dict of arrays."""

    @property
    @abstractmethod
    def numbers_per_row(self) -> float:
        """Approximate memory of a row, as a count of numbers."""

    @abstractmethod
    def arrays(self) -> list[NDArray[Any]]:
        """Return arrays that determine all rows."""

    @property
    def n_features(self) -> Any:
        """Argument of a function that builds a module."""
        return None

    def signature(self) -> Signature:
        """Return the form of the rows, as plain values."""
        return {"kind": self.kind}

    def conform(self, signature: Signature) -> Inputs:
        """Return the rows in the form of a signature: order of keys, floats where the first call had floats.

        Raises
        ------
        ValueError
            If they have another form.
        """
        if signature["kind"] != self.kind:
            raise ValueError(f"X must be {signature['kind']} as in the first call, got {self.kind}.")
        return self


@dataclass(frozen=True, eq=False)
class ArrayInputs(Inputs):
    """Rows of a numeric array.

    Parameters
    ----------
    array : ndarray or torch.Tensor of shape (n_rows, ...)
    """

    array: Any
    kind: ClassVar[str] = "a numeric array"

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: Any) -> ArrayInputs:
        return ArrayInputs(self.array[rows])

    @property
    def values(self) -> Any:
        """The array; see `Inputs.values`."""
        return self.array

    @property
    def numbers_per_row(self) -> float:
        """Numbers in a row."""
        return float(np.prod(self.array.shape[1:]))

    @property
    def n_features(self) -> Any:
        """Number of columns; the shape of a row of three or more axes."""
        return self.array.shape[1] if self.array.ndim == 2 else self.array.shape[1:]

    def arrays(self) -> list[NDArray[Any]]:
        """Return the array."""
        return [move_to_numpy(self.array)]

    def signature(self) -> Signature:
        """Return number of axes and whether the numbers are floats."""
        return {"kind": self.kind, "of": _description(self.array)}

    def conform(self, signature: Signature) -> ArrayInputs:
        """Return the rows, integers as floats where the first call had floats; see `Inputs.conform`."""
        super().conform(signature)
        return ArrayInputs(_conform(self.array, signature["of"], "X"))


@dataclass(frozen=True, eq=False)
class TextInputs(Inputs):
    """Rows that are strings.

    Parameters
    ----------
    texts : object ndarray of shape (n_rows,)
    """

    texts: NDArray[np.object_]
    kind: ClassVar[str] = "a sequence of strings"

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: Any) -> TextInputs:
        return TextInputs(self.texts[rows])

    @property
    def values(self) -> Any:
        """The strings, passed to the module as a list; see `Inputs.values`."""
        return self.texts

    @property
    def numbers_per_row(self) -> float:
        """Usual number of tokens of a string; see `Inputs.numbers_per_row`."""
        return 256.0

    def arrays(self) -> list[NDArray[Any]]:
        """Return the bytes of all strings and the length of each."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in self.texts]
        lengths = np.array([len(text) for text in encoded])
        return [np.frombuffer(b"".join(encoded), dtype=np.uint8), lengths]


@dataclass(frozen=True, eq=False)
class DictInputs(Inputs):
    """Rows of several arrays by name, the keyword arguments of a module.

    Parameters
    ----------
    parts : dict of ndarray of shape (n_rows, ...)
    """

    parts: dict[str, NDArray[Any]]
    kind: ClassVar[str] = "a dict of arrays"

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __getitem__(self, rows: Any) -> DictInputs:
        return DictInputs({name: part[rows] for name, part in self.parts.items()})

    @property
    def values(self) -> Any:
        """The arrays by name; see `Inputs.values`."""
        return self.parts

    @property
    def numbers_per_row(self) -> float:
        """Numbers in a row of all arrays."""
        return float(sum(np.prod(part.shape[1:]) for part in self.parts.values()))

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays and their names."""
        return [np.array(list(self.parts)), *self.parts.values()]

    def signature(self) -> Signature:
        """Return number of axes and kind of numbers by name."""
        return {"kind": self.kind, "of": {name: _description(part) for name, part in self.parts.items()}}

    def conform(self, signature: Signature) -> DictInputs:
        """Return the rows in the order of the first call; see `Inputs.conform`."""
        super().conform(signature)
        expected = signature["of"]
        if set(expected) != set(self.parts):
            raise ValueError(f"X must have the keys of the first call, {sorted(expected)}, got {sorted(self.parts)}.")
        return DictInputs({name: _conform(self.parts[name], of, f"X[{name!r}]") for name, of in expected.items()})


def _description(array: Any) -> list[Any]:
    return [array.ndim, numpy_dtype(array).kind == "f"]


def _conform(array: Any, description: list[Any], name: str) -> Any:
    """Return an array in the form of the first call, or raise a ValueError."""
    ndim, has_floats = description
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes as in the first call, got shape {array.shape}.")
    kind = numpy_dtype(array).kind
    if has_floats and kind != "f":
        return array.double() if is_tensor(array) else array.astype(np.float64)
    if not has_floats and kind == "f":
        raise ValueError(f"{name} must hold integers as in the first call, got {array.dtype}.")
    return array
