"""The full-batch solver of linear models: all rows at once, every label with its own steps."""
