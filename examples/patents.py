"""
Tutorial: sections of patents
=============================

On titles and abstracts of 5584 patents in 8 sections, the threshold matters more than the formula of the loss.
Cross-entropy has a micro-F1 of .71 at its natural threshold of one half and .74 at a tuned one. With three times the
weight for present labels it has .74 at its natural threshold, a probability of a quarter, and .67 at one half.

The output on this page was recorded, since the patents do not come with the package. The tutorial runs in a minute, on
the USPTO sections if you have them (environment variable SK_QUADRANT_DATA), or on your own texts. It needs pandas and
matplotlib. From the root of the repository::

    python examples/patents.py train.jsonl test.jsonl

with one ``{"text": "...", "labels": ["A", "H"]}`` a line, gzipped if the name ends in .gz.
"""

# %%
# The data
# --------
# A patent is in one or several of the sections A to H. ``MultiLabelBinarizer`` turns the lists of sections into ``Y``,
# with one column for each section that occurs in the training file. As a DataFrame it gives the model their names.

import gzip
import json
import os
import sys
from pathlib import Path

import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer

DATA = Path(os.environ.get("SK_QUADRANT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PATENTS = [DATA / "uspto_sections_2021w01" / f"{part}.jsonl.gz" for part in ("train", "test")]
HELP = """\
There are no patents at {}.
Set SK_QUADRANT_DATA to the folder that holds uspto_sections_2021w01, or name two files of your own:
    python examples/patents.py train.jsonl test.jsonl
with one {{"text": "...", "labels": ["A", "H"]}} a line, gzipped if the name ends in .gz."""


def read(path):
    """Return the texts and the lists of labels of a file."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows], [row["labels"] for row in rows]


paths = [Path(name) for name in sys.argv[1:]] or PATENTS
if len(paths) != 2 or not all(path.is_file() for path in paths):
    sys.exit(HELP.format(" ".join(map(str, paths))))
(texts, labels), (texts_test, labels_test) = map(read, paths)
binarizer = MultiLabelBinarizer().fit(labels)
Y, Y_test = (pd.DataFrame(binarizer.transform(part), columns=binarizer.classes_) for part in (labels, labels_test))

print(f"{len(texts)} texts to train on, {len(texts_test)} to judge by, {Y.sum(axis=1).mean():.2f} labels for each text")
print("share of the texts:", ", ".join(f"{name} {share:.0%}" for name, share in Y.mean().items()))

# %%
# A first model
# -------------
# Words and pairs of words as features, one linear model for all sections. ``C`` is larger than the default 1, as for
# all TF-IDF features.

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score

from sk_quadrant import QuadrantMultiLabelClassifier

vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), stop_words="english")
X, X_test = vectorizer.fit_transform(texts), vectorizer.transform(texts_test)

for C in (1, 30):
    model = QuadrantMultiLabelClassifier(C=C).fit(X, Y)
    predictions = model.predict(X_test)
    print(
        f"C={C:<3} micro-F1 {f1_score(Y_test, predictions, average='micro'):.3f}, "
        f"texts without a predicted section {(predictions.sum(axis=1) == 0).mean():.0%}"
    )

# %%
# Tuned thresholds
# ----------------
# A threshold of one half is right for the fewest wrong entries. For micro-F1 a lower one is better; it is found by
# cross-validation on the training texts. ``min_labels=1`` gives every text at least one section, since every patent
# has one.

from sk_quadrant import TunedThresholdMultiLabelClassifierCV

for min_labels in (0, 1):
    tuned = TunedThresholdMultiLabelClassifierCV(
        model, scoring="f1_micro", scope="shared", min_labels=min_labels, random_state=0
    ).fit(X, Y)
    score = f1_score(Y_test, tuned.predict(X_test), average="micro")
    print(f"min_labels={min_labels}: threshold {tuned.best_threshold_[0]:.2f}, micro-F1 {score:.3f}")

# %%
# Sections of one patent
# ----------------------
# The three most probable sections of new texts, for a person who reviews them.

from sk_quadrant import top_k_labels

names, probabilities, _ = top_k_labels(tuned, X_test[:3], k=min(3, Y.shape[1]))
for text, best, values, truth in zip(texts_test, names, probabilities, labels_test, strict=False):
    sections = "  ".join(f"{name} {value:.2f}" for name, value in zip(best, values, strict=True))
    print(f"{text[:40]:40} ...  {sections}   true: {', '.join(truth)}")

# %%
# A model for each loss
# ---------------------
# The same words for all. How strongly to regularise is chosen for each loss by its micro-F1, at its natural threshold,
# on a fifth of the training texts, since losses differ in size and so in what ``C`` means. Each model is judged at its
# natural threshold, and at the Bayes threshold (a probability of one half) where the two differ. Subset accuracy is the
# share of patents with all labels right. Log loss judges probabilities and needs no threshold. The search ends at
# ``C=100``: with larger values micro-F1 gains .01 at most, and the log loss gets worse.

from sklearn.metrics import accuracy_score, hamming_loss
from sklearn.model_selection import GridSearchCV, ShuffleSplit

from sk_quadrant.losses import LOSSES, BCEWithLogits, Focal
from sk_quadrant.metrics import multilabel_log_loss

candidates = {name: loss() for name, loss in LOSSES.items()} | {
    "pos_weight=3": BCEWithLogits(pos_weight=3),
    "focal, alpha=.75": Focal(alpha=0.75),
}


def fit(loss):
    """Return a model whose C is chosen on a fifth of the texts."""
    model = QuadrantMultiLabelClassifier(loss, tol=1e-2, max_iter=500)  # one per cent decides no label
    split = ShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    search = GridSearchCV(model, {"C": [1, 3, 10, 30, 100]}, scoring="f1_micro", cv=split)
    return search.fit(X, Y).best_estimator_


def decisions(model):
    """Return the predictions of a model by the name of the threshold."""
    loss = model.loss_
    if loss.bayes_threshold is None or loss.bayes_threshold == loss.threshold:
        return {"natural": model.predict(X_test)}
    return {"natural": model.predict(X_test), "bayes": model.predict_proba(X_test) > 0.5}


def judge(predictions):
    """Return micro-F1, macro-F1, subset accuracy and Hamming loss."""
    return (
        f1_score(Y_test, predictions, average="micro"),
        f1_score(Y_test, predictions, average="macro", zero_division=0),
        accuracy_score(Y_test, predictions),
        hamming_loss(Y_test, predictions),
    )


results = {}
heads = ("micro-F1", "macro-F1", "subset", "Hamming", "log loss")
print(f"{'loss':20}{'C':>4}  {'threshold':10}" + "".join(f"{head:>10}" for head in heads))
for name, loss in candidates.items():
    model = fit(loss)
    has_link = model.loss_.link is not None
    log_loss = f"{multilabel_log_loss(Y_test, model.predict_proba(X_test)):10.3f}" if has_link else f"{'-':>10}"
    for threshold, predictions in decisions(model).items():
        results[name, threshold] = judge(predictions)
        scores = "".join(f"{score:10.3f}" for score in results[name, threshold])
        print(f"{name:20}{model.C:4g}  {threshold:10}{scores}{log_loss}", flush=True)

# %%
# The picture
# -----------
# Losses with a natural threshold of one half are close to each other (black), and below cross-entropy with a tuned
# threshold (line). Losses with another natural threshold come close to that line without tuning, and fall behind at one
# half (orange). The exception is the asymmetric loss: its natural threshold is too low here.

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 5.4), layout="constrained")
left = max(scores[0] for scores in results.values()) - 0.1
for row, name in enumerate(reversed(candidates)):
    natural, *bayes = (results[key][0] for key in results if key[0] == name)
    for value in bayes:
        ax.plot([natural, value], [row, row], color="#BBBBBB", linewidth=2, zorder=1)
        if value > left:
            ax.plot(value, row, "D", color="#D55E00", markersize=7)
        else:
            ax.text(left, row, f" to {value:.2f}", color="#D55E00", va="bottom")
    ax.plot(natural, row, "o", color="black", markersize=7)
ax.plot([], [], "o", color="black", label="natural")
ax.plot([], [], "D", color="#D55E00", label="one half, if that is another")
ax.axvline(score, color="#0072B2", linestyle="--", label="cross-entropy, tuned")
ax.set(yticks=range(len(candidates)), yticklabels=reversed(candidates), xlim=(left, None), xlabel="micro-F1")
ax.set_title("Which loss, and which threshold")
ax.grid(axis="x", alpha=0.3)
fig.legend(loc="outside lower center", ncols=3, title="threshold")
plt.show()

# %%
# Where to go next
# ----------------
# - :ref:`sphx_glr_generated_gallery_plot_which_loss.py`: the same question on six data sets.
# - :doc:`/user_guide/decisions`: other decisions than the best F1, one line each.
# - :ref:`sphx_glr_generated_gallery_patents_module.py`: your own encoder on the same texts.
