"""
Sigmoid and cross-entropy, in one step or in two
================================================

The two are the same loss and give the same model on the same data: weights differ by less than 1e-8 and decisions are
equal, so neither is more accurate. The difference is rounding in single precision, for an absent label with a score
above 16.6. Computed in one step, the gradient is 1; computed in two steps, it is exactly 0, and a model with a bad
start stays wrong.
"""

# %%
# The same model
# --------------
# ``bce_with_logits`` computes cross-entropy from the score, ``sigmoid_bce`` first turns the score into a probability,
# as a network that ends in a sigmoid layer does. Below, both learn four quadrants without noise, in single precision,
# under penalties from strong to weak. Where one seems to do better than the other, look for a sigmoid that is applied
# twice, or for a threshold that belongs to another link.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.losses import BCEWithLogits, SigmoidBCE

LOSSES = {"in one step": BCEWithLogits(), "in two steps": SigmoidBCE()}

X, Y = make_quadrants(n_samples=4000, random_state=0)
X = X.astype(np.float32)

print(f"{'C':>8}{'largest weight':>18}{'difference':>14}{'macro-F1':>20}")
for C in (0.01, 1.0, 100.0):
    one, two = (QuadrantMultiLabelClassifier(loss, C=C).fit(X, Y) for loss in LOSSES.values())
    f1 = [f1_score(Y, model.predict(X), average="macro") for model in (one, two)]
    difference = np.abs(one.coef_ - two.coef_).max()
    print(f"{C:8}{np.abs(one.coef_).max():18.2f}{difference:14.1e}{f1[0]:12.4f}{f1[1]:8.4f}")

# %%
# Another arithmetic
# ------------------
# A probability next to 1 has no room: in single precision the largest number below 1 is 1 - 6e-8, so that from a score
# of 16.6 on the sigmoid is 1 and the logarithm of what is left is minus infinity. PyTorch clamps it to -100, which
# keeps the loss finite and its derivative at zero. Double precision moves the edge to a score of 36.7 and changes
# nothing else. Computed in one step, the loss of an absent label is ``log(1 + exp(s))``, which needs no such room.

FORMATS = {"single": torch.float32, "double": torch.float64}


def push_down(loss, scores):
    """Return the derivative of the loss of an absent label, and the loss."""
    values, gradient = loss.values_and_gradient(scores[:, None], torch.zeros_like(scores)[:, None])
    return gradient[:, 0].numpy(), values[:, 0].numpy()


print(f"\n{'precision':12}{'two steps are dead from a score of':>36}")
for name, dtype in FORMATS.items():
    scores = torch.linspace(0, 40, 40_001, dtype=dtype)
    gradient, _ = push_down(SigmoidBCE(), scores)
    print(f"{name:12}{float(scores[gradient == 0].min()):36.1f}")

# %%
# Training from a wrong start
# ---------------------------
# Scores of a trained model rarely get that far, but those of a start may: weights drawn too large, features in other
# units, or, as here, a model fitted before the zero of a sensor has moved. A first fit makes scores of about ``3 x``;
# then every feature is shifted upwards, every score is too large, every label is predicted, and training goes on from
# there. In one step training corrects this, more slowly after a larger shift. In two steps it learns nothing once
# all scores of absent labels are beyond that limit: the F1 stays that of predicting every label, 2/3.

SHIFTS = np.arange(0, 19, 3)
X_noisy, Y_noisy = make_quadrants(n_samples=4000, slope=3, random_state=0)


def relearn(loss, dtype, shift):
    """Return the macro-F1 of a model that is trained further on shifted features."""
    model = QuadrantMultiLabelClassifier(
        loss, C=np.inf, solver="adamw", learning_rate_init=0.1, max_iter=100, warm_start=True, random_state=0
    )
    model.fit(X_noisy.astype(dtype), Y_noisy)
    shifted = (X_noisy + shift).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the longest ways need more than 100 epochs
        model.fit(shifted, Y_noisy)
    return f1_score(Y_noisy, model.predict(shifted), average="macro")


relearnt = {
    f"{name}, {precision}": [relearn(LOSSES[name], dtype, shift) for shift in SHIFTS]
    for name, precision, dtype in (
        ("in one step", "single", np.float32),
        ("in two steps", "double", np.float64),
        ("in two steps", "single", np.float32),
    )
}
print(f"\n{'macro-F1 at shift':22}" + "".join(f"{shift:6}" for shift in SHIFTS))
for name, outcome in relearnt.items():
    print(f"{name:22}" + "".join(f"{f1:6.2f}" for f1 in outcome))

# %%
# The picture
# -----------
# Above, an absent label in single precision: the loss in two steps jumps to 100 and stays there, so its derivative is
# zero. Below, the F1 after training on with shifted features.

ONE, TWO, DOUBLE = "#0072B2", "#D55E00", "#009E73"

scores = torch.linspace(-5, 25, 3001)
figure, axes = plt.subplot_mosaic([["loss", "push"], ["shift", "shift"]], figsize=(7.5, 5.8), layout="constrained")
for (name, loss), color, style in zip(LOSSES.items(), (ONE, TWO), ("-", "--"), strict=True):
    gradient, values = push_down(loss, scores)
    axes["loss"].plot(scores, values, style, color=color, linewidth=2.2, label=name)
    axes["push"].plot(scores, gradient, style, color=color, linewidth=2.2)
axes["loss"].set(title="Loss of an absent label", xlabel="score")
axes["loss"].legend(frameon=False, loc="center left")
axes["push"].set(title="How hard it pushes the score down", xlabel="score", ylim=(-0.05, 1.1))
axes["push"].text(16, 0.04, "rounded to zero", color=TWO, ha="right")
for (name, outcome), color, marker in zip(relearnt.items(), (ONE, DOUBLE, TWO), "osD", strict=True):
    axes["shift"].plot(SHIFTS, outcome, marker=marker, color=color, markersize=7, linewidth=2.2, label=name)
axes["shift"].axhline(2 / 3, color="#333333", linewidth=1, linestyle=":")
axes["shift"].text(0, 2 / 3 + 0.004, "everything predicted", color="#333333")
axes["shift"].set(title="Trained on after a shift", xlabel="shift of the features", ylabel="macro-F1")
axes["shift"].set_ylim(0.6, 0.86)
axes["shift"].legend(frameon=False, loc="lower left", ncols=3)
plt.show()
