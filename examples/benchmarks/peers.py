"""Contestants: how each one fits, predicts and returns its weights."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import joblib
import numpy as np
from data import AbsentError, Data, tfidf
from numpy.typing import NDArray
from objectives import linear_prediction
from scipy import sparse
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

Weights = tuple[NDArray[Any], NDArray[Any]]
Spec = tuple[str, dict[str, Any]]  # key of KINDS and options, as JSON for another process


@dataclass(frozen=True)
class Contestant:
    """Method of the comparison.

    Attributes
    ----------
    name : str
    fit : callable
        (data, number of cores) -> fitted model; this is timed.
    weights : callable
        (fitted model, data) -> (coef, intercept), or None if not available.
    predict : callable
        (fitted model, data) -> labels of the test part; by default from the weights.
    requires : tuple of str
        Required modules; it is reported as missing without them.
    threads : int or None
        Threads of linear algebra in this process, None for the number of cores.
    dtype : {"float32", "float64"}
        Precision of the features.
    """

    name: str
    fit: Callable[[Data, int], Any]
    weights: Callable[[Any, Data], Weights | None]
    predict: Callable[[Any, Data], NDArray[Any]] | None = None
    requires: tuple[str, ...] = ()
    threads: int | None = None
    dtype: str = "float32"

    def check(self) -> None:
        """Raise AbsentError if a module is missing."""
        missing = [module for module in self.requires if find_spec(module.split(".")[0]) is None]
        if missing:
            raise AbsentError(f"{', '.join(missing)} not installed")

    def limited(self, cores: int) -> Any:
        """Return a context with the threads of this contestant."""
        return threads(self.threads or cores)

    def predicted(self, model: Any, data: Data) -> NDArray[Any] | None:
        """Return the labels of the test part."""
        if self.predict is not None:
            return self.predict(model, data)
        weights = self.weights(model, data)
        return None if weights is None else linear_prediction(data.X_test, *weights)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Limit the threads of BLAS and of PyTorch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)


def sk_quadrant(dtype: str = "float32", *, name: str = "", device: str = "cpu", **options: Any) -> Contestant:
    """Return our classifier with some options."""
    from sk_quadrant import QuadrantMultiLabelClassifier

    unknown = sorted(set(options) - set(QuadrantMultiLabelClassifier().get_params()))
    if unknown:
        raise AbsentError(f"this version of sk_quadrant has no parameter {', '.join(unknown)}")

    def fit(data: Data, cores: int) -> Any:
        return QuadrantMultiLabelClassifier(**options, device=device).fit(data.features(dtype), data.Y)

    name = name or f"sk_quadrant {dtype}" + "".join(f" {key}={value}" for key, value in options.items())
    if device != "cpu":
        name += f" {device}"
    hidden = bool(options.get("hidden_layer_sizes"))
    predict = (lambda model, data: model.predict(data.X_test)) if hidden else None
    weights = (lambda model, data: None) if hidden else (lambda model, data: (model.coef_, model.intercept_))
    return Contestant(name, fit, weights, predict, dtype=dtype)


def one_vs_rest(name: str, *, dtype: str = "float64", parallel: bool = True, **options: Any) -> Contestant:
    """Return OneVsRestClassifier of LogisticRegression, with one process per core if parallel."""

    def fit(data: Data, cores: int) -> Any:
        model = OneVsRestClassifier(LogisticRegression(**options), n_jobs=cores if parallel else 1)
        outer = parallel and cores > 1
        with joblib.parallel_config("loky", inner_max_num_threads=1) if outer else nullcontext():
            return model.fit(data.features(dtype), data.Y)

    return Contestant(name, fit, _one_vs_rest_weights, threads=1 if parallel else None, dtype=dtype)


def _one_vs_rest_weights(model: Any, data: Data) -> Weights:
    coef, intercept = np.zeros((data.Y.shape[1], data.X.shape[1])), np.zeros(data.Y.shape[1])
    for j, estimator in enumerate(model.estimators_):
        if hasattr(estimator, "coef_"):
            coef[j], intercept[j] = estimator.coef_[0], estimator.intercept_[0]
        else:
            intercept[j] = np.inf if data.Y[0, j] else -np.inf
    return coef, intercept


def linear_svc(name: str = "LinearSVC", *, loss: str = "hinge") -> Contestant:
    """Return OneVsRestClassifier of LinearSVC, which penalises the intercept."""

    def fit(data: Data, cores: int) -> Any:
        model = OneVsRestClassifier(LinearSVC(loss=loss), n_jobs=cores)
        with joblib.parallel_config("loky", inner_max_num_threads=1) if cores > 1 else nullcontext():
            return model.fit(data.X64, data.Y)

    return Contestant(name, fit, _one_vs_rest_weights, threads=1, dtype="float64")


def ridge_classifier(name: str = "RidgeClassifier", *, dtype: str = "float64") -> Contestant:
    """Return RidgeClassifier, whose loss is our `squared_error`."""

    def fit(data: Data, cores: int) -> Any:
        return RidgeClassifier(alpha=1.0).fit(data.features(dtype), data.Y)

    return Contestant(name, fit, lambda model, data: (model.coef_, model.intercept_), dtype=dtype)


def sklearn_intelex(name: str = "OneVsRest intelex") -> Contestant:
    """Return OneVsRestClassifier of the LogisticRegression of scikit-learn-intelex."""

    def fit(data: Data, cores: int) -> Any:
        from sklearnex.linear_model import LogisticRegression as Accelerated

        return OneVsRestClassifier(Accelerated()).fit(data.X64, data.Y)

    return Contestant(name, fit, _one_vs_rest_weights, requires=("sklearnex",), dtype="float64")


def xgboost_trees(name: str = "XGBoost multi_output_tree", *, n_estimators: int = 20) -> Contestant:
    """Return XGBoost with trees of all labels, for its time and quality: it has another objective."""

    def fit(data: Data, cores: int) -> Any:
        from xgboost import XGBClassifier

        model = XGBClassifier(
            n_estimators=n_estimators, tree_method="hist", multi_strategy="multi_output_tree", n_jobs=cores
        )
        return model.fit(data.X, data.Y)

    return Contestant(name, fit, lambda *_: None, lambda model, data: model.predict(data.X_test), ("xgboost",))


def torch_lbfgs(name: str = "torch LBFGS", *, max_iter: int = 100) -> Contestant:
    """Return one Linear with the penalised logistic loss of all labels, minimised by torch.optim.LBFGS."""

    def fit(data: Data, cores: int) -> Any:
        import torch

        X, Y = data.X, torch.as_tensor(data.Y, dtype=torch.float32)
        if sparse.issparse(X):
            X = torch.sparse_csr_tensor(X.indptr, X.indices, X.data, size=X.shape)
        else:
            X = torch.as_tensor(X)
        model = _torch_model(data, None)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=max_iter, line_search_fn="strong_wolfe")

        def closure() -> Any:
            optimizer.zero_grad()
            scores = X @ model.weight.T + model.bias
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, Y, reduction="sum")
            loss = loss + 0.5 * model.weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        return model

    return Contestant(name, fit, lambda model, data: _linear_weights(model))


def mlp_classifier(name: str = "MLPClassifier", **options: Any) -> Contestant:
    """Return MLPClassifier, by default without a hidden layer."""

    def fit(data: Data, cores: int) -> Any:
        return MLPClassifier(**{"hidden_layer_sizes": (), "random_state": 0} | options).fit(data.X, data.Y)

    def weights(model: Any, data: Data) -> Weights | None:
        return (model.coefs_[0].T, model.intercepts_[0]) if len(model.coefs_) == 1 else None

    return Contestant(name, fit, weights, lambda model, data: model.predict(data.X_test))


def lib_multi_label(name: str = "LibMultiLabel 1vsrest -s 7") -> Contestant:
    """Return linear one-vs-rest of LibMultiLabel, which penalises the intercept."""

    def fit(data: Data, cores: int) -> Any:
        from libmultilabel.linear import train_1vsrest

        with patch("psutil.cpu_count", lambda logical=True: cores):  # its number of threads
            X, Y = sparse.csr_matrix(data.X64), sparse.csr_matrix(data.Y)
            return train_1vsrest(Y, X, options="-s 7 -c 1 -B 1 -m 1", verbose=False)

    def weights(model: Any, data: Data) -> Weights:
        coef = model.weights.toarray() if sparse.issparse(model.weights) else np.asarray(model.weights)
        return np.ascontiguousarray(coef[:-1].T), coef[-1]

    return Contestant(name, fit, weights, requires=("libmultilabel", "liblinear", "sparsekmeans"), dtype="float64")


def napkin_xc(name: str = "napkinXC BR") -> Contestant:
    """Return binary relevance of napkinXC with C = 1; it stores its model in a folder and drops small weights."""

    def fit(data: Data, cores: int) -> Any:
        from napkinxc.models import BR

        folder = tempfile.TemporaryDirectory()
        model = BR(folder.name, liblinear_c=1, threads=cores, norm=False)
        model.fit(sparse.csr_matrix(data.X), [np.flatnonzero(row).tolist() for row in data.Y])
        return model, folder

    def predict(model: Any, data: Data) -> NDArray[Any]:
        Y = np.zeros_like(data.Y_test)
        for i, labels in enumerate(model[0].predict(sparse.csr_matrix(data.X_test), threshold=0.5)):
            Y[i, [label for label in labels if label < Y.shape[1]]] = 1
        return Y

    return Contestant(name, fit, lambda model, data: None, predict, requires=("napkinxc",))


def fast_text(name: str = "fastText ova", *, epoch: int = 50, rate: float = 0.1) -> Contestant:
    """Return the linear model of fastText on raw texts, one loss for each label."""

    def fit(data: Data, cores: int) -> Any:
        import fasttext

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "train.txt")
            with open(path, "w", encoding="utf-8") as file:
                for text, row in zip(data.texts or (), data.Y, strict=True):
                    labels = " ".join(f"__label__{j}" for j in np.flatnonzero(row))
                    file.write(f"{labels} {' '.join(text.lower().split())}\n")
            return fasttext.train_supervised(path, loss="ova", epoch=epoch, lr=rate, thread=cores, verbose=0)

    def best(model: Any, data: Data) -> NDArray[Any]:
        found, _ = model.predict([" ".join(text.lower().split()) for text in data.texts_test or ()], k=1)
        return np.array([int(labels[0].removeprefix("__label__")) for labels in found])

    return Contestant(name, fit, lambda *_: None, best, requires=("fasttext",))


def own_pipeline(name: str = "sk_quadrant, with features") -> Contestant:
    """Return a pipeline of scikit-learn's features of texts and our classifier."""
    from sk_quadrant import QuadrantMultiLabelClassifier

    def fit(data: Data, cores: int) -> Any:
        return make_pipeline(tfidf(), QuadrantMultiLabelClassifier(C=10)).fit(data.texts, data.Y)

    def best(model: Any, data: Data) -> NDArray[Any]:
        return np.asarray(model.decision_function(data.texts_test).argmax(axis=1))

    return Contestant(name, fit, lambda *_: None, best)


def products_alone(pairs: int, dtype: str, device: str = "cpu") -> Contestant:
    """Return the matrix products of a fit alone: scores and gradients of all labels, `pairs` times."""

    def fit(data: Data, cores: int) -> None:
        import torch

        X = torch.as_tensor(data.features(dtype), device=device)
        weights = torch.randn(data.Y.shape[1], X.shape[1], dtype=X.dtype, device=device)
        scores = torch.empty(X.shape[0], len(weights), dtype=X.dtype, device=device)
        gradient = torch.empty_like(weights)
        for _ in range(pairs):
            torch.mm(X, weights.T, out=scores)
            torch.mm(scores.T, X, out=gradient)
        gradient.sum().item()  # waits for a GPU

    return Contestant(f"the {pairs} products alone, {dtype}", fit, lambda model, data: None)


@contextmanager
def counted_products(n_labels: int) -> Iterator[list[float]]:
    """Yield a list with one number: pairs of products of the fits inside the context, averaged over labels."""
    from sk_quadrant._solvers.full_batch.objective import Objective

    pairs, evaluate = [0.0], Objective.evaluate

    def counting(self: Any, theta: Any, *args: Any, **kwargs: Any) -> Any:
        pairs[0] += len(theta) / n_labels
        return evaluate(self, theta, *args, **kwargs)

    with patch.object(Objective, "evaluate", counting):
        yield pairs


def _torch_model(data: Data, hidden: int | None, dtype: Any = None) -> Any:
    import torch

    torch.manual_seed(0)
    n_features, n_labels = data.X.shape[1], data.Y.shape[1]
    if hidden is None:
        model = torch.nn.Linear(n_features, n_labels, dtype=dtype)
        torch.nn.init.zeros_(model.weight)
        torch.nn.init.zeros_(model.bias)
        return model
    return torch.nn.Sequential(torch.nn.Linear(n_features, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, n_labels))


def _cosine(n_steps: int) -> Callable[[int], float]:
    """Return the learning rate factor of a step: warm-up for a tenth of the steps, then half a cosine."""
    warmup = n_steps // 10
    return lambda step: min((step + 1) / warmup, 0.5 * (1 + np.cos(np.pi * max(0, step - warmup) / (n_steps - warmup))))


def plain_skorch(
    *, batch_size: int, epochs: int, rate: float, hidden: int | None = None, cosine: bool = False
) -> Contestant:
    """Return a NeuralNet with AdamW and default options, without validation."""

    def fit(data: Data, cores: int) -> Any:
        import torch
        from skorch import NeuralNet
        from skorch.callbacks import LRScheduler

        n_steps = -(-data.X.shape[0] // batch_size) * epochs
        schedule = LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=_cosine(n_steps), step_every="batch")
        return NeuralNet(
            _torch_model(data, hidden),
            criterion=torch.nn.BCEWithLogitsLoss,
            optimizer=torch.optim.AdamW,
            optimizer__weight_decay=0.0,
            lr=rate,
            batch_size=batch_size,
            max_epochs=epochs,
            iterator_train__shuffle=True,
            train_split=None,
            predict_nonlinearity=None,
            callbacks=[schedule] if cosine else None,
            verbose=0,
        ).fit(data.X, data.Y.astype(np.float32))

    def weights(net: Any, data: Data) -> Weights | None:
        return None if hidden else _linear_weights(net.module_)

    predict = (lambda net, data: (net.predict_proba(data.X_test) > 0).astype(np.int64)) if hidden else None
    return Contestant("skorch as it comes", fit, weights, predict, requires=("skorch",))


def _linear_weights(module: Any) -> Weights:
    return module.weight.detach().double().numpy(), module.bias.detach().double().numpy()


def hugging_face_trainer(*, batch_size: int, epochs: int, rate: float) -> Contestant:
    """Return the Trainer of transformers with AdamW and a cosine schedule, without evaluation, saving and logging."""

    def fit(data: Data, cores: int) -> Any:
        import torch
        from transformers import Trainer, TrainingArguments

        class Model(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear = _torch_model(data, None)

            def forward(self, x: Any, labels: Any) -> dict[str, Any]:
                logits = self.linear(x)
                return {"loss": torch.nn.functional.binary_cross_entropy_with_logits(logits, labels), "logits": logits}

        class Rows(torch.utils.data.Dataset):
            def __len__(self) -> int:
                return data.X.shape[0]

            def __getitem__(self, i: int) -> dict[str, Any]:
                return {"x": X[i], "labels": Y[i]}

        X, Y = torch.as_tensor(data.X), torch.as_tensor(data.Y, dtype=torch.float32)
        model = Model()
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=batch_size,
                num_train_epochs=epochs,
                learning_rate=rate,
                lr_scheduler_type="cosine",
                warmup_steps=-(-len(X) // batch_size) * epochs // 10,
                weight_decay=0.0,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            )
            Trainer(model, arguments, train_dataset=Rows()).train()
        return model

    def weights(model: Any, data: Data) -> Weights:
        return _linear_weights(model.linear)

    return Contestant("Hugging Face Trainer", fit, weights, requires=("transformers", "accelerate"))


def skorch_lbfgs_zlpr(name: str = "skorch, torch LBFGS") -> Contestant:
    """Return a NeuralNet that minimises the penalised ZLPR loss by full-batch torch.optim.LBFGS."""

    def fit(data: Data, cores: int) -> Any:
        import torch
        from skorch import NeuralNet

        class Zlpr(torch.nn.Module):
            def forward(self, scores: Any, targets: Any) -> Any:
                zero = scores.new_zeros(len(scores), 1)
                present = targets > 0
                absent = torch.cat([scores.masked_fill(present, -torch.inf), zero], dim=1)
                found = torch.cat([(-scores).masked_fill(~present, -torch.inf), zero], dim=1)
                return (absent.logsumexp(dim=1) + found.logsumexp(dim=1)).mean()

        class Penalised(NeuralNet):
            def get_loss(self, y_pred: Any, y_true: Any, *args: Any, **kwargs: Any) -> Any:
                penalty = self.module_.weight.square().sum() / (2 * len(y_pred))
                return super().get_loss(y_pred, y_true, *args, **kwargs) + penalty

        return Penalised(
            _torch_model(data, None),
            criterion=Zlpr,
            optimizer=torch.optim.LBFGS,
            optimizer__max_iter=200,
            optimizer__line_search_fn="strong_wolfe",
            lr=1.0,
            batch_size=-1,
            max_epochs=1,
            train_split=None,
            verbose=0,
        ).fit(data.X, data.Y.astype(np.float32))

    return Contestant(name, fit, lambda net, data: _linear_weights(net.module_), requires=("skorch",))


@contextmanager
def silenced() -> Iterator[None]:
    """Suppress output to the standard streams, also from C."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w"))
        kept = [(stream, os.dup(stream)) for stream in (1, 2)]
        for stream, _ in kept:
            os.dup2(nowhere.fileno(), stream)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for stream, copy in kept:
                os.dup2(copy, stream)
                os.close(copy)


KINDS: dict[str, Callable[..., Contestant]] = {
    "sk_quadrant": sk_quadrant,
    "one_vs_rest": one_vs_rest,
    "linear_svc": linear_svc,
    "ridge_classifier": ridge_classifier,
    "sklearn_intelex": sklearn_intelex,
    "xgboost_trees": xgboost_trees,
    "torch_lbfgs": torch_lbfgs,
    "mlp_classifier": mlp_classifier,
    "lib_multi_label": lib_multi_label,
    "napkin_xc": napkin_xc,
    "products_alone": products_alone,
    "fast_text": fast_text,
    "own_pipeline": own_pipeline,
    "plain_skorch": plain_skorch,
    "hugging_face_trainer": hugging_face_trainer,
    "skorch_lbfgs_zlpr": skorch_lbfgs_zlpr,
}


def build(spec: Spec) -> Contestant:
    """Return the contestant of a spec; raise AbsentError if it is missing."""
    kind, options = spec
    contestant = KINDS[kind](**options)
    contestant.check()
    return contestant
