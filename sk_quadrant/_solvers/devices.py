"""Devices: names, checked."""

from __future__ import annotations

import re

import torch


def available_devices() -> list[str]:
    """Return the names that `resolve_device` accepts on this machine."""
    names = ["auto", "cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is a GPU if there is one.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    available = available_devices()
    if name not in available:
        known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name)
        reason = "is not available on this machine" if known else "is not a device"
        raise ValueError(f"device={name!r} {reason}. Available: {', '.join(available)}.")
    if name == "auto":
        name = next((gpu for gpu in ("cuda", "mps") if gpu in available), "cpu")
    return torch.device(name)
