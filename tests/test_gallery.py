"""The page of examples: each example is on it once."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / ".docs" / "examples.rst").read_text(encoding="utf-8")


def test_page_of_examples_has_each_example_once():
    """The sections of the page list the examples that lie in the folder, none of them twice."""
    listed = re.findall(r"^   \.\./examples/(\w+\.py)$", PAGE, flags=re.MULTILINE)

    assert sorted(listed) == sorted(path.name for path in (ROOT / "examples").glob("*.py"))
