"""The order of examples: that of the page `examples.rst`."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "examples.rst"
ORDER = re.findall(r"^   \.\./examples/(\w+\.py)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def position(path):
    """Return the place of an example on the page, the last one for an example that is not on it."""
    name = Path(path).name
    return ORDER.index(name) if name in ORDER else len(ORDER)
