"""Targets and weights: encodings of y, sample and class weights, stratification, responses of classifiers.

NumPy only; used by the estimators, metrics, displays, Dask and torchrun.
"""

from sk_quadrant._targets.accuracy import accuracy, count_right, share_of_right
from sk_quadrant._targets.any_classifier import encoding_of_predictions, read_for_any_classifier, stated_thresholds
from sk_quadrant._targets.encodings import (
    ENCODINGS,
    Binary,
    Encoding,
    Multiclass,
    MultiLabel,
    encoding_from_dict,
    read_targets,
    recognize,
)
from sk_quadrant._targets.label_names import align_labels, column_names, listed, read_label_values
from sk_quadrant._targets.responses import (
    RESPONSE_METHODS,
    Response,
    delegates,
    find_label_names,
    first_method,
    positive_probabilities,
    respond,
)
from sk_quadrant._targets.scored import (
    ScoredTargets,
    check_predicted_targets,
    check_probabilistic_targets,
    check_ranked_targets,
)
from sk_quadrant._targets.stratification import check_label_cv, hold_out, stratified_folds, stratified_parts
from sk_quadrant._targets.targets import (
    Targets,
    as_classes,
    count_classes,
    is_label_column,
    is_label_matrix,
    is_target_column,
    one_class_labels,
    read_matrix,
    refuse_dask,
)
from sk_quadrant._targets.weights import check_known, check_sample_weight, weigh_rows, weight_targets
