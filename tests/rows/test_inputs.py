"""Rows for a module keep the form of the first call."""

import numpy as np
import pytest
import torch

from sk_quadrant import QuadrantMultiLabelClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # one epoch, on purpose

IDS = np.arange(12).reshape(3, 4) % 5
COUNTS = np.ones((3, 12), dtype=np.float32)
Y = np.eye(2, dtype=int)[[0, 1, 0]]


class Constant(torch.nn.Module):
    """Constant scores of rows of any kind."""

    def __init__(self, n_features, n_labels):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(n_labels))

    def forward(self, X=None, *, input_ids=None, attention_mask=None):
        """Return scores."""
        return self.bias.expand(len(input_ids if X is None else X), -1)


FITTED = {
    "token ids": IDS,
    "list of texts": ["a", "b", "c"],
    "images": COUNTS.reshape(3, 1, 3, 4),
    "dict": {"input_ids": IDS, "attention_mask": np.ones_like(IDS)},
}


@pytest.mark.parametrize(
    ("fitted", "other", "message"),
    [
        ("token ids", COUNTS, "X has 12 features, but .* is expecting 4"),
        ("token ids", IDS + 0.5, "must hold integers as in the first call"),
        (
            "token ids",
            FITTED["list of texts"],
            "must be a numeric array as in the first call, got a sequence of strings",
        ),
        ("list of texts", IDS, "must be a sequence of strings as in the first call, got a numeric array"),
        ("images", COUNTS.reshape(3, 1, 12), "must have 4 axes as in the first call"),
        ("dict", {"input_ids": IDS}, r"must have the keys of the first call, \['attention_mask', 'input_ids'\]"),
    ],
)
def test_predict_takes_the_rows_of_fit_only(fitted, other, message):
    """Another kind of rows is refused before the module sees it."""
    clf = QuadrantMultiLabelClassifier(module=Constant, solver="adamw", max_iter=1).fit(FITTED[fitted], Y)
    with pytest.raises(ValueError, match=message):
        clf.predict(other)
