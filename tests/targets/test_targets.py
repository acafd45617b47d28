"""Targets against NumPy on a dense array."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_quadrant._targets.targets import Targets

_rng = np.random.default_rng(0)
HARD = _rng.integers(0, 2, size=(20, 4)).astype(np.uint8)
SOFT = _rng.random((20, 4)).astype(np.float32)
SOFT[:3] = 0.5
KNOWN = _rng.random((20, 4)) < 0.7
KNOWN[:, 3] = False

FORMS = {
    "hard": Targets(HARD),
    "soft": Targets(SOFT),
    "sparse": Targets(sparse.csc_array(HARD)),
    "hard, masked": Targets(HARD * KNOWN, KNOWN),
    "soft, masked": Targets(SOFT * KNOWN, KNOWN),
}
ROWS = {
    "all": None,
    "slice": slice(3, 9),
    "empty slice": slice(0, 0),
    "indices": np.array([7, 2, 2]),
    "mask": np.arange(20) % 3 == 0,
}
WEIGHTS = {
    "no weights": None,
    "weights of rows": _rng.random(20),
    "weights of entries": _rng.random((20, 4)),
}

every_form = pytest.mark.parametrize("targets", FORMS.values(), ids=FORMS)
every_choice_of_rows = pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)


def as_table(targets):
    """Return values with NaN where unknown, by the definition."""
    values = targets.values.toarray() if sparse.issparse(targets.values) else targets.values
    return values.astype(float) if targets.mask is None else np.where(targets.mask, values, np.nan)


@every_form
@every_choice_of_rows
def test_rows_are_those_of_an_array(targets, rows):
    """Values, presence and knowledge of some rows; what is unknown is 0 and not present."""
    table = as_table(targets)[slice(None) if rows is None else rows]
    assert_array_equal(targets.dense(rows), np.nan_to_num(table))
    assert_array_equal(targets.present(rows), table >= 0.5)
    assert_array_equal(targets.known(rows), ~np.isnan(table))
    assert isinstance(targets.dense(rows), np.ndarray)


@every_form
def test_sizes(targets):
    """Rows, labels, and whether targets are probabilities."""
    assert (targets.n_samples, targets.n_labels) == (20, 4)
    assert targets.is_soft == (as_table(targets) % 1 > 0).any()


@every_form
def test_frequency_is_the_mean_of_the_known_targets(targets):
    """0 for a label without known targets."""
    table = as_table(targets)
    n_known = (~np.isnan(table)).sum(axis=0)
    assert_array_equal(targets.n_known(), n_known)
    assert_allclose(targets.frequency(), np.nansum(table, axis=0) / np.maximum(n_known, 1))


@every_form
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
def test_known_weight_is_the_sum_over_known_entries(targets, weight):
    """A row weight counts once for each of its known targets."""
    known = ~np.isnan(as_table(targets))
    weights = np.ones(known.shape) if weight is None else np.broadcast_to(weight.reshape(20, -1), known.shape)
    expected = known.sum(), weights[known].sum()
    assert_allclose(Targets(targets.values, targets.mask, weight).known_weight(), expected)
