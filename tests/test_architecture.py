"""Properties of the package as a whole that import contracts do not state."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import sk_quadrant

ROOT = Path(sk_quadrant.__file__).parent
FILES = {".".join(("sk_quadrant", *path.relative_to(ROOT).with_suffix("").parts)): path for path in ROOT.rglob("*.py")}
MODULES = {name.removesuffix(".__init__"): ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
LONGEST_CHAIN = 9  # dask > its estimator > the classifier > its training > rows > encodings > targets > arrays


@cache
def imported_by(name):
    """Return the modules of the package that a module imports at its top level."""
    found = set()
    for node in MODULES[name].body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sk_quadrant"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found - {name}


@cache
def depth(name):
    """Return the length of the longest chain of imports that starts at a module."""
    return 1 + max(map(depth, imported_by(name)), default=0)


def test_no_chain_of_imports_is_long():
    """A reader follows few steps from any module down to one that imports nothing of the package."""
    assert max(map(depth, MODULES)) <= LONGEST_CHAIN


def test_a_class_name_has_one_meaning():
    """No two modules define a class of the same name."""
    names = Counter(node.name for tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, n in names.items() if n > 1] == []


@pytest.mark.parametrize("kind", [ast.Assert, ast.Global], ids=["assert", "global"])
def test_statements_that_the_package_does_without(kind):
    """Conditions raise errors with a message, and state belongs to objects."""
    found = [name for name, tree in MODULES.items() if any(isinstance(node, kind) for node in ast.walk(tree))]
    assert found == []
