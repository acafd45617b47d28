"""What is delivered: dependencies, files, and no word to the network."""

import importlib.metadata
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import sk_quadrant

PACKAGE = Path(sk_quadrant.__file__).parent
PROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture(scope="module")
def project():
    """Return the table that metadata are made from."""
    tomllib = pytest.importorskip("tomllib", reason="in the standard library from Python 3.11 on")
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]


def test_dependencies_have_a_lower_bound_and_no_upper_one(project):
    """A ceiling is for a known break, of which there is none, and stands in the way of every other package."""
    requirements = importlib.import_module("packaging.requirements")
    for text in project["dependencies"]:
        specifiers = requirements.Requirement(text).specifier
        assert [specifier.operator for specifier in specifiers] == [">="], text


def test_python_has_a_lower_bound_and_no_upper_one(project):
    """Metadata with a ceiling make installers choose an older version rather than say no."""
    assert project["requires-python"] == ">=3.10"


def test_the_package_is_code_alone():
    """No data file lies in it."""
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} == {".py", ".typed"}


def test_an_installed_package_has_the_version_of_its_code():
    """Metadata are read from the code when the package is built."""
    try:
        version = importlib.metadata.version("sk-quadrant")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    assert version == sk_quadrant.__version__


def test_changelog_and_citation_have_the_version_of_the_code():
    """Of a release both have the number and the same date; before one, both still have those of the last."""
    github = PROJECT.parent / ".github"
    version, date = re.search(
        r"^## \[(\d[\w.]*)\] - (\d{4}-\d\d-\d\d)$", (github / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    ).groups()
    if not (github / "CITATION.cff").is_file():
        pytest.skip("not in a source distribution")
    citation = (github / "CITATION.cff").read_text(encoding="utf-8")

    assert f"\nversion: {version}\ndate-released: {date}\n" in citation
    assert sk_quadrant.__version__ == version or ".dev" in sk_quadrant.__version__


OFFLINE = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        raise RuntimeError(f"{event}{arguments}")
sys.addaudithook(refuse)
import sk_quadrant
X, Y = sk_quadrant.make_quadrants(40, random_state=0)
model = sk_quadrant.QuadrantMultiLabelClassifier("zlpr").fit(X, Y)
print(model.predict_proba(X).shape, "torch" in sys.modules)
"""


@pytest.mark.slow
def test_importing_and_fitting_ask_nobody():
    """A process in which every connection is an error imports the package, fits and predicts."""
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", OFFLINE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(40, 2) True\n"


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_INET6, ("2001:db8::1", 80, 0, 0)), (socket.AF_INET, ("a.b", 80))],
    ids=["IPv4", "IPv6", "name"],
)
def test_no_test_can_leave_the_machine(family, address):
    """The guard of all tests: connections within the machine only."""
    with socket.socket(family) as connection, pytest.raises(OSError, match="Tests run without a network"):
        connection.connect(address)
