"""Masks and weights of rows and labels: unknown labels and labels of weight 0 contribute nothing.

For authors of set-wise losses and for code that evaluates losses. The functions take tensors; nothing is imported.
"""

from sk_quadrant.losses._base import known, split_weight, weighted

__all__ = ["known", "split_weight", "weighted"]
