"""scikit-learn's own checks of an estimator, for every loss and solver."""

import re
from unittest import SkipTest

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._solvers.registry import SOLVERS
from sk_quadrant.losses import LOSSES

QUICK = {("bce_with_logits", "lbfgs"), ("zlpr", "lbfgs"), ("bce_with_logits", "adamw")}

CHECKED_AT_ZERO = (
    "the check compares scores with 0, this loss with the score of probability 1/2, which is not 0 (for a binary 1-D y "
    "the decision function is shifted to 0, for a label matrix it is the score)"
)
CHECKED_AT_HALF = "the check compares probabilities with 1/2, and those of this loss end at 1 / offset = 1/2"
SATURATED = "the check ranks probabilities as it ranks scores, and far scores have probability 1 in double precision"
CLIPPED = "the check ranks probabilities as it ranks scores, and scores beyond the margin have one probability"
NOT_CONVEX = (
    "the loss is not convex: steps of one length end on a plateau where one class weighs ten million times another"
)
OVERFLOWS = (
    "the features of the check lie around 100, where steps as long as an exponential of scores send the loss to "
    "infinity: fit says so and asks for scaled features"
)
SPARSE = "the check compares coefficients as arrays, and these are sparse"
NO_LINK = "scores of the hinge loss have no probability"

FAILURES = {
    ("shifted_sigmoid_bce", solver): {
        "check_classifier_multioutput": CHECKED_AT_HALF,
        "check_classifiers_train": CHECKED_AT_HALF,
    }
    for solver in SOLVERS
}
FAILURES |= {
    (loss, solver): {"check_classifier_multioutput": CLIPPED}
    for loss in ("squared_hinge", "modified_huber", "squared_error")
    for solver in SOLVERS
}
FAILURES |= {("asymmetric", solver): {"check_classifier_multioutput": CHECKED_AT_ZERO} for solver in SOLVERS}
FAILURES["hill", "lbfgs"] = {"check_classifier_multioutput": SATURATED}
FAILURES["hill", "adamw"] = {"check_classifier_multioutput": SATURATED, "check_class_weight_classifiers": NOT_CONVEX}
FAILURES["hill", "sgd"] = {"check_class_weight_classifiers": NOT_CONVEX}
FAILURES["shifted_sigmoid_bce", "sgd"]["check_class_weight_classifiers"] = NOT_CONVEX
FAILURES["exponential", "sgd"] = dict.fromkeys(
    ("check_fit_idempotent", "check_fit_check_is_fitted", "check_n_features_in"), OVERFLOWS
)

OPTIONS = {
    "lbfgs": {},
    "adamw": {"max_iter": 50, "learning_rate_init": 0.05},
    "sgd": {"max_iter": 50, "learning_rate_init": 0.003},  # its steps are as long as the gradient
}
SMALL_GRADIENTS = {  # where labels are absent: longer steps
    ("asymmetric", "sgd"): 0.02,
    ("hill", "sgd"): 0.05,
    ("hill", "adamw"): 0.2,
}
ABSENT_LIBRARY_OR_DEVICE = re.compile("cupy|dpnp|cuda|XPU|MPS")
SKIPS = {("hinge", "check_classifiers_multilabel_output_format_predict_proba"): NO_LINK}


def estimator_of(loss, solver):
    """Return an estimator whose options are those that the checks have time and precision for."""
    options = dict(OPTIONS[solver])
    if (loss, solver) in SMALL_GRADIENTS:
        options["learning_rate_init"] = SMALL_GRADIENTS[loss, solver]
    if loss == "hinge" and not SOLVERS[solver].random:
        options["tol"] = 1e-8  # weights and repetitions must agree to 1e-7, also where the loss is not smooth
    made = LOSSES[loss]()
    if made.bayes_threshold not in (None, made.threshold):
        options["threshold"] = "bayes"  # the checks expect "yes" above a probability of 1/2
    return QuadrantMultiLabelClassifier(loss, solver=solver, **options)


def expected_failed_checks(estimator):
    """Return the checks that this loss cannot pass, with the reason."""
    if estimator.coef_threshold:
        return {"check_class_weight_balanced_linear_classifier": SPARSE}
    return FAILURES.get((estimator.loss, estimator.solver), {})


def run(estimator, check):
    """Run a check, and count a skipped one as failed unless it is declared, or of a GPU or its library."""
    try:
        check(estimator)
    except SkipTest as skip:
        is_of_gpu = "array_api" in check.func.__name__ and ABSENT_LIBRARY_OR_DEVICE.search(str(skip))
        if not is_of_gpu and (estimator.loss, check.func.__name__) not in SKIPS:
            pytest.fail(f"skipped: {skip}")
        raise


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few epochs, on purpose

ALL = [(loss, solver) for loss in LOSSES for solver in SOLVERS]


@parametrize_with_checks(
    [estimator_of(*pair) for pair in ALL if pair in QUICK], expected_failed_checks=expected_failed_checks
)
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    """The default loss and the set-wise one pass every check with the full-batch solver, and one with mini-batches."""
    run(estimator, check)


@pytest.mark.slow
@parametrize_with_checks(
    [
        *(estimator_of(*pair) for pair in ALL if pair not in QUICK),
        QuadrantMultiLabelClassifier(coef_threshold=1e-10),
    ],
    expected_failed_checks=expected_failed_checks,
)
def test_every_loss_and_solver_passes_the_checks_of_scikit_learn(estimator, check):
    """All others pass every check but those declared, each of which fails."""
    run(estimator, check)
