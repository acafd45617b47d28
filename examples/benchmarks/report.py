"""Report: tables as CSV and Markdown, and a figure."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from experiments import DEFAULT_TOL, Findings, Ratio, Row, Slope, tolerances
from measuring import Settings

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "skorch",
    "transformers",
    "libmultilabel",
    "napkinxc",
    "xgboost",
    "scikit-learn-intelex",
    "fasttext-numpy2-wheel",
    "fasttext-wheel",
    "fasttext",
)
MEBIBYTE = 2**20


def write(findings: Findings, settings: Settings, folder: Path) -> list[Path]:
    """Write all files of a report and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in FILES]
    _write_csv(paths[0], [field.name for field in fields(Row)], (vars(row).values() for row in findings.rows))
    _write_csv(paths[1], RATIO_COLUMNS, map(_ratio_cells, findings.ratios))
    _write_csv(paths[2], SLOPE_COLUMNS, map(_slope_cells, findings.slopes))
    paths[3].write_text(json.dumps(conditions(settings), indent=1) + "\n", encoding="utf-8")
    paths[4].write_text(markdown(findings, settings), encoding="utf-8")
    return paths if draw(findings, settings, paths[5]) else paths[:5]


def conditions(settings: Settings) -> dict[str, Any]:
    """Return what was measured, when and with what."""
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "sizes": "reduced" if settings.quick else "full",
        "clock": "CPU seconds of one thread" if settings.cpu else f"wall seconds on {settings.cores} cores",
        "repeats": settings.repeats,
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


FILES = ("timings.csv", "ratios.csv", "growth.csv", "conditions.json", "report.md", "report.png")
RATIO_COLUMNS = (
    "workload", "peer", "ours", "its gap", "our gap", "times faster", "at least", "reached", "times at default tol"
)  # fmt: skip
SLOPE_COLUMNS = ("family", "dimension", "contestant", "sizes", "seconds", "slope", "at most")
ROW_COLUMNS = (
    "workload", "size", "contestant", "seconds", "least - most", "runs", "gap", "loss", "micro-F1", "P@1", "MiB",
    "at most", "note",
)  # fmt: skip


def _ratio_cells(ratio: Ratio) -> tuple[Any, ...]:
    gaps = (ratio.peer_gap, ratio.our_gap)
    return ratio.workload, ratio.peer, ratio.ours, *gaps, ratio.ratio, ratio.target, ratio.verdict, ratio.at_default


def _slope_cells(slope: Slope) -> tuple[Any, ...]:
    sizes, seconds = " ".join(map(str, slope.sizes)), " ".join(f"{value:.3g}" for value in slope.seconds)
    return slope.family, slope.dimension, slope.contestant, sizes, seconds, slope.slope, slope.target


def markdown(findings: Findings, settings: Settings) -> str:
    """Return the report as text."""
    parts = [f"# Benchmarks\n\n{_conditions(settings)}\n"]
    if findings.ratios:
        parts.append("## Speed-up over peers, at an equal or smaller optimality gap\n")
        parts.append(_table(RATIO_COLUMNS, [tuple(map(_show, _ratio_cells(ratio))) for ratio in findings.ratios]))
    if findings.slopes:
        parts.append("## Growth: seconds ~ size ** slope\n")
        parts.append(_table(SLOPE_COLUMNS, [tuple(map(_show, _slope_cells(slope))) for slope in findings.slopes]))
    if findings.rows:
        parts.append("## All measurements\n")
        parts.append(_table(ROW_COLUMNS, [_row_cells(row) for row in findings.rows]))
    if findings.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in findings.notes) + "\n")
    return "\n".join(parts)


def _conditions(settings: Settings) -> str:
    seconds = "CPU seconds of one thread" if settings.cpu else f"wall seconds on {settings.cores} cores"
    sizes = "reduced sizes; target ratios are for full sizes" if settings.quick else "full sizes"
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return (
        f"Medians of {settings.repeats} interleaved measurements, {seconds}; {sizes}. Ratios are medians over rounds.\n"
        f"Python {platform.python_version()}, {packages}; {os.cpu_count()} cores{load}.\n\n"
        "gap = (objective - optimum) / optimum in double precision, over labels that are not constant in training. Our "
        f"tolerance\nagainst a peer is the largest of {', '.join(map(str, tolerances(settings)))} with an equal or "
        f"smaller gap; {DEFAULT_TOL} is the default.\nThe gap of liblinear and LibMultiLabel includes the penalty of "
        "the intercept. MiB is the peak memory beyond the input, in one thread."
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _row_cells(row: Row) -> tuple[str, ...]:
    return (
        row.workload,
        row.size,
        row.contestant,
        _show(row.seconds),
        f"{row.low:.3g} - {row.high:.3g}" if row.runs else "",
        str(row.runs or ""),
        _show(row.gap),
        _show(row.loss),
        _show(row.micro_f1),
        _show(row.precision_at_1),
        _show(row.memory / MEBIBYTE),
        _show(row.limit / MEBIBYTE),
        row.note,
    )


def _show(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return ""
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines) + "\n"


def draw(findings: Findings, settings: Settings, path: Path) -> bool:
    """Draw ratios and growth to a file; return whether Matplotlib is installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    panels = [panel for panel, there in ((_draw_ratios, findings.ratios), (_draw_growth, findings.slopes)) if there]
    height = max(4.0, 0.2 * len(findings.ratios) + 1.5)
    figure = Figure(figsize=(10 if len(panels) < 2 else 16, height), layout="constrained")
    for panel, ax in zip(panels, figure.subplots(1, max(1, len(panels)), squeeze=False)[0], strict=False):
        panel(ax, findings)
    figure.suptitle("CPU seconds, one thread" if settings.cpu else f"Wall seconds, {settings.cores} cores")
    figure.savefig(path, dpi=120)
    return True


def _draw_ratios(ax: Any, findings: Findings) -> None:
    """Draw a bar for each speed-up and a line for its target."""
    ratios = findings.ratios[::-1]
    colours = ["C7" if r.reduced or not r.verdict else "C2" if r.verdict.startswith("yes") else "C3" for r in ratios]
    ax.barh(range(len(ratios)), [r.ratio for r in ratios], color=colours, left=0, height=0.7)
    for position, ratio in enumerate(ratios):
        ax.plot([ratio.target] * 2, [position - 0.45, position + 0.45], color="black", linewidth=2)
    ax.axvline(1, color="black", linewidth=0.5)
    ax.set_xscale("log")
    ax.set_yticks(range(len(ratios)), [f"{r.workload}: {r.ours} / {r.peer}" for r in ratios], fontsize="x-small")
    ax.set_ylim(-0.6, len(ratios) - 0.4)
    ax.set_xlabel("speed-up (black: target)")


def _draw_growth(ax: Any, findings: Findings) -> None:
    """Draw seconds against size, both relative to the smallest."""
    markers = {"n": "o", "d": "s", "L": "^"}
    names = list(dict.fromkeys((slope.family, slope.contestant) for slope in findings.slopes))
    for slope in findings.slopes:
        factors = [size / slope.sizes[0] for size in slope.sizes]
        times = [seconds / slope.seconds[0] for seconds in slope.seconds]
        label = f"{slope.family}, {slope.contestant}, {slope.dimension}: {slope.slope:.2f}"
        colour = f"C{names.index((slope.family, slope.contestant))}"
        ax.plot(factors, times, marker=markers[slope.dimension], color=colour, label=label)
    ends = ax.get_xlim()
    ax.plot([1, ends[1]], [1, ends[1]], color="black", linewidth=0.5, label="proportional")
    ax.set(xscale="log", yscale="log", xlabel="size, relative to the smallest", ylabel="seconds, relative")
    ax.legend(fontsize="x-small")
