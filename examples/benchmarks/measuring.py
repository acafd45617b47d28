"""Time of interleaved measurements and of new processes, and peak memory in a separate process."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from data import Data
from scipy import sparse

SHORTEST = 0.1  # seconds; shorter calls are repeated within a measurement
MOST_CALLS = 1000


@dataclass(frozen=True)
class Settings:
    """Settings of measurements.

    Attributes
    ----------
    quick : bool
        Small sizes and few repetitions.
    thorough : bool
        Also workloads and peers that take hours.
    cpu : bool
        CPU time of one thread instead of wall time.
    repeats : int
        Measurements of each contestant.
    patience : float
        Seconds after which a slow contestant is not measured again.
    cores : int
    device : str
        Device of our classifier in addition to the CPU.
    memory : bool
        Whether to measure memory, in separate processes.
    """

    quick: bool = True
    thorough: bool = False
    cpu: bool = False
    repeats: int = 3
    patience: float = 20.0
    cores: int = 2
    device: str = "cpu"
    memory: bool = True

    @property
    def clock(self) -> Callable[[], float]:
        """Clock of the measurements."""
        return time.process_time if self.cpu else time.perf_counter

    def pick(self, quick: Any, full: Any) -> Any:
        """Return the value for this mode."""
        return quick if self.quick else full


@dataclass
class Timing:
    """Seconds of one contestant, one value per round.

    Attributes
    ----------
    seconds : list of float
        Seconds per call.
    """

    seconds: list[float]

    @property
    def median(self) -> float:
        """Median seconds."""
        return float(np.median(self.seconds))

    def faster_than(self, other: Timing) -> float:
        """Return the median over common rounds of the seconds of the other divided by these.

        A contestant that is too slow to be measured in all rounds is compared by medians.
        """
        if len(self.seconds) != len(other.seconds):
            return other.median / self.median
        return float(np.median(np.divide(other.seconds, self.seconds)))


@dataclass(frozen=True)
class Call:
    """Function to measure.

    Attributes
    ----------
    function : callable
        Called without arguments.
    context : callable
        Returns a context for the call, such as a thread limit; its cost is not measured.
    """

    function: Callable[[], Any]
    context: Callable[[], Any] = nullcontext

    def measure(self, settings: Settings, calls: int | None = None) -> tuple[float, int]:
        """Return seconds per call and the number of calls, by default enough for `SHORTEST` seconds."""
        gc.collect()
        with warnings.catch_warnings(), self.context():
            warnings.simplefilter("ignore")
            if calls is None:
                seconds = self._seconds(1, settings)
                calls = int(min(MOST_CALLS, max(1, math.ceil(SHORTEST / max(seconds, 1e-9)))))
                if calls == 1:
                    return seconds, 1
            return self._seconds(calls, settings), calls

    def _seconds(self, calls: int, settings: Settings) -> float:
        function, clock = self.function, settings.clock
        start = clock()
        for _ in range(calls):
            function()
        return (clock() - start) / calls


def interleave(
    contestants: dict[str, Call], settings: Settings, first: dict[str, float] | None = None
) -> dict[str, Timing]:
    """Measure all contestants once per round; after `patience` seconds a contestant is not measured again.

    `first` has the seconds of a call before; those longer than `patience` are the measurement.
    """
    slow = {name: seconds for name, seconds in (first or {}).items() if seconds > settings.patience}
    timings = {name: Timing([slow[name]] if name in slow else []) for name in contestants}
    calls: dict[str, int | None] = dict.fromkeys(contestants)
    for _ in range(settings.repeats):
        for name, call in contestants.items():
            timing = timings[name]
            if name not in slow and sum(timing.seconds) * (calls[name] or 0) <= settings.patience:
                seconds, calls[name] = call.measure(settings, calls[name])
                timing.seconds.append(seconds)
    return timings


def save(data: Data, folder: Path) -> None:
    """Write data to a folder for `load` in another process."""
    for name in ("X", "Y", "X_test", "Y_test"):
        part = getattr(data, name)
        if sparse.issparse(part):
            sparse.save_npz(folder / name, part, compressed=False)
        else:
            np.save(folder / name, part)


def load(folder: Path) -> Data:
    """Read data written by `save`."""
    parts = {}
    for name in ("X", "Y", "X_test", "Y_test"):
        path = folder / f"{name}.npy"
        parts[name] = np.load(path) if path.exists() else sparse.load_npz(folder / f"{name}.npz")
    return Data(**parts)


def status_bytes(field: str) -> int | None:
    """Return VmRSS (current) or VmHWM (peak) of this process on Linux, None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), None)


def peak_beyond(call: Callable[[], Any]) -> int:
    """Return the peak memory of a call beyond the memory before it, in bytes."""
    import resource

    gc.collect()
    unit = 1 if sys.platform == "darwin" else 1024
    try:
        Path("/proc/self/clear_refs").write_text("5")  # reset VmHWM
        before = status_bytes("VmRSS")
    except OSError:
        before = None
    if before is None:  # less exact: an earlier peak hides a smaller one of the call
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        call()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
    call()
    return (status_bytes("VmHWM") or before) - before


def memory_of(spec: tuple[str, dict[str, Any]], folder: Path) -> int | None:
    """Return the peak memory of a contestant beyond its input, in a separate process; None if it fails."""
    done = run_python([str(Path(__file__).with_name("child.py")), json.dumps(spec), str(folder)])
    try:
        return int(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return None


def run_python(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run this Python with the same import path."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False
    )


def import_seconds(statement: str, settings: Settings) -> float:
    """Return the seconds of an import in a new process, without the start of Python."""
    clock = "process_time" if settings.cpu else "perf_counter"
    code = f"from time import {clock} as clock; start = clock(); {statement}; print(clock() - start)"
    done = run_python(["-c", code])
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


def process_seconds(arguments: list[str], settings: Settings) -> float:
    """Return the total seconds of a Python process."""
    before, start = os.times(), time.perf_counter()
    done = run_python(arguments)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise RuntimeError(done.stderr)
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return children if settings.cpu else wall


def temporary_folder() -> TemporaryDirectory[str]:
    """Return a temporary folder."""
    return TemporaryDirectory(prefix="sk_quadrant_benchmark_")
