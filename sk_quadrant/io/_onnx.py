"""Registration of the classifiers of this package with skl2onnx."""

from __future__ import annotations

from typing import Any

from sk_quadrant._calibration.classifier import CalibratedMultiLabelClassifierCV
from sk_quadrant._classifier import QuadrantMultiLabelClassifier
from sk_quadrant._cross_validation.classifier import QuadrantMultiLabelClassifierCV
from sk_quadrant._thresholds.classifier import TunedThresholdMultiLabelClassifierCV
from sk_quadrant._thresholds.fixed import FixedThresholdMultiLabelClassifier
from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier
from sk_quadrant.io import _onnx_classifier as own
from sk_quadrant.io import _onnx_meta_estimators as meta

ZIPMAP = {"zipmap": [True, False]}  # pipelines pass it on to their last step; no effect on multi-label output
RAW_SCORES = {"raw_scores": [True, False], **ZIPMAP}
CONVERTERS: dict[Any, tuple[str, Any, Any, Any, dict[str, Any]]] = {  # name, parser, shapes, converter and options
    QuadrantMultiLabelClassifier: (
        "SkQuadrantMultiLabelClassifier", own.declare, own.set_shapes, own.convert, RAW_SCORES,
    ),
    QuadrantMultiLabelClassifierCV: (
        "SkQuadrantCV", meta.declare_chosen, meta.set_shapes, meta.convert_chosen, RAW_SCORES,
    ),
    CalibratedMultiLabelClassifierCV: (
        "SkQuadrantCalibrated", meta.declare_calibrated, meta.set_shapes, meta.convert_calibrated, ZIPMAP,
    ),
    HierarchicalMultiLabelClassifier: (
        "SkQuadrantHierarchical", meta.declare_hierarchical, meta.set_shapes, meta.convert_hierarchical, ZIPMAP,
    ),
    TunedThresholdMultiLabelClassifierCV: (
        "SkQuadrantTunedThreshold", meta.declare_tuned, meta.set_shapes, meta.convert_tuned, ZIPMAP,
    ),
    FixedThresholdMultiLabelClassifier: (
        "SkQuadrantFixedThreshold", meta.declare_tuned, meta.set_shapes, meta.convert_tuned, ZIPMAP,
    ),
}  # fmt: skip


def register_onnx_converters() -> None:
    """Let skl2onnx convert the classifiers of this package, alone or in pipelines.

    After this call ``skl2onnx.to_onnx`` takes fitted pipelines that end in a `QuadrantMultiLabelClassifier`, linear or
    with hidden layers, and the meta-estimators of this package around such a pipeline. The result has two outputs:
    "label", the output of `predict`, and "probabilities", the output of `predict_proba`. The second is "scores", the
    output of `decision_function`, for a loss without a link, with the option `raw_scores`, and for thresholds of
    decision values. `min_labels` and `max_labels` are converted, ``rule="expected_f1"`` is not. Input in single
    precision gives probabilities in single precision, computed in double precision after the last matrix product.
    Labels of a sparse `y` are dense.

    The link of the loss is converted, also that of a user-defined loss if it is written in functions of NumPy.

    It needs skl2onnx, and onnxruntime or another program to run the result; the extra ``onnx`` installs both.

    See Also
    --------
    verify_onnx : Compare a converted model with the estimator.
    save_safetensors : Save a linear model as arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.io import register_onnx_converters
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> model = QuadrantMultiLabelClassifier(loss="zlpr").fit(X, Y)
    >>> register_onnx_converters()  # doctest: +SKIP
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> converted = to_onnx(model, X[:1].astype(np.float32))  # doctest: +SKIP
    """
    from skl2onnx import update_registered_converter

    for model, (alias, parser, set_shapes, convert, options) in CONVERTERS.items():
        update_registered_converter(model, alias, set_shapes, convert, parser=parser, options=options)
