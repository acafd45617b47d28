"""Clusters, and rows for them."""

import numpy as np
import pytest

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    """Two workers in this process, for what does not need processes of their own."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=False, **options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def processes():
    """Two worker processes."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def problem():
    """Features of mixed scales and centres, a label absent from the first blocks, and weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((303, 4)) * [1, 2, 3, 0.1] + [0, 5, 0, 1]
    Y = (X[:, :3] - X[:, :3].mean(axis=0) + rng.standard_normal((303, 3)) > 1).astype(int)
    Y[:120, 1] = 0
    return X, Y, rng.random(303)
