"""Rows that a model is trained on: features and weighted targets, in memory or in parts. NumPy only."""

from sk_quadrant._rows.parts import Chunks, Part, Schema, ShardedRows, Summary, read_part
from sk_quadrant._rows.training import TrainingRows, read_training_rows, smooth

__all__ = [
    "Chunks",
    "Part",
    "Schema",
    "ShardedRows",
    "Summary",
    "TrainingRows",
    "read_part",
    "read_training_rows",
    "smooth",
]
