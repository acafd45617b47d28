"""Experiments: fits to an optimum, mini-batch steps, predictions, new processes, and growth."""

from __future__ import annotations

import pickle
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from data import AbsentError, Data
from measuring import (
    Call,
    Settings,
    Timing,
    import_seconds,
    interleave,
    memory_of,
    process_seconds,
    save,
    temporary_folder,
)
from objectives import Optimum, mean_loss, micro_f1
from peers import Contestant, Spec, build, counted_products, silenced, threads
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

TOLERANCES = (1e-1, 5e-2, 2e-2, 1e-2, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4)
DEFAULT_TOL = 5e-4
LONGEST_FOR_MEMORY = 120.0  # seconds: memory needs another fit, in one thread
SMALLEST_GAP = 1e-12  # a smaller gap is rounding error
MISSING = float("nan")


@dataclass(frozen=True)
class Row:
    """Result of one contestant on one workload; NaN if not measured.

    Attributes
    ----------
    seconds, low, high : float
        Median, minimum and maximum.
    runs : int
    gap : float
        (objective - optimum) / optimum, in double precision.
    loss : float
        Mean training loss, for mini-batch steps.
    micro_f1, precision_at_1 : float
        On the test part; the second from raw texts only.
    memory, limit : float
        Peak bytes beyond the input, and their target.
    """

    workload: str
    size: str
    contestant: str
    seconds: float = MISSING
    low: float = MISSING
    high: float = MISSING
    runs: int = 0
    gap: float = MISSING
    loss: float = MISSING
    micro_f1: float = MISSING
    precision_at_1: float = MISSING
    memory: float = MISSING
    limit: float = MISSING
    note: str = ""


@dataclass(frozen=True)
class Ratio:
    """Speed-up over a peer.

    Attributes
    ----------
    target : float
        Smallest ratio to reach, at the full size.
    at_default : float
        Ratio at our default tolerance.
    peer_gap, our_gap : float
        NaN if a gap has no meaning.
    reduced : bool
        Whether the size is not the full one.
    """

    workload: str
    peer: str
    ours: str
    ratio: float
    target: float
    at_default: float = MISSING
    peer_gap: float = MISSING
    our_gap: float = MISSING
    reduced: bool = False

    @property
    def as_accurate(self) -> bool:
        """Whether our gap is equal or smaller, or unknown."""
        return not self.our_gap > max(self.peer_gap, SMALLEST_GAP)

    @property
    def verdict(self) -> str:
        """Whether the target is reached."""
        if np.isnan(self.target):
            return ""
        reached = "yes" if self.ratio >= self.target and self.as_accurate else "no"
        return reached + (" (reduced size)" if self.reduced else "") + ("" if self.as_accurate else " (less accurate)")


@dataclass(frozen=True)
class Slope:
    """Growth of seconds with one dimension of the data: seconds ~ size ** slope."""

    family: str
    dimension: str
    contestant: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    target: float = MISSING

    @property
    def slope(self) -> float:
        """Fitted exponent."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])


@dataclass
class Findings:
    """Results of experiments."""

    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    slopes: list[Slope] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def extend(self, other: Findings) -> None:
        """Add other findings."""
        for name, part in vars(self).items():
            part.extend(getattr(other, name))


@dataclass(frozen=True)
class Target:
    """Smallest speed-up to reach over a peer."""

    peer: str
    ratio: float
    dtype: str = "float32"


class Experiment(ABC):
    """Workload with a name."""

    name: str

    @abstractmethod
    def run(self, settings: Settings) -> Findings:
        """Return the results."""


def tolerances(settings: Settings) -> tuple[float, ...]:
    """Return the tolerances of our solver, largest first."""
    return TOLERANCES[:: 1 if settings.thorough else 3]


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings and output."""
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        yield


def timed_row(row: Row, timing: Timing) -> Row:
    """Return a row with its seconds."""
    seconds = timing.seconds
    return replace(row, seconds=timing.median, low=min(seconds), high=max(seconds), runs=len(seconds))


@dataclass
class Entry:
    """Contestant, the quality of its fit, and the seconds of the first fit."""

    spec: Spec
    contestant: Contestant
    row: Row
    seconds: float = 0.0

    def call(self, data: Data, settings: Settings) -> Call:
        """Return the fit as a call to measure."""
        cores = 1 if settings.cpu else settings.cores
        return Call(lambda: self.contestant.fit(data, cores), lambda: self._context(cores))

    @contextmanager
    def _context(self, cores: int) -> Iterator[None]:
        with self.contestant.limited(cores), quiet():
            yield


class Comparison(Experiment):
    """Interleaved fits of contestants.

    Parameters
    ----------
    name : str
    data : callable
        Settings -> Data.
    peers : tuple of Spec
    targets : tuple of Target
    reducible : bool
        Whether a quick run has a smaller size.
    """

    def __init__(
        self,
        name: str,
        data: Callable[[Settings], Data],
        peers: tuple[Spec, ...],
        targets: tuple[Target, ...],
        *,
        reducible: bool = True,
    ) -> None:
        self.name, self.make, self.peers, self.targets, self.reducible = name, data, peers, targets, reducible

    def run(self, settings: Settings) -> Findings:
        """Return rows of all contestants, and our speed-up over peers."""
        self.settings, self.findings = settings, Findings()
        self.data = self.make(settings)
        self.entries: dict[str, Entry] = {}
        self.begin()
        for spec in self.peers:
            self.enter(spec)
        self.enter_ours()
        calls = {name: entry.call(self.data, settings) for name, entry in self.entries.items()}
        timings = interleave(calls, settings, {name: entry.seconds for name, entry in self.entries.items()})
        self.findings.rows[:0] = [self.finished(entry, timings[name]) for name, entry in self.entries.items()]
        self.compare(timings)
        return self.findings

    def begin(self) -> None:
        """Prepare the evaluation of fits."""

    @abstractmethod
    def enter_ours(self) -> None:
        """Enter our contestants, after the peers."""

    @abstractmethod
    def judge(self, contestant: Contestant, model: Any) -> dict[str, float]:
        """Return the quality of a fit, as fields of a row."""

    @abstractmethod
    def compare(self, timings: dict[str, Timing]) -> None:
        """Add ratios to the findings."""

    def enter(self, spec: Spec) -> Entry | None:
        """Fit once, untimed, and enter the contestant; on failure add a row with the reason and return None."""
        cores = 1 if self.settings.cpu else self.settings.cores
        kind = spec[1].get("name") or spec[0]
        try:
            contestant = build(spec)
            if contestant.name in self.entries:
                return self.entries[contestant.name]
            with contestant.limited(cores), quiet():
                contestant.fit(self.data.head(200), cores)
                start = self.settings.clock()
                model = contestant.fit(self.data, cores)
                seconds = self.settings.clock() - start
            row = Row(self.name, self.data.size, contestant.name, **self.judge(contestant, model))
        except AbsentError as reason:
            self.findings.rows.append(Row(self.name, self.data.size, kind, note=f"missing: {reason}"))
            return None
        except Exception as error:
            note = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            self.findings.rows.append(Row(self.name, self.data.size, kind, note=note))
            return None
        entry = self.entries[contestant.name] = Entry(spec, contestant, row, seconds)
        return entry

    def finished(self, entry: Entry, timing: Timing) -> Row:
        """Return the row of an entry with its seconds."""
        return timed_row(entry.row, timing)

    def target(self, peer: str, dtype: str = "float32") -> float:
        """Return the target ratio against a peer, NaN if there is none."""
        return next((t.ratio for t in self.targets if t.peer == peer and t.dtype == dtype), MISSING)

    def add_ratio(
        self, peer: str, ours: str, timings: dict[str, Timing], target: float, default: str | None = None
    ) -> None:
        """Add the speed-up over a peer, and that of the contestant `default`."""
        peer_gap, gap = (self.entries[name].row.gap for name in (peer, ours))
        at_default = timings[default].faster_than(timings[peer]) if default else MISSING
        ratio, reduced = timings[ours].faster_than(timings[peer]), self.settings.quick and self.reducible
        self.findings.ratios.append(
            Ratio(self.name, peer, ours, ratio, target, at_default, peer_gap, gap, reduced=reduced)
        )


class Match(NamedTuple):
    """Peer, our contestant, target ratio, and our contestant at the default tolerance."""

    peer: Entry
    ours: Entry
    target: float
    default: Entry | None = None


class FitComparison(Comparison):
    """Fits to the optimum of the penalised loss, at an equal or smaller gap than that of the peer.

    Parameters
    ----------
    loss : {"bce_with_logits", "zlpr"}
    products : bool
        Whether to compare with the matrix products alone.
    dtypes : tuple of str
        Precisions of our contestants.
    quick_memory : bool
        Whether a quick run also measures memory, which needs a process per contestant.
    """

    def __init__(
        self,
        name: str,
        data: Callable[[Settings], Data],
        peers: tuple[Spec, ...],
        targets: tuple[Target, ...] = (),
        *,
        loss: str = "bce_with_logits",
        products: bool = False,
        dtypes: tuple[str, ...] = ("float32", "float64"),
        reducible: bool = True,
        quick_memory: bool = False,
    ) -> None:
        super().__init__(name, data, peers, targets, reducible=reducible)
        self.quick_memory = quick_memory
        self.loss, self.products, self.dtypes = loss, products, dtypes

    def begin(self) -> None:
        """Find the optimum."""
        with threads(1 if self.settings.cpu else self.settings.cores):
            self.optimum = Optimum(self.data, self.loss)
        self.findings.notes.append(f"{self.name}: {self.optimum.check}.")

    def judge(self, contestant: Contestant, model: Any) -> dict[str, float]:
        """Return gap and micro-F1."""
        weights = contestant.weights(model, self.data)
        found = {} if weights is None else {"gap": self.optimum.gap(*weights)}
        predicted = contestant.predicted(model, self.data)
        return found if predicted is None else found | {"micro_f1": micro_f1(self.data.Y_test, predicted)}

    def enter_ours(self) -> None:
        """Enter our solver for each precision, at the default tolerance and at the accuracy of each peer."""
        self.matches: list[Match] = []
        peers = list(self.entries.values())
        for dtype in self.dtypes:
            default = self._ours(dtype, DEFAULT_TOL)
            if default is None:
                continue
            for peer in peers:
                target = self.target(peer.contestant.name, dtype)
                self.matches.append(Match(peer, self._match(dtype, peer.row.gap), target, default))
            if self.products:
                self._enter_products(default, dtype)
            if self.settings.device != "cpu" and dtype == "float32":
                device = self._ours(dtype, DEFAULT_TOL, device=self.settings.device)
                if device is not None:
                    self.matches.append(Match(default, device, self.target("device")))

    def _ours(self, dtype: str, tol: float, **options: Any) -> Entry | None:
        loss = {} if self.loss == "bce_with_logits" else {"loss": self.loss}
        return self.enter(("sk_quadrant", {"dtype": dtype, "tol": tol, **loss, **options}))

    def _match(self, dtype: str, gap: float) -> Entry:
        """Return ours with the largest tolerance that reaches the gap of a peer, the default if that is NaN."""
        kept = set(self.entries)
        for tol in tolerances(self.settings) if gap == gap else (DEFAULT_TOL,):
            entry = self._ours(dtype, tol)
            assert entry is not None
            if tol == DEFAULT_TOL or entry.row.gap <= max(gap, SMALLEST_GAP):
                break
            if entry.contestant.name not in kept:
                del self.entries[entry.contestant.name]
        return entry

    def _enter_products(self, default: Entry, dtype: str) -> None:
        with quiet(), counted_products(self.data.Y.shape[1]) as pairs, threads(1):
            default.contestant.fit(self.data, 1)
        default.row = replace(default.row, note=f"{pairs[0]:.1f} pairs of products")
        products = self.enter(("products_alone", {"pairs": max(1, int(pairs[0])), "dtype": dtype}))
        if products is not None:
            self.matches.append(Match(products, default, self.target("products", "products")))

    def compare(self, timings: dict[str, Timing]) -> None:
        """Add ratios at equal accuracy and at our default tolerance."""
        for peer, ours, target, default in self.matches:
            name = None if default is None else default.contestant.name
            self.add_ratio(peer.contestant.name, ours.contestant.name, timings, target, name)

    def finished(self, entry: Entry, timing: Timing) -> Row:
        """Return the row of an entry with its seconds and its memory."""
        row = super().finished(entry, timing)
        kind, options = entry.spec
        ours = kind == "sk_quadrant" and options.get("tol") == DEFAULT_TOL and "device" not in options
        wanted = ours or kind not in ("sk_quadrant", "products_alone")
        if self.settings.quick:
            wanted = ours and self.quick_memory
        if not (self.settings.memory and wanted and timing.median < LONGEST_FOR_MEMORY):
            return row
        with temporary_folder() as folder:
            save(self.data, Path(folder))
            memory = memory_of(entry.spec, Path(folder))
        limit = self._limit(options["dtype"]) if ours else MISSING
        return replace(row, memory=MISSING if memory is None else memory, limit=limit)

    def _limit(self, dtype: str) -> float:
        """Return the memory target: half the input plus twelve copies of the weights of a block of labels, in bytes."""
        from sk_quadrant._solvers.full_batch.solve import labels_per_block

        X, Y = self.data.features(dtype), self.data.Y
        n_rows, n_columns = X.shape[0], X.shape[1] + 1
        labels = min(Y.shape[1], labels_per_block(n_rows, n_columns, sparse=sparse.issparse(X)))
        input_bytes = Y.nbytes
        if sparse.issparse(X):
            input_bytes += X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
        else:
            input_bytes += X.nbytes
        return 0.5 * input_bytes + 12.0 * labels * n_columns * np.dtype(dtype).itemsize


class GapCurve(FitComparison):
    """Seconds against the gap: several tolerances of each contestant; there are no ratios."""

    ours = (1e-1, 1e-2, 1e-3, 1e-4)

    def enter_ours(self) -> None:
        """Enter our solver at several tolerances."""
        self.matches = []
        for dtype in self.dtypes:
            for tol in self.ours:
                self._ours(dtype, tol)


class LossComparison(FitComparison):
    """A set-wise loss against our binary cross-entropy, and against peers at their gap."""

    baseline = "sk_quadrant bce_with_logits"

    def judge(self, contestant: Contestant, model: Any) -> dict[str, float]:
        """Return gap and micro-F1; binary cross-entropy has another optimum and no gap."""
        found = super().judge(contestant, model)
        return found | {"gap": MISSING} if contestant.name.startswith(self.baseline) else found

    def enter_ours(self) -> None:
        """Enter the loss and binary cross-entropy, both at the default tolerance."""
        super().enter_ours()
        for dtype in self.dtypes:
            name = f"{self.baseline} {dtype}"
            baseline = self.enter(("sk_quadrant", {"dtype": dtype, "tol": DEFAULT_TOL, "name": name}))
            ours = self._ours(dtype, DEFAULT_TOL)
            if baseline is not None and ours is not None:
                self.matches.append(Match(baseline, ours, self.target("bce_with_logits")))


class RawTexts(Comparison):
    """From texts to a fitted model, features included, with the precision of the most probable label."""

    def begin(self) -> None:
        """Refuse data without texts."""
        if self.data.texts is None:
            raise AbsentError("these data have no texts")

    def enter_ours(self) -> None:
        """Enter a pipeline of scikit-learn's features and our classifier."""
        self.own = self.enter(("own_pipeline", {}))

    def judge(self, contestant: Contestant, model: Any) -> dict[str, float]:
        """Return the precision of the first label."""
        best = contestant.predicted(model, self.data)
        return {"precision_at_1": float(np.take_along_axis(self.data.Y_test, best[:, None], 1).mean())}

    def compare(self, timings: dict[str, Timing]) -> None:
        """Add the ratios."""
        if self.own is not None:
            own = self.own.contestant.name
            for peer in timings:
                if peer != own:
                    self.add_ratio(peer, own, timings, self.target(peer))


class StepComparison(Comparison):
    """Training with the same number of mini-batch steps.

    Parameters
    ----------
    peers : callable
        Settings -> tuple of Spec.
    ours : callable
        Settings -> Spec.
    """

    def __init__(
        self,
        name: str,
        data: Callable[[Settings], Data],
        peers: Callable[[Settings], tuple[Spec, ...]],
        ours: Callable[[Settings], Spec],
        targets: tuple[Target, ...],
    ) -> None:
        super().__init__(name, data, (), targets)
        self.peers_of, self.ours = peers, ours

    def begin(self) -> None:
        """Set the number of steps."""
        self.peers = self.peers_of(self.settings)

    def enter_ours(self) -> None:
        """Enter our mini-batch solver."""
        self.own = self.enter(self.ours(self.settings))

    def judge(self, contestant: Contestant, model: Any) -> dict[str, float]:
        """Return mean training loss and micro-F1."""
        found = {}
        weights = contestant.weights(model, self.data)
        if weights is not None:
            found["loss"] = mean_loss(self.data, self.data.X @ weights[0].T + weights[1])
        predicted = contestant.predicted(model, self.data)
        return found if predicted is None else found | {"micro_f1": micro_f1(self.data.Y_test, predicted)}

    def compare(self, timings: dict[str, Timing]) -> None:
        """Add the ratios."""
        own = None if self.own is None else self.own.contestant.name
        for peer in timings:
            if own is not None and peer != own:
                self.add_ratio(peer, own, timings, self.target(peer))


class Prediction(Experiment):
    """Seconds of `predict_proba` for one row and for many, with 200 features and 50 labels."""

    name = "predict"
    targets = (("1 row", "OneVsRest", 50.0), ("many rows", "OneVsRest", 15.0), ("many rows", "skorch", 30.0))

    def run(self, settings: Settings) -> Findings:
        """Return seconds for a call of `predict_proba`."""
        from data import make_dense

        n_rows = settings.pick(10_000, 100_000)
        data = make_dense(2000, 200, 50)
        many = np.resize(data.X, (n_rows, 200))
        models = self._models(data)
        findings = Findings()
        cores = 1 if settings.cpu else settings.cores
        for what, X in (("1 row", many[:1]), ("many rows", many)):
            features = {"float32": X, "float64": X.astype(np.float64)}
            calls = {
                name: Call(lambda model=model, X=features[dtype]: model.predict_proba(X), lambda: threads(cores))
                for name, (model, dtype) in models.items()
            }
            timings = interleave(calls, settings)
            size = f"{len(X)} x 200 x 50"
            findings.rows += [timed_row(Row(f"predict {what}", size, name), timings[name]) for name in calls]
            for where, peer, target in self.targets:
                if where == what:
                    own = "sk_quadrant float32" if peer == "skorch" else "sk_quadrant float64"
                    ratio = timings[own].faster_than(timings[peer])
                    findings.ratios.append(
                        Ratio(f"predict {what}", peer, own, ratio, target, reduced=settings.quick and what != "1 row")
                    )
        return findings

    @staticmethod
    def _models(data: Data) -> dict[str, tuple[Any, str]]:
        import torch
        from skorch import NeuralNet

        from sk_quadrant import QuadrantMultiLabelClassifier

        with quiet():
            net = NeuralNet(
                torch.nn.Linear(200, 50),
                criterion=torch.nn.BCEWithLogitsLoss,
                predict_nonlinearity=torch.sigmoid,
                train_split=None,
                max_epochs=1,
                verbose=0,
            ).fit(data.X, data.Y.astype(np.float32))
            return {
                "sk_quadrant float32": (QuadrantMultiLabelClassifier().fit(data.X, data.Y), "float32"),
                "sk_quadrant float64": (QuadrantMultiLabelClassifier().fit(data.X64, data.Y), "float64"),
                "OneVsRest": (OneVsRestClassifier(LogisticRegression()).fit(data.X64, data.Y), "float64"),
                "skorch": (net, "float32"),
            }


class Imports(Experiment):
    """Seconds of imports in new processes."""

    name = "import"
    statements = (
        "import sklearn",
        "import sk_quadrant",
        "from sklearn.linear_model import LogisticRegression",
        "from sk_quadrant import QuadrantMultiLabelClassifier",
        "import torch",
        "import skorch",
    )
    targets = (
        ("import sklearn", "import sk_quadrant", 1 / 1.1),
        (
            "from sklearn.linear_model import LogisticRegression",
            "from sk_quadrant import QuadrantMultiLabelClassifier",
            MISSING,
        ),
    )

    def run(self, settings: Settings) -> Findings:
        """Return interleaved measurements of each import."""
        return _fresh(
            self.name,
            {text: lambda text=text: import_seconds(text, settings) for text in self.statements},
            self.targets,
            settings,
        )


class StartUp(Experiment):
    """Seconds of a new process that loads a pickled linear model and predicts one row."""

    name = "pickle"

    def run(self, settings: Settings) -> Findings:
        """Return interleaved measurements of each model."""
        from data import make_dense

        from sk_quadrant import QuadrantMultiLabelClassifier

        data = make_dense(1000, 20, 5)
        models = {
            "sk_quadrant": QuadrantMultiLabelClassifier().fit(data.X64, data.Y),
            "LogisticRegression": LogisticRegression().fit(data.X64, data.Y[:, 0]),
            "OneVsRest": OneVsRestClassifier(LogisticRegression()).fit(data.X64, data.Y),
        }
        code = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb')).predict([[0.0] * 20])"
        with temporary_folder() as folder:
            paths = {name: Path(folder) / f"{name}.pkl" for name in models}
            for name, model in models.items():
                paths[name].write_bytes(pickle.dumps(model))
            measured = {
                name: lambda path=path: process_seconds(["-c", code, str(path)], settings)
                for name, path in paths.items()
            }
            targets = (("LogisticRegression", "sk_quadrant", 1 / 1.5), ("OneVsRest", "sk_quadrant", MISSING))
            return _fresh(self.name, measured, targets, settings)


def _fresh(
    workload: str,
    measured: dict[str, Callable[[], float]],
    targets: tuple[tuple[str, str, float], ...],
    settings: Settings,
) -> Findings:
    """Return the findings of functions that return their seconds, in interleaved calls."""
    timings = {name: Timing([]) for name in measured}
    for turn in range(settings.repeats + 1):
        for name, function in measured.items():
            seconds = function()
            if turn:  # the first round fills file caches
                timings[name].seconds.append(seconds)
    rows = [timed_row(Row(workload, "", name), timing) for name, timing in timings.items()]
    ratios = [
        Ratio(workload, peer, ours, timings[ours].faster_than(timings[peer]), target) for peer, ours, target in targets
    ]
    return Findings(rows=rows, ratios=ratios)


class Growth(Experiment):
    """Growth of seconds with rows, features and labels, one at a time.

    Parameters
    ----------
    name : str
    make : callable
        Rows, features, labels -> Data.
    base : callable
        Settings -> smallest rows, features and labels.
    """

    def __init__(
        self, name: str, make: Callable[[int, int, int], Data], base: Callable[[Settings], tuple[int, int, int]]
    ) -> None:
        self.name, self.make, self.base = name, make, base

    def run(self, settings: Settings) -> Findings:
        """Return fitted exponents for ours and OneVsRest, at default tolerances."""
        base = self.base(settings)
        factors = (1, 2, 4) if settings.quick else (1, 2, 4, 8, 16)
        specs: dict[str, Spec] = {
            "sk_quadrant float32": ("sk_quadrant", {}),
            "OneVsRest": ("one_vs_rest", {"name": "OneVsRest"}),
        }
        sizes = {k: [tuple(b * f if j == k else b for j, b in enumerate(base)) for f in factors] for k in range(3)}
        data = {size: self.make(*size) for group in sizes.values() for size in group}
        calls, n_calls = {}, 1 if settings.cpu else settings.cores
        for name, spec in specs.items():
            contestant = build(spec)
            for size, part in data.items():
                entry = Entry(spec, contestant, Row(self.name, part.size, name))
                with contestant.limited(n_calls), quiet():
                    contestant.fit(part.head(200), n_calls)
                calls[name, size] = entry.call(part, settings)
        timings = interleave(calls, settings)  # type: ignore[arg-type]
        slopes = [
            Slope(
                self.name,
                "ndL"[k],
                name,
                tuple(size[k] for size in group),
                tuple(timings[name, size].median for size in group),  # type: ignore[index]
                1.0 if name.startswith("sk_quadrant") and k != 1 else MISSING,
            )
            for name in specs
            for k, group in sizes.items()
        ]
        return Findings(slopes=slopes)
