"""Progress: a bar in terminals and notebooks, lines elsewhere, and nothing unless asked for."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_backend
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import hamming_loss, make_scorer

import sk_quadrant
from sk_quadrant import (
    CalibratedMultiLabelClassifierCV,
    QuadrantMultiLabelClassifier,
    QuadrantMultiLabelClassifierCV,
    TunedThresholdMultiLabelClassifierCV,
    _progress,
    make_quadrants,
)

ONE = QuadrantMultiLabelClassifier()
VERBOSE = {
    "lbfgs": ONE,
    "adamw": QuadrantMultiLabelClassifier(solver="adamw", max_iter=4, tol=1.0, random_state=0),
    "choice": QuadrantMultiLabelClassifierCV(
        "bce_with_logits", Cs=[0.1, 1.0], cv=2, thresholds="natural", estimator=ONE
    ),
    "tuned": TunedThresholdMultiLabelClassifierCV(ONE, cv=2),
    "calibrated": CalibratedMultiLabelClassifierCV(ONE, cv=2, ensemble=False),
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few epochs, on purpose

each_verbose = pytest.mark.parametrize("estimator", VERBOSE.values(), ids=VERBOSE)


@pytest.fixture(scope="module")
def data():
    """Return 80 rows and two labels."""
    return make_quadrants(80, slope=2.0, random_state=0)


@pytest.fixture
def terminal(monkeypatch):
    """Let bars be drawn, at once."""
    monkeypatch.setattr(_progress, "_can_draw", lambda: True)
    monkeypatch.setattr(_progress, "DELAY", 0.0)


@each_verbose
def test_nothing_is_shown_unless_asked_for(estimator, data, terminal, capfd):
    """On no channel, where a bar could be drawn."""
    clone(estimator).fit(*data)
    assert capfd.readouterr() == ("", "")


@each_verbose
def test_a_terminal_gets_one_bar_with_the_time_left(estimator, data, terminal, capfd):
    """A bar that ends at 100%, nothing on stdout, and the model of a fit without a bar."""
    fitted = clone(estimator).set_params(verbose=1).fit(*data)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "100%" in shown.err
    assert "<00:00" in shown.err
    assert shown.err.count("\n") == 1
    assert not _progress._bars
    assert_array_equal(fitted.predict(data[0]), clone(estimator).fit(*data).predict(data[0]))


@each_verbose
def test_elsewhere_there_are_lines(estimator, data, capfd):
    """On stdout, without control characters; with verbose=2 in a terminal too."""
    clone(estimator).set_params(verbose=1).fit(*data)
    shown = capfd.readouterr()
    assert shown.err == ""
    assert len(shown.out.splitlines()) >= 2
    assert {character for character in shown.out if not character.isprintable()} == {"\n"}


@each_verbose
def test_lines_can_be_had_in_a_terminal(estimator, data, terminal, capfd):
    """With verbose=2."""
    clone(estimator).set_params(verbose=2).fit(*data)
    shown = capfd.readouterr()
    assert shown.err == ""
    assert len(shown.out.splitlines()) >= 2


@pytest.mark.parametrize("name", ["choice", "tuned", "calibrated"])
def test_there_is_no_bar_within_a_bar(name, data, terminal, capfd):
    """Fits inside a meta-estimator that shows its own progress show none, also if their classifier is verbose."""
    clone(VERBOSE[name]).set_params(verbose=1, estimator=QuadrantMultiLabelClassifier(verbose=1)).fit(*data)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("loss", ["bce_with_logits", "zlpr", "hinge", "squared_error", "squared_hinge"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_the_way_to_the_optimum_never_goes_back_and_ends(loss, container, data, monkeypatch):
    """All paths of "lbfgs" tell their share of the way, from 0 to 1, with the last objective."""
    told = []
    monkeypatch.setattr(_progress.Progress, "step", lambda self, done, line="", note="": told.append((done, note)))
    clf = QuadrantMultiLabelClassifier(loss, verbose=2).fit(container(data[0]), data[1])
    shares = [share for share, _ in told]
    assert len(told) >= clf.n_iter_
    assert min(shares) >= 0
    assert shares[-1] == 1.0 == max(shares)


def test_a_failed_fit_leaves_no_bar_behind(data, terminal, capfd):
    """The next fit has one again."""
    X, Y = data
    with pytest.raises(FloatingPointError):
        QuadrantMultiLabelClassifier(solver="sgd", learning_rate_init=1e30, verbose=1).fit(X * 1e30, Y)
    assert not _progress._bars
    QuadrantMultiLabelClassifier(verbose=1).fit(X, Y)
    assert "lbfgs: 100%" in capfd.readouterr().err


def test_a_search_through_labels_is_shown(data, terminal, capfd):
    """Each pass over the labels has a bar, where a scorer has to be called for each threshold."""
    scorer = make_scorer(hamming_loss, greater_is_better=False)
    model = TunedThresholdMultiLabelClassifierCV(ONE, scoring=make_scorer(lambda y, z: -hamming_loss(y, z)), cv=2)
    model.set_params(verbose=1).fit(*data)
    assert "thresholds, pass 1: 100%" in capfd.readouterr().err
    model.set_params(scoring=scorer, verbose=0).fit(*data)
    assert capfd.readouterr().err == ""


def test_jobs_report_to_the_bar(data, terminal, capfd):
    """Fits in other threads are counted as they are done."""
    with parallel_backend("threading"):
        clone(VERBOSE["tuned"]).set_params(verbose=1, n_jobs=2).fit(*data)
    assert "3/3" in capfd.readouterr().err


def test_short_fits_draw_no_bar(data, monkeypatch, capfd):
    """What ends in less than half a second is not worth one."""
    monkeypatch.setattr(_progress, "_can_draw", lambda: True)
    monkeypatch.setattr(_progress, "DELAY", 60.0)
    QuadrantMultiLabelClassifier(verbose=1).fit(*data)
    assert capfd.readouterr() == ("", "")


class WritesOnly:
    """A stream that others have put in the place of stderr."""

    def write(self, text):
        """Take a text."""

    def flush(self):
        """Do nothing."""


@pytest.mark.parametrize("make", [lambda _: None, lambda _: WritesOnly(), lambda path: path.open("w")])
def test_without_a_terminal_there_are_lines_whatever_stderr_is(make, data, monkeypatch, capsys, tmp_path):
    """A program without a console has none, and others replace or close it."""
    stream = make(tmp_path / "log")
    if hasattr(stream, "close"):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    QuadrantMultiLabelClassifier(verbose=1).fit(*data)
    assert "iteration 1: objective" in capsys.readouterr().out


TERMINAL = """
import os, pty, sys
code = '''
import fcntl, struct, termios
fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
import sk_quadrant, sk_quadrant._progress as progress
progress.DELAY = 0
X, Y = sk_quadrant.make_quadrants(60, random_state=0)
sk_quadrant.QuadrantMultiLabelClassifier(verbose=1).fit(X, Y)
'''
status = pty.spawn([sys.executable, "-c", code])
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_a_real_terminal_is_recognised():
    """A process whose stderr is a terminal draws the bar."""
    environment = os.environ | {"PYTHONPATH": str(Path(sk_quadrant.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TERMINAL]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lbfgs: 100%" in done.stdout
    assert "iteration" not in done.stdout
