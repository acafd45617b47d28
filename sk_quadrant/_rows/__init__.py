"""Training rows: features and weighted targets, in memory or in parts. NumPy only."""
