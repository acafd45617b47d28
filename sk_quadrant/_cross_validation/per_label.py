"""A C for each label: the one with the smallest loss on held-out rows, for losses that are sums over labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sk_quadrant._arrays import FloatArray

if TYPE_CHECKING:
    from sk_quadrant._cross_validation.evaluation import HeldOutScores
    from sk_quadrant.losses import LabelwiseLoss


def choose_per_label(scores: Sequence[HeldOutScores], loss: LabelwiseLoss) -> HeldOutScores:
    """Return held-out scores with a C for each label.

    The C for the scores of a split are chosen on all other splits, `C` of the result on all splits.

    Parameters
    ----------
    scores : sequence of HeldOutScores
        For each C, in ascending order; ties take the smallest.
    loss : LabelwiseLoss
    """
    of_splits = np.array([label_losses(each, loss) for each in scores])  # (n_Cs, n_splits, n_labels)
    total = of_splits.sum(axis=1)
    values, first = [], scores[0]
    for k in range(len(first.splits)):
        best = np.argmin(total - of_splits[:, k], axis=0)
        values.append(np.column_stack([scores[C].values[k][:, label] for label, C in enumerate(best)]))
    C = np.array([each.C for each in scores], dtype=np.float64)[np.argmin(total, axis=0)]
    return replace(first, values=values, C=C, seconds=np.sum([each.seconds for each in scores], axis=0).tolist())


def label_losses(scores: HeldOutScores, loss: LabelwiseLoss) -> FloatArray:
    """Return the weighted sum of the loss over the known held-out rows of each split and label."""
    import torch

    targets, sums = scores.data.targets, []
    for split, values in zip(scores.splits, scores.values, strict=True):
        pair = (torch.from_numpy(np.asarray(each, dtype=np.float64)) for each in (values, targets.dense(split.test)))
        losses = loss.per_label(*pair).numpy() * targets.known(split.test)
        weight = None if targets.weight is None else targets.weight[split.test]
        sums.append((losses if weight is None else (losses.T * weight.T).T).sum(axis=0))
    return np.array(sums)
