"""The attributes of a fitted meta-estimator, replaced all at once."""

from __future__ import annotations

from typing import Any

DELEGATED = ("n_features_in_", "feature_names_in_", "label_names_in_")


def publish(model: Any, estimator: Any, **attributes: Any) -> None:
    """Replace the attributes of an earlier fit, in one step that nothing can interrupt.

    Parameters
    ----------
    model : object
        Meta-estimator, whose attributes that end with "_" are those of a fit.
    estimator : object
        Fitted classifier inside, whose DELEGATED attributes the model has too.
    **attributes : dict
        The new attributes.
    """
    parameters = {name: value for name, value in vars(model).items() if not name.endswith("_")}
    delegated = {name: getattr(estimator, name) for name in DELEGATED if hasattr(estimator, name)}
    model.__dict__ = parameters | delegated | attributes
