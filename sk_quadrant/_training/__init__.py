"""Training of the estimator: its parameters, its data, the fit, and the score that early stopping monitors."""
