"""What is delivered: dependencies, files, and no word to the network."""

import importlib.metadata
import os
import re
import shutil
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


def build(source, folder):
    """Build wheel and source distribution, without an environment of their own, and return their bytes by name."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(tmp_path):
    """Neither the times of files, nor their folder, nor the order in which they were written is in a package."""
    pytest.importorskip("hatchling")
    if not PROJECT.exists():
        pytest.skip("no source tree")
    names = ["pyproject.toml", "README.md", "LICENSE", "sk_quadrant", ".github"]
    builds = []
    for number, ordered in enumerate([names, names[::-1]]):
        source = tmp_path / f"source-{number}"
        source.mkdir()
        for name in ordered:
            origin, ignored = PROJECT.parent / name, shutil.ignore_patterns("__pycache__")
            if origin.is_dir():
                shutil.copytree(origin, source / name, copy_function=shutil.copy, ignore=ignored)
            else:
                shutil.copy(origin, source)
        os.utime(source / "sk_quadrant" / "__init__.py", (10**9 * number, 10**9 * number))
        builds.append(build(source, tmp_path / f"built-{number}"))
    assert len(builds[0]) == 2
    assert builds[0] == builds[1]


CHECKERS = {
    "mypy": ["-m", "mypy", "--strict"],
    "basedpyright": ["-m", "basedpyright", "--level", "error", "--pythonpath", sys.executable],
}


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_project_that_uses_the_package_passes_type_checkers(checker, tmp_path):
    """With py.typed checkers read our annotations, and a small strict project agrees with them."""
    pytest.importorskip(checker)
    code = shutil.copy(Path(__file__).parent / "downstream" / "use.py", tmp_path)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, *CHECKERS[checker], str(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_type_checkers_find_mistakes_of_a_project(tmp_path):
    """A wrong type of an argument, and a name that does not exist, are errors."""
    pytest.importorskip("mypy")
    code = tmp_path / "wrong.py"
    code.write_text(
        "from sk_quadrant import QuadrantMultiLabelClassifier\nfrom sk_quadrant.losses import Huber\n"
        "QuadrantMultiLabelClassifier(max_iter='many')\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "mypy", str(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'Argument "max_iter"' in done.stdout
    assert 'no attribute "Huber"' in done.stdout


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_INET6, ("2001:db8::1", 80, 0, 0)), (socket.AF_INET, ("a.b", 80))],
    ids=["IPv4", "IPv6", "name"],
)
def test_no_test_can_leave_the_machine(family, address):
    """The guard of all tests: connections within the machine only."""
    with socket.socket(family) as connection, pytest.raises(OSError, match="Tests run without a network"):
        connection.connect(address)
