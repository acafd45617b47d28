"""
Time and memory of losses in a training loop
============================================

Forward and backward pass of a loss on scores in single precision, one thread, against the code that is usual
elsewhere: PyTorch's kernel for cross-entropy, the operations of torchvision's ``sigmoid_focal_loss``, the reference
implementation of the asymmetric loss, and ``logsumexp(cat(...))`` for ZLPR, dense and from indices. Runs are
interleaved; the best CPU time of each is printed, its ratio to the usual code, and with ``--memory`` the peak of each
in a process of its own.

    python examples/benchmarks/losses.py
    python examples/benchmarks/losses.py --memory
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
from pathlib import Path
from time import process_time

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from sk_quadrant.losses import ZLPR, Asymmetric, BCEWithLogits, Focal

SHAPES = [(256, 1000), (32, 10_000), (16, 50)]
LARGE = (2048, 10_000)
N_PRESENT = 5
SECONDS = 0.15  # of each timing


def usual_bce(scores, targets):
    """PyTorch's kernel, summed over labels, averaged over rows."""
    return binary_cross_entropy_with_logits(scores, targets, reduction="sum") / len(scores)


def usual_focal(scores, targets, gamma=2.0):
    """Operations of ``torchvision.ops.sigmoid_focal_loss`` without alpha."""
    p = torch.sigmoid(scores)
    entropy = binary_cross_entropy_with_logits(scores, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    return (entropy * ((1 - p_t) ** gamma)).sum() / len(scores)


def usual_asymmetric(scores, targets, gamma_pos=1.0, gamma_neg=4.0, clip=0.05):
    """``AsymmetricLoss`` of the Alibaba-MIIL/ASL repository, averaged over rows."""
    present = torch.sigmoid(scores)
    absent = (1 - present + clip).clamp(max=1)
    loss = targets * present.clamp(min=1e-8).log() + (1 - targets) * absent.clamp(min=1e-8).log()
    p_t = present * targets + absent * (1 - targets)
    weight = torch.pow(1 - p_t, gamma_pos * targets + gamma_neg * (1 - targets))
    return -(loss * weight).sum() / len(scores)


def usual_zlpr(scores, targets):
    """``multilabel_categorical_crossentropy`` of bert4keras in PyTorch."""
    signed = (1 - 2 * targets) * scores
    zeros = torch.zeros_like(signed[..., :1])
    absent, present = signed - targets * 1e12, signed - (1 - targets) * 1e12
    absent, present = (torch.cat([part, zeros], dim=-1).logsumexp(dim=-1) for part in (absent, present))
    return (absent + present).mean()


def usual_sparse_zlpr(scores, indices):
    """``sparse_multilabel_categorical_crossentropy`` of bert4keras in PyTorch, without padding."""
    zeros = torch.zeros_like(scores[..., :1])
    present = scores.gather(-1, indices)
    all_sum = torch.cat([scores, zeros], dim=-1).logsumexp(dim=-1)
    present_sum = present.logsumexp(dim=-1) - all_sum
    absent_sum = all_sum + torch.log(torch.clamp(1 - present_sum.exp(), min=1e-7))
    return (absent_sum + torch.cat([-present, zeros], dim=-1).logsumexp(dim=-1)).mean()


PAIRS = {
    "bce_with_logits": (usual_bce, BCEWithLogits(), "dense"),
    "focal": (usual_focal, Focal(), "dense"),
    "asymmetric": (usual_asymmetric, Asymmetric(), "dense"),
    "zlpr": (usual_zlpr, ZLPR(), "dense"),
    "zlpr, indices": (usual_sparse_zlpr, ZLPR().from_indices, "indices"),
}


def make_batch(shape):
    """Return scores, and targets by kind."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(shape, generator=generator, requires_grad=True)
    order = torch.rand(shape, generator=generator)
    indices = order.topk(min(N_PRESENT, shape[-1]), dim=-1).indices
    return scores, {"dense": torch.zeros(shape).scatter(-1, indices, 1.0), "indices": indices}


def step(function, scores, targets):
    """Run a forward and a backward pass."""
    scores.grad = None
    function(scores, targets).backward()


def best_times(functions, scores, targets, *, n_rounds):
    """Return the best CPU time of each function, in microseconds, from interleaved rounds."""
    times = [[] for _ in functions]
    start = process_time()
    step(functions[0], scores, targets)
    n_repeats = max(2, round(SECONDS / max(1e-5, process_time() - start)))
    for _ in range(n_rounds):
        for function, measured in zip(functions, times, strict=True):
            start = process_time()
            for _ in range(n_repeats):
                step(function, scores, targets)
            measured.append((process_time() - start) / n_repeats)
    return [1e6 * min(measured) for measured in times]


def _memory(name):
    """Return a line of the memory of this process in MiB, on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def _peak(name, side, queue):
    function, kind = PAIRS[name][side], PAIRS[name][2]
    scores, targets = make_batch(LARGE)
    wanted = targets.pop(kind)
    targets.clear()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _memory("VmRSS")
    step(function, scores, wanted)
    queue.put(_memory("VmHWM") - before)


def peak_memory(name, side):
    """Return how many MiB the largest memory of a process grows in one step on a large batch."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_peak, args=(name, side, queue))
    process.start()
    peak = queue.get()
    process.join()
    return peak


def main():
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[1])
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds of each timing")
    parser.add_argument("--memory", action="store_true", help=f"peak memory at {LARGE} instead of time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        print(f"{'loss':16} {'usual MiB':>10} {'here MiB':>10}")
        for name in PAIRS:
            print(f"{name:16} {peak_memory(name, 0):10.0f} {peak_memory(name, 1):10.0f}")
        return
    print(f"{'shape':>14} {'loss':16} {'usual us':>10} {'here us':>10} {'ratio':>6}")
    for shape in SHAPES:
        scores, targets = make_batch(shape)
        for name, (usual, here, kind) in PAIRS.items():
            theirs, ours = best_times([usual, here], scores, targets[kind], n_rounds=options.rounds)
            print(f"{shape!s:>14} {name:16} {theirs:10.0f} {ours:10.0f} {ours / theirs:6.2f}", flush=True)


if __name__ == "__main__":
    main()
