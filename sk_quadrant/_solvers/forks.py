"""Forks: a child gets one thread of PyTorch, which would otherwise wait for the threads that stay in its parent.

The pool of threads of OpenMP is not copied by a fork, but the child believes that it is there. PyTorch's own
``DataLoader`` does the same in its workers.
"""

from __future__ import annotations

import os

import torch

if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
