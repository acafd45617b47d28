"""The examples: each runs in an empty folder, starts with its finding and reads in cells."""

import ast
import json
import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sk_quadrant.losses import LOSSES

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
GALLERY = sorted(EXAMPLES.glob("plot_*.py"))
QUICK = {"plot_threshold"}  # all others are slow, or run elsewhere
READABLE = sorted(EXAMPLES.glob("*.py"))


def name_of(path):
    """Return the name of an example."""
    return path.stem


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """Return a function that runs an example, by its path and arguments, in an empty folder."""

    def run(path, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        monkeypatch.setattr(plt, "show", lambda: None)
        return runpy.run_path(str(path), run_name="__main__")

    yield run
    plt.close("all")


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=() if path.stem in QUICK else pytest.mark.slow) for path in GALLERY],
)
@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")  # those of matplotlib's own dependencies
def test_example_runs_without_a_warning_and_draws(path, run_example):
    """An example of the gallery runs from an empty folder and leaves at least one figure with something on it."""
    run_example(path)

    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert figures
    assert all(ax.has_data() for figure in figures for ax in figure.axes)


@pytest.mark.parametrize("path", READABLE, ids=name_of)
def test_example_starts_with_its_finding(path):
    """The docstring of an example is an underlined title and, right below, a paragraph that says what was found."""
    title, underline, gap, *finding = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()

    assert title
    assert underline == "=" * len(title)
    assert gap == ""
    assert len(" ".join(finding).split("\n\n")[0].split()) >= 20


@pytest.mark.parametrize("path", READABLE, ids=name_of)
def test_cells_open_with_words(path):
    """Each `# %%` cell begins with an underlined heading and at least a sentence below it."""
    cells = path.read_text(encoding="utf-8").split("\n# %%")[1:]

    assert len(cells) >= 2
    for cell in cells:
        assert re.match(r"\n# [^\n]+\n# -{3,}\n# [^\n]{20,}", cell), cell[:200]


def test_main_example_prints_a_row_for_each_loss_and_writes_its_picture(run_example, capsys, tmp_path):
    """The main example prints thresholds, boundaries, scores and errors, and writes quadrants.png where it runs."""
    run_example(EXAMPLES / "plot_quadrants.py")

    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1 : len(LOSSES) + 1])
    assert list(rows) == list(LOSSES)
    boundaries = {name: float(row.split()[1]) for name, row in rows.items()}
    halves = [name for name, row in rows.items() if row.split()[0] in {"0.500", "-"}]
    assert all(abs(boundaries[name]) < 0.15 for name in halves)
    assert boundaries["asymmetric"] == pytest.approx(np.log(0.14729 / 0.85271) / 3, abs=0.05)
    assert boundaries["shifted_sigmoid_bce"] < -0.2
    assert (tmp_path / "quadrants.png").read_bytes().startswith(b"\x89PNG")


def test_picture_goes_where_it_is_told(run_example, tmp_path):
    """The first argument of an example is the path of its picture."""
    picture = tmp_path / "threshold.png"

    run_example(EXAMPLES / "plot_threshold.py", picture)

    height, width, _ = plt.imread(picture).shape
    assert width > height > 500


def test_shifted_sigmoid_collapses_at_one_half(run_example):
    """F1 at the own threshold is 1 for both links; at 0.5 it is 0 for the shifted one."""
    f1 = run_example(EXAMPLES / "plot_threshold.py")["f1"]

    assert f1 == pytest.approx(
        {
            ("Sigmoid", "its own"): 1,
            ("Sigmoid", "0.5"): 1,
            ("Shifted sigmoid", "its own"): 1,
            ("Shifted sigmoid", "0.5"): 0,
        },
        abs=2e-3,
    )


def test_patents_says_how_to_name_other_texts(run_example, monkeypatch, tmp_path):
    """Without its data the example ends with what to do."""
    monkeypatch.setenv("SK_QUADRANT_DATA", str(tmp_path / "nowhere"))

    with pytest.raises(SystemExit, match=r"Set SK_QUADRANT_DATA .* or name two files of your own"):
        run_example(EXAMPLES / "patents.py")


@pytest.mark.slow
def test_patents_takes_any_texts(run_example, capsys, tmp_path):
    """Two files of JSON lines give a table, in which every loss is right at one of its thresholds."""
    rng = np.random.default_rng(0)
    words = {"A": "corn seed plough", "H": "diode lamp wire", "none": "new good fine"}
    for part, n_rows in (("train", 60), ("test", 30)):
        rows = []
        for _ in range(n_rows):
            labels = [label for label in ("A", "H") if rng.random() < 0.6]
            text = " ".join(word for topic in [*labels, "none"] for word in rng.choice(words[topic].split(), 2))
            rows.append(json.dumps({"text": text, "labels": labels}))
        (tmp_path / f"{part}.jsonl").write_text("\n".join(rows), encoding="utf-8")

    results = run_example(EXAMPLES / "patents.py", tmp_path / "train.jsonl", tmp_path / "test.jsonl")["results"]

    assert "true: " in capsys.readouterr().out
    scores = {loss: max(score[0] for key, score in results.items() if key[0] == loss) for loss in LOSSES}
    assert all(score > 0.9 for score in scores.values())


@pytest.mark.slow
def test_tfidf_wins_over_an_encoder_from_scratch_on_simulated_texts_too(run_example, monkeypatch, tmp_path):
    """The example of a module for texts runs without the patents, and its finding holds."""
    monkeypatch.setenv("SK_QUADRANT_DATA", str(tmp_path / "nowhere"))

    results = run_example(EXAMPLES / "patents_module.py")["results"]

    assert list(results) == [(m, t) for m in ("TF-IDF, linear", "embedding bag") for t in ("1/2", "tuned")]
    assert results["TF-IDF, linear", "tuned"][0] > results["embedding bag", "tuned"][0] > 0.4


@pytest.mark.slow
def test_a_transformer_learns_as_a_module(run_example):
    """Three words among twenty are found in nearly all new texts."""
    pytest.importorskip("transformers")

    assert run_example(EXAMPLES / "transformer_module.py")["score"] > 0.9


def test_the_transformer_example_says_what_it_needs(run_example, monkeypatch, capsys):
    """Without transformers it ends without an error."""
    monkeypatch.setitem(sys.modules, "transformers", None)

    with pytest.raises(SystemExit, match=r"^0$"):
        run_example(EXAMPLES / "transformer_module.py")

    assert "pip install transformers" in capsys.readouterr().out
