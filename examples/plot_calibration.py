"""
Probabilities of ZLPR, before and after calibration
===================================================

The ZLPR loss compares the labels of a row with each other, so no fixed curve turns its scores into probabilities.
``sigmoid(2 s)`` is right for many independent labels and wrong by up to .1 otherwise. One Platt map for all labels,
``sigmoid(a s + b)``, fitted to out-of-fold scores, is as well calibrated as binary cross-entropy in every case here.
"""

# %%
# Six kinds of labels
# -------------------
# Each label depends on ten features through a linear score. Given the features, labels are independent, or share an
# unobserved noise, or exclude each other. Their true probabilities are known.

import sys

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.calibration import calibration_curve

from sk_quadrant import CalibratedMultiLabelClassifierCV, QuadrantMultiLabelClassifier
from sk_quadrant.metrics import expected_calibration_error

N_TRAIN, N_TEST, N_FEATURES = 4000, 10_000, 10


def draw_independent(scores, rng):
    """Draw each label on its own."""
    proba = expit(scores)
    return (rng.random(proba.shape) < proba).astype(int), proba


def draw_with_shared_noise(scores, rng, *, shift=-1.0, noise=1.5):
    """Add the same normal noise to all scores of a row; the probabilities are averages over it."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    proba = np.average([expit(scores + shift + noise * t) for t in nodes], axis=0, weights=weights)
    shared = shift + noise * rng.normal(size=(len(scores), 1))
    return draw_independent(scores + shared, rng)[0], proba


def draw_exactly_one(scores, rng):
    """Draw one label for each row."""
    proba = softmax(scores, axis=1)
    chosen = (proba.cumsum(axis=1) < rng.random((len(scores), 1))).sum(axis=1)
    return np.eye(scores.shape[1], dtype=int)[chosen], proba


LAWS = {
    "independent, L=1": (draw_independent, 1),
    "independent, L=5": (draw_independent, 5),
    "independent, L=20": (draw_independent, 20),
    "independent, L=100": (draw_independent, 100),
    "shared noise, L=20": (draw_with_shared_noise, 20),
    "exactly one, L=10": (draw_exactly_one, 10),
}

# %%
# Six ways to a probability
# -------------------------
# The same linear model is trained with binary cross-entropy and with ZLPR. ZLPR's scores are read as ``sigmoid(s)`` and
# as ``sigmoid(2 s)``, which is what ``predict_proba`` returns. Two maps are fitted to scores of rows that the model was
# not trained on, by cross-validation: a temperature, ``sigmoid(s / T)``, and Platt's map. The last model is ZLPR
# trained on the probabilities instead of labels drawn from them: then ``sigmoid(2 s)`` is exact.


def probabilities(X, Y, soft, X_test):
    """Return the probabilities of the test rows by name."""
    zlpr = QuadrantMultiLabelClassifier("zlpr")
    platt = CalibratedMultiLabelClassifierCV(zlpr, method="sigmoid", scope="pooled", ensemble=False)
    temperature = CalibratedMultiLabelClassifierCV(zlpr, method="temperature", scope="pooled", ensemble=False)
    fitted = clone(zlpr).fit(X, Y)
    answers = {
        "BCE": QuadrantMultiLabelClassifier("bce_with_logits").fit(X, Y).predict_proba(X_test),
        "sig(s)": expit(fitted.decision_function(X_test)).reshape(len(X_test), -1),
        "sig(2s)": fitted.predict_proba(X_test),
        "temperature": temperature.fit(X, Y).predict_proba(X_test),
        "Platt": platt.fit(X, Y).predict_proba(X_test),
        "soft": clone(zlpr).fit(X, soft).predict_proba(X_test),
    }
    return {name: proba[:, -soft.shape[1] :] for name, proba in answers.items()}


# %%
# Expected calibration error
# --------------------------
# All entries are pooled in 15 bins of equal width. With 10 000 test rows of a single label, chance alone gives .01.

results = {}
for law, (draw, n_labels) in LAWS.items():
    rng = np.random.default_rng(0)
    W = rng.normal(scale=1.5 / np.sqrt(N_FEATURES), size=(N_FEATURES, n_labels))
    X, X_test = (rng.normal(size=(n, N_FEATURES)) for n in (N_TRAIN, N_TEST))
    (Y, soft), (Y_test, _) = draw(X @ W, rng), draw(X_test @ W, rng)
    results[law] = Y_test, probabilities(X, np.squeeze(Y), soft, X_test)

names = list(results["independent, L=1"][1])
print(f"{'labels':20}" + "".join(f"{name:>13}" for name in names))
for law, (Y_test, answers) in results.items():
    errors = [expected_calibration_error(Y_test, proba, average="micro") for proba in answers.values()]
    print(f"{law:20}" + "".join(f"{error:13.3f}" for error in errors))

# %%
# Reliability
# -----------
# Observed frequency against predicted probability. Calibrated probabilities lie on the diagonal.
# With one label ZLPR is cross-entropy, and doubling its scores makes it over-confident; with 100 independent labels
# doubling is right. Labels that share a noise, or exclude each other, also need a shift, which a temperature lacks.

STYLES = dict(zip(LAWS, ["o", "s", "^", "v", "D", "X"], strict=True))
COLORS = dict(zip(LAWS, ["#0072B2", "#56B4E9", "#009E73", "#999999", "#D55E00", "#CC79A7"], strict=True))

figure, axes = plt.subplots(1, 2, figsize=(11, 5.4), sharex=True, sharey=True, layout="constrained")
panels = {"Before: sigmoid(2 s)": "sig(2s)", "After: pooled Platt map": "Platt"}
for ax, (title, name) in zip(axes, panels.items(), strict=True):
    ax.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":")
    for law, (Y_test, answers) in results.items():
        frequency, mean_proba = calibration_curve(Y_test.ravel(), answers[name].ravel(), n_bins=10)
        ax.plot(mean_proba, frequency, marker=STYLES[law], color=COLORS[law], markersize=5, label=law)
    ax.set(title=title, xlabel="Predicted probability", aspect="equal")
axes[0].set_ylabel("Frequency of the label")
axes[1].legend(title="Labels", loc="lower right", frameon=False)
figure.suptitle("ZLPR's scores need a map of their own")
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=150)
plt.show()
