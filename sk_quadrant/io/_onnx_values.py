"""Values of an ONNX graph that record NumPy functions as nodes, so that formulas for arrays can be converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from scipy import special

SIMPLE: dict[Any, str] = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.true_divide: "Div",
    np.power: "Pow",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.exp: "Exp",
    np.log: "Log",
    np.sqrt: "Sqrt",
    np.tanh: "Tanh",
    np.maximum: "Max",
    np.minimum: "Min",
    np.greater: "Greater",
    np.greater_equal: "GreaterOrEqual",
    np.less: "Less",
    np.less_equal: "LessOrEqual",
    np.equal: "Equal",
    np.logical_and: "And",
    np.logical_or: "Or",
    np.logical_not: "Not",
    np.bitwise_and: "And",  # of conditions: & | ~
    np.bitwise_or: "Or",
    np.invert: "Not",
    special.expit: "Sigmoid",
}


class Graph:
    """Nodes of an ONNX graph, added one after another.

    Parameters
    ----------
    scope, container : object
        Arguments of a converter of skl2onnx.
    """

    def __init__(self, scope: Any, container: Any) -> None:
        self.scope, self.container = scope, container

    def constant(self, array: Any) -> Values:
        """Return a constant array of numbers or strings."""
        from onnx import TensorProto
        from onnx.numpy_helper import from_array

        name, array = self.scope.get_unique_variable_name("constant"), np.array(array, order="C")
        if array.dtype.kind in "OU":
            text = [str(value).encode() for value in array.ravel()]
            self.container.add_initializer(name, TensorProto.STRING, array.shape, text)
        else:
            tensor = from_array(array, name)
            self.container.add_initializer(name, tensor.data_type, None, tensor)
        return Values(self, name)

    def node(self, kind: str, *inputs: Any, outputs: list[str] | None = None, **attributes: Any) -> Values:
        """Return the first result of a node; numbers and arrays among its inputs become constants."""
        outputs = outputs or [self.scope.get_unique_variable_name(kind.lower())]
        names = [(value if isinstance(value, Values) else self.constant(value)).name for value in inputs]
        unique = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, names, outputs, op_version=None, name=unique, **attributes)
        return Values(self, outputs[0])

    def sort(self, values: Values, n: int, *, descending: bool = False) -> tuple[Values, Values]:
        """Return the first n sorted values along the last axis and their indices; ties keep their order."""
        names = [self.scope.get_unique_variable_name(name) for name in ("sorted", "places")]
        first = self.node("TopK", values, np.array([n]), outputs=names, axis=-1, largest=int(descending))
        return first, Values(self, names[1])


class Values(NDArrayOperatorsMixin):
    """Result of a node; arithmetic and NumPy functions add nodes in double precision.

    Parameters
    ----------
    graph : Graph
    name : str
    """

    dtype = np.dtype(np.float64)
    ndim = 0  # some functions compute in place for ndim > 0

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name

    def astype(self, dtype: Any) -> Values:
        """Return the values in another type."""
        from onnx.helper import np_dtype_to_tensor_dtype

        return self.graph.node("Cast", self, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def argmax(self, axis: int) -> Values:
        """Return the index of the largest value along an axis."""
        return self.graph.node("ArgMax", self, axis=axis, keepdims=0)

    def sum(self, axis: int, *, keepdims: bool = False) -> Values:
        """Return the sum along an axis."""
        return self.graph.node("ReduceSum", self, np.array([axis]), keepdims=int(keepdims))

    def __getitem__(self, key: Any) -> Values:
        if key != (slice(None), 0):
            raise TypeError(f"Only the first column of values can be taken, got {key!r}.")
        return self.graph.node("Gather", self, np.array(0), axis=1)

    def clip(self, min: Any = None, max: Any = None) -> Values:  # noqa: A002
        """Return the values clipped to an interval."""
        result = self if min is None else self.graph.node("Max", self, _in_double(min))
        return result if max is None else self.graph.node("Min", result, _in_double(max))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs and (out is None or out == (None,)):
            if ufunc in SIMPLE:
                return self.graph.node(SIMPLE[ufunc], *map(_in_double, inputs))
            if ufunc in COMPOSED:
                return COMPOSED[ufunc](*inputs)
        raise TypeError(f"numpy.{ufunc.__name__} has no counterpart in ONNX here. Use one of {_known()}.")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.clip:
            values, *bounds = args
            return values.clip(*bounds, **{name.removeprefix("a_"): bound for name, bound in kwargs.items()})
        if function is np.where and len(args) == 3:
            condition, *branches = args
            return self.graph.node("Where", condition, *map(_in_double, branches))
        if function is np.hstack:
            return self.graph.node("Concat", *args[0], axis=1)
        if function is np.take:
            return self.graph.node("Gather", *args)
        raise TypeError(f"numpy.{function.__name__} has no counterpart in ONNX here. Use one of {_known()}.")


def dtype_of(variable: Any) -> Any:
    """Return the precision to compute with a variable; NumPy takes integers as doubles."""
    from skl2onnx.common.data_types import FloatTensorType

    return np.float32 if isinstance(variable.type, FloatTensorType) else np.float64


def _in_double(value: Any) -> Any:
    return value if isinstance(value, Values) else np.asarray(value, dtype=np.float64)


def _known() -> list[str]:
    functions = {"clip", "hstack", "take", "where"}
    return sorted(functions | {ufunc.__name__ for ufunc in (*SIMPLE, *COMPOSED)})


def _log1p(x: Any) -> Any:
    """Return log(1 + x) with full relative accuracy: the rounding error of 1 + x is divided out."""
    # D. Goldberg, "What every computer scientist should know about floating-point arithmetic", ACM Computing Surveys
    # 23, 1991, theorem 4. :doi:`10.1145/103162.103163`
    u = 1 + x
    exact = np.equal(u, 1)
    return np.where(exact, x, np.log(u) * x / np.where(exact, 1, u - 1))


def _log_expit(x: Any) -> Any:
    return np.minimum(x, 0) - _log1p(np.exp(-np.absolute(x)))


COMPOSED: dict[Any, Callable[..., Any]] = {
    np.reciprocal: lambda x: 1 / x,
    np.square: lambda x: x * x,
    np.positive: lambda x: x,
    np.log1p: _log1p,
    special.log_expit: _log_expit,
}
