"""Zero-bounded log-sum-exp and pairwise rank-based loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import FAR, Loss, as_single, check_reduction, known, reduced, reuse, weighted
from sk_quadrant.losses._links import LogitLink, softplus

if TYPE_CHECKING:
    from torch import Tensor

LARGE = 2**13  # scores for which copies take longer than calls
PADDING = -(2**63)  # sorted behind all labels


@dataclass(frozen=True)
class ZLPR(Loss):
    r"""Zero-bounded log-sum-exp and pairwise rank-based loss, for hard and soft targets.

    .. math::
        \ell(s, t) = \frac{1}{\tau} \log\Bigl(e^b + \sum_j (1 - t_j) e^{u_j}\Bigr)
                   + \frac{1}{\tau} \log\Bigl(e^b + \sum_j t_j e^{-u_j}\Bigr), \quad u_j = \tau (s_j - s_0)

    It ranks all present labels of a row above the threshold :math:`s_0` and all absent labels below. Weights of labels
    multiply the terms of both sums.

    **Link**: :math:`\eta = \sigma(2 \tau (s - s_0))`. Exact for soft targets (probabilities), at every temperature,
    threshold and bound. For 0/1 targets no link of a single score exists. This one is close for many independent labels
    or a large bound; `CalibratedMultiLabelClassifierCV` gives probabilities otherwise.

    **Threshold**: natural :math:`s_0`, to predict the set of labels; Bayes-optimal for soft targets.

    Use it when labels exclude each other, to rank the few present labels first among many, and with soft targets. For
    0/1 targets calibrate its probabilities.

    Other names: multi-label softmax cross-entropy, ``multilabel_categorical_crossentropy`` (from indices:
    ``sparse_multilabel_categorical_crossentropy``), the loss of GlobalPointer, and, in relation extraction, balanced
    softmax.

    Parameters
    ----------
    temperature : float, default=1.0
        Scale :math:`\tau > 0` of the scores.
    threshold : float, default=0.0
        The score :math:`s_0` that separates present from absent labels.
    bound : float, default=0.0
        The exponent b. For large b the loss times :math:`e^b` approaches the exponential loss, with a link that is
        exact for 0/1 targets as well.

    See Also
    --------
    BCEWithLogits : Loss of independent labels, with probabilities.
    Exponential : The limit for a large bound.

    References
    ----------
    .. [1] J. Su, M. Zhu, A. Murtadha, S. Pan, B. Wen, Y. Liu, "ZLPR: a novel loss for multi-label classification",
       2022. :arxiv:`2208.02955`
    .. [2] Jianlin Su, "Soft label version of the multi-label softmax cross-entropy", 2022. https://kexue.fm/archives/9064

    Examples
    --------
    >>> import torch
    >>> loss = ZLPR()
    >>> value = loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    >>> round(float(value.exp()), 4)  # log(1 + 1) + log(1 + 1)
    4.0
    """

    name: ClassVar[str] = "zlpr"
    intervals: ClassVar[Mapping[str, str]] = {
        "temperature": "(0, inf)", "threshold": "(-inf, inf)", "bound": "(-inf, inf)"
    }  # fmt: skip

    temperature: float = 1.0
    threshold: float = 0.0
    bound: float = 0.0

    @property
    def link(self) -> LogitLink:
        """Logistic link of slope 2 temperature around the threshold."""
        return LogitLink(slope=2 * self.temperature, center=self.threshold)

    def per_sample(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        from sk_quadrant.losses._autograd import row_losses

        return row_losses(self, scores, targets, mask, weight)

    def values_and_gradient(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        values, (present, absent) = self._values_and_shares(scores, targets, mask, weight)
        return values, absent.sub_(present) if reuse(absent) is not None else absent - present

    def curvature(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        _, (present, absent) = self._values_and_shares(scores, targets, mask, weight)
        # the Hessian of log-sum-exp has the diagonal share (1 - share); du/ds = tau
        return self.temperature * (present * (1 - present) + absent * (1 - absent))

    def from_indices(
        self, scores: Tensor, indices: Tensor, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> Tensor:
        r"""Return the loss for targets that are given as the indices of the present labels.

        It equals the loss of dense 0/1 targets, without memory for them. Use it for thousands of labels, or for spans:
        scores of shape (batch, heads, length, length) are flattened to (batch, heads, length * length), with indices
        ``start * length + end``. Also known as sparse multi-label softmax cross-entropy.

        Parameters
        ----------
        scores : Tensor of shape (..., n_labels)
            Scores of the model.
        indices : int Tensor of shape (..., k)
            Indices of the present labels of each row, in any order, padded with `ignore_index`. A repeated index counts
            once. PyTorch raises an error for indices outside 0 to n_labels - 1.
        ignore_index : int, default=-100
            Padding of rows with fewer than k present labels.
        reduction : {"mean", "sum", "none"}, default="mean"
            The mean over rows, their sum, or the loss of each row.

        Returns
        -------
        Tensor of shape (), or of shape (...) for ``reduction="none"``
            The loss.

        Raises
        ------
        ValueError
            If the axes of rows differ, or `reduction` is unknown.
        TypeError
            If `indices` are not integers.

        Examples
        --------
        >>> import torch
        >>> scores = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
        >>> sparse = ZLPR().from_indices(scores, torch.tensor([[2, 0], [1, -100]]))
        >>> sparse == ZLPR()(scores, torch.tensor([[1, 0, 1], [0, 1, 0]]))
        tensor(True)
        """
        from sk_quadrant.losses._autograd import row_losses

        self._check_indices(scores, indices, reduction)
        if not indices.shape[-1]:
            indices = indices.new_full((*indices.shape[:-1], 1), ignore_index)
        rows, scores = scores.shape[:-1], as_single(scores)
        flat = scores.reshape(-1, scores.shape[-1]), indices.reshape(-1, indices.shape[-1]).long()
        losses = row_losses(_FromIndices(self, ignore_index), *flat, None, None)  # type: ignore[arg-type]
        return reduced(losses, None, reduction, rows)

    def _check_indices(self, scores: Tensor, indices: Tensor, reduction: str) -> None:
        """Raise unless shapes and types fit each other."""
        if scores.ndim == 0 or indices.ndim == 0 or scores.shape[:-1] != indices.shape[:-1]:
            raise ValueError(
                f"ZLPR: indices must have shape {(*scores.shape[:-1], 'k')} for scores of shape {tuple(scores.shape)}, "
                f"got {tuple(indices.shape)}."
            )
        if indices.is_floating_point() or str(indices.dtype) == "torch.bool":
            raise TypeError(f"ZLPR: indices must be integers, got {indices.dtype}.")
        check_reduction(reduction, "ZLPR")

    def _values_and_shares(
        self, scores: Tensor, targets: Tensor, mask: Tensor | None, weight: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the loss of each row, (n_samples, 1), and the share of each label in the two sums."""
        import torch

        scores, targets = known(scores, targets, mask)
        u = _exponents(self, scores)
        if reuse(u) is None or u.numel() < LARGE:  # both sums at once: few operations
            factors = weighted(torch.stack([targets, 1 - targets]), mask, weight)
            sums, (present, absent) = _log_sum(torch.stack([-u, u]), factors, self.bound)
            values = sums.sum(dim=0)
        else:  # one after the other: few copies
            present_sums, present = _log_sum(-u, weighted(targets, mask, weight), self.bound)
            absent_sums, absent = _log_sum(u, weighted(1 - targets, mask, weight), self.bound)
            values = present_sums.add_(absent_sums)
        return values if self.temperature == 1 else values / self.temperature, (present, absent)


@dataclass(frozen=True)
class _FromIndices:
    """ZLPR of targets as indices, in the form in which losses have derivatives in closed form."""

    loss: ZLPR
    ignore_index: int

    def values_and_gradient(
        self, scores: Tensor, indices: Tensor, mask: None = None, weight: None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each row, (n_samples, 1), and its derivative; see `ZLPR.from_indices`."""
        from torch.nn.functional import pad

        u, bound = _exponents(self.loss, scores), self.loss.bound
        order = indices.masked_fill(indices == self.ignore_index, PADDING).sort(dim=-1, descending=True).values
        is_padding, is_repeated = order == PADDING, pad(order.diff(dim=-1) == 0, (1, 0))
        has_present = ~is_padding[:, :1]  # of a sorted row the first one
        order = order.where(~is_padding, order[:, :1].where(has_present, 0))  # a present label again changes nothing
        absent = u.scatter(-1, order, -FAR)
        absent[:, :1] = absent[:, :1].where(has_present, u[:, :1])  # label 0 of a row of padding
        factors = (~(is_padding | is_repeated)).to(u.dtype)
        present_sums, present_shares = _log_sum(-u.gather(-1, order), factors, bound)
        # e^-FAR = 0: present labels leave the sum of absent ones
        log_total = absent.logsumexp(dim=-1, keepdim=True)
        # log(e^b + e^x) = b + softplus(x - b)
        values = (present_sums + bound + softplus(log_total - bound)) / self.loss.temperature
        # e^u / (e^b + e^x) = softmax(u) sigmoid(x - b)
        shares = (absent - log_total).exp() * (log_total - bound).sigmoid()
        return values, shares.scatter_add(-1, order, -present_shares)


def _exponents(loss: ZLPR, scores: Tensor) -> Tensor:
    """Return u, finite."""
    if loss.threshold:
        scores = scores - loss.threshold
    if loss.temperature != 1:
        scores = scores * loss.temperature
    return scores.clamp(-FAR, FAR)


def _log_sum(exponents: Tensor, factors: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Return log(e^bound + sum factor exp(exponent)), as a column, and its derivative, the share of each term.

    The exponents are taken relative to the largest of a positive factor, so that nothing overflows and nothing that
    counts underflows. A comparison would take longer than the sign of the factors.
    """
    import torch

    if not factors.shape[-1]:  # no label: log(e^bound)
        return bound + exponents.sum(dim=-1, keepdim=True), exponents * factors
    absence = factors.detach().sign().sub_(1)  # -1 for a factor of 0
    top = torch.add(exponents.detach(), absence, alpha=4 * FAR, out=reuse(absence)).amax(dim=-1, keepdim=True)
    distances = exponents - top
    # only exponents of factor 0 are above the top
    terms = torch.exp(torch.clamp(distances, max=0, out=reuse(distances)), out=reuse(distances))
    terms = torch.mul(terms, factors, out=reuse(terms))
    total = terms.sum(dim=-1, keepdim=True)
    log_total = top + total.masked_fill(total == 0, 1).log()  # far below 0 for an empty sum
    # log(e^b + e^x) = b + softplus(x - b), x being the logarithm of the sum
    values: Tensor = bound + softplus(log_total - bound)  # with full relative accuracy where it is small
    return values, torch.div(terms, total + (bound - top).exp(), out=reuse(terms))
