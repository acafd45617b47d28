"""Fixtures shared by all tests."""

import gzip
import json
import os
import socket
from ipaddress import ip_address
from pathlib import Path

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before SciPy is imported, or one estimator check is skipped
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # problems of tests are small, and workers share the cores

import numpy as np
import pytest
from hypothesis import settings
from scipy import sparse

REPOSITORY = Path(__file__).resolve().parents[1]

settings.register_profile("quick", max_examples=10, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("quick")  # for thousands of cases: pytest tests/properties --hypothesis-profile=thorough


@pytest.fixture(scope="session", autouse=True)
def _offline():
    """Refuse connections to other machines: nothing here needs one, and what is tried to be reached shows."""
    connect = socket.socket.connect

    def connect_within(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            raise OSError(f"Tests run without a network, got a connection to {address}.")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_within)
        yield


def _is_local(host):
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def pytest_configure(config):
    """Know the markers of scikit-learn's tests, some of which are run on the estimator."""
    config.addinivalue_line("markers", "thread_unsafe: not to be run in several threads at once")


@pytest.fixture(scope="session")
def data_folder():
    """Folder of the real data sets; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SK_QUADRANT_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SK_QUADRANT_DATA to their folder")
    return folder


def _read_array(path):
    if path.with_suffix(".npy").exists():
        return np.load(path.with_suffix(".npy"))
    return sparse.load_npz(path.with_suffix(".npz"))


@pytest.fixture(scope="session")
def load_tabular(data_folder):
    """Return a function: name -> (X_train, Y_train, X_test, Y_test), X as stored, Y dense int64."""

    def load(name):
        parts = {part: _read_array(data_folder / name / part) for part in ("X_train", "X_test")}
        for part in ("Y_train", "Y_test"):
            parts[part] = sparse.load_npz(data_folder / name / f"{part}.npz").toarray()
        return parts["X_train"], parts["Y_train"], parts["X_test"], parts["Y_test"]

    return load


@pytest.fixture(scope="session")
def load_text(data_folder):
    """Return a function: name, part -> (texts, Y), Y dense int64 with the columns of the file's label list."""

    def load(name, part):
        labels = json.loads((data_folder / name / "meta.json").read_text())["labels"]
        column = {label: j for j, label in enumerate(labels)}
        with gzip.open(data_folder / name / f"{part}.jsonl.gz", "rt") as lines:
            rows = [json.loads(line) for line in lines]
        Y = np.zeros((len(rows), len(labels)), dtype=np.int64)
        for i, row in enumerate(rows):
            Y[i, [column[label] for label in row["labels"]]] = 1
        return [row["text"] for row in rows], Y

    return load
