"""
A minimum precision: on held-out rows, on new rows, with a guarantee
====================================================================

A threshold with a precision of at least .9 on 400 held-out rows has a lower one on new rows about half the time,
because it was chosen as the best of many. With the lower bound of a confidence interval, the default, this is rare, and
a label with 20 positives is left out, with a warning. A guarantee, for the recall, comes from MAPIE.
"""

# %%
# Three labels and a fitted classifier
# ------------------------------------
# Labels are present in half, a fifth and a twentieth of the rows. The classifier is fitted once; thresholds are then
# chosen on many small samples of other rows. A user sees only one such sample.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.frozen import FrozenEstimator

from sk_quadrant import QuadrantMultiLabelClassifier, TunedThresholdMultiLabelClassifierCV

INTERCEPTS = np.array([0.0, -3.5, -7.0])
NAMES = ["half", "a fifth", "a twentieth"]
rng = np.random.default_rng(0)
W = rng.normal(size=(8, 3))
W *= 4 / np.linalg.norm(W, axis=0)


def draw(n_rows):
    """Return features and labels."""
    X = rng.normal(size=(n_rows, 8))
    return X, (rng.random((n_rows, 3)) < expit(X @ W + INTERCEPTS)).astype(int)


X_test, Y_test = draw(20_000)
fitted = FrozenEstimator(QuadrantMultiLabelClassifier().fit(*draw(2000)))
samples = [draw(400) for _ in range(60)]

# %%
# The value itself, or a bound on it
# ----------------------------------
# ``constraint=("precision", 0.9)`` takes the threshold of the highest recall whose precision is at least 0.9. With
# ``confidence=None`` this is the precision on the sample, which is optimistic for the best of many thresholds: on new
# rows the precision is too low about half the time. With the default confidence of 0.95 it is the lower bound of
# Clopper and Pearson. A label that has too few positives to show 0.9 is then not predicted at all, and a warning names
# it.


def true_precision(confidence):
    """Return the precision on new rows of thresholds from each sample, NaN for labels that are not predicted."""
    found = []
    tuned = TunedThresholdMultiLabelClassifierCV(fitted, constraint=("precision", 0.9), confidence=confidence)
    for X, Y in samples:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names the labels that cannot meet the constraint
            predicted = tuned.fit(X, Y).predict(X_test)
        right = (predicted * Y_test).sum(axis=0)
        found.append(np.where(predicted.any(axis=0), right / np.maximum(predicted.sum(axis=0), 1), np.nan))
    return np.array(found)


precision = {confidence: true_precision(confidence) for confidence in (None, 0.95)}

fig, axes = plt.subplots(1, 2, figsize=(9, 4.8), sharey=True, layout="constrained")
for ax, (confidence, values) in zip(axes, precision.items(), strict=True):
    ax.axhline(0.9, color="0.6", linewidth=1)
    for label, name in enumerate(NAMES):
        predicted = ~np.isnan(values[:, label])
        place = label + rng.uniform(-0.2, 0.2, predicted.sum())
        ax.scatter(place, values[predicted, label], s=14, alpha=0.6)
        note = f"predicted in {predicted.mean():.0%}\nof the samples"
        if predicted.any():
            note += f",\n{np.mean(values[predicted, label] >= 0.9):.0%} of these\nabove 0.9"
        ax.text(label, 0.47, note, ha="center", fontsize=9)
        print(f"confidence {confidence}, {name}: {' '.join(note.split())}")
    ax.set(title=f"confidence={confidence}", xticks=range(3), xticklabels=NAMES, xlabel="frequency of the label")
    ax.set(xlim=(-0.6, 2.6), ylim=(0.45, 1.01))
axes[0].set_ylabel("precision on new rows")
plt.show()

# %%
# A guarantee, by MAPIE
# ---------------------
# The bound holds for a threshold given in advance, but here it is chosen. Conformal risk control takes the choice into
# account: over calibration samples and new rows, the mean recall of a row is at least the required level. MAPIE
# implements it, and works with the probabilities of this package. It controls one threshold for all
# labels. Over 20 samples the mean is .90.

try:
    from mapie.risk_control import MultiLabelClassificationController
except ImportError:
    print("MAPIE is not installed: pip install mapie")
else:
    recalls, has_labels = [], Y_test.any(axis=1)
    for X, Y in samples[:20]:
        controller = MultiLabelClassificationController(fitted.predict_proba, risk="recall", target_level=0.9)
        kept = Y.any(axis=1)
        sets = controller.calibrate(X[kept], Y[kept]).predict(X_test[has_labels])[:, :, 0]
        of_rows = (sets * Y_test[has_labels]).sum(axis=1) / Y_test[has_labels].sum(axis=1)
        recalls.append(of_rows.mean())
    print(f"mean recall of a row at a level of 0.9: {np.mean(recalls):.3f} over {len(recalls)} samples")
