"""The hinge and the smoothed hinges that lead to it."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.datasets import make_classification
from sklearn.svm import SVC

from sk_quadrant.losses import Hinge

SMOOTHED = Hinge().continuation()
by_smoothed = pytest.mark.parametrize("smoothed", SMOOTHED, ids=repr)


def test_continuation_narrows():
    """Each smoothed hinge is narrower than the one before, and the last one is close to the hinge."""
    widths = [smoothed.width for smoothed in SMOOTHED]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] <= 1e-5


@by_smoothed
def test_smoothed_hinge_is_just_above_the_hinge(smoothed):
    """It is the hinge outside of the corner, above it by width / 4 in the corner, and in between elsewhere."""
    margins = 1 + smoothed.width * torch.linspace(-3, 3, 601, dtype=torch.float64)[:, None]
    present = torch.ones_like(margins)
    excess = smoothed.per_label(margins, present) - Hinge().per_label(margins, present)
    outside = (margins - 1).abs() >= smoothed.width
    assert_allclose(excess[outside], 0, atol=1e-14)
    assert (excess > -1e-14).all()
    assert excess.max() == pytest.approx(smoothed.width / 4, rel=1e-6)


@by_smoothed
def test_smoothed_hinge_has_a_continuous_gradient(smoothed):
    """Its derivative rises from -1 to 0 with a slope of 1 / (2 width) at most."""
    margins = 1 + smoothed.width * torch.linspace(-3, 3, 601, dtype=torch.float64)[:, None]
    _, slopes = smoothed.per_label_and_gradient(margins, torch.ones_like(margins))
    rise = torch.diff(slopes, dim=0) / torch.diff(margins, dim=0)
    assert slopes[0] == -1
    assert slopes[-1] == 0
    assert (rise >= -1e-6).all()
    assert (rise <= (1 + 1e-6) / (2 * smoothed.width)).all()


@by_smoothed
def test_smoothed_hinge_survives_pickle(smoothed):
    """Workers receive the losses of the continuation."""
    assert pickle.loads(pickle.dumps(smoothed)) == smoothed


@pytest.mark.parametrize(("C", "flip_y"), [(0.1, 0.2), (10.0, 0.0)], ids=["noisy", "nearly separable"])
def test_continuation_leads_to_the_support_vector_machine(C, flip_y):
    """Minimising one smoothed hinge after another gives the hinge objective of libsvm within 1e-5."""
    X, y = make_classification(80, 5, n_informative=4, n_redundant=0, flip_y=flip_y, class_sep=1.5, random_state=0)
    targets = torch.tensor(y[:, None], dtype=torch.float64)

    def objective(parameters, loss):
        scores = torch.tensor(X @ parameters[:-1] + parameters[-1])[:, None]
        values, gradient = loss.values_and_gradient(scores, targets)
        gradient = C * gradient[:, 0].numpy()
        penalty = parameters[:-1] @ parameters[:-1] / 2
        return C * float(values.sum()) + penalty, np.r_[X.T @ gradient + parameters[:-1], gradient.sum()]

    parameters = np.zeros(X.shape[1] + 1)
    options = {"maxiter": 3000, "ftol": 1e-15, "gtol": 1e-8, "maxcor": 30}
    for smoothed in SMOOTHED:
        parameters = minimize(objective, parameters, (smoothed,), "L-BFGS-B", jac=True, options=options).x
    svm = SVC(kernel="linear", C=C, tol=1e-8).fit(X, y)

    optimum, _ = objective(np.r_[svm.coef_[0], svm.intercept_], Hinge())
    assert objective(parameters, Hinge())[0] == pytest.approx(optimum, rel=1e-5)
