"""Objectives in double precision, independent of the package, and the optimality gap of a fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from data import Data
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.utils import gen_batches

ROWS = 4096  # rows of a block of scores
LABELS_CHECKED = 3
CHOLESKY_FEATURES = 2500  # with more, newton-cg checks the optimum: a Hessian is too expensive


def _blocks(data: Data) -> Any:
    return gen_batches(data.X.shape[0], ROWS)


def logistic_values(data: Data, coef: NDArray[Any], intercept: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logistic loss summed over rows plus half the squared weights, (n_labels,)."""
    coef = np.asarray(coef, dtype=np.float64)
    values = 0.5 * (coef**2).sum(axis=1)
    for rows in _blocks(data):
        scores = np.asarray(data.X64[rows] @ coef.T) + intercept
        values += (np.logaddexp(0, scores) - data.Y[rows] * scores).sum(axis=0)
    return values


def zlpr_value(data: Data, coef: NDArray[Any], intercept: NDArray[Any]) -> tuple[float, NDArray[Any], NDArray[Any]]:
    """Return the ZLPR loss summed over rows plus half the squared weights, and its gradients."""
    coef = np.asarray(coef, dtype=np.float64)
    value, gradient, slope = 0.5 * float((coef**2).sum()), coef.copy(), np.zeros(len(coef))
    for rows in _blocks(data):
        sign = 1.0 - 2.0 * data.Y[rows]
        signed = sign * (np.asarray(data.X64[rows] @ coef.T) + intercept)
        change = np.zeros_like(signed)
        for part in (
            sign > 0,
            sign < 0,
        ):  # log(1 + sum exp(s)) over absent labels, log(1 + sum exp(-s)) over present ones
            exponents = np.where(part, signed, -np.inf)
            top = np.maximum(exponents.max(axis=1, keepdims=True), 0)
            terms = np.exp(exponents - top)
            total = np.exp(-top) + terms.sum(axis=1, keepdims=True)
            value += float((top + np.log(total)).sum())
            change += sign * terms / total
        gradient += (data.X64[rows].T @ change).T
        slope += change.sum(axis=0)
    return value, gradient, slope


MARGIN_LOSSES: dict[str, Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]] = {  # values and slopes
    "hinge": lambda margins: (np.maximum(0, 1 - margins), -1.0 * (margins < 1)),
    "squared_hinge": lambda margins: (np.maximum(0, 1 - margins) ** 2, -2 * np.maximum(0, 1 - margins)),
    "squared_error": lambda margins: (0.5 * (1 - margins) ** 2, margins - 1),
}


def margin_value(
    data: Data, coef: NDArray[Any], intercept: NDArray[Any], loss: str
) -> tuple[float, NDArray[Any], NDArray[Any]]:
    """Return a loss of margins summed over rows plus half the squared weights, and its gradients; not constant ones."""
    coef = np.asarray(coef, dtype=np.float64)
    coef, intercept = coef * data.proper[:, None], np.where(data.proper, intercept, 0)
    value, gradient, slope = 0.5 * float((coef**2).sum()), coef.copy(), np.zeros(len(coef))
    for rows in _blocks(data):
        signs = (2.0 * data.Y[rows] - 1.0) * data.proper
        losses, slopes = MARGIN_LOSSES[loss](signs * (np.asarray(data.X64[rows] @ coef.T) + intercept))
        value += float((losses * data.proper).sum())
        gradient += (data.X64[rows].T @ (signs * slopes)).T
        slope += (signs * slopes).sum(axis=0)
    return value, gradient, slope


class Optimum:
    """Minimum of a problem, checked by another solver.

    Parameters
    ----------
    data : Data
    loss : {"bce_with_logits", "zlpr", "hinge", "squared_hinge", "squared_error"}

    Attributes
    ----------
    value : float
        Minimum over labels that are not constant.
    check : str
        Result of another solver.
    """

    def __init__(self, data: Data, loss: str) -> None:
        from sk_quadrant import QuadrantMultiLabelClassifier

        self.data, self.loss = data, loss
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it stops at the rounding error of the objective, far below any gap here
            tol = 1e-5 if loss == "hinge" else 1e-9  # the gap of a hinge is 0.02 tol
            model = QuadrantMultiLabelClassifier(loss, tol=tol, max_iter=5000).fit(data.X64, data.Y)
        self.value = self._evaluate(model.coef_, model.intercept_)
        check = self._check_logistic if loss == "bce_with_logits" else self._check_by_more_steps
        self.check = check(model.coef_, model.intercept_)

    def gap(self, coef: NDArray[Any], intercept: NDArray[Any]) -> float:
        """Return (objective - minimum) / minimum."""
        return (self._evaluate(coef, intercept) - self.value) / self.value

    def _evaluate(self, coef: NDArray[Any], intercept: NDArray[Any]) -> float:
        if self.loss != "bce_with_logits":
            return self._value_and_gradients(coef, intercept)[0]
        return float(logistic_values(self.data, coef, np.nan_to_num(intercept))[self.data.proper].sum())

    def _value_and_gradients(self, coef: NDArray[Any], intercept: NDArray[Any]) -> Any:
        if self.loss == "zlpr":
            return zlpr_value(self.data, coef, intercept)
        return margin_value(self.data, coef, intercept, self.loss)

    def _check_logistic(self, coef: NDArray[Any], intercept: NDArray[Any]) -> str:
        solver = "newton-cholesky" if self.data.X.shape[1] <= CHOLESKY_FEATURES else "newton-cg"
        values = logistic_values(self.data, coef, intercept)
        excess = []
        proper = np.flatnonzero(self.data.proper)
        for label in proper[np.linspace(0, len(proper) - 1, min(LABELS_CHECKED, len(proper))).astype(int)]:
            peer = LogisticRegression(solver=solver, tol=1e-9, max_iter=1000)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                peer.fit(self.data.X64, self.data.Y[:, label])
            one = Data(self.data.X, self.data.Y[:, [label]], self.data.X_test, self.data.Y_test)
            reference = logistic_values(one, peer.coef_, peer.intercept_)[0]
            excess.append((values[label] - reference) / reference)
        return self._verdict(max(excess), f"{solver} on {len(excess)} labels")

    def _check_by_more_steps(self, coef: NDArray[Any], intercept: NDArray[Any]) -> str:
        shape = coef.shape

        def objective(theta: NDArray[Any]) -> tuple[float, NDArray[Any]]:
            weights = theta[: coef.size].reshape(shape)
            value, gradient, slope = self._value_and_gradients(weights, theta[coef.size :])
            return value, np.concatenate([gradient.ravel(), slope])

        start = np.concatenate([coef.ravel(), intercept])
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 15, "ftol": 0, "gtol": 0})
        return self._verdict((self.value - found.fun) / found.fun, "15 more steps of SciPy's L-BFGS-B")

    @staticmethod
    def _verdict(excess: float, by: str) -> str:
        state = "confirmed" if excess < 1e-8 else "NOT CONFIRMED"
        return f"optimum {state} by {by}: relative excess {excess:.0e}"


def mean_loss(data: Data, scores: NDArray[Any]) -> float:
    """Return the logistic loss of training scores, summed over labels, averaged over rows."""
    return float((np.logaddexp(0, scores) - data.Y * scores).sum(axis=1).mean())


def micro_f1(Y: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Return the micro-averaged F1."""
    hits = float((Y * predicted).sum())
    return 2 * hits / max(1.0, float(Y.sum() + predicted.sum()))


def linear_prediction(X: Any, coef: NDArray[Any], intercept: NDArray[Any]) -> NDArray[np.int64]:
    """Return the labels of positive scores."""
    scores = X @ coef.T
    scores = scores.toarray() if sparse.issparse(scores) else np.asarray(scores)
    return (scores + intercept > 0).astype(np.int64)
