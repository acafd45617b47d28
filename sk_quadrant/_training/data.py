"""Data of `fit` and `partial_fit`, read once: rows to train on, in memory or in chunks, and rows to validate on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import validate_data

from sk_quadrant._namespaces import Namespace, in_numpy
from sk_quadrant._rows.parts import Chunks, Schema, ShardedRows, Summary
from sk_quadrant._rows.reading import read_features
from sk_quadrant._rows.training import TrainingRows, read_training_rows
from sk_quadrant._rows.validation import divide, read_validation_rows
from sk_quadrant._targets.reading import LabelArray
from sk_quadrant._training.parameters import check_chunk_device, check_takes_tensors, reads_chunks

if TYPE_CHECKING:
    from sk_quadrant._model.fitted import FittedModel
    from sk_quadrant._rows.validation import Division


def read_rows(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, start: FittedModel | None
) -> TrainingRows | ShardedRows:
    """Return the rows of `fit`, in memory or in chunks that are read when they are needed.

    `start` is the model from which training starts, None for a new start.
    """
    namespace = Namespace.of(X)
    if namespace is not None:
        check_takes_tensors(estimator)
    if not reads_chunks(estimator):
        return _in_memory(estimator, X, y, sample_weight, start, namespace=namespace)
    from sk_quadrant._solvers.full_batch.sums import chunk_sums

    check_chunk_device(estimator)
    chunks = Chunks(X, y, sample_weight, chunk_size=estimator.batch_size, missing_labels=estimator.missing_labels)
    schema = merge_summaries(estimator, [part.summary for part in chunks])
    validate_data(estimator, schema.head, skip_check_array=True, reset=start is None)
    return ShardedRows.of(schema, partial(chunk_sums, chunks, schema))


def read_batch(
    estimator: Any, X: Any, y: Any, classes: Any, sample_weight: Any, *, start: FittedModel | None
) -> TrainingRows:
    """Return the rows of `partial_fit`; `start` is the model of earlier calls.

    Raises
    ------
    ValueError
        If `classes` are missing in the first call.
    """
    y, classes, sample_weight = map(in_numpy, (y, classes, sample_weight))
    options = {"classes": classes, "namespace": Namespace.of(X)}
    if start is not None:
        return _in_memory(estimator, X, y, sample_weight, start, encoding=start.encoding, **options)
    labels = None if y is None else LabelArray.of(y)
    if labels and classes is None and not (labels.is_matrix or labels.is_label_column):
        raise ValueError("classes must be passed on the first call to partial_fit.")
    return _in_memory(estimator, X, labels, sample_weight, None, **options)


def _in_memory(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    model: FittedModel | None,
    *,
    namespace: Namespace | None,
    **options: Any,
) -> TrainingRows:
    """Return checked rows in memory; X must be like the rows of a model."""
    X = read_features(estimator, X, model, namespace)
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    return read_training_rows(
        X,
        y,
        sample_weight,
        missing_labels=estimator.missing_labels,
        class_weight=estimator.class_weight,
        label_smoothing=estimator.label_smoothing,
        namespace=namespace,
        **options,
    )


def merge_summaries(estimator: Any, summaries: list[Summary]) -> Schema:
    """Return the schema of all parts of the rows, with the class weights of an estimator."""
    return Schema.merge(summaries, class_weight=estimator.class_weight, label_smoothing=estimator.label_smoothing)


def read_validation(
    estimator: Any, rows: Any, X: Any, y: Any, groups: Any, validation_data: tuple[Any, Any, Any]
) -> TrainingRows | Division | None:
    """Return the rows of `X_val`, `y_val` and `sample_weight_val`, the split that gives them, or None to draw them."""
    if validation_data[0] is not None:
        return read_validation_rows(estimator, rows, *validation_data)
    splits = estimator.early_stopping and hasattr(estimator.validation_fraction, "split")
    return divide(estimator.validation_fraction, X, y, groups) if splits else None
