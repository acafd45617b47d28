"""The full-batch solver of linear models: each iteration uses all rows, with a step length for each label."""
