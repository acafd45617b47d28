"""
Fits and predictions per second of several processes on the same cores
======================================================================

One, two and four processes fit, or predict, at the same time for some seconds: with the number of threads that
libraries take by default, and with one thread each. Rounds of both are interleaved, and the medians are printed. The
aims: alone the default is never slower than one thread by more than 10%; with more processes than cores it reaches 90%
of what one thread each reaches. Run it on a machine that does nothing else::

    python examples/benchmarks/busy_machine.py
    python examples/benchmarks/busy_machine.py --seconds 20 --rounds 5 --peer      # OneVsRestClassifier, too
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TASKS = {
    "fit text 1235 x 7460, 10 labels": ("text", 1235, 7460, 10, "fit"),
    "fit dense 8000 x 200, 40 labels": ("dense", 8000, 200, 40, "fit"),
    "predict_proba dense 8000 x 200, 40 labels": ("dense", 8000, 200, 40, "predict_proba"),
    "predict_proba text 1235 x 7460, 10 labels": ("text", 1235, 7460, 10, "predict_proba"),
}


def parse(arguments=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a measurement (5)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind (5)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], help="processes at once (1 2 4)")
    parser.add_argument("--peer", action="store_true", help="measure OneVsRestClassifier(LogisticRegression()), too")
    parser.add_argument("--task", help="used by the program itself: what a process does")
    return parser.parse_args(arguments)


def work(task, seconds):
    """Repeat a task for some seconds, once the other processes are ready as well, and print how often per second."""
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    from data import make_dense, make_text
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    from sk_quadrant import QuadrantMultiLabelClassifier

    kind, *shape, method, peer = json.loads(task)
    data = (make_text if kind == "text" else make_dense)(*shape)
    model = OneVsRestClassifier(LogisticRegression()) if peer else QuadrantMultiLabelClassifier()
    model.fit(data.X64, data.Y)
    run = {"fit": lambda: model.fit(data.X64, data.Y), "predict_proba": lambda: model.predict_proba(data.X64)}[method]
    run()
    print("ready", flush=True)
    sys.stdin.readline()
    start, n = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        run()
        n += 1
    print(n / (time.perf_counter() - start), flush=True)


def measure(task, n_processes, seconds, *, one_thread):
    """Return how often per second a task is done by processes that start together."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= dict.fromkeys(VARIABLES, "1") if one_thread else {}
    command = [sys.executable, __file__, "--task", json.dumps(task), "--seconds", str(seconds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    processes = [subprocess.Popen(command, **pipes) for _ in range(n_processes)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    rates = [float(process.communicate()[0]) for process in processes]
    return sum(rates)


def main(arguments=None):
    """Measure all tasks and print a table."""
    options = parse(arguments)
    if options.task:
        work(options.task, options.seconds)
        return
    print("| task | processes | default / s | one thread / s | ratio |\n|---|---|---|---|---|")
    for name, task in TASKS.items():
        for peer in (False, True) if options.peer else (False,):
            for n in options.processes:
                both = [
                    [measure([*task, peer], n, options.seconds, one_thread=one) for one in (False, True)]
                    for _ in range(options.rounds)
                ]
                default, single = (statistics.median(column) for column in zip(*both, strict=True))
                ratio = statistics.median(first / second for first, second in both)
                who = " (OneVsRest)" if peer else ""
                print(f"| {name}{who} | {n} | {default:.1f} | {single:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
