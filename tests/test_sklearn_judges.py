"""scikit-learn's own tests of its multi-label classifiers, with this package's estimator in their place.

The test modules of the installed scikit-learn are executed anew with stand-ins for the classes they import, which
translate parameters and nothing else. The tests that cannot apply are listed with the reason.
"""

import importlib.util
import inspect
import re
from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
import sklearn

from sk_quadrant import QuadrantMultiLabelClassifier

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::sklearn.exceptions.DataConversionWarning"
)


# %% stand-ins


def as_logistic_regression(C=1.0, **_):
    """Return the estimator in place of LogisticRegression, whose parameters are the defaults."""
    return QuadrantMultiLabelClassifier(C=C)


def as_ridge(alpha=1.0, class_weight=None, fit_intercept=True, **_):
    """Return it in place of RidgeClassifier: the squared error of -1 and 1 that stops at the margin."""
    options = {"class_weight": class_weight, "fit_intercept": fit_intercept}
    return QuadrantMultiLabelClassifier("squared_hinge", C=1 / alpha, tol=1e-10, max_iter=1000, **options)


def as_linear_svc(*_, **__):
    """Return it in place of LinearSVC, and of RidgeClassifier where it matters that it has no probabilities."""
    return QuadrantMultiLabelClassifier("hinge", tol=1e-2)


def as_sgd(loss="hinge", random_state=None, max_iter=1000, tol=1e-3, **_):
    """Return it in place of SGDClassifier, with one step a row."""
    names = {"log_loss": "bce_with_logits"}
    options = {"random_state": random_state, "max_iter": max_iter, "tol": tol or 0.0, "batch_size": 1}
    return QuadrantMultiLabelClassifier(names.get(loss, loss), solver="sgd", learning_rate_init=1e-3, C=1e4, **options)


def as_mlp(
    hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=1e-4, tol=1e-4, max_iter=200,
    random_state=None, warm_start=False, learning_rate_init=1e-3, early_stopping=False, **_,
):  # fmt: skip
    """Return it in place of MLPClassifier, whose full-batch solver is that of linear models here, or another one."""
    options = {"C": 1 / alpha, "tol": tol, "max_iter": max_iter, "random_state": random_state, "warm_start": warm_start}
    if solver == "lbfgs":
        if hidden_layer_sizes == (100,):
            return QuadrantMultiLabelClassifier(solver=solver, **options)
        solver, learning_rate_init = "adamw", 0.02
    return QuadrantMultiLabelClassifier(
        solver={"adam": "adamw"}.get(solver, solver),
        hidden_layer_sizes=hidden_layer_sizes,
        activation={"logistic": "tanh"}.get(activation, activation),
        learning_rate_init=learning_rate_init,
        early_stopping=early_stopping,
        **options,
    )


# %% which tests


@dataclass(frozen=True)
class Court:
    """A test module of scikit-learn.

    Attributes
    ----------
    module : str
    stand_ins : dict of str to callable
        By the full names of the classes they stand for.
    applies : set of str
        Tests that are run.
    does_not_apply : dict of str to str
        All others that use one of these classes, with the reason.
    """

    module: str
    stand_ins: dict
    applies: set
    does_not_apply: dict = field(default_factory=dict)

    def load(self):
        """Return a fresh copy of the module that has imported the stand-ins."""
        spec = importlib.util.find_spec(self.module)
        copy = importlib.util.module_from_spec(spec)
        patches = [patch(name, stand_in) for name, stand_in in self.stand_ins.items()]
        for each in patches:
            each.start()
        try:
            spec.loader.exec_module(copy)
        finally:
            for each in patches:
                each.stop()
        return copy

    def concerned(self, copy):
        """Return the names of the tests that use one of the classes."""
        classes = [name.rpartition(".")[2] for name in self.stand_ins]
        tests = {name: test for name, test in vars(copy).items() if name.startswith("test_") and callable(test)}
        used = re.compile(rf"\b({'|'.join(classes)})\b")
        return {name for name, test in tests.items() if used.search(inspect.getsource(test))}


ATTRIBUTES = "reads coefs_, intercepts_, validation_scores_ or private attributes, which this estimator does not have"
SCHEDULE = "about schedules or parameters of MLPClassifier that this estimator does not have"
WORDS = "matches the words of MLPClassifier; this package tests its own"
FOREST = "about other estimators, which are only one of several there"
ARRAYS = "about array libraries other than NumPy"

COURTS = [
    Court(
        "sklearn.neural_network.tests.test_mlp",
        {"sklearn.neural_network.MLPClassifier": as_mlp},
        {
            "test_lbfgs_classification",
            "test_mlp_classifier_dtypes_casting",
            "test_mlp_partial_fit_after_fit",
            "test_multilabel_classification",
            "test_partial_fit_classes_error",
            "test_partial_fit_classification",
            "test_partial_fit_errors",
            "test_partial_fit_unseen_classes",
            "test_predict_proba_binary",
            "test_predict_proba_multiclass",
            "test_predict_proba_multilabel",
            "test_sparse_matrices",
            "test_tolerance",
            "test_warm_start_full_iteration",
        },
        {
            "test_adaptive_learning_rate": SCHEDULE,
            "test_alpha": ATTRIBUTES,
            "test_early_stopping": ATTRIBUTES,
            "test_early_stopping_stratified": "a single row of a class is refused; here it is held out or trained on",
            "test_fit": ATTRIBUTES,
            "test_gradient": ATTRIBUTES,
            "test_lbfgs_classification_maxfun": SCHEDULE,
            "test_learning_rate_warmstart": SCHEDULE,
            "test_mlp_early_stopping_string_labels": ATTRIBUTES,
            "test_mlp_param_dtypes": ATTRIBUTES,
            "test_mlp_warm_start_no_convergence": "lbfgs is linear here and converges on iris within ten iterations",
            "test_mlp_warm_start_with_early_stopping": ATTRIBUTES,
            "test_n_iter_no_change": ATTRIBUTES,
            "test_n_iter_no_change_inf": ATTRIBUTES,
            "test_preserve_feature_names": "trains on a y of one class, which is refused",
            "test_verbose_sgd": WORDS,
            "test_warm_start": WORDS,
        },
    ),
    Court(
        "sklearn.linear_model.tests.test_ridge",
        {"sklearn.linear_model.RidgeClassifier": as_ridge},
        {"test_ridgeclassifier_multilabel", "test_class_weights", "test_class_weight_vs_sample_weight"},
        {
            "test_regularization_limits_ridge_classifier_gcv": "about RidgeClassifierCV",
            "test_ridge_array_api_compliance": ARRAYS,
            "test_ridge_classifier_multilabel_array_api": ARRAYS,
        },
    ),
    Court(
        "sklearn.ensemble.tests.test_stacking",
        {
            "sklearn.neural_network.MLPClassifier": as_mlp,
            "sklearn.linear_model.RidgeClassifier": as_linear_svc,
            "sklearn.linear_model.LogisticRegression": as_logistic_regression,
            "sklearn.svm.LinearSVC": as_linear_svc,
        },
        {
            "test_get_feature_names_out",
            "test_stacking_classifier_drop_binary_prob",
            "test_stacking_classifier_drop_column_binary_classification",
            "test_stacking_classifier_drop_estimator",
            "test_stacking_classifier_iris",
            "test_stacking_classifier_multilabel_auto_predict",
            "test_stacking_classifier_multilabel_decision_function",
            "test_stacking_classifier_multilabel_predict_proba",
            "test_stacking_classifier_sparse_passthrough",
            "test_stacking_classifier_stratify_default",
            "test_stacking_cv_influence",
            "test_stacking_prefit",
            "test_stacking_randomness",
            "test_stacking_with_sample_weight",
        },
        {
            "test_stacking_classifier_error": WORDS,
            "test_stacking_final_estimator_attribute_error": WORDS,
            "test_stacking_prefit_error": FOREST,
            "test_stacking_without_n_features_in": FOREST,
        },
    ),
    Court(
        "sklearn.tests.test_multioutput",
        {
            "sklearn.linear_model.LogisticRegression": as_logistic_regression,
            "sklearn.linear_model.SGDClassifier": as_sgd,
            "sklearn.svm.LinearSVC": as_linear_svc,
        },
        {
            "test_base_chain_crossval_fit_and_predict",
            "test_base_chain_fit_and_predict_with_sparse_data_and_cv",
            "test_base_chain_random_order",
            "test_classifier_chain_fit_and_predict",
            "test_classifier_chain_fit_and_predict_with_linear_svc",
            "test_classifier_chain_fit_and_predict_with_sparse_data",
            "test_classifier_chain_vs_independent_models",
            "test_hasattr_multi_output_predict_proba",
            "test_multi_output_classification_partial_fit",
            "test_multi_output_classification_partial_fit_no_first_classes_exception",
            "test_multi_output_classification_partial_fit_sample_weights",
            "test_multi_output_exceptions",
            "test_multi_output_not_fitted_error",
            "test_multiclass_multioutput_estimator",
            "test_fit_params_no_routing",
            "test_support_missing_values",
        },
        {
            "test_multi_output_delegate_predict_proba": WORDS,
            "test_multi_output_classification_partial_fit_parallelism": "about processes, whatever the estimator",
            "test_multi_output_predict_proba": WORDS,
            "test_multiclass_multioutput_estimator_predict_proba": "compares with printed digits of LogisticRegression",
        },
    ),
]
COPIES = {court.module: court.load() for court in COURTS}

QUICK = {  # the others train hundreds of classifiers
    "test_class_weight_vs_sample_weight", "test_class_weights", "test_ridgeclassifier_multilabel",
    "test_multilabel_classification", "test_predict_proba_multilabel", "test_predict_proba_binary",
    "test_partial_fit_classes_error", "test_partial_fit_errors", "test_partial_fit_unseen_classes", "test_tolerance",
    "test_stacking_classifier_multilabel_predict_proba",
    "test_multi_output_classification_partial_fit", "test_multi_output_exceptions",
    "test_multi_output_classification_partial_fit_no_first_classes_exception",
    "test_multi_output_not_fitted_error", "test_support_missing_values",
}  # fmt: skip


def judgements(court, copy):
    """Return the tests of a court that apply, for pytest to collect, by names that say where they are from."""
    place = court.module.rpartition(".")[2]
    return {
        f"{place}__{name.removeprefix('test_')}": test if name in QUICK else pytest.mark.slow(test)
        for name, test in vars(copy).items()
        if name in court.applies
    }


for _court in COURTS:
    globals().update(judgements(_court, COPIES[_court.module]))


@pytest.mark.skipif(not sklearn.__version__.startswith("1.9"), reason="the lists are those of scikit-learn 1.9")
@pytest.mark.parametrize("court", COURTS, ids=lambda court: court.module)
def test_every_test_that_uses_the_classes_is_run_or_has_a_reason_not_to(court):
    """Nothing is left out in silence."""
    assert court.concerned(COPIES[court.module]) == court.applies | court.does_not_apply.keys()
    assert not court.applies & court.does_not_apply.keys()


@pytest.fixture
def global_random_seed():
    """Return the seed that tests of scikit-learn run with."""
    return 42
