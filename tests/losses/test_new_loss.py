"""A new loss is one file and three lines: tests, documentation and import contracts follow from `LOSSES`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLLOWERS = [
    "tests/losses",
    "sk_quadrant/losses",
    "tests/properties/test_losses.py",
    "tests/test_own_loss.py",
    "tests/test_readme.py",
    "tests/test_docs.py",
]
NOT_COPIED = [".git", ".*_cache", ".venv*", "__pycache__", "generated", "build", "dist", "site"]
FILE = '''"""Half of the Brier score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sk_quadrant.losses._base import LabelwiseLoss
from sk_quadrant.losses._links import LogitLink

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class HalfBrier(LabelwiseLoss):
    r"""Half of the Brier score of the sigmoid.

    .. math:: \\ell(s, t) = (\\sigma(s) - t)^2 / 2

    **Link**: :math:`\\eta = \\sigma(s)`.

    **Threshold**: natural and Bayes 0.

    Use it to show that a new loss is one file and three lines.

    References
    ----------
    .. [1] G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.

    Examples
    --------
    >>> import torch
    >>> HalfBrier()(torch.zeros(1, 1), torch.ones(1, 1))
    tensor(0.1250)
    """

    name: ClassVar[str] = "half_brier"

    @property
    def convex(self) -> bool:
        """Whether the loss is convex."""
        return False

    @property
    def link(self) -> LogitLink:
        """Logistic link."""
        return LogitLink()

    def per_label(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each row and label."""
        return (scores.sigmoid() - targets) ** 2 / 2
'''
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
LINES = {  # each below the line of another loss
    "from sk_quadrant.losses._focal import Focal\n": "from sk_quadrant.losses._half_brier import HalfBrier\n",
    "        Focal,\n": "        HalfBrier,\n",
    '    "FocalLink",\n': '    "HalfBrier",\n',
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Return a copy of the repository with one more loss: a file, and three lines."""
    copy = tmp_path_factory.mktemp("copy") / "repository"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    losses = copy / "sk_quadrant" / "losses"
    (losses / "_half_brier.py").write_text(FILE, encoding="utf-8")
    listed = (losses / "__init__.py").read_text(encoding="utf-8")
    for line, added in LINES.items():
        assert listed.count(line) == 1
        listed = listed.replace(line, line + added)
    (losses / "__init__.py").write_text(listed, encoding="utf-8")
    return copy


def run(repository, *arguments):
    """Run a program of Python in the copy, and return its output after a success."""
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, *arguments], cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_nothing_fails(repository):
    """All that follows from the list of losses passes with one more, and tests it, the documentation included."""
    others = f"--ignore={Path(__file__).relative_to(ROOT).as_posix()}"
    output = run(repository, "-m", "pytest", "-q", "-rA", "-m", "slow or not slow", others, *FOLLOWERS)
    assert output.count("HalfBrier()") > 50
    assert "_half_brier.HalfBrier" in output  # its doctest


@pytest.mark.slow
def test_import_contracts_are_kept(repository):
    """The contracts hold for the new file, which none of them names."""
    pytest.importorskip("importlinter")
    run(repository, "-c", LINT)


@pytest.mark.slow
def test_new_loss_in_a_shared_module_breaks_the_contracts(repository, tmp_path):
    """A module that losses share may not import the new loss."""
    pytest.importorskip("importlinter")
    copy = tmp_path / "repository"
    shutil.copytree(repository, copy)
    with (copy / "sk_quadrant" / "losses" / "_links.py").open("a", encoding="utf-8") as file:
        file.write("\n\nimport sk_quadrant.losses._half_brier\n")
    with pytest.raises(AssertionError, match="A loss builds on links and functions only BROKEN"):
        run(copy, "-c", LINT)
