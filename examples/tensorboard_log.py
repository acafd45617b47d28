"""
Training that TensorBoard follows
=================================

skorch's callback is enough: after each epoch it writes losses, score and learning rate to a folder that TensorBoard
reads. Because this callback asks for single batches, training takes skorch's own steps, which are slower on small
batches. The same numbers are in ``history_`` of any fit.
"""

# %%
# A run in a folder
# -----------------
# It needs ``pip install tensorboard`` or ``pip install tensorboardX``. The folder may be the first argument; look at it
# with ``tensorboard --logdir runs``.

import sys
from pathlib import Path

from skorch.callbacks import TensorBoard

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    from tensorboardX import SummaryWriter

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs") / "quadrants"
X, Y = make_quadrants(n_samples=4000, flip_y=0.05, shuffle=True, random_state=0)

# %%
# The recipe and its log
# ----------------------
# What `scoring` names is in the log as ``valid_score``, next to ``train_loss``, ``valid_loss`` and ``learning_rate``.

with SummaryWriter(str(folder)) as writer:
    clf = QuadrantMultiLabelClassifier(
        solver="adamw", batch_size=64, max_iter=30, learning_rate="cosine", warmup_fraction=0.1, early_stopping=True,
        scoring="f1_macro", n_iter_no_change=30, random_state=0, callbacks=[TensorBoard(writer)],
    ).fit(X, Y)  # fmt: skip

best = max(clf.history_, key=lambda row: row["valid_score"])
print(f"best epoch {best['epoch']}: macro-F1 {best['valid_score']:.3f}; log in {folder}")

# %%
# The same numbers without TensorBoard
# ------------------------------------
# :class:`~sk_quadrant.displays.LearningHistoryDisplay` draws what ``history_`` of any fit holds.

import matplotlib.pyplot as plt

from sk_quadrant.displays import LearningHistoryDisplay

LearningHistoryDisplay.from_estimator(clf)
plt.show()
