"""Training: from the parameters of the estimator to a skorch net, and back to arrays."""
