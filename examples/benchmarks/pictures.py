"""
Pictures and the table of speed of the documentation, from the results of a run
===============================================================================

Three pictures (seconds against labels, against rows, and against the distance to the optimum), and the table of all
ratios, are written from the files of `run.py`; no figure is typed by hand::

    python examples/benchmarks/run.py --full --out benchmark_results
    python examples/benchmarks/pictures.py benchmark_results --docs .docs
"""

import argparse
import csv
import json
import math
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

TITLES = {
    "tutorial-adamw": "Steps of AdamW on batches of 16",
    "minibatch-linear": "Steps of AdamW on batches of 256, linear",
    "minibatch-hidden": "Steps of AdamW on batches of 256, one hidden layer of 100",
    "tutorial": "Quadrants of the tutorial",
    "dense-50": "Dense, 50 labels",
    "dense-100": "Dense, 100 labels",
    "dense-1000": "Dense, 1000 labels",
    "text-500": "Simulated texts, 500 labels",
    "text-2000": "Simulated texts, 2000 labels",
    "text-tall": "Simulated texts, more rows than words",
    "text-wide": "Simulated texts, more words than rows",
    "zlpr-50": "ZLPR, dense, 50 labels",
    "zlpr-1000": "ZLPR, dense, 1000 labels",
    "predict 1 row": "Probabilities of one row",
    "predict many rows": "Probabilities of many rows",
    "import": "Import in a new process",
    "pickle": "New process that loads a model and predicts",
}
KINDS = {
    "zlpr-": "ZLPR",
    "hinge-": "Hinge",
    "squared-hinge-": "Squared hinge",
    "squared-error-": "Squared error",
    "raw-": "From raw texts",
}
AXES = {"n": ("rows", "benchmark_rows"), "L": ("labels", "benchmark_labels")}
FAMILIES = {"growth-dense": "dense", "growth-sparse": "sparse text", "gap-dense": "dense", "gap-sparse": "sparse text"}
OURS = "sk_quadrant"
COLOURS = {True: "C0", False: "C1"}


def parse(arguments=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder that run.py has written")
    parser.add_argument("--docs", type=Path, default=Path(".docs"), help="folder of the documentation (.docs)")
    return parser.parse_args(arguments)


def read(path):
    """Return the rows of a CSV file as dicts."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def panels(names):
    """Return a figure and its axes by name, side by side."""
    figure = Figure(figsize=(4.2 * len(names), 3.6), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for name, ax in zip(names, axes, strict=True):
        ax.set(title=FAMILIES.get(name, name), xscale="log", yscale="log", ylabel="seconds")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_formatter(NullFormatter())  # their labels overlap
        ax.grid(alpha=0.3)
    return figure, dict(zip(names, axes, strict=True))


def save(figure, path):
    """Finish and write a picture, the same bytes for the same results."""
    for ax in figure.axes:
        ax.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    return path


def draw_growth(rows, dimension, folder):
    """Draw seconds against the size of the data in one dimension."""
    what, file = AXES[dimension]
    rows = [row for row in rows if row["dimension"] == dimension]
    figure, axes = panels(list(dict.fromkeys(row["family"] for row in rows)))
    for row in rows:
        sizes, seconds = ([float(value) for value in row[name].split()] for name in ("sizes", "seconds"))
        label = f"{row['contestant']}, slope {float(row['slope']):.2f}"
        ax = axes[row["family"]]
        ax.plot(sizes, seconds, "o-", color=COLOURS[row["contestant"].startswith(OURS)], label=label)
        ax.set_xlabel(what)
    return save(figure, folder / f"{file}.svg")


def draw_gaps(rows, folder):
    """Draw seconds against the relative distance to the optimum."""
    rows = [row for row in rows if row["workload"].startswith("gap-") and float(row["gap"]) > 0]
    figure, axes = panels(list(dict.fromkeys(row["workload"] for row in rows)))
    for name, ax in axes.items():
        lines = {}
        for row in rows:
            if row["workload"] == name:
                contestant = row["contestant"].partition(" tol=")[0]
                lines.setdefault(contestant, []).append((float(row["gap"]), float(row["seconds"])))
        for contestant, points in lines.items():
            style = "s--" if contestant.endswith("float64") else "o-"
            colour = COLOURS[contestant.startswith(OURS)]
            ax.plot(*zip(*sorted(points), strict=True), style, color=colour, label=contestant)
        ax.set_xlabel("(objective - optimum) / optimum")
        ax.invert_xaxis()
    return save(figure, folder / "benchmark_gaps.svg")


def title(workload):
    """Return the words for a workload."""
    if workload in TITLES:
        return TITLES[workload]
    for prefix, kind in KINDS.items():
        if workload.startswith(prefix):
            rest = workload.removeprefix(prefix)
            return f"{kind}, {TITLES.get(rest, rest).lower()}"
    return workload


def times(value):
    """Return a ratio in two digits, empty if there is none."""
    value = float(value)
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def table_rows(ratios):
    """Return the cells of the table: a row for each workload and peer, both precisions in a cell."""
    found = {}
    for row in ratios:
        found.setdefault((row["workload"], row["peer"]), []).append(row)
    cells = []
    for (workload, peer), parts in found.items():
        ours = " / ".join(times(part["times faster"]) for part in parts)
        default = " / ".join(filter(None, (times(part["times at default tol"]) for part in parts)))
        target = next((times(part["at least"]) for part in parts if times(part["at least"])), "")
        cells.append((title(workload), peer, ours, default, target))
    return cells


def write_table(ratios, conditions, path):
    """Write the table as an include file of the documentation."""
    header = ("", "against", "times faster", "at the default ``tol``", "aim")
    packages = ", ".join(f"{name} {version}" for name, version in conditions["packages"].items())
    lines = [
        f"Measured on {conditions['date']}, {conditions['sizes']} sizes of data, {conditions['clock']}, medians of",
        f"up to {conditions['repeats']} interleaved runs; Python {conditions['python']}, {packages}.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "   :stub-columns: 1",
        "   :class: figures",
    ]
    last = None
    for cells in (header, *table_rows(ratios)):
        first = "" if cells[0] == last else cells[0]
        last = cells[0]
        lines += ["", f"   * - {first}".rstrip(), *(f"     - {cell}".rstrip() for cell in cells[1:])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main(arguments=None):
    """Write pictures and table, and print their paths."""
    options = parse(arguments)
    pictures = options.docs / "_static"
    timings, ratios, growth = (read(options.results / f"{name}.csv") for name in ("timings", "ratios", "growth"))
    conditions = json.loads((options.results / "conditions.json").read_text(encoding="utf-8"))
    written = [write_table(ratios, conditions, options.docs / "benchmarks_speed.inc")]
    written += [draw_growth(growth, dimension, pictures) for dimension in AXES if growth]
    if any(row["workload"].startswith("gap-") for row in timings):
        written.append(draw_gaps(timings, pictures))
    print(*written, sep="\n")


if __name__ == "__main__":
    main()
