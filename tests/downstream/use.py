"""A small project that uses the package."""

from collections.abc import Sequence

import numpy as np
import torch

import sk_quadrant
from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    FixedThresholdMultiLabelClassifier,
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
    top_k_labels,
)
from sk_quadrant.losses import LOSSES, ZLPR, BCEWithLogits, Loss
from sk_quadrant.metrics import multilabel_f1_score, multilabel_log_loss, precision_at_k_score
from sk_quadrant.model_selection import MultilabelStratifiedKFold

X, Y = make_quadrants(n_samples=40, random_state=0)
loss: Loss = ZLPR()
scores = torch.zeros(2, 3)
value: torch.Tensor = loss(scores, torch.ones(2, 3))
module: torch.nn.Module = BCEWithLogits(pos_weight=2.0).module()
names: Sequence[str] = list(LOSSES)
clf = QuadrantMultiLabelClassifier(loss=loss, C=2.0).fit(X, Y)
proba = clf.predict_proba(X)
f1 = float(multilabel_f1_score(Y, clf.predict(X)))
precision: float = precision_at_k_score(Y, proba, k=1)
log_loss = float(multilabel_log_loss(Y, np.asarray(proba)))
tuned = TunedThresholdMultiLabelClassifierCV(clf, cv=2, verbose=0).fit(X, Y)
fixed = FixedThresholdMultiLabelClassifier(clf, threshold=0.3).fit(X, Y)
calibrated = CalibratedMultiLabelClassifierCV(clf).fit(X, Y)
chosen = QuadrantMultiLabelClassifierCV(cv=2).fit(X, Y)
best = top_k_labels(clf, X, 1)
folds = MultilabelStratifiedKFold(n_splits=2)
version: str = sk_quadrant.__version__
