"""
Speed, accuracy and memory of all workloads against all peers
=============================================================

Run every workload against every installed peer, and write tables and a figure::

    python examples/benchmarks/run.py --quick                # minutes, reduced sizes
    python examples/benchmarks/run.py --full                 # about 20 minutes on two cores, full sizes
    python examples/benchmarks/run.py --all                  # hours: also the largest data, and memory
    python examples/benchmarks/run.py --full --only dense-50 text-500 --out results
    python examples/benchmarks/run.py --quick --cpu          # CPU seconds of one thread, for a busy machine
    python examples/benchmarks/run.py --list                 # the names of the workloads

**Peers.** Always: scikit-learn's OneVsRestClassifier(LogisticRegression()) with default parameters, with tol=1e-5 and
with liblinear, LinearSVC, RidgeClassifier, MLPClassifier, torch.optim.LBFGS, and skorch. If installed:
scikit-learn-intelex, XGBoost (trees of all labels), LibMultiLabel, napkinXC and the Trainer of transformers (with
accelerate); otherwise the report lists them as missing.

**Data** are generated from fixed seeds, or read from the folder in the environment variable SK_QUADRANT_DATA. Workloads
without data are skipped and listed.

**Fairness.** Measurements of contestants are interleaved, and ratios are medians over rounds, which are stable on a
shared machine. All use the same number of cores: OneVsRest by processes of one thread, the others by threads. A first
fit warms up caches and worker processes and gives the quality; where it takes more than 6 seconds (with --all half an
hour) it is the measurement, and after 6 seconds in all a contestant is not measured again. Against each peer we use the
largest tolerance of a fixed list with an equal or smaller optimality gap. The default tolerance is always shown too.

**The optimum** is our solution in double precision with tol=1e-9, evaluated independently of the package and checked
on some labels by scikit-learn's newton-cholesky (newton-cg with many features, SciPy for ZLPR).

**Memory** is the peak beyond the input, in a separate process. **Growth** in rows (n), features (d) and labels (L) is
the slope of log(seconds) against log(size).

Output folder: report.md (everything), conditions.json, timings.csv, ratios.csv, growth.csv, report.png, written after
each workload. `pictures.py` draws the pictures and writes the table of the documentation from these files.

Modules: `workloads.py` lists the workloads, `data.py` makes data, `peers.py` fits each contestant, `objectives.py`
evaluates fits, `experiments.py` runs comparisons, `measuring.py` measures time and memory, `report.py` writes.
"""

import argparse
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def parse(arguments=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="reduced sizes, 3 repetitions (the default)")
    size.add_argument("--full", action="store_true", help="full sizes, 5 repetitions, fewer of slow contestants")
    size.add_argument("--all", action="store_true", help="also the largest data, all repetitions and memory")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="workloads to run")
    parser.add_argument("--out", type=Path, default=Path("benchmark_results"), help="folder of the report")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of one thread")
    parser.add_argument("--repeats", type=int, help="measurements of each contestant")
    parser.add_argument("--cores", type=int, default=2, help="cores for each contestant (2)")
    parser.add_argument("--device", default="cpu", help="additional device of our classifier, such as cuda")
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads")
    return parser.parse_args(arguments)


def prepare(options):
    """Set the number of threads before NumPy is imported, and make the package and these modules importable."""
    threads = "1" if options.cpu else str(options.cores)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads
    if hasattr(os, "sched_setaffinity") and not options.cpu:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.path[:0] = [str(HERE)] if str(HERE) not in sys.path else []
    try:
        import sk_quadrant  # noqa: F401
    except ImportError:
        sys.path.append(str(HERE.parents[1]))


def main(arguments=None):
    """Run the workloads, update the report after each, and print it."""
    options = parse(arguments)
    prepare(options)
    from data import AbsentError
    from experiments import Findings
    from measuring import Settings
    from report import write
    from workloads import by_name

    settings = Settings(
        quick=not (options.full or options.all),
        thorough=options.all,
        cpu=options.cpu,
        repeats=options.repeats or (5 if options.full or options.all else 3),
        patience=1800.0 if options.all else 6.0,
        cores=options.cores,
        device=options.device,
        memory=not (options.no_memory or options.full),
    )
    workloads = by_name(settings)
    if options.list:
        print("\n".join(workloads))
        return
    unknown = sorted(set(options.only or ()) - set(workloads))
    if unknown:
        sys.exit(f"--only takes names of workloads, got {', '.join(unknown)}. Known: {', '.join(workloads)}.")
    findings = Findings()
    for name in options.only or workloads:
        start = time.perf_counter()
        try:
            findings.extend(workloads[name].run(settings))
        except AbsentError as reason:
            findings.notes.append(f"{name}: skipped, {reason}.")
        except Exception as error:  # one contestant must not end a run of many
            findings.notes.append(f"{name}: failed, {type(error).__name__}: {error}.")
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        paths = write(findings, settings, options.out)
    print((options.out / "report.md").read_text(encoding="utf-8"))
    print("Written:", *paths)


if __name__ == "__main__":
    main()
