"""Base classes of the losses: what a multi-label loss has to say for itself.

A loss here is a value, not a module: a frozen dataclass whose fields are its parameters. It fixes what a score means
(its link) and where "yes" begins (its threshold), so that whoever holds the loss can turn scores into probabilities
and decisions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from sk_quadrant.losses._functions import Array, as_floating
from sk_quadrant.losses._links import Link

if TYPE_CHECKING:
    from torch import Tensor


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

    A subclass is a frozen dataclass; its fields are parameters that ``GridSearchCV`` can search over by passing
    instances. Calling the loss gives the weighted mean over rows.

    Attributes
    ----------
    name : str
        Name in messages and in ``LOSSES``.
    link : Link or None
        Map between scores and probabilities, None where scores have no probability.
    threshold : float
        Natural threshold: the score above which the loss itself treats a label as present.
    bayes_threshold : float or None
        Score whose probability is 1/2, the cut that minimises the expected Hamming loss; None where no score has it.
    convex : bool
        Whether the loss is convex in the scores.
    labelwise : bool
        Whether the loss is a sum over labels.
    soft_targets : bool
        Whether targets strictly between 0 and 1 are allowed.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import torch
    >>> @dataclass(frozen=True)
    ... class LargestError(Loss):
    ...     name = "largest_error"
    ...     def per_sample(self, scores, targets, mask=None, weight=None):
    ...         return ((1 - 2 * targets) * scores).logsumexp(dim=1)
    >>> LargestError()(torch.zeros(3, 1), torch.ones(3, 1))
    tensor(0.)
    """

    name: ClassVar[str]
    labelwise: ClassVar[bool] = False
    soft_targets: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every formula of scores and targets, a user's included, compute in single precision at least."""
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
        """Score of probability 1/2, None where no score has it."""
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
            True where the target is known; other entries contribute nothing. None when all are known.
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

        Solvers scale their steps by it, so it changes their speed and not their answer. The default is the squared
        gradient, whose mean is the second derivative where the model is right (Fisher information).

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
        """Return the score of each label with which a model without features starts.

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
        # a probability that no score reaches would start where the loss is flat
        highest = self.link.high if self.link.high == 1 else 0.75 * self.link.high
        scores: Array = self.link.link(np.minimum(frequency, highest))
        return scores

    def continuation(self) -> Sequence[Loss]:
        """Return the losses that a full-batch solver minimises in turn, each from the solution of the one before.

        One for a loss with a continuous gradient: itself.
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
            Weights of rows, or of rows and labels. The latter are split into the mean weight of a row and the
            relative weights of the labels within it.

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
    """Loss that is a sum over labels. Subclass it and write `per_label`, and `link` if its scores have one.

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

        Write it where a closed form is faster.
        """
        return differentiate(lambda leaf: self.per_label(leaf, targets), scores)

    def per_label_gradient(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative of `per_label` alone. Write it where it is cheaper without the values."""
        return self.per_label_and_gradient(scores, targets)[1]

    def per_label_curvature(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return a nonnegative estimate of the second derivative, by default the squared first (see `curvature`)."""
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


def known(scores: Tensor, targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Put zeros for unknown entries; masking the result alone would leave 0 * nan = nan in its gradient."""
    if mask is None:
        return scores, targets
    return scores.masked_fill(~mask, 0), targets.masked_fill(~mask, 0)


def weighted(values: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
    """Multiply by weights and put zeros for unknown entries."""
    if weight is not None:
        values = (values * weight).masked_fill(weight == 0, 0)  # 0 times an infinite loss is NaN
    return values if mask is None else values.masked_fill(~mask, 0)


def split_weight(weight: Tensor | None, mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Split weights into those of rows, (n_samples,), and relative ones of labels, (n_samples, n_labels) or None.

    A row's weight is the mean over its known labels, so that equal weights in a row are the weight of that row.
    """
    if weight is None or weight.ndim == 1:
        return weight, None
    if mask is None:
        row_weight = weight.mean(dim=1)
    else:
        weight = weight.masked_fill(~mask, 0)
        row_weight = weight.sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return row_weight, weight / row_weight.where(row_weight > 0, 1)[:, None]
