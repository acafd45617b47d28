"""Rows spread over processes: the same fit under ``torchrun``, by plain collectives of ``torch.distributed``."""

from sk_quadrant.distributed._fit import fit_distributed

__all__ = ["fit_distributed"]
