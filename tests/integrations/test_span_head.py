"""Scores of spans, as of GlobalPointer: one row for each text and type, one label for each pair of start and end."""

import pytest
import torch
from torch import nn

from sk_quadrant.losses import ZLPR

BATCH, LENGTH, WIDTH, TYPES, HEAD_WIDTH = 4, 8, 12, 3, 5


class SpanHead(nn.Module):
    """Scores of shape (batch, types, start, end), as products of a query of the start and a key of the end."""

    def __init__(self, width, n_types, head_width):
        super().__init__()
        self.n_types, self.project = n_types, nn.Linear(width, 2 * n_types * head_width)

    def forward(self, hidden):
        """Return the scores of hidden states of shape (batch, length, width)."""
        queries, keys = self.project(hidden).unflatten(-1, (2, self.n_types, -1)).unbind(-3)
        return torch.einsum("bmhd,bnhd->bhmn", queries, keys)


def spans(attention_mask):
    """Return where a span may be: from a known token to a later known token or to itself."""
    return (attention_mask[:, None, :, None] * attention_mask[:, None, None, :]).bool().triu()


def span_loss(loss, scores, targets, attention_mask):
    """Return the mean loss of texts and types; the pairs of start and end are the labels."""
    mask = spans(attention_mask).expand_as(scores)
    return loss(scores.flatten(2), targets.flatten(2), mask=mask.flatten(2))


def span_loss_of_indices(loss, scores, indices, attention_mask):
    """Return the same for indices, start * length + end, of the present spans: (batch, types, k), padded by -100."""
    scores = scores.masked_fill(~spans(attention_mask), -torch.inf)
    return loss.from_indices(scores.flatten(2), indices)


def rows_of_spans(scores, attention_mask):
    """Return the scores of all pairs that may be a span, of shape (n_pairs, n_types)."""
    return scores.permute(0, 2, 3, 1)[spans(attention_mask).squeeze(1)]


def usual_loss(scores, targets, attention_mask):
    """Return the mean loss by the code that is usual, of scores of -1e12 for spans that may not be (kexue.fm/8373)."""
    scores = scores - (1 - spans(attention_mask).to(scores.dtype)) * 1e12
    scores, targets = (part.reshape(BATCH * TYPES, -1) for part in (scores, targets))
    scores = (1 - 2 * targets) * scores
    absent = torch.cat([scores - targets * 1e12, torch.zeros_like(scores[..., :1])], dim=-1)
    present = torch.cat([scores - (1 - targets) * 1e12, torch.zeros_like(scores[..., :1])], dim=-1)
    return (torch.logsumexp(absent, dim=-1) + torch.logsumexp(present, dim=-1)).mean()


def indices_of(targets):
    """Return the indices of present spans, (batch, types, k), padded by -100."""
    flat = targets.flatten(2)
    order = flat.argsort(dim=-1, descending=True, stable=True)
    return order.where(flat.gather(-1, order) > 0, -100)[..., : int(flat.sum(dim=-1).max())]


@pytest.fixture
def texts():
    """Hidden states, targets and attention mask of texts of different lengths, double precision."""
    torch.manual_seed(0)
    attention_mask = (torch.arange(LENGTH) < torch.tensor([LENGTH, 5, 3, 6])[:, None]).long()
    hidden = torch.randn(BATCH, LENGTH, WIDTH, dtype=torch.float64)
    targets = (torch.rand(BATCH, TYPES, LENGTH, LENGTH) < 0.2) & spans(attention_mask)
    return hidden, targets.double(), attention_mask


def test_loss_and_gradient_are_those_of_the_usual_code(texts):
    """With a mask, with scores of -1e12 and from indices: three ways to the same loss and gradient of the head."""
    hidden, targets, attention_mask = texts
    head = SpanHead(WIDTH, TYPES, HEAD_WIDTH).double()
    scores = head(hidden)
    losses = [
        usual_loss(scores, targets, attention_mask),
        span_loss(ZLPR(), scores, targets, attention_mask),
        ZLPR()(scores.masked_fill(~spans(attention_mask), -1e12).flatten(2), targets.flatten(2)),
        span_loss_of_indices(ZLPR(), scores, indices_of(targets), attention_mask),
    ]

    usual, *ours = [
        (loss, *torch.autograd.grad(loss, [head.project.weight, head.project.bias], retain_graph=True))
        for loss in losses
    ]

    assert indices_of(targets).shape[-1] < LENGTH * LENGTH
    for one in ours:
        torch.testing.assert_close(one, usual, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_link_and_thresholds_serve_spans(texts, check_link_and_thresholds):
    """A trained head finds the spans; thresholds are tuned for each type, with the pairs of all texts as rows."""
    hidden, targets, attention_mask = texts
    loss, head = ZLPR(), SpanHead(WIDTH, TYPES, HEAD_WIDTH).double()
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        span_loss(loss, head(hidden), targets, attention_mask).backward()
        optimizer.step()

    scores = head(hidden).detach()
    found = loss.decide(scores) & spans(attention_mask)  # (text, type, start, end) of each span: found.nonzero()

    torch.testing.assert_close(found.double(), targets)
    check_link_and_thresholds(*(rows_of_spans(part, attention_mask) for part in (scores, targets)), loss)
