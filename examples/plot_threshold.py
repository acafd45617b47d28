"""
Why the threshold is 0.5, and when it is not
============================================

The threshold 0.5 does not come from the data: it is the sigmoid of a score of zero. A sigmoid shifted to
``1 / (2 + exp(-s))`` has 1/3 there, and training finds the same boundary between present and absent labels: macro-F1
is 1 with the threshold 1/3, and 0 with the threshold 0.5.
"""

# %%
# How a loss pushes a score
# -------------------------
# Training moves the score of each row and label down the slope of the loss: up where the label is present, down where
# it is absent. Training ends where the two pushes cancel, weighted by how often the label is present among rows with
# the same features. At a score of zero, cross-entropy of the sigmoid pushes equally hard both ways, so this score
# belongs to a label present half of the time. With the shifted sigmoid the push up is twice the push down at zero:
# there a label is present a third of the time.

import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import BCEWithLogits, ShiftedSigmoidBCE

LOSSES = {"Sigmoid": BCEWithLogits(), "Shifted sigmoid": ShiftedSigmoidBCE(offset=2)}


def push(loss, scores, target):
    """Return minus the derivative of the loss, upwards positive."""
    column = torch.as_tensor(scores)[:, None]
    _, gradient = loss.values_and_gradient(column, torch.full_like(column, target))
    return -gradient[:, 0].numpy()


print(f"{'at a score of zero':20}{'push up':>12}{'push down':>12}{'probability':>14}")
for title, loss in LOSSES.items():
    up, down = (abs(push(loss, np.zeros(1), target)[0]) for target in (1.0, 0.0))
    print(f"{title:20}{up:12.3f}{down:12.3f}{loss.link.inverse(0.0):14.3f}")

# %%
# The same line, another number
# -----------------------------
# A label is present on the positive side of its axis, so a linear model without intercept has its score of zero on the
# axis, where the label changes. Both losses find that line. Only its probability differs.

X, Y = make_quadrants(n_samples=4000, random_state=0)
models = {
    title: QuadrantMultiLabelClassifier(loss, C=1e-2, fit_intercept=False).fit(X, Y) for title, loss in LOSSES.items()
}
CUTS = ("its own", "0.5")
f1 = {}
for title, model in models.items():
    for name, decisions in zip(CUTS, (model.predict(X), model.predict_proba(X) > 0.5), strict=True):
        f1[title, name] = f1_score(Y, decisions, average="macro", zero_division=0)

print(f"\n{'macro-F1, threshold':20}" + "".join(f"{name:>12}" for name in CUTS))
for title in models:
    print(f"{title:20}" + "".join(f"{f1[title, name]:12.3f}" for name in CUTS))

# %%
# The picture
# -----------
# A row is a loss. Left, the push on the score by rows that have the label and rows that do not: at zero they are equal
# in the first row and two to one in the second. Middle, what a score means, with the threshold as a dot. Right, the
# predicted probabilities: the threshold of the loss separates the two groups, and with 0.5 in the second row everything
# is on one side.

ABSENT, PRESENT, INK = "#D55E00", "#0072B2", "#333333"
scores = np.linspace(-5, 5, 401)


def draw_pushes(ax, loss):
    """Draw the push on the score by a present and by an absent label."""
    for target, color, name in ((1.0, PRESENT, "present: up"), (0.0, ABSENT, "absent: down")):
        ax.plot(scores, push(loss, scores, target), color=color, linewidth=2.2, label=name)
        ax.plot(0, push(loss, np.zeros(1), target), "o", color=color, markersize=6)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set(xlim=(-5, 5), ylim=(-1.1, 1.1))


def draw_link(ax, loss):
    """Draw the probability of a score, and the threshold."""
    at_zero = loss.link.inverse(0.0)
    ax.plot(scores, loss.link.inverse(scores), color=INK, linewidth=2.2)
    ax.axhline(0.5, color=INK, linewidth=1, linestyle=":")
    ax.plot([0, 0, -5], [0, at_zero, at_zero], color=INK, linewidth=1)
    ax.plot(0, at_zero, "o", color=INK, markersize=7)
    ax.annotate(f"{at_zero:.2f}", (0, at_zero), (8, -12), textcoords="offset points")
    ax.set(xlim=(-5, 5), ylim=(0, 1.02))


def draw_probabilities(ax, title):
    """Draw histograms of the predicted probabilities of present and absent labels."""
    proba, own = models[title].predict_proba(X), LOSSES[title].link.inverse(0.0)
    groups = [proba[Y == 1], proba[Y == 0]]
    bins = np.arange(0, 1 + 1e-9, 1 / 30)
    ax.hist(groups, bins=bins, stacked=True, color=[PRESENT, ABSENT], label=["present", "absent"])
    top = ax.get_ylim()[1] * 1.25
    ax.plot([own, own], [0, top], color=INK, linewidth=1.6)
    ax.plot([0.5, 0.5], [0, top], color=INK, linewidth=1, linestyle=":")
    ax.set(xlim=(0, 1), ylim=(0, top))
    lines = [f"threshold {own:.2f}: F1 {f1[title, 'its own']:.3f}"]
    lines += [] if own == 0.5 else [f"threshold 0.50: F1 {f1[title, '0.5']:.3f}"]
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # keeps lines out of the text
    ax.text(0.98, 0.96, "\n".join(lines), transform=ax.transAxes, ha="right", va="top", bbox=paper)


figure, axes = plt.subplots(2, 3, figsize=(12, 6.6), sharex="col", layout="constrained")
for row, (title, loss) in zip(axes, LOSSES.items(), strict=True):
    draw_pushes(row[0], loss)
    draw_link(row[1], loss)
    draw_probabilities(row[2], title)
    row[0].set_ylabel(f"{title}\n", fontsize="large")
for ax, heading in zip(axes[0], ("Push on the score", "What a score means", "Predicted probabilities"), strict=True):
    ax.set_title(heading)
for ax, name in zip(axes[1], ("score", "score", "probability"), strict=True):
    ax.set_xlabel(name)
for row in axes:
    row[1].set_ylabel("probability")
    row[2].set_ylabel("rows and labels")
axes[0, 0].legend(frameon=False, loc="lower left")
axes[1, 2].legend(frameon=False, loc="center right")
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=150)
plt.show()
