"""Metrics of multi-label probabilities and rankings, and their scorers.

They complement `sklearn.metrics`, which has ranking losses, NDCG, average precision and F-scores. Pass a scorer as the
`scoring` of GridSearchCV or cross_validate.
"""

from sk_quadrant.metrics._calibration import expected_calibration_error
from sk_quadrant.metrics._f1 import multilabel_f1_score, multilabel_precision_score, multilabel_recall_score
from sk_quadrant.metrics._log_loss import multilabel_log_loss
from sk_quadrant.metrics._propensity import label_propensities, psndcg_at_k_score, psp_at_k_score
from sk_quadrant.metrics._ranking import precision_at_k_score, recall_at_k_score
from sk_quadrant.metrics.scorers import (
    get_scorer,
    make_multilabel_scorer,
    multilabel_f1_scorer,
    multilabel_precision_scorer,
    multilabel_recall_scorer,
    neg_expected_calibration_error_scorer,
    neg_multilabel_log_loss_scorer,
    precision_at_k_scorer,
    psndcg_at_k_scorer,
    psp_at_k_scorer,
    recall_at_k_scorer,
)

__all__ = [
    "expected_calibration_error",
    "get_scorer",
    "label_propensities",
    "make_multilabel_scorer",
    "multilabel_f1_score",
    "multilabel_f1_scorer",
    "multilabel_log_loss",
    "multilabel_precision_score",
    "multilabel_precision_scorer",
    "multilabel_recall_score",
    "multilabel_recall_scorer",
    "neg_expected_calibration_error_scorer",
    "neg_multilabel_log_loss_scorer",
    "precision_at_k_score",
    "precision_at_k_scorer",
    "psndcg_at_k_score",
    "psndcg_at_k_scorer",
    "psp_at_k_score",
    "psp_at_k_scorer",
    "recall_at_k_score",
    "recall_at_k_scorer",
]
