"""
Does depth hurt?
================

On a linear problem, up to four linear layers do no harm. With eight, some runs end with one of two labels at chance,
with and without residual connections. Narrow ReLU layers hurt at once: a layer of two units loses most of the plane.
Residual connections repair most of this, wider layers all of it.
"""

# %%
# A problem that needs no depth
# -----------------------------
# Label j is the sign of feature j. A linear model is enough. A product of matrices is one matrix, so more linear layers
# cannot express more; they only make training harder. All runs below have the usual recipe: AdamW, a cosine schedule
# with warm-up, no intercepts, and the weights of the last epoch.

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants

DEPTHS = (1, 2, 4, 8)
SEEDS = range(5)
KINDS = {
    "linear, 2 wide": {"width": 2, "activation": "identity"},
    "linear, 2 wide, residual": {"width": 2, "activation": "identity", "residual": True},
    "ReLU, 16 wide": {"width": 16, "activation": "relu"},
    "ReLU, 2 wide, residual": {"width": 2, "activation": "relu", "residual": True},
    "ReLU, 2 wide": {"width": 2, "activation": "relu"},
}

X, Y = make_quadrants(n_samples=1600, shuffle=True, random_state=0)
X_train, X_test, Y_train, Y_test = X[:600], X[600:], Y[:600], Y[600:]


def score(depth, seed, width, **options):
    """Return the macro-F1 on new points of a network of hidden layers of one width."""
    network = QuadrantMultiLabelClassifier(
        solver="adamw", hidden_layer_sizes=(width,) * depth, fit_intercept=False, C=np.inf, batch_size=16, max_iter=20,
        learning_rate="cosine", learning_rate_init=0.01, warmup_fraction=0.1, random_state=seed, **options,
    ).fit(X_train, Y_train)  # fmt: skip
    return f1_score(Y_test, network.predict(X_test), average="macro", zero_division=0)


# %%
# Five seeds each
# ---------------
# The median of five runs and the worst of them. A single seed would be misleading.

scores = {
    kind: np.array([[score(depth, seed, **options) for seed in SEEDS] for depth in DEPTHS])
    for kind, options in KINDS.items()
}

print(f"{'macro-F1, median (worst)':28}" + "".join(f"{depth:>5} hidden   " for depth in DEPTHS))
for kind, runs in scores.items():
    print(f"{kind:28}" + "".join(f"{np.median(run):7.3f} ({run.min():.3f})" for run in runs))

# %%
# Every run is a dot
# ------------------
# A line connects the medians. The failures of eight linear layers have an F1 of about three quarters: one label is
# perfect, the other is at chance. The product of the nine matrices starts out close to rank one, and where training
# fails it still is at the end. A residual layer does not help if its initial weights are as large as the identity. A
# ReLU layer of two units keeps one quadrant of its input and maps the others to the edges of it, in each layer again.
# No later layer can undo this.

COLORS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00")

figure, ax = plt.subplots(figsize=(6.4, 4.5), layout="constrained")
for k, ((kind, runs), color, marker) in enumerate(zip(scores.items(), COLORS, "osD^v", strict=True)):
    places = np.arange(len(DEPTHS)) + 0.15 * (k - 2)
    ax.plot(places, np.median(runs, axis=1), color=color, linewidth=2.2, alpha=0.6)
    ax.plot(np.repeat(places, len(SEEDS)), runs.ravel(), marker, color=color, markersize=6, label=kind)
for k in range(1, len(DEPTHS)):
    ax.axvline(k - 0.5, color="0.85", linewidth=1)
ax.set(title="Does depth hurt?", xticks=range(len(DEPTHS)), xticklabels=DEPTHS, xlabel="hidden layers")
ax.set(ylabel="macro-F1 on new points", xlim=(-0.5, len(DEPTHS) - 0.5), ylim=(-0.05, 1.05))
ax.legend(loc="lower left")

if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=150)
plt.show()
