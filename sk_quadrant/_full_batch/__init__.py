"""The full-batch solver of linear models: all rows at once, every label with steps of its own."""
