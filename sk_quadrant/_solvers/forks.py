"""Forks: a child process uses one thread of PyTorch; otherwise it would wait for threads that only its parent has.

A fork does not copy the thread pool of OpenMP, but the child still counts on it. PyTorch's own
``DataLoader`` does the same in its workers.
"""

from __future__ import annotations

import os

import torch

if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
