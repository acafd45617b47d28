"""What `fit` is given: features, targets and weights, in the form that solvers work on."""
