"""
Which loss for patents?
=======================

On titles and abstracts of 5584 patents in 8 sections, the threshold of a loss matters more than its formula. All losses
with a natural threshold of one half have a micro-F1 of .71. Cross-entropy with three times the weight for present
labels has .74 at its natural threshold, a probability of a quarter, and .67 at one half.

Run it on the USPTO sections if their folder is known (environment variable SK_QUADRANT_DATA), or on any texts::

    python examples/patents.py train.jsonl test.jsonl

with one ``{"text": "...", "labels": ["A", "H"]}`` a line, gzipped if the name ends in .gz.
"""

# %%
# The data
# --------
# Labels are strings. Those that occur in the training file are the columns of Y.

import gzip
import json
import os
import sys
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score, hamming_loss
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.preprocessing import MultiLabelBinarizer

from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant.losses import LOSSES, BCEWithLogits, Focal
from sk_quadrant.metrics import multilabel_log_loss

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
Y, Y_test = binarizer.transform(labels), binarizer.transform(labels_test)

# %%
# A model for each loss
# ---------------------
# The same words for all. How strongly to regularise is chosen for each loss by its micro-F1, at its natural threshold,
# on a fifth of the training texts, since losses differ in size and so in what C means.

vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), stop_words="english")
X, X_test = vectorizer.fit_transform(texts), vectorizer.transform(texts_test)
candidates = {name: loss() for name, loss in LOSSES.items()} | {
    "pos_weight=3": BCEWithLogits(pos_weight=3),
    "focal, alpha=.75": Focal(alpha=0.75),
}


def fit(loss):
    """Return a model whose C is chosen by cross-validation."""
    model = QuadrantMultiLabelClassifier(loss, tol=1e-2, max_iter=500)  # one per cent decides no label
    split = ShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    return GridSearchCV(model, {"C": [1, 3, 10, 30, 100]}, scoring="f1_micro", cv=split).fit(X, Y).best_estimator_


# %%
# The table
# ---------
# Each model at its natural threshold, and at the Bayes threshold (a probability of one half) where that is another one.
# Subset accuracy asks for all labels of a patent to be right. Log loss judges probabilities, whatever the threshold.


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


heads = ("micro-F1", "macro-F1", "subset", "Hamming", "log loss")
print(f"{X.shape[0]} texts, {X.shape[1]} terms, {Y.shape[1]} labels; judged on {X_test.shape[0]} texts")
print(f"{'loss':20}{'C':>6}  {'threshold':10}" + "".join(f"{head:>10}" for head in heads))
for name, loss in candidates.items():
    model = fit(loss)
    has_link = model.loss_.link is not None
    log_loss = f"{multilabel_log_loss(Y_test, model.predict_proba(X_test)):10.4f}" if has_link else f"{'-':>10}"
    for threshold, predictions in decisions(model).items():
        scores = "".join(f"{score:10.4f}" for score in judge(predictions))
        print(f"{name:20}{model.C:6g}  {threshold:10}{scores}{log_loss}", flush=True)
