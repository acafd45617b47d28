"""The estimator on Dask collections, whose blocks stay where they are."""

try:
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError("sk_quadrant.dask needs Dask: pip install 'sk-quadrant[dask]'.") from error

from sk_quadrant.dask._estimator import DaskQuadrantMultiLabelClassifier

__all__ = ["DaskQuadrantMultiLabelClassifier"]
