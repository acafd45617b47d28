"""Record what the examples print and draw that are shown without running them when the documentation is built.

They need data or packages that a build does not have. Record one again whenever its code has changed::

    python .docs/recorded.py patents patents_module

``patents`` and ``patents_module`` read the patents in the folder SK_QUADRANT_DATA, ``transformer_module`` needs
transformers, ``tensorboard_log`` needs tensorboard. Outputs are written to ``.docs/recorded``.
"""

import contextlib
import hashlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
FOLDER = DOCS / "recorded"
NAMES = ("patents", "patents_module", "tensorboard_log", "transformer_module")


def cells(source):
    """Return the cells with code; the first part of a file is its docstring."""
    parts = re.split(r"^# %%\n", source, flags=re.MULTILINE)[1:]
    return [part for part in parts if re.search(r"^[^#\n]", part, flags=re.MULTILINE)]


def fingerprint(source):
    """Return a hash of the code without comment lines, which may change without a new record."""
    code = [line for line in "".join(cells(source)).splitlines() if line and not line.startswith("#")]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:16]


def run(name):
    """Run an example in an empty folder, and return what each cell has printed."""
    path = EXAMPLES / f"{name}.py"
    names, outputs = {"__name__": "__main__", "__file__": str(path)}, []
    for cell in cells(path.read_text(encoding="utf-8")):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(cell, str(path), "exec"), names)
        outputs.append(printed.getvalue())
    return outputs


def record(name):
    """Run an example and write its output and its last figure."""
    import matplotlib.pyplot as plt

    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    outputs = run(name)
    parts = [f"# code {fingerprint(source)}\n", *outputs]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.txt").write_text("# %%\n".join(parts), encoding="utf-8")
    plt.savefig(FOLDER / f"{name}.png", dpi=100)
    plt.close("all")


def read(name):
    """Return the recorded output of each cell of an example; an error if its code has changed since."""
    head, *outputs = re.split(r"^# %%\n", (FOLDER / f"{name}.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    if head.split() != ["#", "code", fingerprint((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))]:
        raise ValueError(f"The record of {name}.py is of other code. Record it again: python .docs/recorded.py {name}")
    return outputs


def main():
    """Record the examples that are named."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ["SK_QUADRANT_DATA"] = str(
        Path(os.environ.get("SK_QUADRANT_DATA", DOCS.parents[1] / "shared" / "data")).resolve()
    )
    names = sys.argv[1:]
    if not names or not set(names) <= set(NAMES):
        sys.exit(f"Name what to record: {', '.join(NAMES)}.")
    sys.argv[1:] = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            record(name)
            os.chdir(DOCS)


if __name__ == "__main__":
    main()
