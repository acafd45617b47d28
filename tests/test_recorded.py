"""Examples that the documentation shows without running them: what it shows is what they print."""

import importlib.util
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("recorded", ROOT / ".docs" / "recorded.py")
recorded = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(recorded)

NEEDS = {"transformer_module": "transformers", "tensorboard_log": "tensorboardX"}


def test_every_example_that_is_not_run_is_recorded():
    """Names that start with plot_ are run by each build."""
    names = sorted(path.stem for path in recorded.EXAMPLES.glob("*.py") if not path.stem.startswith("plot_"))
    assert names == list(recorded.NAMES)


@pytest.mark.parametrize("name", recorded.NAMES)
def test_record_is_of_the_present_code(name):
    """Something was printed and drawn, by the code as it stands."""
    assert any(recorded.read(name))
    assert (recorded.FOLDER / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_record_of_other_code_is_refused(monkeypatch, tmp_path):
    """The error says how to record again. Comments may change."""
    monkeypatch.setattr(recorded, "EXAMPLES", tmp_path)
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    code = recorded.fingerprint("# %%\nprint(1)")
    (tmp_path / "one.txt").write_text(f"# code {code}\n# %%\n1\n", encoding="utf-8")

    (tmp_path / "one.py").write_text("# %%\n# Once.\nprint(1)", encoding="utf-8")
    assert recorded.read("one") == ["1\n"]

    (tmp_path / "one.py").write_text("# %%\nprint(2)", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Record it again: python \.docs/recorded\.py one"):
        recorded.read("one")


@pytest.mark.slow
@pytest.mark.parametrize("name", recorded.NAMES)
def test_examples_still_print_what_was_recorded(name, request, monkeypatch, tmp_path):
    """All words, and all scores up to what versions and machines change."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    else:
        monkeypatch.setenv("SK_QUADRANT_DATA", str(request.getfixturevalue("data_folder").resolve()))
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.chdir(tmp_path)

    found, wanted = "".join(recorded.run(name)), "".join(recorded.read(name))

    plt.close("all")
    number = r"\d+\.\d{2,}"
    assert [float(x) for x in re.findall(number, found)] == pytest.approx(
        [float(x) for x in re.findall(number, wanted)], abs=0.02
    )
    assert re.sub(r"[\d.%]+", "", found).split() == re.sub(r"[\d.%]+", "", wanted).split()
