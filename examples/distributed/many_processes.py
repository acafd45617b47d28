"""Fit rows that are spread over processes, each of which has a part of them.

``torchrun --nproc-per-node 2 examples/distributed/many_processes.py`` starts two of them on this machine. The
coefficients are those of a fit of all rows in one process; with ``init_process_group("nccl")`` and ``device="cuda"``
each process trains on a GPU of its own, which ``torch.cuda.set_device`` gives it.
"""

import numpy as np
import torch.distributed as dist

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.distributed import fit_distributed

if __name__ == "__main__":
    dist.init_process_group("gloo")
    rng = np.random.default_rng(dist.get_rank())  # each process would read files of its own
    X = rng.standard_normal((50_000, 20))
    Y = (X[:, :5] + rng.standard_normal((50_000, 5)) > 0).astype(int)
    clf = fit_distributed(QuadrantMultiLabelClassifier(), X, Y)
    print(f"Rank {dist.get_rank()} has the model of all ranks, whose first weight is {clf.coef_[0, 0]:.12f}.")
    dist.destroy_process_group()
