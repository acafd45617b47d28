"""
A loss of your own
==================

A loss of your own takes a dozen lines, and works in fits, probabilities, thresholds, searches, displays and pickles
without registration. If a label means that something was counted at least once, the complementary log-log loss below
has a better log loss than every loss of the package. If labels exclude each other and only completely right rows count,
the subset loss gets more rows right than cross-entropy.
"""

# %%
# A loss for each label, with a link
# ----------------------------------
# Often a label says that a count is not zero: a bird was heard, a word occurs, a part failed. Counts have rates, and a
# rate ``exp(s)`` gives the probability ``1 - exp(-exp(s))`` of at least one. This is the link, known as complementary
# log-log; the loss is the log loss of that probability. A link is two functions that undo each other. From it the
# package derives the Bayes threshold, the score of probability 1/2. The natural threshold stays at a score of 0, a rate
# of one.

import pickle
import sys
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.model_selection import GridSearchCV

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.displays import LossDisplay
from sk_quadrant.losses import LOSSES, LabelwiseLoss, Link, Loss
from sk_quadrant.metrics import expected_calibration_error, multilabel_log_loss, neg_multilabel_log_loss_scorer

OUT_OF_REACH = 1e30  # a margin that adds nothing, finite so that gradients are too


@dataclass(frozen=True)
class AtLeastOneLink(Link):
    """Complementary log-log link: the score is the logarithm of a rate."""

    def _link(self, p):
        return np.log(-np.log1p(-p))

    def _inverse(self, s):
        return -np.expm1(-np.exp(s))


@dataclass(frozen=True)
class AtLeastOne(LabelwiseLoss):
    """Log loss of a label that is present where a Poisson count is at least one."""

    name = "at_least_one"
    link = AtLeastOneLink()

    def per_label(self, scores, targets):
        """Return the loss of each row and label."""
        rate = scores.clamp(-60, 60).exp()  # neither 0, which has no logarithm, nor infinite
        return -targets * torch.log(-torch.expm1(-rate)) + (1 - targets) * rate


@dataclass(frozen=True)
class Subset(Loss):
    """Smooth bound on whether any label of a row is wrong, ``log(1 + sum_j exp(-margin_j / T))``."""

    name = "subset"
    soft_targets = False
    temperature: float = 1.0

    def per_sample(self, scores, targets, mask=None, weight=None):
        """Return the loss of each row."""
        margins = (2 * targets - 1) * scores / self.temperature
        if weight is not None:
            margins = (margins - weight.log()).clamp(max=OUT_OF_REACH)
        if mask is not None:
            margins = margins.masked_fill(~mask, OUT_OF_REACH)
        return self.temperature * torch.nn.functional.softplus((-margins).logsumexp(dim=1))


# %%
# Counts
# ------
# Eight labels of eight features are present where a Poisson count with a log-linear rate is not zero. A grid search
# compares the loss with those of the package, instances beside strings. It is the best of them in cross-validation; on
# new rows its log loss is .397 against .403 of cross-entropy, and its calibration error .010 against .027.

rng = np.random.default_rng(0)
W = rng.normal(scale=0.7, size=(8, 8))
X, X_test = rng.normal(size=(2000, 8)), rng.normal(size=(20_000, 8))
Y, Y_test = ((rng.poisson(np.exp(rows @ W - 0.5)) > 0).astype(int) for rows in (X, X_test))

candidates = [AtLeastOne(), *(name for name, loss in LOSSES.items() if loss().link is not None)]
options = {"loss": candidates, "C": [0.1, 1.0]}
search = GridSearchCV(QuadrantMultiLabelClassifier(), options, scoring=neg_multilabel_log_loss_scorer, cv=3).fit(X, Y)
counts = search.best_estimator_
logistic = QuadrantMultiLabelClassifier().fit(X, Y)

print(f"chosen: {search.best_params_}")
for name, model in {"at_least_one": counts, "bce_with_logits": logistic}.items():
    proba = model.predict_proba(X_test)
    error = expected_calibration_error(Y_test, proba)
    print(f"{name:20} log loss {multilabel_log_loss(Y_test, proba):.4f}, calibration error {error:.4f}")

# %%
# Natural or Bayes
# ----------------
# The two thresholds differ for this loss. A rate above one, the natural threshold, is a probability above .63; the rows
# that come out wholly right are more at the Bayes threshold, a probability of 1/2. The estimator gets both from
# the loss.

for threshold in ("natural", "bayes"):
    model = QuadrantMultiLabelClassifier(AtLeastOne(), threshold=threshold).fit(X, Y)
    print(f"{threshold:20} {model.threshold_[0]:.3f}  rows right {model.score(X_test, Y_test):.3f}")

# %%
# A loss for the whole row
# ------------------------
# `Subset` grows with the worst label of a row: it is a smooth bound on whether the row has any mistake. It sees all
# scores of a row at once, so it writes ``per_sample``, and with it what masked and weighted labels mean: here a label
# that is masked has a margin nothing can reach, and a weight multiplies its term. It has no link, hence no
# ``predict_proba``. Ten labels exclude each other in these rows. Judged by themselves most labels are unlikely
# everywhere, and cross-entropy often predicts none: it gets 26% of the rows right, the subset loss 29%.


def draw_one_label(W, n_rows):
    """Return rows with one of the labels each, drawn from a softmax of linear scores."""
    rows = rng.normal(size=(n_rows, W.shape[0]))
    chosen = np.argmax(rows @ W + rng.gumbel(size=(n_rows, W.shape[1])), axis=1)
    return rows, np.eye(W.shape[1], dtype=int)[chosen]


W = rng.normal(size=(8, 10))
(X, Y), (X_test, Y_test) = draw_one_label(W, 2000), draw_one_label(W, 20_000)
options = {"loss": [Subset(), Subset(temperature=0.3), "zlpr", "bce_with_logits", "focal", "squared_hinge"]}
search = GridSearchCV(QuadrantMultiLabelClassifier(), options, scoring="accuracy", cv=3).fit(X, Y)
print(f"chosen: {search.best_params_}")
for loss in options["loss"]:
    model = QuadrantMultiLabelClassifier(loss).fit(X, Y)
    empty = np.mean(~model.predict(X_test).any(axis=1))
    print(f"{model.loss_.name:20} rows right {model.score(X_test, Y_test):.3f}, without a label {empty:.3f}")

# %%
# Into a file and back
# --------------------
# What is fitted is NumPy arrays and the loss. Where it is loaded, the class of the loss has to be importable, as that
# of any object in a pickle; the predictions are the same.

again = pickle.loads(pickle.dumps(counts))
print(f"loss after a pickle: {again.loss_}, predictions equal: {np.array_equal(again.predict(X), counts.predict(X))}")

# %%
# What the losses look like
# -------------------------
# The display asks the loss too. Complementary log-log is not symmetric: an absent label costs the rate, which grows
# without bounds, and a score of 0 means a probability of .63. The subset loss of one label depends on the others of its
# row, which are held at the threshold here, one present and one absent.

display = LossDisplay.from_loss([AtLeastOne(), Subset(), "bce_with_logits", "zlpr"], score_range=(-3, 3))
display.figure_.suptitle("Two losses of your own, beside two of the package")
if len(sys.argv) > 1:
    display.figure_.savefig(sys.argv[1], dpi=150)
plt.show()
