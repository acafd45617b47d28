"""Fitted models: constant values that score, decide, and convert to a dictionary and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import config_context

from sk_quadrant._arrays import row_blocks
from sk_quadrant._cores import map_blocks
from sk_quadrant._model.architecture import Architecture, Layers
from sk_quadrant._model.module_parameter import ModuleName, module_from_dict, module_to_dict
from sk_quadrant._model.sparse_scores import SparseScores
from sk_quadrant._namespaces import Namespace, is_tensor, move_to_numpy
from sk_quadrant._saved_state import plain
from sk_quadrant._targets.encodings import Encoding, encoding_from_dict
from sk_quadrant._targets.label_values import read_label_values
from sk_quadrant._tensors import join, numpy_dtype
from sk_quadrant.losses import LOSSES, Loss

if TYPE_CHECKING:
    from typing_extensions import Self

    from sk_quadrant._rows.inputs import Inputs, Signature
    from sk_quadrant._solvers.base import FitResult

PREDICT_ELEMENTS = 2**17  # scores of a block of rows: bounds the memory for intermediate results
TENSOR_ELEMENTS = 2**24  # the same for tensors, which may be on a GPU, where many small products take long
ROWS_AT_ONCE = 200  # for predictions of a module with batch_size="auto": the size of its training batches
OWN_FIELDS = ("trained_module", "signature", "description", "rows_at_once", "frozen_parts")  # of a module


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A fitted model: weights, loss, thresholds and the encoding of y.

    `QuadrantMultiLabelClassifier` keeps it as `model_`. It takes arrays that the estimator has checked, needs no
    PyTorch for a linear model, and does not change.

    Parameters
    ----------
    layers : list of (weight, intercept)
        Weights of each layer, an ndarray or CSR matrix of shape (n_out, n_in), and its intercepts of shape (n_out,). A
        linear model has one layer. They are tensors if `namespace` is not None.
    architecture : Architecture
        Hidden layers and activation.
    encoding : Encoding
        Classes and names of labels, and how y was encoded.
    loss : Loss
        The loss, with its link.
    threshold : ndarray of shape (n_labels,)
        Probability above which each label is predicted; a score for a loss without a link.
    score_threshold : ndarray of shape (n_labels,)
        Score above which each label is predicted.
    trained_module : torch.nn.Module or None, default=None
        Module with these weights; None to build it when `module` is first read.
    namespace : Namespace or None, default=None
        Library and device of the `X` that the model was fitted to, None for NumPy. Weights, checked rows, scores and
        predictions are then PyTorch tensors.

    See Also
    --------
    QuadrantMultiLabelClassifier : The estimator.
    sk_quadrant.io.save_safetensors : Save the estimator to a file without pickle.

    Examples
    --------
    >>> from sk_quadrant import FittedModel, QuadrantMultiLabelClassifier, make_quadrants
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> model = QuadrantMultiLabelClassifier(loss="zlpr").fit(X, Y).model_
    >>> model.score_threshold
    array([0., 0.])
    >>> same = FittedModel.from_dict(model.to_dict())
    >>> same.predict(X[:1]) == model.predict(X[:1])
    array([[ True,  True]])
    """

    layers: Layers
    architecture: Architecture
    encoding: Encoding
    loss: Loss
    threshold: NDArray[np.float64]
    score_threshold: NDArray[np.float64]
    trained_module: Any = field(default=None, repr=False)
    namespace: Namespace | None = None

    def with_threshold(self, threshold: Any) -> Self:
        """Return the same model with other thresholds.

        Parameters
        ----------
        threshold : {"natural", "bayes"}, float, array-like of shape (n_labels,), or values by label name
            Probability above which each label is predicted, as the parameter `threshold` of the estimator.

        Returns
        -------
        FittedModel
            A new model.

        Raises
        ------
        ValueError
            If the loss has no such threshold, or the shape or range does not fit.
        """
        n_labels, link = self.encoding.n_labels, self.loss.link
        if link is not None and not isinstance(threshold, str):
            threshold = read_label_values(threshold, self.encoding.names, n_labels, name="threshold")
        cuts = np.full(n_labels, self.loss.score_threshold(threshold), dtype=np.float64)
        if isinstance(threshold, str):
            threshold = cuts.copy() if link is None else link.inverse(cuts)
        return replace(self, threshold=threshold, score_threshold=cuts)

    @property
    def is_linear(self) -> bool:
        """Whether there are no hidden layers."""
        return len(self.layers) == 1

    @property
    def takes_inputs(self) -> bool:
        """Whether X may be something other than a matrix, for a module of the user."""
        return False

    @property
    def summary(self) -> str:
        """Short description of the architecture."""
        sizes = self.architecture.hidden_layer_sizes
        return f"hidden layers of {sizes} units" if sizes else "a linear model"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the weights."""
        return numpy_dtype(self.layers[0][0])

    @property
    def order(self) -> str:
        """Memory order of the weights of the first layer: "F" if they are held feature by feature, else "C"."""
        weight = self.layers[0][0]
        if not isinstance(weight, np.ndarray):
            return "C"
        return "F" if weight.flags.f_contiguous and not weight.flags.c_contiguous else "C"

    @cached_property
    def module(self) -> Any:
        """PyTorch module with these weights."""
        if self.trained_module is not None:
            return self.trained_module
        from sk_quadrant._solvers.modules import module_of

        return module_of(self.dense_layers(), self.architecture)

    def dense_layers(self) -> Layers:
        """Return the layers with dense weights.

        Returns
        -------
        list of (weight, intercept)
            Arrays of shape (n_out, n_in) and (n_out,).
        """
        return [(weight.toarray() if sparse.issparse(weight) else weight, bias) for weight, bias in self.layers]

    def with_layers(self, layers: Layers) -> FittedModel:
        """Return the same model with other weights.

        Parameters
        ----------
        layers : list of (weight, intercept)
            Weights and intercepts of each layer.

        Returns
        -------
        FittedModel
            A new model.
        """
        return replace(self, layers=self._in_namespace(layers), trained_module=None)

    def with_weights(self, weights: Any) -> FittedModel:
        """Return the same model with the weights of a solver.

        Parameters
        ----------
        weights : list of (weight, intercept) or torch.nn.Module
            Layers, or the module if the user has written it.

        Returns
        -------
        FittedModel
            A new model.
        """
        return self.with_layers(weights)

    def check_continues(self, start: FittedModel) -> None:
        """Check that training of this model can start from another one.

        Parameters
        ----------
        start : FittedModel
            The model to start from.

        Raises
        ------
        ValueError
            If the architectures differ.
        """
        if start.takes_inputs or self.architecture != start.architecture:
            raise ValueError(
                "module, hidden_layer_sizes, activation, residual and fit_intercept must be those of the first call, "
                f"{start.architecture}, got {self.architecture}."
            )

    def start(self) -> Any:
        """Return the weights from which a solver continues training.

        Returns
        -------
        list of (weight, intercept) or torch.nn.Module
            Layers, whose weights may be sparse, or a copy of the module if the user has written it.
        """
        return self.layers

    def trained(self, result: FitResult) -> FittedModel:
        """Return the same model with the weights that a solver has found.

        Parameters
        ----------
        result : FitResult
            Result of the solver.

        Returns
        -------
        FittedModel
            A new model.
        """
        module = None if len(result.layers) == 1 else result.net.module_
        return replace(self, layers=self._in_namespace(result.layers), trained_module=module)

    def _in_namespace(self, layers: Layers) -> Layers:
        """Return layers as tensors where the model has a namespace."""
        if self.namespace is None:
            return layers
        return [(self.namespace.tensor(weight), self.namespace.tensor(bias)) for weight, bias in layers]

    def moved(self, namespace: Namespace | None) -> FittedModel:
        """Return the same model for rows of another namespace.

        Parameters
        ----------
        namespace : Namespace or None
            Library and device, None for NumPy.

        Returns
        -------
        FittedModel
            A new model.

        Raises
        ------
        ValueError
            If the weights are sparse and the namespace is not None.
        """
        if namespace is not None and any(sparse.issparse(weight) for weight, _ in self.layers):
            raise ValueError("Sparse weights need an X of NumPy or SciPy. Call densify before.")
        layers = [(_in_numpy(weight), move_to_numpy(bias)) for weight, bias in self.layers]
        return replace(self, namespace=namespace).with_layers(layers)

    def __sklearn_array_api_convert__(self, converter: Callable[[Any], Any]) -> FittedModel:
        """Return the model where a function of scikit-learn's `move_estimator_to` moves arrays."""
        with config_context(array_api_dispatch=True):
            return self.moved(Namespace.of(converter(self.threshold)))

    def scores(self, X: Any, transform: Callable[[Any], Any] | None = None) -> Any:
        """Return the scores of rows.

        Parameters
        ----------
        X : ndarray, CSR matrix or torch.Tensor of shape (n_samples, n_features)
            Rows, checked by the estimator.
        transform : callable or None, default=None
            Function of the scores, which is applied while a block of them is in cache.

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Scores, transformed.

        Raises
        ------
        FloatingPointError
            If a score is too large for the precision of `X`.
        """
        if is_tensor(X):
            return join(self.map_scores(X, lambda _, block: block if transform is None else transform(block)))
        result: list[NDArray[Any]] = []  # made from the first block, with its dtype
        lock = Lock()

        def write(rows: slice, block: NDArray[Any]) -> None:
            block = block if transform is None else transform(block)
            with lock:
                if not result:
                    result.append(block if len(block) == n_rows else np.empty((n_rows, block.shape[1]), block.dtype))
            if result[0] is not block:
                result[0][rows] = block

        n_rows = X.shape[0]
        self.map_scores(X, write)
        return result[0] if result else np.empty((0, self.encoding.n_labels), self.dtype)

    def map_scores(self, X: Any, function: Callable[[slice, Any], Any]) -> list[Any]:
        """Apply a function to the scores of each block of rows.

        Parameters
        ----------
        X : ndarray, CSR matrix or torch.Tensor of shape (n_samples, n_features)
            Rows, checked by the estimator.
        function : callable
            Function of the slice of rows and their scores, called by several threads.

        Returns
        -------
        list
            Results for the blocks, in their order.

        Raises
        ------
        FloatingPointError
            If a score is too large for the precision of `X`.
        """
        score, fewest_rows = self._scorer(X)
        widest = max(self.encoding.n_labels, *self.architecture.hidden_layer_sizes, 1)
        size = TENSOR_ELEMENTS if is_tensor(X) else PREDICT_ELEMENTS
        blocks = list(row_blocks(X.shape[0], max(fewest_rows, size // widest)))
        in_torch = is_tensor(X) or not self.is_linear  # PyTorch has its own threads
        work = 0 if in_torch else X.size * self.encoding.n_labels
        return map_blocks(lambda rows: function(rows, _finite_scores(score, X[rows])), blocks, work)

    def _scorer(self, X: Any) -> tuple[Callable[[Any], Any], int]:
        """Return the function that scores blocks of some rows, and the fewest rows that a block should have."""
        if not self.is_linear:
            from sk_quadrant._solvers.modules import scores_of

            return partial(scores_of, self.module), 1
        if is_tensor(X):
            from sk_quadrant._solvers.modules import linear_scores

            return partial(linear_scores, *self.layers[0]), 1
        ((coef, intercept),) = self.layers
        if not sparse.issparse(X):
            return lambda rows: _shifted(rows @ coef.T, intercept), 1
        products = SparseScores(X, coef)
        return lambda rows: _shifted(products.of(rows), intercept), products.fewest_rows

    def decision_function(self, X: Any) -> Any:
        """Return the scores of rows relative to their thresholds.

        Parameters
        ----------
        X : ndarray, CSR matrix or torch.Tensor of shape (n_samples, n_features)
            Rows, checked by the estimator.

        Returns
        -------
        ndarray or torch.Tensor of shape (n_samples, n_labels), or (n_samples,) for a binary 1-D y
            A label is present if its value is positive.
        """
        return self.encoding.centre(self.scores(X), self.score_threshold)

    def predict(self, X: Any) -> Any:
        """Return the predictions of rows in the form of y.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_samples, n_features)
            Rows, checked by the estimator.

        Returns
        -------
        ndarray or CSR matrix of shape (n_samples, n_labels), or ndarray of shape (n_samples,)
            Labels, or classes for a 1-D y.
        """
        decide, thresholds = self.encoding.decide, self.score_threshold
        return self.encoding.decode(self.map_scores(X, lambda _, scores: decide(scores, thresholds)))

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of rows, for a loss with a link.

        Parameters
        ----------
        X : ndarray, CSR matrix or torch.Tensor of shape (n_samples, n_features)
            Rows, checked by the estimator.

        Returns
        -------
        ndarray or torch.Tensor of shape (n_samples, n_labels), or (n_samples, n_classes) for a 1-D y
            Probability of each label or class.
        """
        return self.encoding.complete(self.scores(X, self.loss.link.inverse))  # type: ignore[union-attr]

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities of rows, for a loss with a link.

        Parameters
        ----------
        X : ndarray, CSR matrix or torch.Tensor of shape (n_samples, n_features)
            Rows, checked by the estimator.

        Returns
        -------
        ndarray or torch.Tensor of shape (n_samples, n_labels), or (n_samples, n_classes) for a 1-D y
            Logarithms, minus infinity for a probability of 0.
        """
        probabilities = self.predict_proba(X)
        if is_tensor(probabilities):
            return probabilities.log()
        with np.errstate(divide="ignore"):
            return np.log(probabilities)

    def to_dict(self) -> dict[str, Any]:
        """Return the model as plain values and arrays.

        Returns
        -------
        dict
            Arguments for `from_dict`. A loss that is not of this package stays an object; a module of the user is kept
            without its tensors.
        """
        return {
            "layers": [(_plain_matrix(weight), move_to_numpy(bias)) for weight, bias in self.layers],
            "architecture": plain(self.architecture),
            "encoding": self.encoding.to_dict(),
            "loss": loss_to_dict(self.loss),
            "threshold": self.threshold,
            "score_threshold": self.score_threshold,
            **({} if self.namespace is None else {"namespace": self.namespace.to_dict()}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FittedModel:
        """Return the model from the result of `to_dict`.

        Parameters
        ----------
        values : mapping
            Result of `to_dict`.

        Returns
        -------
        FittedModel
            The same model.
        """
        if "trained_module" in values:
            return ModuleModel.from_dict(values)
        architecture = dict(values["architecture"])
        architecture["hidden_layer_sizes"] = tuple(architecture["hidden_layer_sizes"])
        namespace = values.get("namespace")
        model = cls(
            layers=[(_matrix(weight), bias) for weight, bias in values["layers"]],
            architecture=Architecture(**architecture),
            encoding=encoding_from_dict(values["encoding"]),
            loss=loss_from_dict(values["loss"]),
            threshold=values["threshold"],
            score_threshold=values["score_threshold"],
        )
        return model if namespace is None else model.moved(Namespace.from_dict(namespace))


@dataclass(frozen=True, eq=False)
class ModuleModel(FittedModel):
    """A fitted PyTorch module of the user. It has no layers; all else is as in `FittedModel`.

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
        """Whether X may be something other than a matrix."""
        return True

    @property
    def summary(self) -> str:
        """Short description of the module."""
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


def _finite_scores(score: Callable[[Any], Any], X: Any) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        scores = score(X)
        total = float(scores.sum())
    if not math.isfinite(total) and not abs(scores).max() < np.inf:  # the sign of an infinite score may be wrong
        raise FloatingPointError(
            f"Scores overflow {scores.dtype} (max abs(X) = {abs(X).max():.3g}). Scale X before fit and predict."
        )
    return scores


def _shifted(scores: NDArray[Any], intercept: NDArray[Any]) -> NDArray[Any]:
    scores += intercept
    return scores


def loss_to_dict(loss: Any) -> Any:
    """Return name and parameters of a loss of this package, and anything else as it is."""
    if LOSSES.get(getattr(loss, "name", "")) is not type(loss):
        return loss
    return {"name": loss.name, **plain(loss)}


def loss_from_dict(description: Any) -> Any:
    """Return the loss of a name and parameters, and anything else as it is."""
    if not isinstance(description, Mapping):
        return description
    parameters = dict(description)
    return LOSSES[parameters.pop("name")](**parameters)


def _in_numpy(weight: Any) -> Any:
    return weight if sparse.issparse(weight) else move_to_numpy(weight)


def _plain_matrix(matrix: Any) -> Any:
    if not sparse.issparse(matrix):
        return move_to_numpy(matrix)
    return {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}


def _matrix(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return sparse.csr_matrix((values["data"], values["indices"], values["indptr"]), shape=values["shape"])
