"""Training rows: features and weighted targets, in memory or in parts. NumPy only."""

from sk_quadrant._rows.inputs import ArrayInputs, Inputs, Signature
from sk_quadrant._rows.parts import Chunks, Part, Schema, ShardedRows, Summary, read_part
from sk_quadrant._rows.reading import check_is_numeric, padding_explained, read_texts_or_dict, texts_explained
from sk_quadrant._rows.training import InputRows, TrainingRows, read_training_rows, smooth
from sk_quadrant._rows.validation import Division, about_validation_data, divide, read_validation_rows
