"""Losses and links for any of their parameters, scores and targets."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from sk_quadrant.losses import LOSSES, Exponential

powers = st.just(0.0) | st.floats(0.01, 6)
shares = st.floats(0.01, 0.99)
PARAMETERS = {  # by name; losses without an entry have the parameters of their defaults
    "bce_with_logits": [{"pos_weight": st.floats(0.01, 100)}],
    "shifted_sigmoid_bce": [{"offset": st.floats(1, 10)}],
    "zlpr": [{"temperature": st.floats(0.1, 10), "threshold": st.floats(-5, 5), "bound": st.floats(-5, 20)}],
    "focal": [{"gamma": powers, "alpha": st.none() | shares}],
    "asymmetric": [
        {"gamma_pos": powers, "gamma_neg": st.floats(1, 6), "clip": st.floats(1e-3, 0.9)},
        {"gamma_pos": powers, "gamma_neg": powers, "clip": st.just(0.0)},
    ],
    "poly1": [{"epsilon": st.floats(-1, 10)}],
    "hill": [{"margin": st.floats(0, 1.5), "gamma": st.floats(2, 6), "lambda_": st.floats(1.5, 4)}],
    "negative_tolerant": [{"scale": st.floats(0.1, 10), "shift": st.floats(-5, 5)}],
}
losses = st.one_of(
    st.builds(loss, **parameters) for name, loss in LOSSES.items() for parameters in PARAMETERS.get(name, [{}])
)
linked = losses.filter(lambda loss: loss.link is not None)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 3))
targets_in = {
    "hard": st.sampled_from([0.0, 1.0]),
    "soft": st.floats(0, 1, width=32),
}


@st.composite
def batches(draw, loss, elements, dtype=np.float64):
    """Draw scores, targets that the loss takes, and maybe a mask and weights of labels, as tensors."""
    shape, kinds = draw(shapes), ["hard", "soft"] if loss.soft_targets else ["hard"]
    parts = [
        draw(arrays(dtype, shape, elements=elements)),
        draw(arrays(dtype, shape, elements=targets_in[draw(st.sampled_from(kinds))].map(dtype))),
        draw(st.none() | arrays(bool, shape)),
        draw(st.none() | arrays(dtype, shape, elements=st.sampled_from([0.0, 0.5, 1.0, 3.0]).map(dtype))),
    ]
    return [None if part is None else torch.from_numpy(part) for part in parts]


any_score = st.floats(allow_nan=False, allow_infinity=False, width=64)
single_score = st.floats(allow_nan=False, allow_infinity=False, width=32)
moderate_score = st.floats(-6, 6)


def is_smooth_around(loss, scores, *rest):
    """Return whether the gradient changes little, relative to its size, within 1e-3 of all scores: no kink is near."""
    scores, *rest = (part if part is None or part.dtype == torch.bool else part.double() for part in (scores, *rest))
    below, at, above = (loss.gradient(scores + step, *rest) for step in (-1e-3, 0, 1e-3))
    change = torch.maximum((above - at).abs(), (at - below).abs())
    return bool((change <= 0.1 * (1 + at.abs())).all())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data(), loss=losses)
def test_no_score_is_too_large(dtype, data, loss):
    """Losses, gradients and curvatures of finite scores and targets are never NaN, and finite except for exp."""
    batch = data.draw(batches(loss, any_score if dtype == np.float64 else single_score, dtype))
    values, gradient = loss.values_and_gradient(*batch)
    curvature = loss.curvature(*batch)
    parts = [loss.per_sample(*batch), values, gradient, loss.gradient(*batch), curvature]
    for part in parts:
        assert part.shape[0] == batch[0].shape[0]
        assert not part.isnan().any()
    assert gradient.shape == curvature.shape == batch[0].shape
    assert (curvature >= 0).all()
    if batch[0].abs().max() < 1e9 and not isinstance(loss, Exponential):
        assert all(part.isfinite().all() for part in parts)


@given(data=st.data(), loss=losses)
def test_gradients_are_those_of_differences(data, loss):
    """Both ways to a gradient agree with central differences of the loss of the rows."""
    scores, *rest = data.draw(batches(loss, moderate_score))
    step = 1e-5
    assume(is_smooth_around(loss, scores, *rest))
    assume(all(part is None or part.dtype == torch.bool or ((part < 1e-3) <= (part == 0)).all() for part in rest))
    expected = torch.zeros_like(scores)
    for label in range(scores.shape[1]):
        shift = torch.zeros_like(scores)
        shift[:, label] = step
        ahead, behind = (loss.per_sample(scores + sign * shift, *rest) for sign in (1, -1))
        expected[:, label] = (ahead - behind) / (2 * step)
    scale = 1 + float(loss.per_sample(scores, *rest).abs().max())
    assert_allclose(loss.gradient(scores, *rest), expected, rtol=1e-4, atol=1e-5 * scale)
    values, gradient = loss.values_and_gradient(scores, *rest)
    assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * scale)
    assert_allclose(values.sum(dim=1), loss.per_sample(scores, *rest), rtol=1e-9, atol=1e-12 * scale)


@given(data=st.data(), loss=losses)
def test_unknown_labels_and_labels_of_weight_zero_have_no_influence(data, loss):
    """Neither scores nor targets behind a mask or a weight of zero change anything, not even NaN behind a mask."""
    scores, targets, mask, weight = data.draw(batches(loss, moderate_score))
    silent = torch.zeros_like(scores, dtype=torch.bool)
    silent |= False if mask is None else ~mask
    other = (scores.masked_fill(silent, torch.nan), targets.masked_fill(silent, torch.nan))
    silent |= False if weight is None else weight == 0
    shifted = scores + 3.0 * (silent & other[0].isfinite())
    for changed in (other, (shifted, targets)):
        for method in (loss.per_sample, loss.gradient):
            found, expected = method(*changed, mask, weight), method(scores, targets, mask, weight)
            assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert not loss.gradient(scores, targets, mask, weight)[silent].any()


@given(data=st.data(), loss=losses)
def test_single_and_double_precision_agree(data, loss):
    """Moderate scores have the same loss and gradient in both, to rounding."""
    batch = data.draw(batches(loss, st.floats(-6, 6, width=32), np.float32))
    assume(is_smooth_around(loss, *batch))
    double = [part if part is None or part.dtype == torch.bool else part.double() for part in batch]
    for method in (loss.per_sample, loss.gradient):
        found, expected = method(*batch), method(*double)
        assert found.dtype == torch.float32
        assert_allclose(found, expected, rtol=2e-4, atol=2e-5 * (1 + float(expected.abs().max())))


# %% Links


@given(loss=linked, scores=arrays(np.float64, 6, elements=any_score))
def test_scores_in_order_have_probabilities_in_order(loss, scores):
    """Probabilities never fall as scores rise, and stay between 0 and the highest of the link."""
    scores.sort()
    probabilities = loss.link.inverse(scores)
    assert (np.diff(probabilities) >= -1e-15).all()
    assert ((probabilities >= 0) & (probabilities <= loss.link.high * (1 + 1e-12))).all()
    assert_allclose(loss.link.inverse(torch.from_numpy(scores)), probabilities, rtol=1e-9, atol=1e-300)


@given(loss=linked, shares=arrays(np.float64, 5, elements=st.floats(0, 1)))
def test_probabilities_have_scores_with_that_probability(loss, shares):
    """The inverse of the link is its inverse, at both ends too."""
    probabilities = shares * loss.link.high
    scores = loss.link.link(probabilities)
    assert not np.isnan(scores).any()
    assert_allclose(loss.link.inverse(scores), probabilities, rtol=1e-7, atol=1e-14)


@given(loss=linked, share=st.floats(0, 1), scores=arrays(np.float64, 6, elements=moderate_score))
def test_thresholds_of_scores_are_thresholds_of_probabilities(loss, share, scores):
    """A score is above the threshold of a probability if its own probability is above, except for rounding."""
    probabilities = loss.link.inverse(scores)
    clear = np.abs(probabilities - share) > 1e-12
    assert_array_equal((scores > loss.link.cut(share))[clear], (probabilities > share)[clear])


@given(loss=linked.filter(lambda loss: loss.labelwise), share=st.floats(0.001, 0.999), score=moderate_score)
def test_no_score_is_better_than_the_link_of_the_probability(loss, share, score):
    """The expected loss of labels drawn with a probability is least at its score."""
    share *= loss.link.high
    scores = torch.tensor([[float(loss.link.link(share))], [score]], dtype=torch.float64)
    present, absent = (loss.per_label(scores, torch.full_like(scores, target)) for target in (1.0, 0.0))
    best, other = (share * present + (1 - share) * absent)[:, 0]
    assert best <= other + 1e-9 * (1 + abs(other))
