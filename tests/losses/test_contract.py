"""Laws that every loss obeys: all of `LOSSES`, variants of their parameters, and losses of a user.

The laws are in the docstring of `Loss`; the headings here are those there.
"""

import copy
import inspect
import pickle
import re
from dataclasses import FrozenInstanceError, dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from torch.autograd import forward_ad

from sk_quadrant import losses
from sk_quadrant.losses import (
    LOSSES,
    ZLPR,
    Asymmetric,
    BCEWithLogits,
    Exponential,
    Focal,
    Hill,
    Hinge,
    LabelwiseLoss,
    Link,
    Loss,
    ModifiedHuber,
    NegativeTolerant,
    Poly1,
    ShiftedSigmoidBCE,
    SigmoidBCE,
    SquaredError,
    SquaredHinge,
)


@dataclass(frozen=True)
class ProbabilityLink(Link):
    """A user's link: scores are probabilities."""

    def _link(self, p):
        return 1 * p

    def _inverse(self, s):
        return s.clip(1e-6, 1 - 1e-6)


@dataclass(frozen=True)
class Brier(LabelwiseLoss):
    """A user's labelwise loss with its own link and thresholds."""

    name = "brier"
    scale: float = 1.0
    link = ProbabilityLink()
    threshold = 0.5

    def per_label(self, scores, targets):
        """Return the squared error of each label."""
        return self.scale * (targets * (1 - scores) ** 2 + (1 - targets) * scores**2)


@dataclass(frozen=True)
class Ranking(Loss):
    """A user's set-wise loss, log(1 + sum_j exp((1 - 2 t_j) s_j)), without a link."""

    name = "ranking"

    def per_sample(self, scores, targets, mask=None, weight=None):
        """Return the loss of each row."""
        if mask is not None:
            scores, targets = scores.masked_fill(~mask, 0), targets.masked_fill(~mask, 0)
        share = torch.ones_like(scores) if weight is None else weight
        share = share if mask is None else share.masked_fill(~mask, 0)
        terms = (1 - 2 * targets) * scores + share.masked_fill(share == 0, 1).log()
        return torch.nn.functional.softplus(terms.masked_fill(share == 0, -1e30).logsumexp(dim=1))


VARIANTS = [
    BCEWithLogits(pos_weight=3.0),
    ShiftedSigmoidBCE(offset=1.0),
    ShiftedSigmoidBCE(offset=1.25),
    ZLPR(temperature=2.0, threshold=0.5),
    ZLPR(bound=4.0),
    Focal(alpha=0.25),
    Focal(gamma=0.5, alpha=0.9),
    Focal(gamma=0.0),
    Asymmetric(clip=0.0),
    Asymmetric(gamma_pos=0.0),
    Asymmetric(gamma_pos=2.0, gamma_neg=0.5, clip=0.2),
    Poly1(epsilon=2.0),
    Poly1(epsilon=-1.0),
    *Hinge().continuation()[:2],
    Hill(margin=0.0, gamma=3.0, lambda_=2.0),
    NegativeTolerant(scale=0.5, shift=0.5),
    Brier(),
    Ranking(),
]
ALL = [loss() for loss in LOSSES.values()] + VARIANTS
PER_LABEL = [  # with one value for each of four labels
    BCEWithLogits(pos_weight=[0.5, 1.0, 2.0, 4.0]),
    Focal(alpha=[0.2, 0.4, 0.5, 0.8]),
    NegativeTolerant(shift=[-1.0, 0.0, 0.5, 1.0]),
]
LABELWISE = [loss for loss in ALL if loss.labelwise]
LINKED = [loss for loss in ALL if loss.link is not None]
LABELWISE_LINKED = [loss for loss in LABELWISE if loss.link is not None]
OWN = [loss for loss in ALL if type(loss).__module__.startswith("sk_quadrant")]

N_SAMPLES, N_LABELS = 6, 4
ETAS = np.r_[0.001, np.linspace(0.01, 0.99, 99), 0.999]
KINKS = (-1.0, 1.0, np.log(0.2 / 0.8))  # of the hinges and of asymmetric(clip=0.2)


def over(instances):
    """Parametrize a test over losses, named by their repr."""
    return pytest.mark.parametrize("loss", instances, ids=repr)


def kinds(loss):
    """Return the kinds of targets that a loss takes."""
    return ["hard", "soft"] if loss.soft_targets else ["hard"]


def over_kinds(instances):
    """Parametrize a test over losses and the kinds of targets that they take."""
    pairs = [pytest.param(loss, kind, id=f"{loss!r}-{kind}") for loss in instances for kind in kinds(loss)]
    return pytest.mark.parametrize(("loss", "kind"), pairs)


def draw(kind="hard", *, dtype=torch.float64, seed=0):
    """Return scores between -2.5 and 2.5, not near a kink, and targets."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-2.5, 2.5, (N_SAMPLES, N_LABELS))
    for kink in KINKS:
        scores = np.where(np.abs(scores - kink) < 0.05, kink + 0.1, scores)
    targets = rng.uniform(0, 1, scores.shape)
    if kind == "hard":
        targets = np.round(targets)
    else:
        targets[0] = [0, 1, 0, 1]  # hard ones among the soft
    return torch.tensor(scores, dtype=dtype), torch.tensor(targets, dtype=dtype)


def draw_mask_and_weight(*, seed=1):
    """Return a mask that hides some entries of some rows, and positive weights of labels."""
    rng = np.random.default_rng(seed)
    mask = torch.tensor(rng.uniform(size=(N_SAMPLES, N_LABELS)) < 0.7)
    mask[0] = True
    weight = torch.tensor(rng.uniform(0.5, 2, (N_SAMPLES, N_LABELS)))
    return mask, weight


def expected_loss(loss, scores, eta):
    """Return eta loss(s, 1) + (1 - eta) loss(s, 0) of scores of shape (n_scores,)."""
    scores = torch.as_tensor(scores, dtype=torch.float64)[:, None]
    present, absent = (loss.per_label(scores, torch.full_like(scores, target)) for target in (1.0, 0.0))
    return (eta * present + (1 - eta) * absent)[:, 0].numpy()


def test_laws_are_those_of_the_docstring():
    """Each heading of laws in the docstring of `Loss` is one of this module, in the same order."""
    stated = re.findall(r"^ *\*\*(\w+)\*\*$", inspect.getdoc(Loss), flags=re.MULTILINE)
    tested = re.findall(r"^# (\w+)$", Path(__file__).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert stated == tested


# Registry


@pytest.mark.parametrize("name", LOSSES)
def test_name_finds_a_public_class_without_arguments(name):
    """A name in LOSSES is that of its loss, a public class that needs no argument."""
    loss = LOSSES[name]
    assert loss().name == name
    assert loss.__name__ in losses.__all__
    assert getattr(losses, loss.__name__) is loss


def test_names_are_unique():
    """All public losses that can be used as they are, and no other classes, are in LOSSES."""
    public = [getattr(losses, name) for name in losses.__all__]
    complete = [cls for cls in public if inspect.isclass(cls) and issubclass(cls, Loss) and not inspect.isabstract(cls)]
    assert set(LOSSES.values()) == set(complete)
    assert len(LOSSES) == len(complete)


@pytest.mark.parametrize("name", LOSSES)
def test_docstring_says_what_a_user_must_know(name):
    """Formula, link, threshold, when to use it, references and examples are all there."""
    parts = [".. math::", "**Link**", "**Threshold**", "\n\nUse it ", "\nReferences\n", "\nExamples\n"]
    assert [part for part in parts if part not in inspect.getdoc(LOSSES[name])] == []


# Value


@over(ALL)
def test_loss_is_a_value(loss):
    """Frozen, hashable, equal by value, with a repr that shows its parameters."""
    other = type(loss)(**{field.name: getattr(loss, field.name) for field in fields(loss)})
    assert loss == other
    assert hash(loss) == hash(other)
    assert repr(loss) == repr(other)
    assert all(f"{field.name}={getattr(loss, field.name)!r}" in repr(loss) for field in fields(loss))
    with pytest.raises(FrozenInstanceError):
        loss.name = "another"


@over(OWN)
def test_parameters_make_losses_differ(loss):
    """Losses with other parameters, or of another class, are not equal."""
    assert sum(loss == other for other in ALL if repr(other) == repr(loss)) >= 1
    assert not any(loss == other for other in ALL if repr(other) != repr(loss))


@over(ALL)
def test_loss_survives_pickle_copy_and_clone(loss):
    """A loss is the same after pickle, after a deep copy, and as the parameter of a cloned estimator."""
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert copy.deepcopy(loss) == loss
    assert clone(DummyClassifier(constant=loss)).get_params()["constant"] == loss


# Shapes


@over(ALL + PER_LABEL)
@pytest.mark.parametrize("shape", [(N_LABELS,), (2, 3, N_LABELS), (3, 1, 2, N_LABELS)], ids=str)
def test_labels_are_the_last_axis(loss, shape):
    """Scores of any shape have the loss of the same scores as a matrix, masks and weights included."""
    n_rows = int(np.prod(shape[:-1]))
    parts = [part[:n_rows] for part in (*draw(), *draw_mask_and_weight())]
    shaped = [part.reshape(shape) for part in parts]

    def losses(scores, targets, mask, weight, reduction):
        plain = loss(scores, targets, reduction=reduction)
        return plain, loss(scores, targets, mask=mask, weight=weight, reduction=reduction)

    for reduction in ("mean", "sum"):
        for actual, expected in zip(losses(*shaped, reduction), losses(*parts, reduction), strict=True):
            assert_allclose(actual, expected, rtol=1e-14)
    for actual, expected in zip(losses(*shaped, "none"), losses(*parts, "none"), strict=True):
        assert actual.shape == shape[:-1]
        assert_allclose(actual.reshape(-1), expected, rtol=1e-14)


@over(ALL)
def test_reductions_are_of_weighted_rows(loss):
    """The sum is that of what "none" returns, and the mean is the sum divided by the sum of the weights."""
    scores, targets = draw()
    weight = torch.arange(1.0, N_SAMPLES + 1, dtype=torch.float64)
    rows = loss(scores, targets, weight=weight, reduction="none")
    assert_allclose(rows, weight * loss.per_sample(scores, targets), rtol=1e-14)
    assert_allclose(loss(scores, targets, weight=weight, reduction="sum"), rows.sum(), rtol=1e-14)
    assert_allclose(loss(scores, targets, weight=weight), rows.sum() / weight.sum(), rtol=1e-14)
    assert_allclose(loss(scores, targets, reduction="sum"), loss(scores, targets) * N_SAMPLES, rtol=1e-13)


@over(ALL)
@pytest.mark.parametrize(
    ("part", "shape"),
    [
        ("targets", (N_SAMPLES, 1)),
        ("targets", (N_LABELS,)),
        ("targets", (N_SAMPLES,)),
        ("mask", (N_SAMPLES,)),
        ("mask", (1, N_LABELS)),
        ("weight", (N_LABELS,)),
        ("weight", (N_SAMPLES, 1)),
    ],
)
def test_other_shapes_are_refused(loss, part, shape):
    """The message has the name, the shape wanted, that of the scores, and the one that came."""
    scores, targets = draw()
    given = {"targets": targets, part: torch.ones(shape, dtype=torch.bool if part == "mask" else torch.float64)}
    wanted = re.escape("(6, 4)" if part != "weight" else "(6, 4) or (6,)")
    message = rf"{part} must have shape {wanted} for scores of shape \(6, 4\), got {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=f"{type(loss).__name__}: {message}"):
        loss(scores, given.pop("targets"), **given)


def test_scores_need_an_axis_of_labels():
    """A single number has none; one score for each row has no targets of another shape."""
    with pytest.raises(ValueError, match=r"scores must have shape \(..., n_labels\), got \(\)"):
        BCEWithLogits()(torch.tensor(0.0), torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"targets must have shape \(5, 1\) .* got \(5,\)"):
        BCEWithLogits()(torch.zeros(5, 1), torch.zeros(5))


def test_unknown_reductions_and_other_masks_are_refused():
    """Neither is taken for something else."""
    scores, targets = draw()
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', got 'average'"):
        BCEWithLogits()(scores, targets, reduction="average")
    with pytest.raises(TypeError, match=r"mask must be boolean, got torch.float64. Use mask.bool\(\)"):
        BCEWithLogits()(scores, targets, mask=torch.ones_like(scores))


# Rows


@over(ALL)
def test_rows_are_losses_of_their_own(loss):
    """A row's loss does not depend on the other rows, and is nonnegative."""
    scores, targets = draw()
    together = loss.per_sample(scores, targets)
    alone = torch.cat([loss.per_sample(scores[i : i + 1], targets[i : i + 1]) for i in range(N_SAMPLES)])
    assert together.shape == (N_SAMPLES,)
    assert_allclose(together, alone, rtol=1e-12)
    assert (together >= 0).all()


@over(ALL)
def test_calling_takes_the_mean_over_rows(loss):
    """Without weights the loss is the plain mean."""
    scores, targets = draw()
    assert_allclose(loss(scores, targets), loss.per_sample(scores, targets).mean(), rtol=1e-14)


@over(ALL)
def test_weight_two_equals_a_repeated_row(loss):
    """Weight 2 on a row gives what repeating the row gives."""
    scores, targets = draw()
    weight = torch.ones(N_SAMPLES, dtype=torch.float64)
    weight[2] = 2
    rows = [0, 1, 2, 2, 3, 4, 5]
    assert_allclose(loss(scores, targets, weight=weight), loss(scores[rows], targets[rows]), rtol=1e-13)


@over(ALL)
@pytest.mark.parametrize("shape", ["rows", "labels"])
def test_weight_zero_equals_a_removed_row(loss, shape):
    """Weight 0 on a row, or on all its labels, gives what removing the row gives."""
    scores, targets = draw()
    weight = torch.ones((N_SAMPLES,) if shape == "rows" else (N_SAMPLES, N_LABELS), dtype=torch.float64)
    weight[3] = 0
    rows = [0, 1, 2, 4, 5]
    assert_allclose(loss(scores, targets, weight=weight), loss(scores[rows], targets[rows]), rtol=1e-13)


@over(ALL)
def test_row_without_known_labels_counts_as_none(loss):
    """Padding, rows without a known label, does not enter the mean; without any known label the loss is 0."""
    scores, targets = draw()
    mask = torch.ones_like(targets, dtype=torch.bool)
    mask[3] = False
    rows = [0, 1, 2, 4, 5]
    targets[3] = torch.nan
    assert_allclose(loss(scores, targets, mask=mask), loss(scores[rows], targets[rows]), rtol=1e-13)
    leaf = scores.clone().requires_grad_()
    nothing = loss(leaf, targets, mask=torch.zeros_like(mask))
    nothing.backward()
    assert nothing == 0
    assert (leaf.grad == 0).all()


# Labels


@over(LABELWISE)
def test_labelwise_loss_is_a_sum_over_labels(loss):
    """The loss of a row is the sum of the losses of its labels."""
    scores, targets = draw(kinds(loss)[-1])
    assert_allclose(loss.per_sample(scores, targets), loss.per_label(scores, targets).sum(dim=1), rtol=1e-14)


@over(LABELWISE)
def test_label_weights_multiply_the_losses_of_labels(loss):
    """Within a row, the loss of a label is multiplied by its weight."""
    scores, targets = draw()
    _, weight = draw_mask_and_weight()
    expected = (weight * loss.per_label(scores, targets)).sum(dim=1)
    assert_allclose(loss.per_sample(scores, targets, None, weight), expected, rtol=1e-14)


@over([loss for loss in LABELWISE if loss.soft_targets])
def test_soft_target_is_a_mixture_of_present_and_absent_labels(loss):
    """A target t stands for t present and 1 - t absent labels: same derivative, values equal up to a constant."""
    scores, targets = draw("soft")

    def mixture(scores):
        present, absent = (
            loss.per_label_and_gradient(scores, torch.full_like(scores, target)) for target in (1.0, 0.0)
        )
        return [targets * one + (1 - targets) * other for one, other in zip(present, absent, strict=True)]

    value, slope = mixture(scores)
    zeros = torch.zeros_like(scores)
    constant = loss.per_label(zeros, targets) - mixture(zeros)[0]
    assert_allclose(loss.per_label(scores, targets) - value, constant, atol=1e-12)
    assert_allclose(loss.per_label_and_gradient(scores, targets)[1], slope, rtol=1e-12, atol=1e-14)


@over(ALL)
def test_equal_label_weights_are_row_weights(loss):
    """Weights of shape (n_samples, n_labels) that are constant in each row are the weights of the rows."""
    scores, targets = draw()
    mask, weight = draw_mask_and_weight()
    row_weight = weight[:, 0]
    as_rows = loss(scores, targets, mask=mask, weight=row_weight)
    as_labels = loss(scores, targets, mask=mask, weight=row_weight[:, None].expand(-1, N_LABELS))
    assert_allclose(as_labels, as_rows, rtol=1e-13)


@over(ALL)
def test_label_of_weight_zero_equals_a_masked_one(loss):
    """Within a row, weight 0 on a label and a mask on it are the same."""
    scores, targets = draw()
    mask, _ = draw_mask_and_weight()
    assert_allclose(
        loss.per_sample(scores, targets, None, mask.double()), loss.per_sample(scores, targets, mask), rtol=1e-13
    )


@over(ALL)
def test_label_of_weight_zero_equals_an_unknown_one(loss):
    """The same when the loss is called, where weights are split into those of rows and of labels in a row."""
    scores, targets = draw()
    mask, weight = draw_mask_and_weight()
    as_weight = loss(scores, targets, weight=weight * mask)
    assert_allclose(as_weight, loss(scores, targets, mask=mask, weight=weight), rtol=1e-13)


@over(ALL)
def test_masked_entries_equal_absent_columns(loss):
    """A row with hidden labels has the loss of the row that never had those labels."""
    scores, targets = draw()
    mask, _ = draw_mask_and_weight()
    for i in range(N_SAMPLES):
        known = mask[i]
        shorter = loss.per_sample(scores[i : i + 1, known], targets[i : i + 1, known])
        assert_allclose(loss.per_sample(scores, targets, mask)[i], shorter[0], rtol=1e-12)


@over(ALL)
@pytest.mark.parametrize("hidden", [float("nan"), 0.0, 1.0], ids=str)
def test_masked_entries_have_no_influence(loss, hidden):
    """Whatever is written in masked entries, the loss and all gradients are the same, 0 there, and never NaN."""
    scores, targets = draw()
    mask, weight = draw_mask_and_weight()
    changed = targets.masked_fill(~mask, hidden)
    leaf = scores.masked_fill(~mask, hidden).requires_grad_()

    value = loss(leaf, changed, mask=mask, weight=weight)
    value.backward()
    values, gradient = loss.values_and_gradient(leaf.detach(), changed, mask, weight)
    curvature = loss.curvature(leaf.detach(), changed, mask, weight)

    assert_allclose(value.detach(), loss(scores, targets, mask=mask, weight=weight), rtol=1e-14)
    assert_allclose(values, loss.values_and_gradient(scores, targets, mask, weight)[0], rtol=1e-14)
    for derivative in (leaf.grad, gradient, curvature):
        assert derivative.isfinite().all()
        assert (derivative[~mask] == 0).all()


@over(ALL)
def test_nan_scores_are_not_hidden(loss):
    """A model that has diverged shows in the loss."""
    scores, targets = draw()
    scores[1, 2] = float("nan")
    assert loss(scores, targets).isnan()


# Derivatives


@over_kinds(ALL)
def test_gradient_matches_finite_differences(loss, kind):
    """Autograd of the loss, with mask and label weights, passes gradcheck in double precision."""
    scores, targets = (part[:2] for part in draw(kind))
    mask, weight = (part[1:3] for part in draw_mask_and_weight())
    assert torch.autograd.gradcheck(lambda s: loss.per_sample(s, targets, mask, weight), scores.requires_grad_())


@over_kinds(ALL)
@pytest.mark.parametrize("partial", [False, True], ids=["all known", "mask and weight"])
def test_values_and_gradient_are_those_of_autograd(loss, kind, partial):
    """The closed forms that solvers use agree with the loss and with autograd."""
    scores, targets = draw(kind)
    mask, weight = draw_mask_and_weight() if partial else (None, None)
    leaf = scores.clone().requires_grad_()
    expected = loss.per_sample(leaf, targets, mask, weight)
    expected.sum().backward()

    values, gradient = loss.values_and_gradient(scores, targets, mask, weight)

    assert values.shape == (N_SAMPLES, N_LABELS if loss.labelwise else 1)
    assert_allclose(values.sum(dim=1), expected.detach(), rtol=1e-13)
    assert_allclose(gradient, leaf.grad, rtol=1e-11, atol=1e-14)
    assert {values.requires_grad, gradient.requires_grad} == {False}


@over_kinds(ALL)
def test_curvature_is_nonnegative_and_finite(loss, kind):
    """Solvers may divide by the mean curvature: it has no sign and no NaN, far out as well."""
    scores, targets = draw(kind)
    if not isinstance(loss, Exponential):
        scores = torch.cat([scores, torch.full_like(scores, 1e7), torch.full_like(scores, -1e7)])
        targets = torch.cat([targets] * 3)
    curvature = loss.curvature(scores, targets)
    assert curvature.shape == scores.shape
    assert curvature.isfinite().all()
    assert (curvature >= 0).all()


@over(OWN)
def test_curvature_is_the_second_derivative_or_the_squared_gradient(loss):
    """The curvature is the difference quotient of the gradient, 0 where negative, or the squared gradient."""
    scores, targets = draw()
    step = 1e-5
    second = torch.zeros_like(scores)
    for j in range(N_LABELS):
        shift = torch.zeros_like(scores)
        shift[:, j] = step
        ahead, behind = (loss.values_and_gradient(scores + sign * shift, targets)[1][:, j] for sign in (1, -1))
        second[:, j] = ((ahead - behind) / (2 * step)).clamp(min=0)
    curvature, gradient = loss.curvature(scores, targets), loss.gradient(scores, targets)
    is_second = np.allclose(curvature, second, rtol=1e-6, atol=1e-8)
    assert is_second or np.allclose(curvature, gradient**2, rtol=1e-12, atol=0)


@over([loss for loss in ALL if loss.quadratic])
def test_quadratic_loss_has_unit_curvature(loss):
    """The second derivative is 1 and the gradient moves as the score does: one linear system solves a linear model."""
    scores, targets = draw("soft")
    assert_array_equal(loss.curvature(scores, targets), torch.ones_like(scores))
    moved = loss.gradient(scores + 0.5, targets) - loss.gradient(scores, targets)
    assert_allclose(moved, 0.5, rtol=1e-14)


@over(ALL)
def test_continuation_is_of_smooth_losses(loss):
    """A loss that is minimised by way of others ends with losses that need no others, of its name and link."""
    smooth = loss.continuation()
    assert len(smooth) >= 1
    assert all(list(step.continuation()) == [step] for step in smooth)
    assert {(step.name, step.link, step.threshold) for step in smooth} == {(loss.name, loss.link, loss.threshold)}


# Transformations

TRANSFORMED = [loss for loss in OWN + PER_LABEL if not isinstance(loss, type(Hinge().continuation()[0]))]


def problem_of(loss, kind):
    """Return scores, one of them 0, targets, a direction, and the loss as a function of the scores, with a mask."""
    scores, targets = draw(kind)
    if not isinstance(loss, Asymmetric) or loss.gamma_neg >= 1:
        scores[0, 0] = 0
    mask, weight = draw_mask_and_weight()
    direction = torch.tensor(np.random.default_rng(4).normal(size=scores.shape))
    return scores, targets, direction, lambda s: loss(s, targets, mask=mask, weight=weight)


def gradient_of(function, scores):
    """Return the derivative by plain autograd."""
    leaf = scores.clone().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf)[0]


@over_kinds(TRANSFORMED)
def test_derivatives_of_torch_func(loss, kind):
    """``grad``, ``jvp`` and forward mode have the derivative of plain autograd."""
    scores, _, direction, function = problem_of(loss, kind)
    expected = gradient_of(function, scores)
    assert_allclose(torch.func.grad(function)(scores), expected, rtol=1e-10, atol=1e-14)
    along = (expected * direction).sum()
    assert_allclose(torch.func.jvp(function, (scores,), (direction,))[1], along, rtol=1e-10, atol=1e-14)
    with forward_ad.dual_level():
        dual = function(forward_ad.make_dual(scores, direction))
        assert_allclose(forward_ad.unpack_dual(dual).tangent, along, rtol=1e-10, atol=1e-14)


@over_kinds(TRANSFORMED)
def test_second_derivatives(loss, kind):
    """Double backward, ``hessian`` and nested forward mode have the difference quotient of the gradient."""
    scores, _, direction, function = problem_of(loss, kind)
    step = 1e-6
    ahead, behind = (gradient_of(function, scores + sign * step * direction) for sign in (1, -1))
    expected = (ahead - behind) / (2 * step)

    leaf = scores.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(leaf), leaf, create_graph=True)
    twice = torch.zeros_like(scores)
    if gradient.requires_grad:  # that of the hinge is constant
        twice = torch.autograd.grad((gradient * direction).sum(), leaf, materialize_grads=True)[0]
    hessian = torch.func.hessian(function)(scores)

    def slope(s):
        return torch.func.jvp(function, (s,), (direction,))[1]

    assert_allclose(twice, expected, rtol=1e-5, atol=1e-7)
    assert_allclose((hessian * direction).sum(dim=(2, 3)), twice, rtol=1e-8, atol=1e-12)
    assert_allclose(slope(scores), (gradient * direction).sum().detach(), rtol=1e-8)
    forward = torch.func.jvp(slope, (scores,), (direction,))[1]
    assert_allclose(forward, (twice * direction).sum(), rtol=1e-8, atol=1e-12)


@over_kinds(TRANSFORMED)
def test_vmap(loss, kind):
    """Losses and gradients of single rows by ``vmap`` are those of a loop, whatever is batched."""
    scores, targets = draw(kind)
    rows = range(N_SAMPLES)
    per_row = torch.func.vmap(torch.func.grad(loss))(scores, targets)
    expected = torch.stack([gradient_of(lambda s, t=targets[i]: loss(s, t), scores[i]) for i in rows])
    assert_allclose(per_row, expected, rtol=1e-10, atol=1e-14)
    by_scores = torch.func.vmap(lambda s: loss(s, targets[0]))(scores)
    by_targets = torch.func.vmap(lambda t: loss(scores[0], t))(targets)
    assert_allclose(by_scores, torch.stack([loss(scores[i], targets[0]) for i in rows]), rtol=1e-12)
    assert_allclose(by_targets, torch.stack([loss(scores[0], targets[i]) for i in rows]), rtol=1e-12)


@over([loss for loss in TRANSFORMED if loss.soft_targets])
def test_targets_and_weights_have_derivatives(loss):
    """Targets and weights that require gradients get those of the difference quotient."""
    scores, targets = draw("soft")
    targets = targets.clamp(0.1, 0.9)
    weight = torch.linspace(0.5, 2, N_SAMPLES, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: loss(scores, t), targets.requires_grad_())
    assert torch.autograd.gradcheck(lambda w: loss(scores, targets.detach(), weight=w), weight.requires_grad_())


@over_kinds(TRANSFORMED)
def test_autocast_computes_in_single_precision(loss, kind):
    """Scores of a module under autocast, in bfloat16, have the loss of the same scores in float32."""
    scores, targets = draw(kind, dtype=torch.float32)
    scores = scores.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(scores, targets)
    assert value.dtype == torch.float32
    assert_array_equal(value, loss(scores.float(), targets))


@pytest.mark.slow
@over(TRANSFORMED)
@pytest.mark.parametrize("partial", [False, True], ids=["all known", "mask and weight"])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_loss(loss, partial, backend):
    """One graph, with the values and gradients of the loss, for batches of any size."""
    torch.compiler.reset()
    kind = kinds(loss)[-1]
    compiled = torch.compile(lambda s, t, **rest: loss(s, t, **rest), fullgraph=True, dynamic=True, backend=backend)
    for n_rows in (2, 5):
        scores, targets = (part[:n_rows] for part in draw(kind))
        mask, weight = (part[:n_rows] for part in draw_mask_and_weight())
        rest = {"mask": mask, "weight": weight} if partial else {}
        actual, expected = scores.clone().requires_grad_(), scores.clone().requires_grad_()
        value = compiled(actual, targets, **rest)
        value.backward()
        plain = loss(expected, targets, **rest)
        plain.backward()
        assert_allclose(value.detach(), plain.detach(), rtol=1e-12)
        assert_allclose(actual.grad, expected.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.slow
@over(TRANSFORMED)
def test_exported_loss(loss):
    """The module is exported with any number of rows."""
    rows = {0: torch.export.Dim("rows", min=2)}
    exported = torch.export.export(loss.module(ignore_index=-100), draw(), dynamic_shapes=(rows, rows)).module()
    scores, targets = (part[:3] for part in draw())
    targets[1, 2] = -100
    assert_allclose(exported(scores, targets), loss.module(ignore_index=-100)(scores, targets), rtol=1e-12)


@over(TRANSFORMED)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_module_gives_what_the_loss_gives(loss, reduction):
    """As a module, with a mask or with targets that are marked as unknown."""
    scores, targets = draw()
    mask, weight = draw_mask_and_weight()
    expected = loss(scores, targets, mask=mask, weight=weight, reduction=reduction)
    assert_array_equal(loss.module(reduction)(scores, targets, mask, weight=weight), expected)
    for mark in (-100, float("nan")):
        module = loss.module(reduction, ignore_index=mark)
        assert_array_equal(module(scores, targets.masked_fill(~mask, mark), weight=weight), expected)


# Precision


@over_kinds(ALL)
def test_float32_agrees_with_float64(loss, kind):
    """Values and gradients agree to single precision and keep the precision of the scores."""
    double, single = draw(kind), draw(kind, dtype=torch.float32)
    for exact, rough in zip(loss.values_and_gradient(*double), loss.values_and_gradient(*single), strict=True):
        assert rough.dtype == torch.float32
        assert exact.dtype == torch.float64
        assert_allclose(rough, exact, rtol=3e-5, atol=1e-6)


@over(ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precisions_are_computed_in_single_precision(loss, dtype):
    """Scores and targets of half precision give what the same numbers give in float32."""
    half = draw(kinds(loss)[-1], dtype=dtype)
    single = [part.float() for part in half]
    results = [(loss(*half), loss(*single)), (loss.per_sample(*half), loss.per_sample(*single))]
    results += zip(loss.values_and_gradient(*half), loss.values_and_gradient(*single), strict=True)
    if loss.labelwise:
        results.append((loss.per_label(*half), loss.per_label(*single)))
    for actual, expected in results:
        assert actual.dtype == torch.float32
        assert_array_equal(actual, expected)


@over(ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_extreme_scores_stay_finite(loss, dtype, target):
    """Scores of 1e4 and 1e7, right or wrong, give finite losses and gradients by both ways."""
    if target not in (0, 1) and not loss.soft_targets:
        pytest.skip("the loss takes hard targets only")
    scores = torch.tensor([[-1e7], [-1e4], [1e4], [1e7]], dtype=dtype)
    targets = torch.full_like(scores, target)
    leaf = scores.clone().requires_grad_()

    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        loss.per_sample(leaf, targets).sum().backward()
    values, gradient = loss.values_and_gradient(scores, targets)

    for part in (values, gradient, leaf.grad):
        if isinstance(loss, Exponential):  # exp(1e4) is no floating point number: infinite where wrong, but not NaN
            assert not part.isnan().any()
            part = part[(scores > 0) == target if target in (0, 1) else scores.isnan()]
        assert part.isfinite().all()


@over([loss for loss in OWN if loss.soft_targets])
def test_certain_labels_among_soft_ones_stay_finite(loss):
    """A far score of the right sign with a hard target has the derivatives that it has without soft targets beside."""
    scores = torch.tensor([[0.5, -1e4, 1e4]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[0.3, 0.0, 1.0]], dtype=torch.float64)
    loss(scores, targets).backward()
    parts = (scores.grad, *loss.values_and_gradient(scores.detach(), targets), loss.curvature(scores, targets).detach())
    assert all(part.isfinite().all() for part in parts)
    assert_allclose(scores.grad[:, 1:], loss.gradient(scores[:, 1:].detach(), targets[:, 1:]), atol=1e-12)


# Convexity


def _second_differences(loss):
    """Return second differences of the loss along many lines, hard targets."""
    rng = np.random.default_rng(3)
    starts = torch.tensor(rng.uniform(-6, 6, (400, N_LABELS)))
    steps = torch.tensor(rng.normal(size=starts.shape))
    targets = torch.tensor(np.round(rng.uniform(size=starts.shape)))
    middle, left, right = (loss.per_sample(starts + k * steps, targets) for k in (0, -1, 1))
    return ((left - 2 * middle + right) / (left + right).clamp(min=1)).numpy()


@over([loss for loss in ALL if loss.convex])
def test_convex_loss_bends_upwards(loss):
    """A loss with `convex` True has no negative second difference."""
    assert _second_differences(loss).min() > -1e-12


@over([loss for loss in ALL if not loss.convex])
def test_loss_that_is_not_convex_bends_downwards_somewhere(loss):
    """A loss with `convex` False has a negative second difference."""
    assert _second_differences(loss).min() < -1e-4


# Link


@over(LABELWISE_LINKED)
@pytest.mark.parametrize("eta", [0.01, 0.1, 0.3, 0.4999, 0.5, 0.6, 0.8, 0.95, 0.99])
def test_expected_loss_is_minimal_at_the_link(loss, eta):
    """No score has a lower expected loss than the link of the probability, or of the nearest it can express."""
    best = np.clip(loss.link.link(min(eta, loss.link.high)), -60, 60)
    scores = np.r_[np.linspace(-30, 30, 2001), best + np.array([-0.1, -0.01, 0.01, 0.1])]
    lowest = expected_loss(loss, [best], eta)[0]
    assert lowest <= expected_loss(loss, scores, eta).min() + 1e-12


@over(LABELWISE_LINKED)
def test_expected_gradient_vanishes_at_the_link(loss):
    """The derivative of the expected loss is zero at the link of many probabilities."""
    etas = torch.tensor(ETAS[loss.link.high > ETAS])[:, None]
    scores = loss.link.link(etas)
    (_, present), (_, absent) = (
        loss.per_label_and_gradient(scores, torch.full_like(scores, target)) for target in (1.0, 0.0)
    )
    assert_allclose(etas * present + (1 - etas) * absent, 0, atol=1e-13)


@over([loss for loss in LINKED if loss.soft_targets and not loss.labelwise])
def test_setwise_loss_is_stationary_at_its_link_for_soft_targets(loss):
    """All partial derivatives vanish where every label has the score of its target, whatever the other labels."""
    _, targets = draw("soft")
    targets = targets[1:]
    _, gradient = loss.values_and_gradient(loss.link.link(targets), targets)
    assert_allclose(gradient, 0, atol=1e-15)


@over(LINKED)
def test_link_and_inverse_undo_each_other(loss):
    """Probability to score to probability, and back, is the identity."""
    etas = ETAS[loss.link.high > ETAS]
    scores = loss.link.link(etas)
    assert_allclose(loss.link.inverse(scores), etas, rtol=1e-12)
    assert_allclose(loss.link.link(loss.link.inverse(scores)), scores, rtol=1e-12, atol=1e-13)


@over(LINKED)
def test_link_is_increasing_and_inverse_is_inside(loss):
    """Greater probabilities have greater scores; scores have probabilities in (0, high), extreme ones in [0, high]."""
    etas = ETAS[loss.link.high > ETAS]
    assert (np.diff(loss.link.link(etas)) > 0).all()
    scores = np.linspace(-8, 8, 501)
    probabilities = loss.link.inverse(scores)
    assert (np.diff(probabilities) >= 0).all()
    assert (probabilities > 0).all()
    assert (probabilities < loss.link.high).all()
    extremes = loss.link.inverse([-np.inf, -1e7, 1e7, np.inf])
    assert ((extremes >= 0) & (extremes <= loss.link.high * (1 + 1e-15))).all()


@over(LINKED)
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-12)])
def test_link_takes_arrays_and_tensors_alike(loss, dtype, rtol):
    """Arrays and tensors give the same numbers in their own precision."""
    scores = np.linspace(-3, 3, 13).astype(dtype)
    etas = np.linspace(0.05, 0.45, 9).astype(dtype)
    for function, x in ((loss.link.inverse, scores), (loss.link.link, etas)):
        array, tensor = function(x), function(torch.from_numpy(x))
        assert array.dtype == dtype
        assert tensor.dtype == getattr(torch, dtype)
        assert_allclose(
            tensor, array, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6 if dtype == "float32" else 0
        )


@over(LINKED)
def test_constant_scores_are_those_of_the_frequencies(loss):
    """A model without features starts at the best constant score of each label, away from where a loss is flat."""
    frequency = np.array([0.001, 0.2, 0.37])
    assert_allclose(loss.link.inverse(loss.constant_scores(frequency)), frequency, rtol=1e-10)
    assert np.isfinite(loss.constant_scores(np.array([1e-12, 1 - 1e-12]))).all()


# Threshold

SIGMOID_OF_ONE = 0.7310585786300049


@pytest.mark.parametrize(
    ("loss", "natural", "bayes", "eta_at_zero"),
    [
        (BCEWithLogits(), 0, 0, 1 / 2),
        (BCEWithLogits(pos_weight=2), 0, np.log(2), 1 / 3),
        (SigmoidBCE(), 0, 0, 1 / 2),
        (ShiftedSigmoidBCE(), 0, None, 1 / 3),
        (ShiftedSigmoidBCE(offset=1), 0, 0, 1 / 2),
        (ZLPR(), 0, 0, 1 / 2),
        (ZLPR(temperature=1, threshold=-0.5), -0.5, -0.5, SIGMOID_OF_ONE),
        (Focal(), 0, 0, 1 / 2),
        (Focal(alpha=0.25), 0, -0.41037, 3 / 4),
        (Asymmetric(), 0, 0.568652078005, 0.14729),
        (Poly1(), 0, 0, 1 / 2),
        (Poly1(epsilon=2), 0, 0, 1 / 2),
        (Hinge(), 0, None, None),
        (SquaredHinge(), 0, 0, 1 / 2),
        (ModifiedHuber(), 0, 0, 1 / 2),
        (Exponential(), 0, 0, 1 / 2),
        (SquaredError(), 0, 0, 1 / 2),
        (Hill(), 0, 2.70124, 0.19618),
        (NegativeTolerant(), 0, 0, 1 / 2),
        (NegativeTolerant(shift=0.5), 0, 0.5, 0.30171),
        (Brier(), 0.5, 0.5, 1e-6),
    ],
    ids=repr,
)
def test_thresholds_are_as_published(loss, natural, bayes, eta_at_zero):
    """Natural threshold, Bayes threshold and the probability of a score of zero have the tabulated digits."""
    assert loss.threshold == natural
    if bayes is None:
        assert loss.bayes_threshold is None
    else:
        assert loss.bayes_threshold == pytest.approx(bayes, abs=5e-13 if isinstance(loss, Asymmetric) else 5e-6)
    if eta_at_zero is None:
        assert loss.link is None
    else:
        assert float(loss.link.inverse(0.0)) == pytest.approx(eta_at_zero, abs=5e-6)


@over([loss for loss in LINKED if loss.bayes_threshold is not None])
def test_bayes_threshold_has_probability_one_half(loss):
    """The Bayes threshold is the score of probability 1/2."""
    assert float(loss.link.inverse(loss.bayes_threshold)) == pytest.approx(0.5, abs=1e-15)


@over(LINKED)
def test_decisions_by_score_and_by_probability_agree(loss):
    """Scores above a threshold and probabilities above its probability are the same labels."""
    scores = np.linspace(-4, 4, 1001) + 1e-4
    probabilities = loss.link.inverse(scores)
    assert_array_equal(scores > loss.threshold, probabilities > loss.link.inverse(loss.threshold))
    cuts = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    assert_array_equal(scores[:, None] > loss.link.cut(cuts), probabilities[:, None] > cuts)


# Parameters


@over([loss for loss in ALL if fields(loss)] + PER_LABEL)
def test_parameters_are_those_of_an_estimator(loss):
    """`get_params` and `set_params` reach each of them; a failed call changes none."""
    other = copy.copy(loss)
    assert other.get_params() == {field.name: getattr(loss, field.name) for field in fields(loss)}
    assert other.set_params(**loss.get_params()) is other
    assert other == loss
    name = fields(loss)[0].name
    if type(loss).__module__.startswith("sk_quadrant.") and not type(loss).__name__.startswith("_"):
        with pytest.raises(TypeError, match=name):
            other.set_params(**{name: object()})
    with pytest.raises(ValueError, match="has no parameter 'colour'"):
        other.set_params(colour=1, **{name: getattr(loss, name)})
    assert other == loss
    assert clone(loss) == loss
    assert clone(loss) is not loss


@over_kinds(PER_LABEL)
def test_each_label_has_the_loss_link_and_thresholds_of_its_value(loss, kind):
    """Values for each label are the values for all labels, label by label."""
    scores, targets = draw(kind)
    etas = np.full(N_LABELS, 0.3)
    single = [loss.take([j]) for j in range(N_LABELS)]
    ((name, values),) = loss.per_label_parameters().items()
    for j, one in enumerate(single):
        scalar = type(loss)(**{**loss.get_params(), name: values[j]})
        column = scores[:, j : j + 1], targets[:, j : j + 1]
        for member in (one, scalar):
            for whole, part in zip(
                (*loss.per_label_and_gradient(scores, targets), loss.curvature(scores, targets)),
                (*member.per_label_and_gradient(*column), member.curvature(*column)),
                strict=True,
            ):
                assert_allclose(whole[:, j : j + 1], part, rtol=1e-13)
            assert_allclose(loss.link.inverse(scores)[:, j : j + 1], member.link.inverse(column[0]), rtol=1e-13)
            assert_allclose(loss.link.link(etas)[j], member.link.link(etas[j : j + 1])[0], rtol=1e-13)
            assert_allclose(loss.bayes_threshold[j], member.bayes_threshold, rtol=1e-13, atol=1e-15)
            assert_allclose(loss.constant_scores(etas)[j], member.constant_scores(etas[j : j + 1])[0], rtol=1e-13)


@over(PER_LABEL)
@pytest.mark.parametrize("kind", [list, np.array, torch.DoubleTensor], ids=["list", "array", "tensor"])
def test_values_for_each_label_come_in_any_sequence(loss, kind):
    """Lists, arrays and tensors give equal losses; another number of labels is refused."""
    ((name, values),) = loss.per_label_parameters().items()
    other = type(loss)(**{**loss.get_params(), name: kind(values)})
    assert hash(other) == hash(loss)
    assert getattr(other, name) == pytest.approx(values)
    with pytest.raises(ValueError, match=f"{name} must be one number, or have one for each of the 3 labels, got 4"):
        loss(torch.zeros(2, 3), torch.zeros(2, 3))


@over(PER_LABEL)
def test_decide_and_proba_follow_labels(loss):
    """Arrays and tensors give the same probabilities and decisions, by the threshold of each label."""
    scores, _ = draw()
    for threshold in ("natural", "bayes", 0.3, [0.1, 0.2, 0.3, 0.4]):
        by_tensor, by_array = loss.decide(scores, threshold), loss.decide(scores.numpy(), threshold)
        assert by_tensor.dtype == torch.bool
        assert_array_equal(by_tensor, by_array)
        if not isinstance(threshold, str):
            assert_array_equal(by_array, loss.proba(scores.numpy()) > threshold)
    assert_array_equal(loss.decide(scores, "bayes"), loss.proba(scores) > 0.5)


@over(ALL)
def test_decide_is_a_comparison_with_the_threshold(loss):
    """Natural by default; without a link there are neither probabilities nor thresholds of them."""
    scores, _ = draw()
    assert_array_equal(loss.decide(scores), scores > loss.threshold)
    if loss.link is None:
        with pytest.raises(ValueError, match="proba is not available"):
            loss.proba(scores)
        with pytest.raises(ValueError, match="threshold must be 'natural'"):
            loss.decide(scores, 0.5)
    else:
        assert_array_equal(loss.proba(scores), loss.link.inverse(scores))
        with pytest.raises(ValueError, match=r"threshold must be probabilities in \[0, 1\], got 1.5"):
            loss.decide(scores, 1.5)
    with pytest.raises(ValueError, match="threshold must be 'natural', 'bayes' or probabilities, got 'best'"):
        loss.decide(scores, "best")


def test_new_formula_replaces_an_inherited_closed_form():
    """A loss that inherits derivatives in closed form, but has another formula, has those of its formula."""

    @dataclass(frozen=True)
    class Doubled(BCEWithLogits):
        def per_label(self, scores, targets):
            return 2 * super().per_label(scores, targets)

    scores, targets = draw()
    assert_allclose(Doubled().gradient(scores, targets), 2 * BCEWithLogits().gradient(scores, targets), rtol=1e-13)
    assert_allclose(Doubled().per_sample(scores, targets), 2 * BCEWithLogits().per_sample(scores, targets), rtol=1e-13)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        pytest.param(loss, field.name, id=f"{name}-{field.name}")
        for name, loss in LOSSES.items()
        for field in fields(loss)
    ],
)
@pytest.mark.parametrize(("value", "error"), [(object(), TypeError), (float("nan"), ValueError)], ids=["object", "nan"])
def test_no_parameter_takes_anything(loss, name, value, error):
    """Neither an object without a meaning nor NaN is a value of any parameter."""
    with pytest.raises(error, match=f"{loss.__name__}: {name} must be .* got "):
        loss(**{name: value})


def test_intervals_of_an_own_loss_are_checked():
    """A user declares them as the package does, and which parameter may have one value for each label."""

    @dataclass(frozen=True)
    class Scaled(Brier):
        intervals: ClassVar = {"scale": "(0, 2]"}
        one_for_each_label = "scale"

    assert Scaled(2).scale == 2
    assert Scaled([1, 2]).scale == (1.0, 2.0)
    for value in (0, [1, 3]):
        with pytest.raises(ValueError, match=r"Scaled: scale must be a real number in \(0, 2\], or .* got "):
            Scaled(value)


@pytest.mark.parametrize(
    ("loss", "parameters", "error", "message"),
    [
        (BCEWithLogits, {"pos_weight": 0}, ValueError, r"pos_weight must be a .* in \(0, inf\), or a .* label, got 0"),
        (BCEWithLogits, {"pos_weight": float("nan")}, ValueError, "pos_weight must be .* got nan"),
        (BCEWithLogits, {"pos_weight": "balanced"}, TypeError, "pos_weight must be .* got 'balanced'"),
        (ShiftedSigmoidBCE, {"offset": 0.5}, ValueError, r"offset must be a real number in \[1, inf\), got 0.5"),
        (ZLPR, {"temperature": -1}, ValueError, r"temperature must be a real number in \(0, inf\), got -1"),
        (ZLPR, {"threshold": float("inf")}, ValueError, "threshold must be .* got inf"),
        (ZLPR, {"bound": None}, TypeError, "bound must be .* got None"),
        (Focal, {"gamma": -0.1}, ValueError, r"gamma must be a real number in \[0, inf\), got -0.1"),
        (Focal, {"alpha": 1}, ValueError, r"alpha must be a real number in \(0, 1\), or a .* label, got 1"),
        (Focal, {"alpha": True}, TypeError, "alpha must be .* got True"),
        (Asymmetric, {"gamma_pos": -1}, ValueError, r"gamma_pos must be a real number in \[0, inf\), got -1"),
        (Asymmetric, {"gamma_neg": float("nan")}, ValueError, "gamma_neg must be .* got nan"),
        (Asymmetric, {"clip": 1.0}, ValueError, r"clip must be a real number in \[0, 1\), got 1"),
        (Poly1, {"epsilon": -1.5}, ValueError, r"epsilon must be a real number in \[-1, inf\), got -1.5"),
    ],
)
def test_invalid_parameters_are_refused(loss, parameters, error, message):
    """The message names the class, the parameter, what is allowed and what came."""
    with pytest.raises(error, match=f"{loss.__name__}: {message}"):
        loss(**parameters)


@pytest.mark.parametrize("name", LOSSES)
def test_rows_without_labels_have_the_loss_zero(name):
    """As a batch without labels has, whose gradient is empty."""
    scores = torch.zeros(3, 0, requires_grad=True)

    value = LOSSES[name]()(scores, torch.zeros(3, 0))
    value.backward()

    assert value.item() == 0
    assert scores.grad.shape == (3, 0)
