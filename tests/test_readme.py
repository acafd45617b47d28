"""The README: its code runs, its commands are complete, what it refers to is there."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sk_quadrant.losses import LOSSES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"<!-- ci: (\w+) -->\n```sh\n(.*?)\n```\n", README, flags=re.DOTALL))


def code_blocks(language):
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("error")
def test_code_runs_from_top_to_bottom():
    """Every block of Python runs after those above it, without a warning, and its outcome is as described."""
    blocks = code_blocks("python")
    names = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"README.md, block {number}", "exec"), names)

    assert len(blocks) == README.count("```python")
    assert names["model"].threshold_ == pytest.approx([0.147, 0.147], abs=5e-4)
    assert set(names["chosen"].best_params_) == {"estimator", "loss", "C", "thresholds"}
    assert (names["labels"].numpy() == names["Y_test"]).mean() > 0.8
    assert not hasattr(names["svm"], "predict_proba")
    assert names["calibrated"].predict_proba(names["X_test"]).shape == names["Y_test"].shape
    assert names["tuned"].best_threshold_.shape == (2,)


@pytest.mark.parametrize("name", ["main", "tests"])
def test_command_is_one_line_that_installs_pinned_versions(name):
    """A marked command is a single line that installs the package under the tested versions and then uses it."""
    command = COMMANDS[name]

    assert "\n" not in command
    assert command.startswith("python -m pip install -c .ci/constraints.txt ")
    assert " && python " in command


def test_no_other_command_is_marked():
    """The commands that are run elsewhere are the two that are tested here."""
    assert set(COMMANDS) == {"main", "tests"}
    assert README.count("<!-- ci:") == 2


def test_files_it_refers_to_exist():
    """Local links, the picture and scripts in commands are files of the repository."""
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    scripts = re.findall(r"[\w./-]+\.(?:py|txt)\b", README)

    assert links
    assert scripts
    assert [path for path in {*links, *scripts} if not (ROOT / path).is_file()] == []


TABLE_OF_LOSSES = dict(re.findall(r'^\| `"(\w+)"` \| ([^|]+) \|', README, flags=re.MULTILINE))


@pytest.mark.parametrize("name", TABLE_OF_LOSSES)
def test_table_of_losses_has_their_thresholds(name):
    """Each row has the probability at the natural threshold; losses without a row are in the user guide."""
    loss = LOSSES[name]()
    if loss.link is None:
        assert TABLE_OF_LOSSES[name] == "no link"
    else:
        assert float(TABLE_OF_LOSSES[name]) == pytest.approx(float(loss.link.inverse(loss.threshold)), abs=5e-4)


def test_table_of_losses_has_rows():
    """The rows that are compared with the losses are found."""
    assert len(TABLE_OF_LOSSES) > 5


def test_every_dependency_has_a_tested_version():
    """All that the package and its extras require is pinned in the constraints, but for the peers of benchmarks."""
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    declared = re.findall(r'"([a-zA-Z][\w.-]*)(?:\[\w+\])?(?:>=[\d.]+)?"', _dependency_tables())

    assert all(re.fullmatch(r"==[\d.]+", str(requirement.specifier)) for requirement in pinned)
    missing = {canonicalize_name(name) for name in declared} - {canonicalize_name(item.name) for item in pinned}
    assert missing == {"sk-quadrant"}


def _dependency_tables():
    """Return the text of the dependencies and extras of pyproject.toml; Python 3.10 cannot read TOML."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = re.search(r"^dependencies = \[.*?^\]", text, flags=re.DOTALL | re.MULTILINE)
    extras = re.search(r"^\[project.optional-dependencies\]\n(.*?)^\[", text, flags=re.DOTALL | re.MULTILINE)
    return dependencies.group() + re.sub(r"^bench = .*?\]\n", "", extras.group(1), flags=re.DOTALL | re.MULTILINE)
