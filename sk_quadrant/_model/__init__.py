"""Fitted models: the weights of a linear model or network of this package, or a module of the user."""
