"""Table of workloads: data, peers and target ratios."""

from __future__ import annotations

from collections.abc import Callable

from data import Data, make_dense, make_text, make_tutorial, read_real
from experiments import (
    Comparison,
    Experiment,
    FitComparison,
    GapCurve,
    Growth,
    Imports,
    LossComparison,
    Prediction,
    RawTexts,
    StartUp,
    StepComparison,
    Target,
)
from measuring import Settings
from peers import Spec

OVR: Spec = ("one_vs_rest", {"name": "OneVsRest"})
OVR_FLOAT32: Spec = ("one_vs_rest", {"name": "OneVsRest float32", "dtype": "float32"})
OVR_EXACT: Spec = ("one_vs_rest", {"name": "OneVsRest tol=1e-5", "tol": 1e-5, "max_iter": 1000})
OVR_LIBLINEAR: Spec = ("one_vs_rest", {"name": "OneVsRest liblinear", "solver": "liblinear"})
OVR_SERIAL: Spec = ("one_vs_rest", {"name": "OneVsRest", "parallel": False})
OVR_DUAL: Spec = (
    "one_vs_rest",
    {"name": "OneVsRest liblinear dual", "solver": "liblinear", "dual": True, "parallel": False, "max_iter": 1000},
)
MLP: Spec = ("mlp_classifier", {"name": "MLPClassifier lbfgs", "solver": "lbfgs", "alpha": 1.0, "max_iter": 1000})
LIB_MULTI_LABEL: Spec = ("lib_multi_label", {"name": "LibMultiLabel"})
NAPKIN_XC: Spec = ("napkin_xc", {"name": "napkinXC"})
SKORCH_ZLPR: Spec = ("skorch_lbfgs_zlpr", {"name": "skorch, torch LBFGS"})
TORCH_LBFGS: Spec = ("torch_lbfgs", {"name": "torch LBFGS"})
RIDGE: Spec = ("ridge_classifier", {"name": "RidgeClassifier"})
INTELEX: Spec = ("sklearn_intelex", {"name": "OneVsRest intelex"})
XGBOOST: Spec = ("xgboost_trees", {"name": "XGBoost multi_output_tree"})
FAST_TEXT: Spec = ("fast_text", {"name": "fastText ova"})
TEXT = (OVR, LIB_MULTI_LABEL, NAPKIN_XC)
ALSO: tuple[Spec, ...] = (OVR_EXACT, OVR_LIBLINEAR)  # other options of the same, which take long

REAL_TEXTS = {"bibtex": 8.0, "reuters21578": 10.0, "ewaste_patents": 10.0, "uspto_sections_2021w01": 10.0}
CURVE: tuple[Spec, ...] = tuple(
    ("one_vs_rest", {"name": f"OneVsRest tol={tol:g}", "tol": tol, "max_iter": 1000})
    for tol in (1e-2, 1e-3, 1e-4, 1e-5)
)

Sizes = tuple[int, int, int]
DENSE: dict[str, tuple[Sizes, Sizes]] = {  # quick, full: rows, features, labels
    "50": ((4000, 100, 15), (20_000, 200, 50)),
    "100": ((5000, 150, 15), (50_000, 500, 100)),
    "1000": ((1000, 50, 150), (5000, 100, 1000)),
}


def dense(key: str) -> Callable[[Settings], Data]:
    """Return a function: settings -> dense data."""
    return lambda settings: make_dense(*settings.pick(*DENSE[key]))


def text(n_labels: int) -> Callable[[Settings], Data]:
    """Return a function: settings -> texts with a number of labels."""
    return lambda settings: make_text(*settings.pick((2000, 5000, n_labels // 20), (20_000, 50_000, n_labels)))


def wide(settings: Settings) -> Data:
    """Return texts with far more words than rows."""
    return make_text(*settings.pick((500, 8000, 10), (3000, 47_000, 100)))


def tall(settings: Settings) -> Data:
    """Return texts with far fewer words than rows, and many labels."""
    return make_text(*settings.pick((1000, 100, 20), (6000, 600, 274)))


def real(name: str, n_rows: int = 10**9, n_labels: int = 10**9) -> Callable[[Settings], Data]:
    """Return a function: settings -> real data set, with fewer rows and labels in a quick run."""

    def read(settings: Settings) -> Data:
        data = read_real(name)
        return data.head(n_rows).frequent(n_labels) if settings.quick else data

    return read


def fit_dense(
    settings: Settings, key: str, single: float, double: float, exact: tuple[float, float] | None
) -> Comparison:
    """Return the comparison of fits on dense data, with target ratios."""
    targets = [Target("OneVsRest", single), Target("OneVsRest", double, "float64")]
    if exact is not None:
        targets += [Target("OneVsRest tol=1e-5", exact[0]), Target("OneVsRest tol=1e-5", exact[1], "float64")]
        targets += [Target("products", 1 / 1.6, "products")]
    peers = (OVR, OVR_FLOAT32, *ALSO, MLP) if settings.thorough else (OVR, OVR_EXACT)
    if key == "50":
        peers += (TORCH_LBFGS, INTELEX)
    options = {"products": exact is not None, "quick_memory": key == "50"}
    return FitComparison(f"dense-{key}", dense(key), peers, tuple(targets), **options)


def fit_real_text(name: str, ratio: float, peers: tuple[Spec, ...]) -> Comparison:
    """Return the comparison of fits on real texts, with the target ratio against OneVsRest."""
    targets = (Target("OneVsRest", ratio), Target("LibMultiLabel", 5.0))
    return FitComparison(name, real(name, n_labels=15), peers, targets)


def small(name: str, data: Callable[[Settings], Data], ratio: float) -> Comparison:
    """Return the comparison of fits on data that are too small for parallel OneVsRest."""
    return FitComparison(name, data, (OVR_SERIAL, XGBOOST), (Target("OneVsRest", ratio),), reducible=False)


def fit_hinge(loss: str, name: str, data: Callable[[Settings], Data], ratio: float) -> Comparison:
    """Return the comparison of a hinge loss with LinearSVC."""
    peer: Spec = ("linear_svc", {"name": "LinearSVC", "loss": loss})
    targets = (Target("LinearSVC", ratio), Target("LinearSVC", ratio, "float64"))
    return FitComparison(f"{loss.replace('_', '-')}-{name}", data, (peer,), targets, loss=loss)


def fit_squared_error(name: str, data: Callable[[Settings], Data]) -> Comparison:
    """Return the comparison of the squared error with RidgeClassifier."""
    targets = (Target("RidgeClassifier", 1 / 1.2, "float64"),)
    return FitComparison(f"squared-error-{name}", data, (RIDGE,), targets, loss="squared_error", dtypes=("float64",))


def fit_zlpr(key: str) -> Comparison:
    """Return the comparison for ZLPR on dense data."""
    targets = (Target("bce_with_logits", 1 / 3), Target("skorch, torch LBFGS", 20.0))
    return LossComparison(f"zlpr-{key}", dense(key), (SKORCH_ZLPR,), targets, loss="zlpr")


def tutorial_peers(settings: Settings) -> tuple[Spec, ...]:
    """Return the peers of the tutorial: AdamW, batches of 16, warm-up and cosine schedule."""
    steps = {"batch_size": 16, "epochs": settings.pick(2, 30), "rate": 5e-3}
    mlp = {"batch_size": 16, "max_iter": steps["epochs"], "learning_rate_init": 5e-3, "alpha": 0.0, "tol": 0.0}
    return (
        ("hugging_face_trainer", steps),
        ("plain_skorch", {**steps, "cosine": True}),
        ("mlp_classifier", {**mlp, "n_iter_no_change": 1000}),
    )


def own_steps(batch_size: int, epochs: int, rate: float, **options: object) -> Spec:
    """Return our mini-batch solver for a fixed number of epochs."""
    steps = {"batch_size": batch_size, "max_iter": epochs, "learning_rate_init": rate}
    return ("sk_quadrant", {"name": "sk_quadrant", "solver": "adamw", **steps, **ENDLESS, **options})


ENDLESS = {"C": float("inf"), "tol": 0.0, "n_iter_no_change": 1000}


def tutorial_steps() -> Comparison:
    """Return the comparison of the 6000 steps of the tutorial."""
    targets = (Target("Hugging Face Trainer", 40.0), Target("skorch as it comes", 20.0), Target("MLPClassifier", 5.0))
    return StepComparison(
        "tutorial-adamw",
        lambda settings: make_tutorial().head(3200),
        tutorial_peers,
        lambda settings: own_steps(16, settings.pick(2, 30), 5e-3, learning_rate="cosine", warmup_fraction=0.1),
        targets,
    )


def mini_batch(name: str, hidden: int | None, target: float) -> Comparison:
    """Return the comparison of mini-batch training on dense data, with or without a hidden layer."""
    layers = {} if hidden is None else {"hidden_layer_sizes": (hidden,)}
    sizes = ((5000, 200, 50), (20_000, 200, 50))

    def peers(settings: Settings) -> tuple[Spec, ...]:
        epochs = settings.pick(2, 5)
        return (("plain_skorch", {"batch_size": 256, "epochs": epochs, "rate": 5e-3, "hidden": hidden}),)

    return StepComparison(
        name,
        lambda settings: make_dense(*settings.pick(*sizes)),
        peers,
        lambda settings: own_steps(256, settings.pick(2, 5), 5e-3, **layers),
        (Target("skorch as it comes", target),),
    )


def huge(settings: Settings) -> Data:
    """Return dense data for a GPU."""
    return make_dense(*settings.pick((20_000, 200, 200), (200_000, 1000, 1000)))


def by_name(settings: Settings) -> dict[str, Experiment]:
    """Return all workloads, the largest only for a GPU."""
    experiments: list[Experiment] = [
        tutorial_steps(),
        mini_batch("minibatch-linear", None, 5.0),
        mini_batch("minibatch-hidden", 100, 3.5),
        small("tutorial", lambda _: make_tutorial(), 0.5),
        fit_dense(settings, "50", 50.0, 25.0, (120.0, 60.0)),
        fit_dense(settings, "1000", 30.0, 15.0, None),
    ]
    text_peers = (*TEXT, *ALSO) if settings.thorough else TEXT
    for name, ratio in {"yeast": 1.0, "scene": 1.0, "emotions": 1.0, "cal500": 5.0}.items():
        experiments.append(small(name, real(name), ratio))
    targets = (Target("OneVsRest", 8.0), Target("LibMultiLabel", 10.0), Target("napkinXC", 2.5))
    experiments.append(FitComparison("delicious", real("delicious", 2500, 20), text_peers, targets))
    targets = (Target("OneVsRest", 25.0), Target("LibMultiLabel", 12.0), Target("napkinXC", 5.0))
    experiments.append(FitComparison("text-500", text(500), text_peers, targets, quick_memory=True))
    if settings.thorough:
        experiments.append(fit_dense(settings, "100", 50.0, 25.0, (120.0, 60.0)))
        experiments.append(FitComparison("text-2000", text(2000), text_peers, targets))
    targets = (Target("OneVsRest", 20.0),)
    experiments.append(FitComparison("text-wide", wide, (OVR,), targets))
    experiments.append(FitComparison("text-tall", tall, (OVR,), (Target("OneVsRest", 8.0),)))
    experiments += [fit_real_text(name, ratio, text_peers) for name, ratio in REAL_TEXTS.items()]
    targets = (Target("OneVsRest", 5.0), Target("OneVsRest liblinear dual", 5.0))
    experiments += [
        FitComparison("medical", real("medical"), (OVR_SERIAL, OVR_DUAL), targets, reducible=False),
        *(fit_zlpr(key) for key in DENSE if settings.thorough or key != "100"),
        *(fit_hinge("hinge", name, real(name, 1000, 15), 1 / 2) for name in ("ewaste_patents", "reuters21578")),
        *(fit_hinge("squared_hinge", name, real(name, 1000, 15), 1.0) for name in ("ewaste_patents", "reuters21578")),
        *(fit_squared_error(f"dense-{key}", dense(key)) for key in DENSE if settings.thorough or key != "100"),
        *(fit_squared_error(name, real(name, 1000, 15)) for name in ("ewaste_patents", "bibtex")),
        Prediction(),
        Imports(),
        StartUp(),
        *(
            RawTexts(f"raw-{name}", real(name, 1000, 15), (FAST_TEXT,), ())
            for name in ("reuters21578", "ewaste_patents")
        ),
        GapCurve("gap-dense", lambda settings: make_dense(*settings.pick((2000, 50, 10), (8000, 100, 20))), CURVE),
        GapCurve("gap-sparse", lambda settings: make_text(*settings.pick((500, 2000, 10), (3000, 20_000, 50))), CURVE),
        Growth("growth-dense", make_dense, lambda settings: settings.pick((500, 25, 5), (2000, 50, 10))),
        Growth("growth-sparse", make_text, lambda settings: settings.pick((300, 1000, 5), (1000, 5000, 20))),
    ]
    if settings.device != "cpu":
        experiments.append(FitComparison("dense-huge", huge, (), (Target("device", 30.0),), dtypes=("float32",)))
    return {experiment.name: experiment for experiment in experiments}
