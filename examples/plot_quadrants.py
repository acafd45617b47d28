"""
What a score means depends on the loss
======================================

All losses are trained on the same two labels. They predict a label above different probabilities: one half for most, a
third for the shifted sigmoid, .15 for the asymmetric loss. Their scores differ as well. Converted by the link of the
loss, the scores of focal, asymmetric and exponential loss are within .02 of the true probabilities, on average;
converted by the sigmoid, they are .10 to .18 off.
"""

# %%
# Two labels, four quadrants
# --------------------------
# A label is likely on the positive side of its own axis: its probability is ``sigmoid(3 x)``. The two labels therefore
# make four quadrants, with both labels, either one, or none. Near the axes a label is random, and here we know its
# true probability.

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from scipy.special import expit
from sklearn.metrics import f1_score, hamming_loss

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import LOSSES

SLOPE = 3.0
X, Y = make_quadrants(n_samples=4000, slope=SLOPE, random_state=0)
X_test, Y_test, proba_test = make_quadrants(n_samples=20_000, slope=SLOPE, random_state=1, return_proba=True)

# %%
# One linear model for each loss
# ------------------------------
# The columns of the table: the threshold of the loss as a probability; where that is on the axis of the label (at 0 the
# label has probability 1/2); the decisions, judged by Hamming loss and macro-F1; the mean distance between the
# predicted and the true probability, with the link of the loss, and with the sigmoid.
#
# Two losses stay away from the true probabilities. The shifted sigmoid cannot exceed one half. ZLPR learns sets of
# labels rather than one label at a time, so no link of a single score is exact for it: its own is right for soft
# targets and for many independent labels, the sigmoid happens to be close for two, and calibration is right for any
# number. The hinge loss has no probabilities at all.

models = {name: QuadrantMultiLabelClassifier(loss=name).fit(X, Y) for name in LOSSES}


def boundary(model):
    """Return where the mean score of the two labels on their own axes reaches the threshold."""
    return np.mean((model.loss_.threshold - model.intercept_) / np.diag(model.coef_))


def error(proba):
    """Return the mean distance to the true probabilities, as text."""
    return f"{np.abs(proba - proba_test).mean():.3f}"


def row(model):
    """Return the entries of the table for one model."""
    decisions, has_link = model.predict(X_test), model.loss_.link is not None
    return [
        f"{model.threshold_[0]:.3f}" if has_link else "-",
        f"{boundary(model):+.2f}",
        f"{hamming_loss(Y_test, decisions):.3f}",
        f"{f1_score(Y_test, decisions, average='macro'):.3f}",
        error(model.predict_proba(X_test)) if has_link else "-",
        error(expit(model.decision_function(X_test))),
    ]


heads = ["threshold", "at x =", "Hamming", "macro-F1", "own link", "sigmoid"]
print(f"{'loss':20}" + "".join(f"{head:>11}" for head in heads))
for name, model in models.items():
    print(f"{name:20}" + "".join(f"{entry:>11}" for entry in row(model)))

# %%
# The picture
# -----------
# A column is a loss, the first column the data. Above, the two labels in the plane: the colour is the probability of
# the label, the line is the threshold of the loss. Below, the first label along its axis: the true probability, the
# predicted one, and what the sigmoid makes of the same scores.
#
# The line of the shifted sigmoid lies where the probability is a third, and its colour never exceeds the white of one
# half: with a threshold of one half it would predict nothing. The asymmetric loss has a low threshold on purpose: it is
# made for finding rare labels.

SHOWN = {
    "bce_with_logits": "Cross-entropy",
    "focal": "Focal",
    "asymmetric": "Asymmetric",
    "shifted_sigmoid_bce": "Shifted sigmoid",
    "zlpr": "ZLPR",
}
ABSENT, PRESENT, INK = "#D55E00", "#0072B2", "#333333"
SHADES = LinearSegmentedColormap.from_list("absent to present", [ABSENT, "#F3C5A5", "white", "#A6CBE3", PRESENT])
LIMIT = 2.2
EXTENT = (-LIMIT, LIMIT, -LIMIT, LIMIT)

axis = np.linspace(-LIMIT, LIMIT, 221)
plane = np.stack(np.meshgrid(axis, axis), axis=-1)
along = np.column_stack([axis, np.zeros_like(axis)])


def draw_data(ax, label):
    """Draw points, coloured by whether they have the label."""
    rows = slice(0, 800)
    ax.scatter(*X[rows].T, c=Y[rows, label], cmap=SHADES, s=7, linewidth=0.2, edgecolor="white")


def draw_plane(ax, model, label):
    """Draw the probability of a label as shade and its boundary as a line."""
    proba = model.predict_proba(plane.reshape(-1, 2))[:, label].reshape(plane.shape[:2])
    image = ax.imshow(proba, origin="lower", extent=EXTENT, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    ax.contour(axis, axis, proba, levels=model.threshold_[[label]], colors=INK, linewidths=1.8)
    return image


def draw_frequency(ax):
    """Draw how often the first label occurs along its axis."""
    edges = np.linspace(-LIMIT, LIMIT, 16)
    inside = np.abs(X[:, 0]) < LIMIT
    place = np.digitize(X[inside, 0], edges) - 1
    frequency = np.bincount(place, Y[inside, 0]) / np.bincount(place)
    ax.bar(edges[:-1], frequency, width=np.diff(edges), align="edge", color="#CFCFCF", edgecolor="white", linewidth=0.8)


def draw_curves(ax, model):
    """Draw the probability of the first label along its axis, and the threshold."""
    (own,) = ax.plot(axis, model.predict_proba(along)[:, 0], color=PRESENT, linewidth=2.2)
    (habit,) = ax.plot(axis, expit(model.decision_function(along)[:, 0]), color=ABSENT, linewidth=1.4, linestyle=":")
    cut, start = model.threshold_[0], (model.loss_.threshold - model.intercept_[0]) / model.coef_[0, 0]
    ax.axvspan(start, LIMIT, color=PRESENT, alpha=0.08, linewidth=0)
    ax.plot([start, start], [0, cut], color=INK, linewidth=1.2)
    ax.plot(start, cut, "o", color=INK, markersize=6)
    ax.text(LIMIT - 0.1, 0.05, f"present:\np > {cut:.2f}", ha="right", color=INK)
    return own, habit


figure, axes = plt.subplots(3, 1 + len(SHOWN), figsize=(14, 7.8), sharex=True, sharey="row", layout="constrained")
axes[0, 0].set_title("Data")
for label in (0, 1):
    draw_data(axes[label, 0], label)
    axes[label, 0].set_ylabel(f"Label {label} in the plane\n$x_1$")
draw_frequency(axes[2, 0])
axes[2, 0].set_ylabel("Label 0 along its axis\nprobability")
for column, (name, title) in enumerate(SHOWN.items(), start=1):
    axes[0, column].set_title(title)
    for label in (0, 1):
        image = draw_plane(axes[label, column], models[name], label)
    own, habit = draw_curves(axes[2, column], models[name])
for ax in axes[2]:
    (truth,) = ax.plot(axis, expit(SLOPE * axis), color=INK, linewidth=1.2, linestyle="--")
    ax.set(xlabel="$x_0$", ylim=(0, 1.02))
axes[0, 0].set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT))
axes[1, 0].set(ylim=(-LIMIT, LIMIT))
figure.suptitle("Where each loss predicts a label, and what its scores mean", fontsize="x-large")
figure.colorbar(image, ax=axes[:2], label="Probability of the label", aspect=30, pad=0.01)
figure.legend(
    [truth, own, habit],
    ["true probability", "the loss's own link", "sigmoid of the same score"],
    loc="outside lower center",
    ncols=3,
    frameon=False,
)

path = Path(sys.argv[1] if len(sys.argv) > 1 else "quadrants.png")
figure.savefig(path, dpi=150)
print(f"\nPicture: {path}")
plt.show()
