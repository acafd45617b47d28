"""The documentation: its code runs, the code of others does the same as ours, and every public name is in it."""

import doctest
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sk_quadrant
from sk_quadrant import hierarchy
from sk_quadrant.losses import LOSSES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / ".docs"
PAGES = sorted(path for path in DOCS.rglob("*.rst") if not {"generated", "_templates"} & set(path.parts))
DECISIONS = re.findall(
    r"^\S.*?  +``(.+)``$", (DOCS / "user_guide" / "decisions.rst").read_text(encoding="utf-8"), re.MULTILINE
)
MODULES = [
    "sk_quadrant",
    *(
        f"sk_quadrant.{name}"
        for name in (
            "callbacks",
            "dask",
            "datasets",
            "displays",
            "distributed",
            "hierarchy",
            "io",
            "losses",
            "metrics",
            "model_selection",
        )
    ),
    "sk_quadrant.model_selection",
    "sk_quadrant.losses.weighting",
]
OPTIONAL = {
    "user_guide/onnx": ["skl2onnx", "onnxruntime"],
    "user_guide/onnx_modules": ["onnxscript", "onnxruntime"],
    "user_guide/persistence": ["safetensors", "skops"],
    "user_guide/scaling": ["distributed"],
}
BLOCKS = {
    name: textwrap.dedent(code)
    for name, code in re.findall(
        r"^\.\. code-block:: python\n   :name: ([\w-]+)\n\n(.*?)(?=^\S)",
        (DOCS / "coming_from.rst").read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
}
PEERS = sorted({name.removesuffix("-theirs") for name in BLOCKS if name.endswith("-theirs")})


def page_name(path):
    """Return the path of a page in the documentation."""
    return path.relative_to(DOCS).with_suffix("").as_posix()


def run(name):
    """Run the block of data and another one, and return the names that they leave."""
    names = {"__name__": "coming_from"}
    for block in ("data", name):
        exec(compile(BLOCKS[block], f"coming_from.rst, {block}", "exec"), names)
    return names


@pytest.mark.parametrize("path", [pytest.param(path, id=page_name(path)) for path in PAGES])
def test_no_code_of_a_page_is_left_out(path):
    """Python is in sessions that are run here, or in the blocks of `coming_from`; other code is for a shell."""
    text = path.read_text(encoding="utf-8")
    languages = set(re.findall(r"^\.\. code-block:: ?(\w*)$", text, flags=re.MULTILINE))
    literal_blocks = re.findall(r"^(?! *\.\. ).*::\n\n((?: +.*\n|\n)+)", text, flags=re.MULTILINE)

    assert languages <= ({"python"} if page_name(path) == "coming_from" else {"sh"})
    assert all(line.split()[0] == "python" for line in "".join(literal_blocks).splitlines() if line)


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=page_name(path)) for path in PAGES if ">>> " in path.read_text(encoding="utf-8")]
)
@pytest.mark.filterwarnings("error", "ignore:Couldn't detect a suitable IP address:RuntimeWarning")  # tests are offline
def test_examples_of_a_page_print_what_it_says(path):
    """The sessions of a page run from top to bottom, without a warning."""
    for module in OPTIONAL.get(page_name(path), ()):
        pytest.importorskip(module)
    results = doctest.testfile(
        str(path), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS, encoding="utf-8"
    )

    assert results.attempted > 1
    assert results.failed == 0


def test_blocks_come_in_pairs():
    """Each block of another package has one of ours, and nothing else is on the page."""
    assert PEERS == ["sklearn", "skmultilearn", "skorch", "transformers"]
    assert set(BLOCKS) == {"data", *(f"{peer}-{side}" for peer in PEERS for side in ("ours", "theirs"))}
    assert (DOCS / "coming_from.rst").read_text(encoding="utf-8").count(".. code-block::") == len(BLOCKS)


@pytest.mark.parametrize("peer", PEERS)
def test_our_side_predicts_labels_of_its_probabilities(peer):
    """Our block runs, and its labels are right where the truth is plain."""
    names = run(f"{peer}-ours")

    assert (names["labels"] == (names["proba"] > 0.5)).all()
    plain = np.abs(names["X"]) > 1.5
    assert (names["labels"] == names["Y"])[plain].mean() > 0.95


@pytest.mark.parametrize(
    ("peer", "modules", "tolerance"),
    [
        pytest.param("sklearn", [], 1e-5, id="sklearn"),
        pytest.param("skmultilearn", ["skmultilearn"], 1e-5, id="skmultilearn"),
        pytest.param("skorch", [], 0.05, id="skorch"),
        pytest.param("transformers", ["transformers", "accelerate"], 0.05, id="transformers"),
    ],
)
def test_their_side_gives_the_same_probabilities(peer, modules, tolerance):
    """The block of the other package predicts what ours does: to solver accuracy, or to the noise of its batches."""
    for module in modules:
        pytest.importorskip(module)

    theirs, ours = run(f"{peer}-theirs"), run(f"{peer}-ours")

    np.testing.assert_allclose(theirs["proba"], ours["proba"], atol=tolerance)
    assert (theirs["labels"] == ours["labels"]).mean() > 1 - tolerance


def test_coefficients_are_those_of_one_vs_rest():
    """The coefficients that the page calls the same are."""
    np.testing.assert_allclose(run("sklearn-theirs")["coef"], run("sklearn-ours")["coef"], atol=1e-5)


@pytest.mark.parametrize("module", MODULES)
def test_reference_lists_every_public_name(module):
    """What a module exports has an entry below the heading of that module; that of losses is made from `LOSSES`."""
    public = pytest.importorskip(module)
    sections = re.split(r"^\.\. currentmodule:: ", (DOCS / "api.rst").read_text(encoding="utf-8"), flags=re.MULTILINE)
    listed = {
        name
        for section in sections[1:]
        if section.partition("\n")[0] == module
        for name in re.findall(r"^(?:   (\w+)|\.\. py:data:: (\w+))$", section, flags=re.MULTILINE)
        for name in name
        if name
    }
    documented_elsewhere = {
        name for name in public.__all__ if module == "sk_quadrant" and f"{module}.{name}" in MODULES
    } | ({"make_quadrants"} if module == "sk_quadrant" else {loss.__name__ for loss in LOSSES.values()})

    assert listed == set(public.__all__) - documented_elsewhere
    assert all(inspect.getdoc(getattr(public, name)) for name in listed)


@pytest.mark.slow
def test_documentation_builds_without_warnings(tmp_path):
    """All pages are built, with the examples shown but not run, and no reference is broken."""
    for module in ("sphinx", "sphinx_gallery", "numpydoc", "pydata_sphinx_theme", "distributed"):
        pytest.importorskip(module)

    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-D", "plot_gallery=0", "-b", "html", DOCS, tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert built.returncode == 0, built.stderr[-3000:]
    pages = tmp_path / "site" / "generated" / "api"
    assert (pages / "sk_quadrant.QuadrantMultiLabelClassifier.html").is_file()
    assert all((pages / f"sk_quadrant.losses.{loss.__name__}.html").is_file() for loss in LOSSES.values())
    guide = (tmp_path / "site" / "user_guide" / "losses.html").read_text(encoding="utf-8")
    assert all(f"&quot;{name}&quot;" in guide for name in LOSSES)
    meaning = (tmp_path / "site" / "user_guide" / "meaning_of_scores.html").read_text(encoding="utf-8")
    assert all(f'id="loss-{name.replace("_", "-")}"' in meaning for name in LOSSES)
    assert meaning.count("<strong>Link</strong>") == len(LOSSES)


def test_every_display_has_a_picture():
    """The example with all displays draws each of them once, and its pictures are shown on their pages."""
    source = (ROOT / "examples" / "plot_displays.py").read_text(encoding="utf-8")
    drawn = re.findall(r"^(\w+Display)\.from_", source, flags=re.MULTILINE)
    assert sorted(drawn) == sorted(pytest.importorskip("sk_quadrant.displays").__all__)


@pytest.mark.filterwarnings("ignore:.*cannot keep:UserWarning")
@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=[pytest.mark.slow] * line.startswith("Quadrant")) for line in DECISIONS]
)
def test_each_line_of_the_guide_to_decisions_works(line):
    """With two labels, instead of the five of a ranking: a decision for each row comes out."""
    X, Y = sk_quadrant.make_quadrants(n_samples=200, random_state=0)
    Y = pd.DataFrame(Y, columns=["A", "B"])
    clf = sk_quadrant.QuadrantMultiLabelClassifier()
    names = {name: getattr(sk_quadrant, name) for name in sk_quadrant.__all__} | {"hierarchy": hierarchy}
    found = eval(line.replace("k=5", "k=2"), names | {"clf": clf, "fitted": clf.fit(X, Y), "X": X, "Y": Y})
    if hasattr(found, "fit"):
        found = found.fit(X, Y).predict(X)
    assert len(getattr(found, "labels", found)) == 200


def test_no_line_of_the_guide_to_decisions_is_left_out():
    """Each row of the table has one line of code."""
    assert len(DECISIONS) == 15
