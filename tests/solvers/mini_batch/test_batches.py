"""Batches have all rows once."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sk_quadrant._rows.training import TrainingRows
from sk_quadrant._solvers.mini_batch import batches as batches_module
from sk_quadrant._solvers.mini_batch.batches import Batches
from sk_quadrant._solvers.mini_batch.data import BatchData
from sk_quadrant._solvers.tensors import SparseRows
from sk_quadrant._targets.encodings import MultiLabel
from sk_quadrant._targets.targets import Targets


@pytest.mark.parametrize("as_sparse", [False, True], ids=["dense", "sparse"])
def test_an_epoch_has_every_row_once(as_sparse, monkeypatch):
    """The batches of an epoch are a permutation of the rows, with their targets, another one in each epoch."""
    monkeypatch.setattr(batches_module, "CHUNK_ELEMENTS", 40)
    X = np.arange(1.0, 24.0)[:, None]
    rows = TrainingRows(sparse.csr_matrix(X) if as_sparse else X, Targets(X / 100), MultiLabel(np.arange(X.shape[1])))
    data = BatchData(rows)
    batches = Batches(data, 4, "cpu", seed=0)
    epochs = []
    for epoch in range(2):
        batches.epoch = epoch
        features, targets = zip(*batches, strict=True)
        assert len(features) == len(batches) == 6
        values = [part.values if isinstance(part, SparseRows) else part[:, 0] for part in features]
        epochs.append(torch.cat(values).numpy())
        np.testing.assert_array_equal(torch.cat(targets)[:, 0].numpy(), epochs[-1] / 100)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), [X[:, 0]] * 2)
    assert (epochs[0] != epochs[1]).any()
