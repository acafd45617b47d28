"""Inputs of a module of the user: numeric arrays of two or more axes, texts, and dicts of arrays. NumPy only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_quadrant._namespaces import is_tensor, move_to_numpy
from sk_quadrant._tensors import numpy_dtype

Signature = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Inputs(ABC):
    """Checked rows of the inputs of a module. They are indexed like an array.

    Attributes
    ----------
    values : ndarray or torch.Tensor of shape (n_rows, ...), or dict of them
        Argument of the module.
    kind : str
        Description of the rows, for messages.
    """

    values: Any
    kind: ClassVar[str]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> Inputs:
        return replace(self, values=self.values[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, where scikit-learn looks for it."""
        return (len(self),)

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


class ArrayInputs(Inputs):
    """Rows of a numeric array, an ndarray or a tensor."""

    kind = "a numeric array"

    @property
    def numbers_per_row(self) -> float:
        """Numbers in a row."""
        return float(np.prod(self.values.shape[1:]))

    @property
    def n_features(self) -> Any:
        """Number of columns; the shape of a row of three or more axes."""
        return self.values.shape[1] if self.values.ndim == 2 else self.values.shape[1:]

    def arrays(self) -> list[NDArray[Any]]:
        """Return the array."""
        return [move_to_numpy(self.values)]

    def signature(self) -> Signature:
        """Return number of axes and whether the numbers are floats."""
        return super().signature() | {"of": _description(self.values)}

    def conform(self, signature: Signature) -> Inputs:
        """Return the rows, integers as floats where the first call had floats; see `Inputs.conform`."""
        super().conform(signature)
        return ArrayInputs(_conform(self.values, signature["of"], "X"))


class TextInputs(Inputs):
    """Rows that are strings, an object array of shape (n_rows,), passed to the module as a list."""

    kind = "a sequence of strings"

    @property
    def numbers_per_row(self) -> float:
        """Usual number of tokens of a string; see `Inputs.numbers_per_row`."""
        return 256.0

    def arrays(self) -> list[NDArray[Any]]:
        """Return the bytes of all strings and the length of each."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in self.values]
        lengths = np.array([len(text) for text in encoded])
        return [np.frombuffer(b"".join(encoded), dtype=np.uint8), lengths]


class DictInputs(Inputs):
    """Rows of several arrays by name, the keyword arguments of a module."""

    kind = "a dict of arrays"

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def __getitem__(self, rows: Any) -> Inputs:
        return DictInputs({name: part[rows] for name, part in self.values.items()})

    @property
    def numbers_per_row(self) -> float:
        """Numbers in a row of all arrays."""
        return float(sum(np.prod(part.shape[1:]) for part in self.values.values()))

    def arrays(self) -> list[NDArray[Any]]:
        """Return the arrays and their names."""
        return [np.array(list(self.values)), *self.values.values()]

    def signature(self) -> Signature:
        """Return number of axes and kind of numbers by name."""
        return super().signature() | {"of": {name: _description(part) for name, part in self.values.items()}}

    def conform(self, signature: Signature) -> Inputs:
        """Return the rows in the order of the first call; see `Inputs.conform`."""
        super().conform(signature)
        parts, expected = self.values, signature["of"]
        if set(expected) != set(parts):
            raise ValueError(f"X must have the keys of the first call, {sorted(expected)}, got {sorted(parts)}.")
        return DictInputs({name: _conform(parts[name], of, f"X[{name!r}]") for name, of in expected.items()})


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
