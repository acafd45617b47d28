"""Base classes of the losses and the laws that every loss obeys.

A loss is a value, not a module: a frozen dataclass with its parameters as fields. It defines the probability of a score
(its link) and the score above which a label is present (its threshold), so that the loss alone is enough to turn scores
into probabilities and decisions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from sk_quadrant.losses._functions import Array, as_floating
from sk_quadrant.losses.weighting import known, split_weight, weighted

if TYPE_CHECKING:
    from torch import Tensor

    from sk_quadrant.losses._links import Link


FORMULAS = frozenset(
    {
        "per_sample", "values_and_gradient", "curvature",
        "per_label", "per_label_and_gradient", "per_label_gradient", "per_label_curvature",
    }
)  # fmt: skip
Formula = TypeVar("Formula", bound=Callable[..., Any])


def at_least_single(formula: Formula) -> Formula:
    """Wrap a method of scores and targets so that both are of the same, at least single, precision."""

    @wraps(formula)
    def in_single(self: Loss, scores: Tensor, targets: Tensor, *args: Any, **kwargs: Any) -> Any:
        if scores.dtype != targets.dtype or scores.dtype.itemsize < 4:
            scores = as_floating(scores)
            targets = targets.to(scores.dtype)
        return formula(self, scores, targets, *args, **kwargs)

    return in_single  # type: ignore[return-value]


@dataclass(frozen=True)
class Loss(ABC):
    """Multi-label loss over the whole label set of a row. Subclass it and write `per_sample`.

    A subclass is a frozen dataclass; its fields are parameters. ``GridSearchCV`` searches over instances. Calling the
    loss gives the weighted mean over rows.

    Attributes
    ----------
    name : str
        Name in messages and in ``LOSSES``.
    link : Link or None
        Map between scores and probabilities, None where scores have no probability.
    threshold : float
        Natural threshold: the score above which the loss itself treats a label as present.
    bayes_threshold : float or None
        Score of probability 1/2, the threshold of the smallest expected Hamming loss; None where no score has it.
    convex : bool
        Whether the loss is convex in the scores.
    labelwise : bool
        Whether the loss is a sum over labels.
    soft_targets : bool
        Whether targets strictly between 0 and 1 are allowed.
    quadratic : bool
        Whether the loss is a quadratic function of each score, with a second derivative of 1. A linear model then
        solves one linear system.

    Notes
    -----
    Every loss obeys these laws. ``tests/losses/test_contract.py`` tests them for all of ``LOSSES``, under the same
    headings.

    **Registry**
        - The class needs no argument, is public, and has its own `name`, the key in ``LOSSES``.
        - Its docstring has the formula, the link, the threshold, a paragraph "Use it ...", references and examples.

    **Value**
        - A loss is frozen and hashable, equals losses of the same class and parameters and no others, and shows its
          parameters in its repr.
        - It survives pickle, copies and ``sklearn.base.clone``.

    **Rows**
        - The loss of a row is >= 0, has shape (n_samples,) and does not depend on other rows.
        - Calling the loss gives ``sum(w * l) / sum(w)``. A row of weight 2 counts as two rows, one of weight 0 as none.

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Compute every formula of scores and targets, those of users included, in at least single precision."""
        super().__init_subclass__(**kwargs)
        for name in FORMULAS & vars(cls).keys():
            setattr(cls, name, at_least_single(vars(cls)[name]))

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
    def bayes_threshold(self) -> float | None:
        """Score of probability 1/2; None where no score has it."""
        if self.link is None or self.link.high <= 0.5:
            return None
        return float(self.link.link(0.5))

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
        """

    def values_and_gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each row and its derivative with respect to the scores.

        Parameters
        ----------
        scores, targets, mask, weight
            As in `per_sample`.

        Returns
        -------
        values : Tensor of shape (n_samples, 1), or (n_samples, n_labels) for a labelwise loss
        gradient : Tensor of shape (n_samples, n_labels)
        """
        return differentiate(lambda leaf: self.per_sample(leaf, targets, mask, weight)[:, None], scores)

    def gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the derivative of each row's loss with respect to the scores alone.

        Parameters
        ----------
        scores, targets, mask, weight
            As in `per_sample`.

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
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
        scores, targets, mask, weight
            As in `per_sample`.

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
        """
        _, gradient = self.values_and_gradient(scores, targets, mask, weight)
        return gradient * gradient

    def constant_scores(self, frequency: Array) -> Array:
        """Return the initial score of each label: that of its frequency, the best of a model without features.

        Parameters
        ----------
        frequency : ndarray of shape (n_labels,)
            Mean target of each label, strictly inside (0, 1).

        Returns
        -------
        ndarray of shape (n_labels,)
        """
        if self.link is None:
            return np.where(frequency > 0.5, 1.0, -1.0)
        # a frequency above the supremum has an infinite score, where the loss is flat
        highest = self.link.high if self.link.high == 1 else 0.75 * self.link.high
        scores: Array = self.link.link(np.minimum(frequency, highest))
        return scores

    def continuation(self) -> Sequence[Loss]:
        """Return the losses that a full-batch solver minimises one after another, each from the last solution.

        A loss of continuous gradient is its own and only continuation.
        """
        return (self,)

    def __call__(
        self, scores: Tensor, targets: Tensor, *, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the weighted mean over rows, ``sum(w * l) / sum(w)``.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
        targets : Tensor of shape (n_samples, n_labels)
        mask : bool Tensor of shape (n_samples, n_labels), default=None
            True where the target is known.
        weight : Tensor of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of rows and labels. The latter are split by `weighting.split_weight` into the mean
            weight of a row and the relative weights of its labels.

        Returns
        -------
        Tensor of shape ()
        """
        row_weight, label_weight = split_weight(weight, mask)
        losses = self.per_sample(scores, targets, mask, label_weight)
        if row_weight is None:
            return losses.mean()
        return (row_weight * losses).sum() / row_weight.sum()


@dataclass(frozen=True)
class LabelwiseLoss(Loss):
    """Loss that is a sum over labels. Subclass it and write `per_label`, and `link` if there is one.

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

    @abstractmethod
    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row and label.

        Parameters
        ----------
        scores : Tensor of shape (n_samples, n_labels)
        targets : Tensor of shape (n_samples, n_labels)
            Targets in [0, 1].

        Returns
        -------
        Tensor of shape (n_samples, n_labels)
        """

    def per_label_and_gradient(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return `per_label` and its derivative with respect to the scores, by default from autograd.

        Override it where a closed form is faster.
        """
        return differentiate(lambda leaf: self.per_label(leaf, targets), scores)

    def per_label_gradient(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative of `per_label` alone. Override it where that is cheaper."""
        return self.per_label_and_gradient(scores, targets)[1]

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return a nonnegative estimate of the second derivative, by default the squared gradient; see `curvature`."""
        _, gradient = self.per_label_and_gradient(scores, targets)
        return gradient * gradient

    def per_sample(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each row, the weighted sum over its known labels; see `Loss.per_sample`."""
        values = self.per_label(*known(scores, targets, mask))
        return weighted(values, mask, weight).sum(dim=1)

    def values_and_gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each row and label and its derivative; see `Loss.values_and_gradient`."""
        values, gradient = self.per_label_and_gradient(*known(scores, targets, mask))
        return weighted(values, mask, weight), weighted(gradient, mask, weight)

    def gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return the derivative of the loss of each row and label; see `Loss.gradient`."""
        if mask is None and weight is None:
            return self.per_label_gradient(scores, targets)
        return weighted(self.per_label_gradient(*known(scores, targets, mask)), mask, weight)

    def curvature(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """Return a nonnegative estimate of the second derivative; see `Loss.curvature`."""
        return weighted(self.per_label_curvature(*known(scores, targets, mask)), mask, weight)


def differentiate(function: Callable[[Tensor], Tensor], scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values of a function of the scores and the gradient of their sum."""
    import torch

    with torch.enable_grad():
        leaf = as_floating(scores.detach()).requires_grad_()
        values = function(leaf)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient
