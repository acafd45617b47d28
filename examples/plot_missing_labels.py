"""
Unknown labels: ignore them one by one
======================================

With half of the labels unknown at random, a model that ignores the unknown entries decides as well as one that knows
them all (macro-F1 .64). Treating unknown labels as absent, as many indicator matrices silently do, gives .17. Keeping
only the rows without unknown labels leaves 3% of the rows and gives .54.
"""

# %%
# Unknown is not absent
# ---------------------
# Five labels depend on ten features. Their true probabilities are known, so that predicted ones can be compared with
# them. All entries are hidden with the same chance, as by an annotator who had no time.

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier

N_FEATURES, N_LABELS, N_ROWS = 10, 5, 2000
rng = np.random.default_rng(0)
W = rng.normal(scale=0.6, size=(N_FEATURES, N_LABELS))


def draw(n_rows):
    """Return features, labels and their true probabilities."""
    X = rng.normal(size=(n_rows, N_FEATURES))
    proba = expit(X @ W - 1)
    return X, (rng.random(proba.shape) < proba).astype(float), proba


X, Y, _ = draw(N_ROWS)
X_test, Y_test, proba_test = draw(10_000)

# %%
# Three ways
# ----------
# - *Ignore*: NaN in ``Y`` and ``missing_labels="ignore"``; training ignores an unknown entry and uses the rest of
#   its row.
# - *Call absent*: unknown entries become 0. If a share r is unknown, a label is marked in only 1 - r of the rows that
#   have it, so that probabilities shrink by that factor and soon none is above one half.
# - *Drop rows*: keep only rows without an unknown label. If each of 5 labels is known with chance 1 - r, these are
#   :math:`(1 - r)^5` of the rows.


def ignore(hidden):
    """Fit to the known entries."""
    return QuadrantMultiLabelClassifier(missing_labels="ignore").fit(X, np.where(hidden, np.nan, Y))


def call_absent(hidden):
    """Fit with zeros in place of the unknown entries."""
    return QuadrantMultiLabelClassifier().fit(X, np.where(hidden, 0, Y))


def drop_rows(hidden):
    """Fit to the rows without unknown entries."""
    complete = ~hidden.any(axis=1)
    return QuadrantMultiLabelClassifier().fit(X[complete], Y[complete])


WAYS = {"Ignore": ignore, "Call absent": call_absent, "Drop rows": drop_rows}
SHARES = np.arange(0, 10) / 10
ENOUGH_ROWS = 20
chance = rng.random(Y.shape)


def judge(model):
    """Return the mean distance to the true probabilities and the macro-F1."""
    error = np.abs(model.predict_proba(X_test) - proba_test).mean()
    return error, f1_score(Y_test, model.predict(X_test), average="macro", zero_division=0)


def outcome(way, share):
    """Return how a way does when a share of the entries is hidden, NaN if too few rows are left for it."""
    hidden = chance < share
    too_few = way is drop_rows and (~hidden.any(axis=1)).sum() < ENOUGH_ROWS
    return (np.nan, np.nan) if too_few else judge(way(hidden))


outcomes = {name: np.array([outcome(way, share) for share in SHARES]) for name, way in WAYS.items()}
print(f"{'unknown':14}" + "".join(f"{share:7.0%}" for share in SHARES))
for name, table in outcomes.items():
    print(f"{name:14}" + "".join(f"{f1:7.2f}" for f1 in table[:, 1]) + "   macro-F1")
    print(f"{'':14}" + "".join(f"{error:7.2f}" for error in table[:, 0]) + "   error of the probability")

# %%
# When the label itself decides
# -----------------------------
# All of this assumes that unknown entries are a random sample. If half of the *present* labels are missing and absent
# ones are always recorded, the known entries are not representative: ignoring the others is better than calling them
# absent, and still wrong. If the rate is known, weights correct for it: each known present label counts twice.

hidden = (Y == 1) & (chance < 0.5)
weight = np.where(Y == 1, 2.0, 1.0)  # of a present label; hidden ones have none, whatever is written here
weighted = QuadrantMultiLabelClassifier(missing_labels="ignore").fit(
    X, np.where(hidden, np.nan, Y), sample_weight=weight
)
print(f"\n{'half of the present labels unknown':38}{'error':>8}{'macro-F1':>10}")
named = {"ignore": ignore(hidden), "call absent": call_absent(hidden), "ignore, with weights": weighted}
for name, model in named.items():
    error, f1 = judge(model)
    print(f"{name:38}{error:8.2f}{f1:10.2f}")

# %%
# The picture
# -----------
# Left, decisions; right, probabilities. The line of rows dropped ends where fewer than 20 are left.

COLORS = dict(zip(WAYS, ("#0072B2", "#D55E00", "#009E73"), strict=True))
MARKERS = dict(zip(WAYS, "osD", strict=True))

figure, axes = plt.subplots(1, 2, figsize=(9, 4.8), sharex=True, layout="constrained")
for name, table in outcomes.items():
    for ax, values in zip(axes, table.T[::-1], strict=True):
        ax.plot(100 * SHARES, values, marker=MARKERS[name], color=COLORS[name], linewidth=2, label=name)
axes[0].set(title="Decisions", xlabel="unknown labels, %", ylabel="macro-F1", ylim=(-0.03, 0.75))
axes[1].set(title="Probabilities", xlabel="unknown labels, %", ylabel="mean distance to the truth", ylim=(0, None))
axes[0].legend(frameon=False, loc="center left", bbox_to_anchor=(0, 0.35))
plt.show()
