"""What fitting and predicting leave alone: imports, global states, and pickles that need no PyTorch."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

import sk_quadrant
from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import LOSSES, Focal

HEAVY = ("torch", "skorch", "matplotlib")
BLOCKED = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {HEAVY}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""
ROOT = Path(sk_quadrant.__file__).parents[1]


def run_python(code, *arguments):
    """Run code in a new process that finds the package, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_heavy():
    """`import sk_quadrant` and its public modules take neither PyTorch nor skorch nor Matplotlib."""
    code = (
        "import sys, sk_quadrant, sk_quadrant.losses, sk_quadrant.metrics, sk_quadrant.datasets, sk_quadrant.displays\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_a_full_batch_fit_does_not_import_a_compiler():
    """PyTorch's compiler, which many processes that each fit a little would wait for, stays where it is."""
    code = (
        "import sys, sk_quadrant\n"
        "sk_quadrant.QuadrantMultiLabelClassifier().fit(*sk_quadrant.make_quadrants(random_state=0))\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_looking_at_an_unfitted_estimator_imports_nothing_heavy():
    """Nor do constructing, printing, cloning and asking for tags, nor making data."""
    code = (
        "import sys, sklearn.base, sk_quadrant\n"
        "clf = sklearn.base.clone(sk_quadrant.QuadrantMultiLabelClassifier('focal'))\n"
        "repr(clf), clf._repr_html_(), clf.get_params(), clf.__sklearn_tags__(), hasattr(clf, 'predict_proba')\n"
        "sk_quadrant.make_quadrants(random_state=0)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_pickled_models_predict_without_pytorch(tmp_path):
    """A new process that cannot import PyTorch or skorch loads models and predicts the same."""
    X, Y = make_quadrants(n_samples=80, slope=2.0, random_state=0)
    models = [
        QuadrantMultiLabelClassifier(),
        QuadrantMultiLabelClassifier("zlpr", solver="adamw", random_state=0, tol=1e3, n_iter_no_change=1),
        QuadrantMultiLabelClassifier(Focal(gamma=3.0), threshold="bayes"),
        QuadrantMultiLabelClassifier("hinge"),
    ]
    for clf in models:
        clf.fit(X, Y)
    joblib.dump((models, X), tmp_path / "models.joblib")
    code = (
        BLOCKED + "import joblib, sys\n"
        "models, X = joblib.load(sys.argv[1] + '/models.joblib')\n"
        "methods = ('predict', 'decision_function', 'predict_proba')\n"
        "results = [[getattr(clf, name)(X) for name in methods if hasattr(clf, name)] for clf in models]\n"
        "joblib.dump(results, sys.argv[1] + '/results.joblib')"
    )
    run_python(code, str(tmp_path))
    for clf, results in zip(models, joblib.load(tmp_path / "results.joblib"), strict=True):
        assert len(results) == (3 if clf.loss != "hinge" else 2)
        for name, result in zip(("predict", "decision_function", "predict_proba"), results, strict=False):
            assert_array_equal(result, getattr(clf, name)(X))


def test_metrics_thresholds_calibration_and_linear_prediction_need_no_pytorch(tmp_path):
    """Where PyTorch cannot be imported, meta-estimators work around classifiers of scikit-learn and linear models."""
    X, Y = make_quadrants(n_samples=80, slope=2.0, random_state=0)
    joblib.dump((QuadrantMultiLabelClassifier().fit(X, Y), X, Y), tmp_path / "model.joblib")
    code = (
        BLOCKED + "import joblib, sys\n"
        "from sklearn.frozen import FrozenEstimator\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.multiclass import OneVsRestClassifier\n"
        "from sk_quadrant import *\n"
        "from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier, LabelHierarchy\n"
        "from sk_quadrant.metrics import get_scorer, multilabel_f1_score, multilabel_log_loss, precision_at_k_score\n"
        "from sk_quadrant.model_selection import MultilabelStratifiedKFold, multilabel_cross_val_predict\n"
        "fitted, X, Y = joblib.load(sys.argv[1] + '/model.joblib')\n"
        "for one in (OneVsRestClassifier(LogisticRegression()), FrozenEstimator(fitted)):\n"
        "    tuned = TunedThresholdMultiLabelClassifierCV(one, refit=False, cv=0.5).fit(X, Y)\n"
        "    calibrated = CalibratedMultiLabelClassifierCV(one).fit(X, Y)\n"
        "    fixed = FixedThresholdMultiLabelClassifier(one, rule='expected_f1').fit(X, Y)\n"
        "    tree = HierarchicalMultiLabelClassifier(one, hierarchy=LabelHierarchy((-1, 0))).fit(X, Y)\n"
        "    for model in (tuned, calibrated, fixed, tree):\n"
        "        multilabel_f1_score(Y, model.predict(X))\n"
        "    multilabel_log_loss(Y, calibrated.predict_proba(X))\n"
        "    precision_at_k_score(Y, calibrated.predict_proba(X), k=1)\n"
        "    top_k_labels(calibrated, X, 1)\n"
        "    get_scorer('neg_multilabel_log_loss')(calibrated, X, Y)\n"
        "folds = MultilabelStratifiedKFold(2)\n"
        "multilabel_cross_val_predict(OneVsRestClassifier(LogisticRegression()), X, Y, cv=folds)\n"
        "fitted.predict(X), fitted.predict_proba(X), fitted.score(X, Y)\n"
        "print('done')"
    )
    assert run_python(code, str(tmp_path)) == "done"


@pytest.mark.parametrize("name", LOSSES)
def test_a_pickle_holds_arrays_and_no_net(name):
    """A pickled model is small and knows neither PyTorch nor skorch."""
    X, Y = make_quadrants(n_samples=80, slope=2.0, random_state=0)
    clf = QuadrantMultiLabelClassifier(name).fit(X, Y)
    data = pickle.dumps(clf)
    assert b"torch" not in data
    assert b"skorch" not in data
    assert len(data) < 6000


@pytest.mark.parametrize("solver", ["lbfgs", "adamw", "sgd"])
def test_fitting_leaves_global_states_alone(solver):
    """Random states, threads, default type and gradient mode of PyTorch and NumPy are those of before."""
    X, Y = make_quadrants(n_samples=80, slope=2.0, random_state=0)
    clf = QuadrantMultiLabelClassifier(solver=solver, random_state=0, tol=1e3, n_iter_no_change=1)
    clf.fit(X, Y)  # imports and the like are done
    before = global_state()
    clf.fit(X, Y).predict_proba(X)
    if hasattr(clf, "partial_fit"):
        clf.partial_fit(X, Y)
    after = global_state()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert_array_equal(after[name], value, err_msg=name)


def test_a_full_batch_fit_draws_no_random_number():
    """Not even with random_state=None, which stands for the global random state of NumPy."""
    X, Y = make_quadrants(n_samples=80, slope=2.0, random_state=0)
    before = global_state()["numpy generator"]
    QuadrantMultiLabelClassifier(random_state=None).fit(X, Y)
    assert_array_equal(global_state()["numpy generator"], before)


def global_state():
    """Return what a fit could have changed."""
    kind, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    return {
        "torch generator": torch.get_rng_state().numpy().copy(),
        "numpy generator": np.r_[keys, position],
        "numpy kind": kind,
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy errors": str(np.geterr()),
    }


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_fitting_works_where_the_caller_has_changed_global_states(solver):
    """A default type of half precision, or gradients switched off, change nothing."""
    X, Y = make_quadrants(n_samples=80, slope=2.0, random_state=0)
    clf = QuadrantMultiLabelClassifier(solver=solver, random_state=0, tol=1e-2)
    expected = clf.fit(X, Y).coef_
    torch.set_default_dtype(torch.float16)
    try:
        with torch.no_grad():
            assert_array_equal(clf.fit(X, Y).coef_, expected)
        with torch.inference_mode():
            assert_array_equal(clf.fit(X, Y).coef_, expected)
    finally:
        torch.set_default_dtype(torch.float32)
