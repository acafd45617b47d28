"""
One percent of labels: the loss or the threshold?
=================================================

The threshold. On labels present in 1% of the rows, most losses predict almost nothing at their own threshold (macro-F1
.00 to .14). The asymmetric loss and ``pos_weight`` have lower thresholds and reach .23. With thresholds tuned for F1
every loss reaches .21 to .24, and weights no longer help. The true probabilities reach .28.
"""

# %%
# Rare labels
# -----------
# Twenty labels, each present in 1% of the rows. They are random: even the most likely ones rarely have a probability
# above one half. No model can be better than the true probabilities at the threshold with the highest F1.

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier, TunedThresholdMultiLabelClassifierCV
from sk_quadrant.losses import BCEWithLogits
from sk_quadrant.metrics import multilabel_log_loss

N_LABELS, N_FEATURES, FREQUENCY = 20, 20, 0.01
rng = np.random.default_rng(0)
W = rng.normal(size=(N_FEATURES, N_LABELS))
W *= 2 / np.linalg.norm(W, axis=0)
spread = 2 * rng.normal(size=20_000)
INTERCEPT = brentq(lambda intercept: expit(spread + intercept).mean() - FREQUENCY, -20, 0)


def draw(n_rows):
    """Return features, labels and their true probabilities."""
    X = rng.normal(size=(n_rows, N_FEATURES))
    proba = expit(X @ W + INTERCEPT)
    return X, (rng.random(proba.shape) < proba).astype(int), proba


X, Y, _ = draw(6000)
X_test, Y_test, proba_test = draw(10_000)


def macro_f1(decisions):
    """Return the macro-F1 on the test rows."""
    return f1_score(Y_test, decisions, average="macro", zero_division=0)


best_possible = max(macro_f1(proba_test > cut) for cut in np.arange(0.06, 0.3, 0.02))
print(f"a label is present in {Y.mean():.1%} of the rows; macro-F1 of the truth: {best_possible:.2f}")

# %%
# Losses and thresholds
# ---------------------
# The columns: macro-F1 at the threshold of the loss, at a probability of one half, and at thresholds that
# are tuned for each label by cross-validation; and the log loss of the probabilities. ``class_weight="balanced"`` and
# ``pos_weight`` give present labels more weight, here 50 and 10 times. The link does not correct for the first, so its
# probabilities are far too high. The second is a parameter of the loss, and its link corrects for it.

MODELS = {
    "cross-entropy": QuadrantMultiLabelClassifier(),
    "the same, balanced": QuadrantMultiLabelClassifier(class_weight="balanced"),
    "the same, pos_weight=10": QuadrantMultiLabelClassifier(BCEWithLogits(pos_weight=10)),
    "focal": QuadrantMultiLabelClassifier("focal"),
    "asymmetric": QuadrantMultiLabelClassifier("asymmetric"),
    "ZLPR": QuadrantMultiLabelClassifier("zlpr"),
    "exponential": QuadrantMultiLabelClassifier("exponential"),
    "squared hinge": QuadrantMultiLabelClassifier("squared_hinge"),
}


def judge(model):
    """Return macro-F1 at the loss's own threshold, at one half and tuned, and the log loss."""
    tuned = TunedThresholdMultiLabelClassifierCV(model, scoring="f1_macro", cv=3).fit(X, Y)
    proba = model.fit(X, Y).predict_proba(X_test)
    own, half = macro_f1(model.predict(X_test)), macro_f1(proba > 0.5)
    return own, half, macro_f1(tuned.predict(X_test)), multilabel_log_loss(Y_test, proba)


table = {name: judge(model) for name, model in MODELS.items()}
print(f"\n{'':24}{'own':>8}{'half':>8}{'tuned':>8}{'log loss':>11}")
for name, (own, half, tuned, log_loss) in table.items():
    print(f"{name:24}{own:8.2f}{half:8.2f}{tuned:8.2f}{log_loss:11.3f}")

# %%
# The picture
# -----------
# A line connects the natural threshold of the loss with the tuned ones. All lines start in different places and end in
# about the same place. The choice of a loss still matters for the probabilities: the log loss of
# ZLPR, the squared hinge and balanced weights is worse than that of the others by half or more.

OWN, TUNED, INK = "#D55E00", "#0072B2", "#333333"

figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
for place, (own, _, tuned, _) in enumerate(table.values()):
    ax.plot([own, tuned], [place, place], color=INK, linewidth=1)
    ax.plot(own, place, "o", color=OWN, markersize=9, label="the loss's own threshold" if place == 0 else None)
    (mark,) = ax.plot(tuned, place, "D", markersize=11, label="tuned thresholds" if place == 0 else None)
    mark.set(markerfacecolor="none", markeredgecolor=TUNED, markeredgewidth=2.2)
ax.axvline(best_possible, color=INK, linestyle=":")
ax.text(best_possible, -0.85, "the truth", color=INK, ha="center")
ax.set(xlabel="macro-F1", xlim=(-0.01, 0.3), ylim=(len(table) - 0.5, -0.6))
ax.set_yticks(range(len(table)), list(table))
figure.legend(loc="outside lower center", ncols=2, frameon=False)
plt.show()
