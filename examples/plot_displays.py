"""
Which picture answers which question
====================================

Nine displays for any multi-label classifier, one line of code each: decision regions, losses, precision and recall
against the threshold, ranking curves, calibration, confusion of labels, the course of training, and the results of a
search. They draw at most 16 labels, the most important ones, and say how many they leave out.
"""

# %%
# A classifier of six labels
# --------------------------
# Eight stations measure pressure and humidity once more, with noise. Displays take the names of labels from the columns
# of ``Y``. The linear classifier is compared with naive Bayes, which treats all stations as independent.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB

from sk_quadrant import QuadrantMultiLabelClassifier, QuadrantMultiLabelClassifierCV
from sk_quadrant.displays import (
    DecisionRegionDisplay,
    LabelCalibrationDisplay,
    LabelConfusionDisplay,
    LabelPrecisionRecallDisplay,
    LabelRocCurveDisplay,
    LearningHistoryDisplay,
    LossDisplay,
    SearchDisplay,
    ThresholdDisplay,
)

LABELS = ["rain", "wind", "fog", "hail", "storm", "flood"]

rng = np.random.default_rng(0)
weather = rng.normal(size=(4000, 2))
stations = np.tile(weather, 4) + rng.normal(scale=0.5, size=(4000, 8))
X = pd.DataFrame(np.hstack([weather, stations]), columns=["pressure", "humidity", *(f"station {j}" for j in range(8))])
scores = weather @ rng.normal(scale=1.5, size=(2, 6)) - np.array([0.0, 0.5, 1.0, 1.5, 2.5, 3.5])
Y = pd.DataFrame((scores > rng.logistic(size=scores.shape)).astype(int), columns=LABELS)
X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)

classifier = QuadrantMultiLabelClassifier().fit(X_train, Y_train)
bayes = OneVsRestClassifier(GaussianNB()).fit(X_train, Y_train)

# %%
# What does the loss do?
# ----------------------
# Loss, gradient and link against the score, with the threshold of the loss and the score of probability one half.

LossDisplay.from_loss(["bce_with_logits", "shifted_sigmoid_bce", "asymmetric", "zlpr"])

# %%
# Where does the classifier predict a label?
# ------------------------------------------
# Two features at a time; the others are held at their medians. Dots are samples with and without the label.

# sphinx_gallery_thumbnail_number = 2
DecisionRegionDisplay.from_estimator(classifier, X_test, Y_test, features=("pressure", "humidity"))

# %%
# Where should the threshold be?
# ------------------------------
# Precision, recall and F1 against the threshold. The line is the threshold of the classifier.

ThresholdDisplay.from_estimator(classifier, X_test, Y_test)

# %%
# How well are samples ranked for each label?
# -------------------------------------------
# Precision-recall curves of two classifiers; the dotted line is the precision of random scores. Where labels are rare,
# these curves show more than ROC curves.

LabelPrecisionRecallDisplay.from_estimator({"linear": classifier, "naive Bayes": bayes}, X_test, Y_test)

# %%
# The same with false positive rates
# ----------------------------------
# ROC curves do not depend on how frequent a label is.

LabelRocCurveDisplay.from_estimator({"linear": classifier, "naive Bayes": bayes}, X_test, Y_test)

# %%
# Are probabilities calibrated?
# -----------------------------
# Predicted probabilities against observed frequencies, and below the number of predictions. Naive Bayes is
# over-confident.

LabelCalibrationDisplay.from_estimator({"linear": classifier, "naive Bayes": bayes}, X_test, Y_test)

# %%
# Which labels are confused?
# --------------------------
# Rows are true labels, columns predicted ones; right decisions are grey. The table has precision, recall and F1.

LabelConfusionDisplay.from_estimator(classifier, X_test, Y_test)

# %%
# Has training converged?
# -----------------------
# Losses per epoch of a network that stops early; a dot marks the best epoch on the rows held out.

network = QuadrantMultiLabelClassifier(
    solver="adamw", hidden_layer_sizes=(32,), early_stopping=True, learning_rate_init=3e-3, random_state=0
).fit(X_train, Y_train)
LearningHistoryDisplay.from_estimator(network)

# %%
# What has a search tried?
# ------------------------
# Scores of all candidates over splits, here for three losses, values of C and ways to choose thresholds. The star is
# the best candidate. It draws the searches of scikit-learn, too.

losses = ["bce_with_logits", "zlpr", "squared_hinge"]
linear = QuadrantMultiLabelClassifier()  # without a network
search = QuadrantMultiLabelClassifierCV(losses, estimator=linear).fit(X_train, Y_train)
SearchDisplay.from_estimator(search)
plt.show()
