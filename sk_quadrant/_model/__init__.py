"""Fitted models: the weights of a linear model or network of this package, or a module of the user."""

from sk_quadrant._model.fitted import Architecture, FittedModel, Layers, loss_from_dict, loss_to_dict
from sk_quadrant._model.own_module import (
    ModuleName,
    is_instance,
    module_from_dict,
    module_model,
    module_to_dict,
)
