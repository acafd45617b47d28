"""
Tutorial: tags for texts
========================

From texts to tags, probabilities and a saved model, in about five minutes. A linear model on word frequencies with the
default settings finds half of the tags. A larger ``C``, thresholds chosen by cross-validation, or both, bring its F1
from .6 to above .8.

To follow along you need sk-quadrant, pandas and matplotlib: ``python -m pip install pandas matplotlib``.
"""

# %%
# Texts and tags
# --------------
# The texts are the documentation pages of scikit-learn's own estimators, which every installation has. Each page gets
# tags: is it a classifier, a regressor, a transformer; does it draw random numbers, run in parallel, iterate? A page
# has several tags or none, which is what *multi-label* means. For your own texts, replace this part: you need a list of
# texts, and a table with one row for each text, one column for each tag, and 0 or 1 in it.

import inspect

import pandas as pd
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.discovery import all_estimators

ROLES = {"classifier": ClassifierMixin, "regressor": RegressorMixin, "transformer": TransformerMixin}
PARAMETERS = {"random": "random_state", "parallel": "n_jobs", "iterative": "max_iter", "resumable": "warm_start"}

estimators = dict(all_estimators())
texts = pd.Series({name: inspect.getdoc(estimator) for name, estimator in estimators.items()})
tags = pd.DataFrame(
    {
        name: {tag: issubclass(estimator, role) for tag, role in ROLES.items()}
        | {tag: parameter in inspect.signature(estimator).parameters for tag, parameter in PARAMETERS.items()}
        for name, estimator in estimators.items()
    }
).T.astype(int)

print(f"{len(texts)} texts. Share of texts with each tag:\n{tags.mean().round(2).to_string()}")

# %%
# The first model
# ---------------
# ``TfidfVectorizer`` turns texts into word frequencies, and the classifier learns all tags at once. A third of the
# texts is kept for measuring. F1 is the usual score: 1 is perfect, and 0 means that no tag was found. *Micro* counts
# all tags alike, *macro* is the mean over tags.

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sk_quadrant import QuadrantMultiLabelClassifier

texts_train, texts_test, tags_train, tags_test = train_test_split(texts, tags, test_size=1 / 3, random_state=0)

model = make_pipeline(TfidfVectorizer(), QuadrantMultiLabelClassifier())
model.fit(texts_train, tags_train)


def report(title, predicted):
    """Print the F1 of predicted tags."""
    micro, macro = (f1_score(tags_test, predicted, average=average, zero_division=0) for average in ("micro", "macro"))
    print(f"{title:40} micro-F1 {micro:.2f}   macro-F1 {macro:.2f}")


report("default settings", model.predict(texts_test))

# %%
# Less regularisation: C
# ----------------------
# ``C`` says how much the training data count against small coefficients. Word frequencies of a text have length 1 and
# are spread over hundreds of words, so text needs a larger ``C`` than the default 1. Values from 10 to 100 are common.

for C in (1, 10, 100):
    model.set_params(quadrantmultilabelclassifier__C=C).fit(texts_train, tags_train)
    report(f"C={C}", model.predict(texts_test))

# %%
# Better decisions: thresholds
# ----------------------------
# A tag is predicted if its probability is above a threshold. The threshold one half is right if wrong and missed tags
# are equally bad. It is too high for the F1 of rare tags. ``TunedThresholdMultiLabelClassifierCV`` chooses a threshold
# for each tag by cross-validation on the training data. Here it makes up for a ``C`` that is too small.

from sk_quadrant import TunedThresholdMultiLabelClassifierCV

for C in (1, 10):
    model.set_params(quadrantmultilabelclassifier__C=C)
    tuned = TunedThresholdMultiLabelClassifierCV(model, scoring="f1_macro").fit(texts_train, tags_train)
    report(f"C={C}, tuned thresholds", tuned.predict(texts_test))

print(f"\nthresholds:\n{pd.Series(tuned.best_threshold_, index=tags.columns).round(2).to_string()}")

# %%
# Probabilities you can trust
# ---------------------------
# ``predict_proba`` gives the probability of each tag. With a large ``C`` probabilities are often too close to 0 and 1,
# with a small ``C`` too far from them. Calibration corrects this, also by cross-validation. The calibration error is
# the mean distance between a predicted probability and the share of texts that have the tag.

from sk_quadrant import CalibratedMultiLabelClassifierCV
from sk_quadrant.metrics import expected_calibration_error

model.set_params(quadrantmultilabelclassifier__C=1).fit(texts_train, tags_train)
calibrated = CalibratedMultiLabelClassifierCV(model).fit(texts_train, tags_train)
for title, classifier in {"as trained": model, "calibrated": calibrated}.items():
    error = expected_calibration_error(tags_test, classifier.predict_proba(texts_test))
    print(f"{title:12} calibration error {error:.3f}")

# %%
# The three most probable tags
# ----------------------------
# Often a person reviews the best few tags of a text. ``top_k_labels`` returns their names and probabilities.

from sk_quadrant import top_k_labels

names, probabilities, _ = top_k_labels(calibrated, texts_test[:3], k=3)
for text, best, values in zip(texts_test.index, names, probabilities, strict=False):
    print(f"{text:24}" + "   ".join(f"{tag} {value:.2f}" for tag, value in zip(best, values, strict=True)))

# %%
# Choosing the loss
# -----------------
# The loss is a parameter like any other. It brings its own probabilities and its own threshold, so nothing else
# changes. A search compares losses and values of ``C`` by cross-validation on the training part.

from sklearn.model_selection import GridSearchCV

grid = {
    "quadrantmultilabelclassifier__loss": ["bce_with_logits", "zlpr", "asymmetric", "squared_hinge"],
    "quadrantmultilabelclassifier__C": [1, 10, 100],
}
search = GridSearchCV(model, grid, scoring="f1_micro", cv=5).fit(texts_train, tags_train)
print({name.partition("__")[2]: value for name, value in search.best_params_.items()})
report("the best of the search", search.predict(texts_test))

results = pd.DataFrame(
    {
        "loss": search.cv_results_["param_quadrantmultilabelclassifier__loss"],
        "C": search.cv_results_["param_quadrantmultilabelclassifier__C"],
        "micro-F1": search.cv_results_["mean_test_score"],
    }
)
print(results.pivot(index="loss", columns="C", values="micro-F1").round(2))

# %%
# The picture
# -----------
# It shows what the search saw: the squared hinge loss hardly depends on ``C``, and from ``C=10`` on the losses
# are close to each other. With thresholds tuned as above they are closer still.

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for loss, rows in results.groupby("loss", sort=False):
    ax.plot(rows["C"], rows["micro-F1"], "o-", linewidth=2.2, label=loss)
ax.set(xscale="log", xlabel="C", ylabel="micro-F1, mean of five folds", title="Which loss, and which C")
ax.legend(title="loss")
plt.show()

# %%
# Saving
# ------
# A fitted pipeline is saved with joblib, like any scikit-learn model. Load only files that you trust, because loading
# runs code in the file. :doc:`/user_guide/persistence` describes safer formats.

from pathlib import Path
from tempfile import TemporaryDirectory

import joblib

with TemporaryDirectory() as folder:
    path = Path(folder) / "tags.joblib"
    joblib.dump(tuned, path)
    loaded = joblib.load(path)
print("equal predictions:", (loaded.predict(texts_test) == tuned.predict(texts_test)).all())

# %%
# Where to go next
# ----------------
# - :doc:`/user_guide/losses`: what each loss does to scores, probabilities and decisions.
# - :ref:`sphx_glr_generated_gallery_patents.py`: the same steps on 5584 patents.
# - :ref:`sphx_glr_generated_gallery_plot_tuned_thresholds.py`: thresholds for rare labels.
# - :ref:`sphx_glr_generated_gallery_plot_quadrants.py`: all losses in one picture.
# - :doc:`/faq`: all predictions are zero, labels are imbalanced, probabilities do not sum to 1.
