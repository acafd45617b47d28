"""Losses of this package as plain values, their name and parameters, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sk_quadrant._saved_state import plain
from sk_quadrant.losses import LOSSES


def plain_loss(loss: Any) -> Any:
    """Return the name and the parameters of a loss of this package, and anything else as it is."""
    if LOSSES.get(getattr(loss, "name", "")) is not type(loss):
        return loss
    return {"name": loss.name, **plain(loss)}


def loss_of(description: Any) -> Any:
    """Return the loss of a name and parameters, and anything else as it is."""
    if not isinstance(description, Mapping):
        return description
    parameters = dict(description)
    return LOSSES[parameters.pop("name")](**parameters)
