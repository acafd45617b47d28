"""What a notebook shows: the loss with its parameters, and the lines of `verbose`."""

import contextlib
import html
import io
import re

import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sk_quadrant.losses
from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    TunedThresholdMultiLabelClassifierCV,
    make_quadrants,
)
from sk_quadrant.losses import LOSSES, ZLPR, Asymmetric, BCEWithLogits, Focal, Poly1, ShiftedSigmoidBCE

CHANGED = [
    BCEWithLogits(pos_weight=3.0),
    ShiftedSigmoidBCE(offset=4.0),
    ZLPR(temperature=2.0, threshold=0.5, bound=1.0),
    Focal(gamma=3.0, alpha=0.25),
    Asymmetric(gamma_pos=0.0, gamma_neg=2.0, clip=0.0),
    Poly1(epsilon=0.5),
]
WRAPPERS = {
    "alone": lambda model: model,
    "pipeline": lambda model: make_pipeline(StandardScaler(), model),
    "tuned": TunedThresholdMultiLabelClassifierCV,
    "calibrated": CalibratedMultiLabelClassifierCV,
    "search": lambda model: GridSearchCV(model, {"C": [0.1, 1]}),
}


def visible_text(estimator):
    """Return the text of the diagram, without the style sheet, the scripts and what is shown where HTML is not."""
    page = re.sub(r"<(style|script)\b.*?</\1>", " ", estimator._repr_html_(), flags=re.DOTALL)
    page = re.sub(r'<div class="sk-text-repr-fallback">.*?</div>', " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.mark.parametrize("loss", [*(loss() for loss in LOSSES.values()), *CHANGED], ids=repr)
def test_text_of_a_loss_makes_the_loss(loss):
    """The text of a loss is the expression that makes it, with all of its parameters."""
    assert eval(repr(loss), vars(sk_quadrant.losses)) == loss


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
def test_diagram_shows_the_loss_with_its_parameters(wrap):
    """The HTML of an estimator, also inside another one, has the loss object and its parameters in its text."""
    model = QuadrantMultiLabelClassifier(loss=Focal(gamma=3))

    text = visible_text(wrap(model))

    assert "QuadrantMultiLabelClassifier" in text
    assert "Focal(gamma=3, alpha=None)" in text


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_verbose_writes_lines_to_where_a_notebook_reads(solver):
    """Progress goes to standard output as it is at the time of fit, a line for each iteration or epoch."""
    X, Y = make_quadrants(n_samples=200, slope=3, random_state=0)
    model = QuadrantMultiLabelClassifier(solver=solver, max_iter=200, tol=1e-2, random_state=0, verbose=1)

    with contextlib.redirect_stdout(io.StringIO()) as output:
        model.fit(X, Y)

    lines = output.getvalue().splitlines()
    assert len(lines) >= model.n_iter_ > 1
    assert all(re.search(r"\d", line) for line in lines[-model.n_iter_ :])
