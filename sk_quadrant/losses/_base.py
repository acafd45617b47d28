"""Base classes of the losses and the laws that every loss obeys.

A loss is a value, not a module: a frozen dataclass with its parameters as fields. It defines the probability of a score
(its link) and the score above which a label is present (its threshold), so that the loss alone is enough to turn scores
into probabilities and decisions.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import wraps
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from sk_quadrant.losses._links import Link
    from sk_quadrant.losses._module import LossModule

FAR = 1e30  # in place of an infinite score: 0 * inf and inf - inf are NaN
Array: TypeAlias = NDArray[np.floating[Any]]
Formula = TypeVar("Formula", bound=Callable[..., Any])


def at_least_single(formula: Formula) -> Formula:
    """Wrap a method of scores and targets so that both are of the same, at least single, precision."""

    @wraps(formula)
    def in_single(self: Loss, scores: Tensor, targets: Tensor, *args: Any, **kwargs: Any) -> Any:
        if scores.dtype != targets.dtype or scores.dtype.itemsize < 4:
            scores = as_single(scores)
            targets = targets.to(scores.dtype)
        return formula(self, scores, targets, *args, **kwargs)

    return in_single  # type: ignore[return-value]


def as_single(tensor: Tensor) -> Tensor:
    """Return a floating tensor of at least single precision."""
    return tensor if tensor.is_floating_point() and tensor.dtype.itemsize >= 4 else tensor.float()


@dataclass(frozen=True)
class Loss(ABC):
    """Multi-label loss over the whole label set of a row. Subclass it and write `per_sample`.

    A subclass is a frozen dataclass; its fields are parameters. ``GridSearchCV`` searches over instances, and over
    parameters as ``loss__gamma``. Calling the loss gives the weighted mean over rows; `module` makes it a PyTorch
    module.

    Attributes
    ----------
    name : str
        Name in messages and in ``LOSSES``.
    link : Link or None
        Map between scores and probabilities, None where scores have no probability.
    threshold : float
        Natural threshold: the score above which the loss itself treats a label as present.
    bayes_threshold : float, ndarray of shape (n_labels,) or None
        Score of probability 1/2, the threshold of the smallest expected Hamming loss; None where no score has it. An
        array if a parameter has one value for each label.
    convex : bool
        Whether the loss is convex in the scores.
    labelwise : bool
        Whether the loss is a sum over labels.
    soft_targets : bool
        Whether targets strictly between 0 and 1 are allowed.
    quadratic : bool
        Whether the loss is a quadratic function of each score, with a second derivative of 1. A linear model then
        solves one linear system.
    intervals : mapping of str to str
        The interval of each parameter that is a number, such as "[0, inf)". Other values are refused.
    one_for_each_label : str or None
        The parameter that may have one value for each label.
    dual : (float, float) or None
        (u, q) if the loss of a hard label with margin m is the maximum over p in [0, u] of p (1 - m) - q p^2 / 2, as a
        hinge is. A full-batch solver then works with the dual variables p.

    See Also
    --------
    LabelwiseLoss : Base class of losses that are a sum over labels; its subclasses need less code.

    Notes
    -----
    Every loss obeys these laws. ``tests/losses/test_contract.py`` tests them for all of ``LOSSES``, under the same
    headings.

    **Registry**
        - The class needs no argument, is public, and has its own `name`, the key in ``LOSSES``.
        - Its docstring has the formula, the link, the threshold, a paragraph "Use it ...", "Other names: ..." if there
          are any, references and examples. A page of the user guide is made of it.

    **Value**
        - A loss is frozen and hashable, equals losses of the same class and parameters and no others, and shows its
          parameters in its repr.
        - It survives pickle, copies and ``sklearn.base.clone``.

    **Shapes**
        - The last axis of scores, targets, mask and weight holds the labels, all axes before are rows: scores of any
          shape have the loss of the same scores as a matrix. Other shapes raise a ValueError and are never broadcast.
        - ``reduction="none"`` returns the loss of each row times its weight, "sum" their sum, "mean" that sum divided
          by the sum of the weights.

    **Rows**
        - The loss of a row is >= 0, has shape (n_samples,) and does not depend on other rows.
        - Calling the loss gives ``sum(w * l) / sum(w)``. A row of weight 2 counts as two rows, one of weight 0, or
          without a known label, as none.

    **Labels**
        - The loss of a row with unknown labels is that of the row without these columns. Their scores and targets, NaN
          included, have no influence, and all derivatives are 0 there. Labels of weight 0 count as unknown.
        - Equal weights of the labels in a row are the weight of the row.
        - A labelwise loss is the sum over labels, each times its weight. Target t is the mixture of t present and 1 - t
          absent labels, up to a constant: the derivative is linear in the targets. That of a set-wise loss, one that is
          not labelwise, need not be.
        - Targets may be soft if `soft_targets`.
        - NaN in the score of a known label makes the loss NaN.

    **Derivatives**
        - The gradient is the derivative of the loss; autograd and `values_and_gradient` agree. At a kink it is a
          subgradient.
        - The curvature is finite and >= 0. For losses of this package it is the second derivative with respect to each
          score, its negative terms replaced by 0, or the squared gradient.
        - The curvature of a `quadratic` loss is 1, and its gradient is linear in the scores.
        - The losses of `continuation` have continuous gradients and the same name, link and threshold. A loss of
          continuous gradient is its own and only continuation.

    **Transformations**
        - ``torch.compile`` with ``fullgraph=True``, ``torch.export``, ``torch.func.vmap``, ``grad``, ``jvp`` and
          ``hessian``, double backward and autocast give what plain autograd of the formula gives. For this a formula
          must not branch on the value of a tensor.
        - `module` gives what the loss gives.

    **Precision**
        - Results have the dtype of the scores, at least single precision; half precisions are computed in single.
          Single and double precision agree to rounding.
        - Losses and derivatives are finite for scores up to 1e7 in absolute value, hard or soft targets; only
          `Exponential` overflows to infinity, never to NaN.

    **Convexity**
        - `convex` is True if and only if the loss is convex in the scores.

    **Link**
        - A link is strictly increasing between 0 and its supremum `Link.high`, `Link.inverse` is its inverse, and both
          take arrays and tensors alike.
        - The score of a probability minimises the expected loss: its derivative is 0 there. This holds for labels drawn
          with that probability if the loss is labelwise, and for soft targets if it is set-wise.
        - `constant_scores` are the scores of the frequencies of labels, finite for all of them.

    **Threshold**
        - A score above `threshold` and a probability above that of `threshold` are the same decision.
        - `bayes_threshold` has probability 1/2.

    **Parameters**
        - `get_params`, `set_params` and ``sklearn.base.clone`` reach each parameter; a failed `set_params` changes
          none.
        - Parameters with one value for each label give each label the loss, link and thresholds of its value; `take`
          returns the loss of some labels.
        - Invalid values raise a ValueError, other types a TypeError, that names the class, the parameter, what is
          allowed and what came.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import torch
    >>> from sk_quadrant.losses.weighting import known, weighted
    >>> @dataclass(frozen=True)
    ... class LogSquaredError(Loss):
    ...     name = "log_squared_error"
    ...     convex = False
    ...     def per_sample(self, scores, targets, mask=None, weight=None):
    ...         scores, targets = known(scores, targets, mask)
    ...         return weighted((scores - targets) ** 2, mask, weight).sum(dim=1).log1p()
    >>> LogSquaredError()(torch.zeros(3, 1), torch.ones(3, 1))
    tensor(0.6931)
    """

    name: ClassVar[str]
    labelwise: ClassVar[bool] = False
    soft_targets: ClassVar[bool] = True
    quadratic: ClassVar[bool] = False
    dual: ClassVar[tuple[float, float] | None] = None
    intervals: ClassVar[Mapping[str, str]] = {}
    one_for_each_label: ClassVar[str | None] = None
    formulas: ClassVar[frozenset[str]] = frozenset({"per_sample", "total", "values_and_gradient", "curvature"})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Compute every formula of scores and targets, those of users included, in at least single precision."""
        super().__init_subclass__(**kwargs)
        for name in cls.formulas & vars(cls).keys():
            setattr(cls, name, at_least_single(vars(cls)[name]))

    def __post_init__(self) -> None:
        """Check parameters other than the defaults, and make a sequence with one value for each label a tuple."""
        for name, interval in self.intervals.items():
            value = getattr(self, name)
            if value is not getattr(type(self), name):
                per_label = name == self.one_for_each_label
                object.__setattr__(self, name, checked(f"{type(self).__name__}: {name}", value, interval, per_label))

    @property
    def convex(self) -> bool:
        """Whether the loss is convex in the scores."""
        return True

    @property
    def link(self) -> Link | None:
        """Map between scores and probabilities."""
        return None

    @property
    def threshold(self) -> float:
        """Natural threshold, in score space."""
        return 0.0

    @property
    def bayes_threshold(self) -> float | Array | None:
        """Score of probability 1/2; None where no score has it."""
        if self.link is None or self.link.high <= 0.5:
            return None
        score: Array = self.link.link(0.5)
        return score if np.ndim(score) else float(score)

    @abstractmethod
    def per_sample(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each row.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].
        mask : bool Tensor of shape (n_samples, n_labels), default=None
            True where the target is known; unknown labels contribute nothing. None when all are known.
        weight : Tensor of shape (n_samples, n_labels), default=None
            Weights of the labels within their row.

        Returns
        -------
        Tensor of shape (n_samples,)
            The loss of each row.
        """

    def values_and_gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each row and its derivative with respect to the scores.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].
        mask : bool Tensor of shape (n_samples, n_labels), default=None
            True where the target is known; unknown labels contribute nothing. None when all are known.
        weight : Tensor of shape (n_samples, n_labels), default=None
            Weights of the labels within their row.

        Returns
        -------
        values : Tensor of shape (n_samples, 1), or (n_samples, n_labels) for a labelwise loss
            The loss of each row, for a labelwise loss by label.
        gradient : Tensor of shape (n_samples, n_labels)
            Derivative of the loss of each row with respect to its scores.
        """
        return differentiate(lambda leaf: self.per_sample(leaf, targets, mask, weight)[:, None], scores)

    def gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the derivative of the loss of each row with respect to the scores, without the loss.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].
        mask : bool Tensor of shape (n_samples, n_labels), default=None
            True where the target is known; unknown labels contribute nothing. None when all are known.
        weight : Tensor of shape (n_samples, n_labels), default=None
            Weights of the labels within their row.

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
            Derivative of the loss of each row with respect to its scores.
        """
        return self.values_and_gradient(scores, targets, mask, weight)[1]

    def curvature(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return a nonnegative estimate of the second derivative with respect to each score.

        Solvers scale their steps by it: it changes their speed, not their solution. The default is the squared
        gradient. Its mean is the second derivative if the model is correct (Fisher information).

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].
        mask : bool Tensor of shape (n_samples, n_labels), default=None
            True where the target is known; unknown labels contribute nothing. None when all are known.
        weight : Tensor of shape (n_samples, n_labels), default=None
            Weights of the labels within their row.

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
            Estimates of the second derivatives, >= 0.
        """
        _, gradient = self.values_and_gradient(scores, targets, mask, weight)
        return gradient * gradient

    def constant_scores(self, frequency: Array) -> Array:
        """Return the initial score of each label: the best one of a model without features.

        It is the score of the frequency of the label.

        Parameters
        ----------
        frequency : ndarray of shape (n_labels,)
            Mean target of each label, strictly inside (0, 1).

        Returns
        -------
        ndarray of shape (n_labels,)
            Finite scores.
        """
        if self.link is None:
            return np.where(frequency > 0.5, 1.0, -1.0)
        # a frequency above the supremum has an infinite score, where the loss is flat
        highest = self.link.high if self.link.high == 1 else 0.75 * self.link.high
        scores: Array = self.link.link(np.minimum(frequency, highest))
        return scores

    def continuation(self) -> Sequence[Loss]:
        """Return the losses that a full-batch solver minimises one after another, each from the last solution.

        For losses with a kink, which L-BFGS does not minimise: smoothed versions of decreasing width.

        Returns
        -------
        sequence of Loss
            The loss itself alone if its gradient is continuous.
        """
        return (self,)

    def total(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over rows without masks and weights. Override it where one kernel computes it.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].

        Returns
        -------
        Tensor of shape ()
            The sum of the losses of the rows.
        """
        return self.per_sample(scores, targets).sum()

    def __call__(
        self,
        scores: Tensor | None = None,
        targets: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        weight: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the weighted mean over rows, ``sum(w * l) / sum(w)``, or another reduction.

        Shapes and types are checked, values are not, so that nothing waits for a GPU: a target of NaN without a mask
        gives NaN, and targets outside [0, 1] are not noticed.

        Parameters
        ----------
        scores : Tensor of shape (..., n_labels)
            The last axis holds the labels, all axes before are rows.
        targets : Tensor of shape (..., n_labels)
            Targets in [0, 1], of any type.
        mask : bool Tensor of shape (..., n_labels), default=None
            True where the target is known. A row without a known label counts as none.
        weight : Tensor of shape (...) or (..., n_labels), default=None
            Weights of rows, or of rows and labels. The latter are split by `weighting.split_weight` into the mean
            weight of a row and the relative weights of its labels.
        reduction : {"mean", "sum", "none"}, default="mean"
            "mean" over rows, "sum" of weighted rows, or "none" for each row.

        Returns
        -------
        Tensor of shape (), or of shape (...) for ``reduction="none"``
            The mean of no rows is 0.

        Raises
        ------
        ValueError
            If shapes do not fit, or `reduction` is unknown.
        TypeError
            If `mask` is not boolean, or scores or targets are missing.
        """
        if scores is None or targets is None:  # skorch calls a criterion that is no module without arguments
            raise TypeError(f"{self!r} needs scores and targets. As criterion of a skorch net pass {self!r}.module().")
        self._check_call(scores, targets, mask, weight, reduction)
        rows = scores.shape[:-1]
        scores, targets = _as_matrix(scores), _as_matrix(targets)
        if mask is None and weight is None:
            if reduction != "none" and type(self).total is not Loss.total:
                total = self.total(scores, targets)
                return total if reduction == "sum" else total / max(1, scores.shape[0])
            return reduced(self.per_sample(scores, targets), None, reduction, rows)
        mask = None if mask is None else _as_matrix(mask)
        if weight is not None:
            weight = weight.reshape(-1) if weight.ndim == len(rows) else _as_matrix(weight)
        row_weight, label_weight = split_weight(weight, mask)
        losses = self.per_sample(scores, targets, mask, label_weight)
        if mask is not None:
            is_known = mask.any(dim=1).to(losses.dtype)
            row_weight = is_known if row_weight is None else is_known * row_weight
        return reduced(losses, row_weight, reduction, rows)

    def _check_call(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None, weight: Tensor | None, reduction: str
    ) -> None:
        """Raise unless shapes and types fit each other."""
        name, shape = type(self).__name__, tuple(scores.shape)
        check_reduction(reduction, name)
        if not shape:
            raise ValueError(f"{name}: scores must have shape (..., n_labels), got ().")
        for part, tensor in (("targets", targets), ("mask", mask), ("weight", weight)):
            is_weight = part == "weight"
            if tensor is None or tensor.shape == shape or (is_weight and tensor.shape == shape[:-1]):
                continue
            allowed = f"{shape} or {shape[:-1]}" if is_weight else shape
            found = tuple(tensor.shape)
            raise ValueError(f"{name}: {part} must have shape {allowed} for scores of shape {shape}, got {found}.")
        if mask is not None and str(mask.dtype) != "torch.bool":
            raise TypeError(f"{name}: mask must be boolean, got {mask.dtype}. Use mask.bool().")
        self.check_n_labels(shape[-1])

    def module(self, reduction: str = "mean", ignore_index: float | None = None) -> LossModule:
        """Return the loss as a ``torch.nn.Module`` for training loops, skorch, Lightning and Hugging Face's Trainer.

        Parameters
        ----------
        reduction : {"mean", "sum", "none"}, default="mean"
            What it returns: the mean over rows, their sum, or the loss of each row.
        ignore_index : float or None, default=None
            Target of unknown labels, for instance -100 or NaN. None if there are none.

        Returns
        -------
        LossModule
            Its ``forward(scores, targets, mask=None, *, weight=None, num_items_in_batch=None)`` returns the loss.

        Examples
        --------
        >>> import torch
        >>> from sk_quadrant.losses import Focal
        >>> criterion = Focal(gamma=3.0).module(ignore_index=-100)
        >>> criterion(torch.zeros(2, 1), torch.tensor([[1], [-100]])) / torch.tensor(2.0).log()  # (1/2) ** gamma
        tensor(0.1250)
        """
        from sk_quadrant.losses._module import LossModule

        return LossModule(self, reduction, ignore_index)

    def proba(self, scores: Any) -> Any:
        """Return the probabilities of scores, by the link.

        Parameters
        ----------
        scores : array-like or Tensor of shape (..., n_labels)
            Scores of the model.

        Returns
        -------
        ndarray or Tensor of the same shape
            Probability that each label is present.

        Raises
        ------
        ValueError
            If the loss has no link.
        """
        if self.link is None:
            raise ValueError(
                f"proba is not available for {self.name!r}: its scores have no probability. Use decide, or calibrate "
                "the scores."
            )
        return self.link.inverse(scores)

    def decide(self, scores: Any, threshold: Any = "natural") -> Any:
        """Return which labels are present: scores above a threshold.

        Parameters
        ----------
        scores : array-like or Tensor of shape (..., n_labels)
            Scores of the model.
        threshold : {"natural", "bayes"}, float or array-like of shape (n_labels,), default="natural"
            The threshold of the loss, a probability of 1/2, or probabilities.

        Returns
        -------
        bool ndarray or Tensor of the same shape
            True where a label is present.

        Raises
        ------
        ValueError
            If the loss has no such threshold, or a number is outside [0, 1].

        Examples
        --------
        >>> from sk_quadrant.losses import Asymmetric
        >>> Asymmetric().decide([-0.1, 0.1, 1.0]), Asymmetric().decide([-0.1, 0.1, 1.0], "bayes")
        (array([False,  True,  True]), array([False, False,  True]))
        """
        above = self.score_threshold(threshold)
        if hasattr(scores, "new_tensor"):
            scores = as_single(scores)
            return scores > scores.new_tensor(above)
        scores = np.asarray(scores)
        return scores.astype(np.result_type(scores.dtype, np.float32), copy=False) > above

    def score_threshold(self, threshold: Any = "natural") -> float | Array:
        """Return a threshold as a score.

        Parameters
        ----------
        threshold : {"natural", "bayes"}, float or array-like of shape (n_labels,), default="natural"
            The threshold of the loss, a probability of 1/2, or probabilities.

        Returns
        -------
        float or ndarray of shape (n_labels,)
            Infinite if no score, minus infinite if every score has a probability above the threshold.

        Raises
        ------
        ValueError
            If the loss has no such threshold, or a number is outside [0, 1].
        """
        if isinstance(threshold, str):
            if threshold not in ("natural", "bayes"):
                raise ValueError(f"threshold must be 'natural', 'bayes' or probabilities, got {threshold!r}.")
            chosen = self.threshold if threshold == "natural" else self.bayes_threshold
            if chosen is None:
                raise ValueError(
                    f"threshold='bayes' is not possible for {self.name!r}, none of whose scores has a probability of "
                    "1/2. Use 'natural'."
                )
            return chosen
        if self.link is None:
            raise ValueError(
                f"threshold must be 'natural' for {self.name!r}, whose scores have no probability, got {threshold!r}."
            )
        probabilities = np.asarray(threshold, dtype=np.float64)
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise ValueError(f"threshold must be probabilities in [0, 1], got {threshold!r}.")
        scores: Array = self.link.cut(probabilities)
        return scores if np.ndim(scores) else float(scores)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, as estimators of scikit-learn do.

        Parameters
        ----------
        deep : bool, default=True
            No effect: parameters have no parameters.

        Returns
        -------
        dict
            Values of the parameters by name.
        """
        return {field.name: getattr(self, field.name) for field in fields(self) if field.init}

    def set_params(self, **params: Any) -> Loss:
        """Change parameters in place, as estimators of scikit-learn do, for searches over ``loss__gamma``.

        Otherwise treat a loss as a constant and use `dataclasses.replace`: its hash changes with its parameters.

        Parameters
        ----------
        **params : dict
            New values of parameters by name.

        Returns
        -------
        Loss
            The loss itself.

        Raises
        ------
        ValueError, TypeError
            If a name is unknown or a value is not allowed; then nothing is changed.
        """
        known_names = self.get_params()
        for name in params.keys() - known_names.keys():
            raise ValueError(f"{type(self).__name__} has no parameter {name!r}, only {sorted(known_names)}.")
        changed = replace(self, **params)
        vars(self).clear()
        vars(self).update(vars(changed))
        return self

    def __sklearn_clone__(self) -> Loss:
        return deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_tensors"}

    def per_label_parameters(self) -> dict[str, tuple[float, ...]]:
        """Return the parameters that have one value for each label.

        Returns
        -------
        dict
            Tuples of n_labels values by name.
        """
        return {name: value for name, value in vars(self).items() if type(value) is tuple}

    def check_n_labels(self, n_labels: int) -> None:
        """Check that parameters with one value for each label have as many values as there are labels.

        Parameters
        ----------
        n_labels : int
            Number of labels.

        Raises
        ------
        ValueError
            If a parameter has another number of values.
        """
        for name, values in self.per_label_parameters().items():
            if len(values) != n_labels:
                raise ValueError(
                    f"{type(self).__name__}: {name} must be one number, or have one for each of the {n_labels} labels, "
                    f"got {len(values)}."
                )

    def take(self, labels: Any) -> Loss:
        """Return the loss for some of the labels.

        Parameters
        ----------
        labels : sequence of int
            Positions of the labels.

        Returns
        -------
        Loss
            With the values of these labels; the loss itself if no parameter has one value for each label.
        """
        chosen = {
            name: tuple(values[int(label)] for label in labels) for name, values in self.per_label_parameters().items()
        }
        return replace(self, **chosen) if chosen else self

    def _values_of(self, name: str, scores: Tensor) -> Any:
        """Return a parameter as a number, or with one value for each label as a tensor like the scores."""
        value = getattr(self, name)
        if not isinstance(value, tuple):
            return value
        if reuse(scores) is None:  # inside of transformations a tensor is not to be kept
            return scores.new_tensor(value)
        kept = vars(self).setdefault("_tensors", {})
        key = name, scores.dtype, scores.device
        if key not in kept:
            kept[key] = scores.new_tensor(value)
        return kept[key]


def _as_matrix(tensor: Tensor) -> Tensor:
    """Return a tensor (..., n_labels) with one axis of rows."""
    return tensor if tensor.ndim == 2 else tensor[None] if tensor.ndim == 1 else tensor.flatten(0, -2)


@dataclass(frozen=True)
class LabelwiseLoss(Loss):
    """Loss that is a sum over labels. Subclass it and write `per_label`, and `link` if there is one.

    See Also
    --------
    Loss : Base class of all losses, with the laws that they obey.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import torch
    >>> @dataclass(frozen=True)
    ... class SquaredError(LabelwiseLoss):
    ...     name = "squared_error"
    ...     def per_label(self, scores, targets):
    ...         return (scores - targets) ** 2
    >>> SquaredError()(torch.zeros(3, 2), torch.ones(3, 2))
    tensor(2.)
    """

    labelwise: ClassVar[bool] = True
    has_closed_form: ClassVar[bool] = False
    formulas: ClassVar[frozenset[str]] = frozenset(
        {"per_sample", "total", "per_label", "per_label_and_gradient", "per_label_gradient", "per_label_curvature"}
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take `per_label` and its derivatives from one class: a new formula replaces inherited closed forms."""
        own = vars(cls).keys()
        if "per_label_and_gradient" in own:
            cls.has_closed_form = True
        elif "per_label" in own:
            cls.has_closed_form = False
            for name in {"per_label_and_gradient", "per_label_gradient", "per_label_curvature", "total"} - own:
                setattr(cls, name, getattr(LabelwiseLoss, name))
        super().__init_subclass__(**kwargs)

    @abstractmethod
    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row and label.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
            The loss of each row and label.
        """

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return `per_label` and its derivative with respect to the scores, by default from autograd.

        Override it where a closed form is faster: training then takes the derivative from here. Autograd must be able
        to differentiate the values, for derivatives of higher order.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].

        Returns
        -------
        values : Tensor of shape (n_samples, n_labels)
            The loss of each row and label.
        gradient : Tensor of shape (n_samples, n_labels)
            Its derivative with respect to the score.
        """
        return differentiate(lambda leaf: self.per_label(leaf, targets), scores)

    def per_label_gradient(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative of `per_label` without its values. Override it where that is cheaper.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
            Derivative of the loss of each row and label with respect to the score.
        """
        return self.per_label_and_gradient(scores, targets)[1]

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return a nonnegative estimate of the second derivative, by default the squared gradient; see `curvature`.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
            Estimates of the second derivatives, >= 0.
        """
        _, gradient = self.per_label_and_gradient(scores, targets)
        return gradient * gradient

    def per_sample(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        if self.has_closed_form:
            from sk_quadrant.losses._autograd import row_losses

            return row_losses(self, scores, targets, mask, weight)
        values = self.per_label(*known(scores, targets, mask))
        return weighted(values, mask, weight).sum(dim=1)

    def values_and_gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        values, gradient = self.per_label_and_gradient(*known(scores, targets, mask))
        return weighted(values, mask, weight), weighted(gradient, mask, weight)

    def gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        return weighted(self.per_label_gradient(*known(scores, targets, mask)), mask, weight)

    def curvature(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        return weighted(self.per_label_curvature(*known(scores, targets, mask)), mask, weight)


@dataclass(frozen=True)
class MixtureLoss(LabelwiseLoss):
    r"""Loss of the form :math:`t\,\phi_+(s) + (1 - t)\,\phi_-(s)`. Subclass it and write these two functions."""

    @abstractmethod
    def present_and_absent(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the losses of present and of absent labels and their derivatives, finite for all finite scores.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model, not infinite.

        Returns
        -------
        present, rise : Tensor of shape (n_samples, n_labels)
            The loss if the label is present and its derivative with respect to the score; a subgradient at a kink.
        absent, fall : Tensor of shape (n_samples, n_labels)
            The same if it is absent. These tensors are overwritten.
        """

    def curvatures(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return nonnegative estimates of the second derivatives of both, by default the squared derivatives.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
            Scores of the model.

        Returns
        -------
        present, absent : Tensor of shape (n_samples, n_labels)
            Estimates of the second derivatives, >= 0.
        """
        _, rise, _, fall = self.present_and_absent(scores)
        return rise * rise, fall * fall

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        return self.per_label_and_gradient(scores, targets)[0]

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        present, rise, absent, fall = self.present_and_absent(scores.clamp(-FAR, FAR))
        if reuse(absent) is None:
            absence = 1 - targets
            return targets * present + absence * absent, targets * rise + absence * fall
        # in place: absent + t (present - absent)
        return absent.lerp_(present, targets), fall.lerp_(rise, targets)

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        present, absent = self.curvatures(scores)
        return absent.lerp(present, targets)


@dataclass(frozen=True)
class MarginLoss(MixtureLoss):
    r"""Loss of the form :math:`t\,\phi(s) + (1 - t)\,\phi(-s)`. Subclass it and write two functions of the margin."""

    @abstractmethod
    def margin_loss(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of margins and its derivative, finite for all finite margins.

        Parameters
        ----------
        margins : Tensor of shape (n_samples, n_labels)
            Scores of present labels, or minus the scores of absent labels.

        Returns
        -------
        values : Tensor of shape (n_samples, n_labels)
            The loss of each margin.
        slopes : Tensor of shape (n_samples, n_labels)
            Its derivative; a subgradient at a kink.
        """

    def margin_curvature(self, margins: Tensor) -> Tensor:
        """Return a nonnegative estimate of the second derivative of the loss of margins, by default the squared slope.

        Parameters
        ----------
        margins : Tensor of shape (n_samples, n_labels)
            Scores of present labels, or minus the scores of absent labels.

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
            Estimates of the second derivatives, >= 0.
        """
        _, slopes = self.margin_loss(margins)
        return slopes * slopes

    def present_and_absent(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (present, rise), (absent, slope) = self.margin_loss(scores), self.margin_loss(-scores)
        return present, rise, absent, -slope

    def curvatures(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        return self.margin_curvature(scores), self.margin_curvature(-scores)


def differentiate(function: Callable[[Tensor], Tensor], scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values of a function of the scores and the gradient of their sum."""
    import torch

    with torch.enable_grad():
        leaf = as_single(scores.detach()).requires_grad_()
        values = function(leaf)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient


def reuse(x: Tensor) -> Any:
    """Return a tensor as memory for a result (``out=``), None where operations are recorded or transformed."""
    return None if sys.modules["torch"].is_grad_enabled() or is_transformed() else x


def is_transformed() -> bool:
    """Return whether PyTorch compiles, or transforms by ``torch.func``, what is called."""
    torch = sys.modules["torch"]
    is_active: bool = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    return is_active


def reduced(losses: Tensor, weight: Tensor | None, reduction: str, rows: Any) -> Tensor:
    """Return the losses of rows times their weights, in the shape of the rows, or their sum or mean."""
    if weight is not None:
        losses = weighted(losses, None, weight)
    if reduction == "none":
        return losses.reshape(rows)
    if reduction == "sum" or not losses.shape[0]:
        return losses.sum()
    if weight is None:
        return losses.mean()
    total = weight.sum()
    # 0 / 1 if all weights are 0
    return losses.sum() / (total + (total == 0))


def check_reduction(reduction: str, name: str) -> None:
    """Raise unless the reduction is one of three; the message begins with a name."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")


def checked(name: str, value: Any, interval: str, per_label: bool) -> Any:
    """Return a real number in an interval such as "[0, inf)", or a tuple with one for each label."""
    allowed = f"{name} must be a real number in {interval}" + ", or a sequence with one for each label" * per_label
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    numbers = np.asarray(float(value) if is_number else value)
    if not (is_number or (per_label and numbers.ndim)) or numbers.dtype.kind not in "iuf":
        raise TypeError(f"{allowed}, got {value!r:.200}.")
    if hasattr(value, "to_numpy") and list(getattr(value, "index", ())) not in ([], list(range(len(value)))):
        raise ValueError(
            f"{name} is read by position, because a loss does not know the names of labels, got names "
            f"{list(value.index)!r:.200}. Pass {name.split()[-1]}[y.columns].to_numpy()."
        )
    low, high = map(float, interval[1:-1].split(","))
    above = numbers >= low if interval[0] == "[" else numbers > low
    below = numbers <= high if interval[-1] == "]" else numbers < high
    if numbers.ndim > 1 or not numbers.size or not (above & below).all():
        raise ValueError(f"{allowed}, got {value!r:.200}.")
    return value if is_number else tuple(numbers.astype(float).tolist())


def known(scores: Tensor, targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return scores and targets with zeros in place of unknown labels, so that NaN there reaches no formula.

    Call it before the formula of a loss. A mask that is applied only after the formula leaves 0 * NaN = NaN in the
    gradient.

    Parameters
    ----------
    scores : Tensor of shape (n_samples, n_labels)
        Scores of the model.
    targets : Tensor of shape (n_samples, n_labels)
        Targets in [0, 1], anything where unknown.
    mask : bool Tensor of shape (n_samples, n_labels) or None
        True where the target is known; None when all are known.

    Returns
    -------
    scores : Tensor of shape (n_samples, n_labels)
        Scores, 0 where the target is unknown.
    targets : Tensor of shape (n_samples, n_labels)
        Targets, 0 where unknown.

    See Also
    --------
    weighted : The mask of what the formula returns.

    Examples
    --------
    >>> import torch
    >>> scores, targets = torch.tensor([[0.5, 2.0]]), torch.tensor([[1.0, torch.nan]])
    >>> known(scores, targets, torch.tensor([[True, False]]))
    (tensor([[0.5000, 0.0000]]), tensor([[1., 0.]]))
    """
    if mask is None:
        return scores, targets
    return scores.masked_fill(~mask, 0), targets.masked_fill(~mask, 0)


def weighted(values: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
    """Return values times the weights of labels, 0 for unknown labels and for labels of weight 0.

    Call it on what the formula of a loss returns for each label: losses, derivatives, terms of a sum.

    Parameters
    ----------
    values : Tensor of shape (n_samples, n_labels)
        Values of rows and labels.
    mask : bool Tensor of shape (n_samples, n_labels) or None
        True where the target is known; None when all are known.
    weight : Tensor that broadcasts to (n_samples, n_labels) or None
        Nonnegative weights; None when all are 1.

    Returns
    -------
    Tensor of shape (n_samples, n_labels)
        Weighted values.

    See Also
    --------
    known : The mask of what the formula takes.
    split_weight : Weights of rows and of labels from weights of both.

    Examples
    --------
    >>> import torch
    >>> values, weight = torch.tensor([[1.0, torch.inf, 3.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> weighted(values, torch.tensor([[True, True, False]]), weight)
    tensor([[2., 0., 0.]])
    """
    if weight is not None:
        values = (values * weight).masked_fill(weight == 0, 0)  # 0 times an infinite loss is NaN
    return values if mask is None else values.masked_fill(~mask, 0)


def split_weight(weight: Tensor | None, mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return the weights of rows and the relative weights of labels within their row.

    The weight of a row is the mean over its known labels of positive weight: equal weights in a row are the weight of
    that row, and a label of weight 0 is the same as an unknown one.

    Parameters
    ----------
    weight : Tensor of shape (n_samples,) or (n_samples, n_labels), or None
        Nonnegative weights of rows, or of rows and labels.
    mask : bool Tensor of shape (n_samples, n_labels) or None
        True where the target is known; None when all are known.

    Returns
    -------
    row_weight : Tensor of shape (n_samples,) or None
        None when there are no weights.
    label_weight : Tensor of shape (n_samples, n_labels) or None
        Weights with mean 1 over the known labels of positive weight in a row; None when labels have no weights of their
        own.

    See Also
    --------
    weighted : Values times the weights of labels.

    Examples
    --------
    >>> import torch
    >>> split_weight(torch.tensor([[1.0, 3.0], [2.0, 2.0]]), None)
    (tensor([2., 2.]), tensor([[0.5000, 1.5000],
            [1.0000, 1.0000]]))
    """
    if weight is None or weight.ndim == 1:
        return weight, None
    if mask is not None:
        weight = weight.masked_fill(~mask, 0)
    # w_ij = r_i u_ij, with r_i the mean of the positive weights of the row
    row_weight = weight.sum(dim=1) / (weight > 0).sum(dim=1).clamp(min=1)
    return row_weight, weight / row_weight.where(row_weight > 0, 1)[:, None]
