"""The benchmarks: one command runs a workload from its data to tables and a picture."""

import csv
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from sk_quadrant.losses import LOSSES

RUN = Path(__file__).resolve().parents[1] / "examples" / "benchmarks" / "run.py"


def run(folder, *arguments):
    """Run the command in a folder."""
    environment = os.environ | {"PYTHONPATH": str(RUN.parents[2]), "SK_QUADRANT_DATA": str(folder / "absent")}
    return subprocess.run(
        [sys.executable, str(RUN), *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def read(path):
    """Return the rows of a CSV file as dicts."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Process and folder of a run of the smallest workload and of one whose data are absent."""
    folder = tmp_path_factory.mktemp("benchmark")
    arguments = ("--quick", "--cpu", "--repeats", "2", "--no-memory", "--only", "tutorial", "yeast", "--out", "results")
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done, folder / "results"


@pytest.mark.slow
def test_a_run_writes_tables_and_a_picture(outcome):
    """All files exist, and the picture is one."""
    _, folder = outcome
    names = {path.name for path in folder.iterdir()}
    assert names == {"timings.csv", "ratios.csv", "growth.csv", "conditions.json", "report.md", "report.png"}
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_contestants_are_measured_and_judged(outcome):
    """Peer and own fits have seconds, as many runs as asked for, a tiny gap and the same held-out F1."""
    _, folder = outcome
    rows = [row for row in read(folder / "timings.csv") if not row["note"].startswith("missing")]
    contestants = {row["contestant"].split(" tol=")[0] for row in rows}
    assert {"OneVsRest", "sk_quadrant float32", "sk_quadrant float64"} <= contestants
    for row in rows:
        assert float(row["seconds"]) > 0
        assert row["runs"] == "2"
        assert abs(float(row["gap"])) < 1e-4
        assert float(row["micro_f1"]) == pytest.approx(0.87, abs=0.02)


@pytest.mark.slow
def test_ratios_are_taken_at_an_equal_or_smaller_gap(outcome):
    """Each precision is compared with OneVsRest at a gap that is not above the peer's."""
    _, folder = outcome
    ratios = read(folder / "ratios.csv")
    assert [row["peer"] for row in ratios] == ["OneVsRest", "OneVsRest"]
    for row in ratios:
        assert float(row["times faster"]) > 0
        assert float(row["our gap"]) <= float(row["its gap"])


@pytest.mark.slow
def test_another_solver_confirms_the_optimum_and_absent_data_are_reported(outcome):
    """The notes tell how the optimum was checked and why a workload was skipped; the report is printed too."""
    done, folder = outcome
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "tutorial: optimum confirmed by newton-cholesky on 2 labels" in report
    assert "yeast: skipped, no data set of this name" in report
    assert report in done.stdout


def test_unknown_workloads_are_refused_with_the_known_ones(tmp_path):
    """A misspelt name ends the command before anything is run."""
    done = run(tmp_path, "--only", "tutorials")
    assert done.returncode == 1
    assert "got tutorials. Known: tutorial-adamw" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_processes_send_does_not_grow_with_rows(tmp_path):
    """The benchmark of scaling out has a line for each number of rows, with the same bytes on Dask and torchrun."""
    pytest.importorskip("distributed")
    command = [sys.executable, str(RUN.with_name("scaling_out.py")), "--rows", "2000", "8000", "--chunk", "1000"]
    environment = os.environ | {"PYTHONPATH": str(RUN.parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    _, few, many = (line.split() for line in done.stdout.splitlines())
    assert (few[0], many[0]) == ("2000", "8000")
    sent = [[word for word, unit in pairwise(line) if unit == "KiB"] for line in (few, many)]
    assert sent[0] == sent[1]
    assert len(sent[0]) == 2


@pytest.mark.slow
def test_the_round_on_a_gpu_runs_in_its_small_form(tmp_path):
    """On the CPU all parts run, none fails, and parts beyond the budget are left out."""
    command = [sys.executable, str(RUN.with_name("gpu.py")), "--small", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(RUN.parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "GFLOP/s" in lines[0]
    assert not [line for line in lines if "failed" in line]
    assert [line.split()[0] for line in lines[1:-1] if not line.startswith("losses")] == [
        *["dense"] * 3, *["module"] * 2, *["text"] * 2, "tests",
    ]  # fmt: skip
    assert sum(line.startswith("losses") for line in lines) == len(LOSSES)
    command += ["--budget", "0", "--only", "dense"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "dense    left out: the budget of 0 s is spent" in done.stdout


@pytest.mark.slow
def test_training_of_a_module_is_measured_beside_plain_skorch(tmp_path):
    """There is a line for each contestant at each batch size, and plain skorch is the unit."""
    command = [sys.executable, str(RUN.with_name("own_module.py")), "--samples", "300", "--repeats", "1"]
    environment = os.environ | {"PYTHONPATH": str(RUN.parents[2])}
    command += ["--batch-sizes", "16", "64"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()[1:]
    assert len(lines) == 8
    assert [line.split()[-1] for line in lines if "plain skorch" in line] == ["1.00", "1.00"]
