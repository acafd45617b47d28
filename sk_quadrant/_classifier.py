"""The estimator: a linear multi-label model whose loss says what its scores mean."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.metrics import check_scoring
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from sk_quadrant._decision import resolve_threshold
from sk_quadrant._inputs.targets import LabelEncoding, is_label_matrix, read_targets
from sk_quadrant._inputs.weights import check_known, check_weight, known_weight, weigh_classes
from sk_quadrant._plain_losses import loss_of, plain_loss
from sk_quadrant._saved_state import SavedState, plain
from sk_quadrant._targets import masked_as_nan
from sk_quadrant._training.solvers import SOLVERS
from sk_quadrant.losses import LOSSES, Loss

PLANNED = (  # parameters that a plan of training takes as they are
    "C", "max_iter", "tol", "batch_size", "learning_rate_init", "learning_rate", "warmup_fraction", "mixup_alpha",
    "early_stopping", "validation_fraction", "n_iter_no_change", "callbacks", "verbose",
)  # fmt: skip
PREDICT_ELEMENTS = 2**17  # scores of a block of rows in predict, so that they never exist all at once


EPOCHS_ONLY = {  # parameters that a full-batch solver cannot follow, with the reason
    "hidden_layer_sizes": "which solves linear models only",
    "residual": "which solves linear models only",
    "learning_rate": "whose line search finds its own steps",
    "warmup_fraction": "whose line search finds its own steps",
    "mixup_alpha": "which has no batches within which rows could be mixed, and needs the same objective in each step",
    "early_stopping": "which goes to the optimum of the penalised objective; choose C by cross-validation instead",
}
FIT_ONLY = {
    "early_stopping": "there is no second call in which to train on the rows held out",
    "learning_rate": "the number of steps is not known in advance",
    "warmup_fraction": "the number of steps is not known in advance",
}


def _has_link(estimator: Any) -> bool:
    loss = getattr(estimator, "loss_", None) or resolve_loss(estimator.loss)
    if loss.link is None:
        raise AttributeError(
            f"predict_proba is not available for loss={loss.name!r}: its scores have no probability. Use "
            "decision_function, or CalibratedMultiLabelClassifierCV."
        )
    return True


def _is_stochastic(estimator: Any) -> bool:
    solver = SOLVERS.get(estimator.solver)
    if solver is not None and not solver.stochastic:  # an unknown one is refused by the method, with the reason
        learners = sorted(name for name, solver in SOLVERS.items() if solver.stochastic)
        raise AttributeError(
            f"partial_fit is not available for solver={estimator.solver!r}, which needs all rows at once. Use one of "
            f"{learners}."
        )
    return True


def _networks_only(name: str) -> Any:
    """Return the error of an attribute that networks do not have."""
    return AttributeError(
        f"{name} is not available with hidden layers, whose features have no coefficients of their own. The weights of "
        "each layer are in net_.module_.layers; sklearn.inspection.permutation_importance ranks features."
    )


class QuadrantMultiLabelClassifier(SavedState, SparseCoefMixin, LinearClassifierMixin, BaseEstimator):
    """Linear multi-label classifier, or network, with a choice of losses, each with its own link and threshold.

    It minimises ``C * sum_i w_i loss_i + 0.5 * ||coef||^2`` over the rows i, with the loss of a row taken over all its
    labels and the intercept not penalised. With the default loss its coefficients are those of
    ``OneVsRestClassifier(LogisticRegression(C=C))``. The model is a PyTorch module trained through skorch; what is
    fitted are NumPy arrays, so that predictions need neither.

    Parameters
    ----------
    loss : str or Loss, default="bce_with_logits"
        A name in `sk_quadrant.losses.LOSSES`, or a loss object with parameters of its own.
    C : float, default=1.0
        Inverse strength of the penalty, ``np.inf`` for none.
    fit_intercept : bool, default=True
        Whether each label has an intercept.
    threshold : {"natural", "bayes"}, float or array-like of shape (n_labels,), default="natural"
        Where "yes" begins. "natural" is a score above the loss's own threshold, "bayes" a probability above 1/2,
        numbers are probabilities to exceed. Not used for a 1-D `y` of more than two classes, where the
        largest score wins.
    solver : {"lbfgs", "adamw", "sgd"}, default="lbfgs"
        "lbfgs" solves for all rows at once, starts at zero and is deterministic. "adamw" and "sgd" (with Nesterov
        momentum 0.9) go through batches of rows.
    max_iter : int, default=200
        Largest number of iterations, of epochs for "adamw" and "sgd".
    tol : float, default=1e-4
        "lbfgs" stops when the estimated distance to the optimum falls below ``tol ** 2`` of the objective at the start,
        which is about the relative error `tol` in the coefficients. "adamw" and "sgd" stop when `n_iter_no_change`
        epochs have not improved the training loss, or with `early_stopping` what is watched on the rows held out, by
        `tol`; without `early_stopping` and with a falling learning rate they go through all epochs.
    hidden_layer_sizes : int or array-like of shape (n_hidden_layers,), default=()
        Units of each hidden layer; without any the model is linear. Not with "lbfgs".
    activation : {"identity", "relu", "gelu", "tanh"}, default="relu"
        Function of the hidden layers.
    residual : bool, default=False
        Whether a hidden layer as wide as its input adds that input to its output.
    batch_size : int or "auto", default="auto"
        Largest number of rows of a batch, of which the rows are divided into as few as possible, as evenly as possible;
        "auto" is ``min(200, n_samples)``. With "lbfgs" a number is that of the rows read at a time from memory-mapped
        arrays, for data larger than memory; "auto" takes all at once, which is faster.
    learning_rate_init : float, default=5e-3
        Largest step of "adamw" and "sgd".
    learning_rate : {"constant", "cosine"}, default="constant"
        Whether the step stays or falls to zero as half a cosine wave over `max_iter` epochs. Not with "lbfgs".
    warmup_fraction : float, default=0.0
        Share of all `max_iter` epochs, in steps, over which the step rises to `learning_rate_init`. Not with "lbfgs".
    label_smoothing : float, default=0.0
        Share in [0, 1) of 1/2 in each training target: 1 becomes ``1 - label_smoothing / 2``. Targets become dense.
    mixup_alpha : float, default=0.0
        If positive, each batch is trained on combinations of its rows and of their targets, with shares from
        Beta(mixup_alpha, mixup_alpha). Not with "lbfgs".
    class_weight : dict, "balanced", list of these or None, default=None
        For a 1-D `y` the weights of its classes. For a label matrix the weights of absence and presence,
        ``{0: w0, 1: w1}``, the same for all labels or a list with one for each; "balanced" is ``n / (2 * n_present)``
        and ``n / (2 * n_absent)`` label by label.
    missing_labels : {"error", "ignore"}, default="error"
        What NaN in `y` is: a mistake, or an unknown label that contributes nothing.
    early_stopping : bool, default=False
        Whether to hold out rows, to stop when they do not get better, and to return to the best epoch. Not with
        "lbfgs". The positives of each label are divided between both parts where possible.
    scoring : str, callable, list, tuple, dict or None, default=None
        What `early_stopping` watches on the rows held out: None for the loss, or a scikit-learn scorer. Of several
        (or of a scorer that returns a dict) the first is watched and all are recorded; of a scorer that returns an
        array, one score a label, the mean is watched. Weights of rows are passed on to the scorer.
    validation_fraction : float, default=0.1
        Share of the rows to hold out.
    n_iter_no_change : int, default=10
        Epochs without progress before "adamw" and "sgd" stop.
    warm_start : bool, default=False
        Whether `fit` starts from the present coefficients, and "adamw" and "sgd" with the moments they ended with.
    random_state : int, RandomState instance or None, default=None
        Order of the rows, rows held out, and first weights of hidden layers; not used by "lbfgs".
    device : str, default="cpu"
        Where to train: "cpu", "cuda", "cuda:N", "mps", or "auto" for a GPU if there is one.
    callbacks : list or None, default=None
        skorch callbacks, used as they are, not copied. Where one looks at single batches, training takes skorch's
        slower steps. "lbfgs" counts as a single epoch.
    verbose : int, default=0
        Whether to print a line for each iteration or epoch.

    Attributes
    ----------
    coef_ : ndarray of shape (n_labels, n_features)
        Weights; (1, n_features) for a binary 1-D `y`. Not with hidden layers.
    intercept_ : ndarray of shape (n_labels,)
        Intercepts, zero without `fit_intercept`. Not with hidden layers.
    classes_ : ndarray of shape (n_classes,)
        Classes of a 1-D `y`, or ``arange(n_labels)``.
    threshold_ : ndarray of shape (n_labels,)
        Probability above which each label is predicted; a score for a loss without a link.
    loss_ : Loss
        The loss object.
    net_ : skorch.NeuralNet
        The trained net, built again from the coefficients after unpickling.
    n_iter_ : int
        Iterations or epochs run.
    loss_curve_ : list of float
        Objective, as a weighted mean over rows plus the penalty, at the start and after each iteration, or the training
        loss of each epoch, without the penalty, as its batches were met.
    history_ : list of dict
        A row for each iteration ("epoch" and "objective") or epoch ("epoch", "learning_rate", "train_loss", with
        `early_stopping` "valid_loss" and scores, and what callbacks have recorded).
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, if `X` had string column names.
    label_names_in_ : ndarray of shape (n_labels,)
        Names of labels, if `y` was a DataFrame.

    See Also
    --------
    sklearn.multiclass.OneVsRestClassifier : One estimator a label.
    sklearn.neural_network.MLPClassifier : Networks, trained with binary cross-entropy.

    Examples
    --------
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> clf = QuadrantMultiLabelClassifier(loss="zlpr").fit(X, Y)
    >>> clf.predict([[2.0, -1.0]])
    array([[1, 0]])
    >>> clf.score(X, Y) > 0.98
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "loss": [StrOptions(set(LOSSES)), Loss],
        "C": [Interval(Real, 0, None, closed="neither"), Options(Real, {np.inf})],
        "fit_intercept": ["boolean"],
        "threshold": [StrOptions({"natural", "bayes"}), Interval(Real, 0, 1, closed="both"), "array-like"],
        "solver": [StrOptions(set(SOLVERS))],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "relu", "gelu", "tanh"})],
        "residual": ["boolean"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "learning_rate": [StrOptions({"constant", "cosine"})],
        "warmup_fraction": [Interval(Real, 0, 1, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "mixup_alpha": [Interval(Real, 0, None, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
        "missing_labels": [StrOptions({"error", "ignore"})],
        "early_stopping": ["boolean"],
        "scoring": [str, callable, list, tuple, dict, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "callbacks": [list, tuple, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        loss="bce_with_logits",
        *,
        C=1.0,
        fit_intercept=True,
        threshold="natural",
        solver="lbfgs",
        max_iter=200,
        tol=1e-4,
        hidden_layer_sizes=(),
        activation="relu",
        residual=False,
        batch_size="auto",
        learning_rate_init=5e-3,
        learning_rate="constant",
        warmup_fraction=0.0,
        label_smoothing=0.0,
        mixup_alpha=0.0,
        class_weight=None,
        missing_labels="error",
        early_stopping=False,
        scoring=None,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        random_state=None,
        device="cpu",
        callbacks=None,
        verbose=0,
    ):
        self.loss = loss
        self.C = C
        self.fit_intercept = fit_intercept
        self.threshold = threshold
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.residual = residual
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.warmup_fraction = warmup_fraction
        self.label_smoothing = label_smoothing
        self.mixup_alpha = mixup_alpha
        self.class_weight = class_weight
        self.missing_labels = missing_labels
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.callbacks = callbacks
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features; float32 stays float32.
        y : {array-like, sparse matrix, DataFrame} of shape (n_samples,) or (n_samples, n_labels)
            Label indicators, probabilities in [0, 1] (soft targets), or classes if 1-D. NaN is an unknown label with
            ``missing_labels="ignore"``.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of each label of each row.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If data or parameters do not fit; the estimator stays as it was.
        FloatingPointError
            If the loss turns infinite or NaN; the estimator stays as it was.
        """
        with _unchanged_on_error(self):
            again = self.warm_start and hasattr(self, "_encoding")
            data, encoding, soft = self._load(X, y, sample_weight, again=again)
            self._prepare(encoding, soft=soft, again=again)
            outcome = self._fit(data, again=again, score=self._score_of(X, y, sample_weight))
        self._warn(outcome)
        return self

    def _load(self, X, y, sample_weight, *, again):
        """Return what is trained on, the encoding of y, and whether its targets are soft."""
        if not self._reads_batches():
            X, encoding, targets = self._read(X, y, sample_weight, again=again)
            return self._data(X, targets), encoding, targets.is_soft
        data = self._open(X, y, sample_weight)
        validate_data(self, data.agreement.head, skip_check_array=True, reset=not again)
        return data, data.agreement.encoding, data.agreement.is_soft

    def _reads_batches(self) -> bool:
        """Whether rows are read from disk each time they are needed."""
        return not SOLVERS[self.solver].stochastic and self.batch_size != "auto"

    def _check_reading(self) -> None:
        """Refuse to read batches of rows from disk for another device than the CPU."""
        from sk_quadrant._devices import resolve_device

        if self._reads_batches() and resolve_device(self.device).type != "cpu":
            raise ValueError(
                f"device must be 'cpu' for rows that solver={self.solver!r} reads in batches, got {self.device!r}. "
                "Use batch_size='auto', or a solver that goes through batches."
            )

    def _open(self, X, y, sample_weight):
        """Return rows that are read `batch_size` at a time, whenever the solver wants a sum over them."""
        from sk_quadrant._partitioned.partitions import Shard
        from sk_quadrant._partitioned.stored import StoredPartitions, StoredRows

        self._check_reading()
        rows = StoredRows(X, y, sample_weight, chunk_size=self.batch_size, missing_labels=self.missing_labels)
        data = StoredPartitions(rows, self._agree([part.description for part in rows]))
        check_known(*data.total(Shard.known_weight))
        return data

    def _agree(self, descriptions):
        """Return what parts of the rows, held in several places, have in common."""
        from sk_quadrant._partitioned.reading import Agreement

        return Agreement.of(
            descriptions,
            class_weight=self.class_weight,
            label_smoothing=self.label_smoothing,
            fit_intercept=self.fit_intercept,
        )

    def _fit(self, data, *, again, score=None):
        """Train on data that have been read, publish the result, and return the outcome."""
        outcome = self._train(data, again=again, state=self._moments() if again else None, score=score)
        self._publish(outcome)
        self.n_iter_, self.loss_curve_, self.history_ = outcome.n_iter, outcome.loss_curve, outcome.history
        self._optimizer_state = self.solver, outcome.optimizer_state if self.warm_start else None
        return outcome

    def _data(self, X, targets):
        """Return what is trained on."""
        from sk_quadrant._inputs.data import TrainingData

        return TrainingData(X, targets, label_smoothing=self.label_smoothing)

    @available_if(_is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Update the model with one pass over some rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : {array-like, sparse matrix, DataFrame} of shape (n_samples,) or (n_samples, n_labels)
            Labels, as in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes of a 1-D `y`, needed in the first call.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights.

        Returns
        -------
        self : object
            Updated estimator.
        """
        with _unchanged_on_error(self):
            self._check_incremental()
            again = hasattr(self, "_encoding")
            X, encoding, targets = self._read(X, y, sample_weight, classes=classes, again=again, partial=True)
            self._prepare(encoding, soft=targets.is_soft, again=again)
            state = self._moments() if again else None
            outcome = self._train(self._data(X, targets), again=again, max_iter=1, state=state)
            self._publish(outcome)
            self.n_iter_ = outcome.n_iter + (self.n_iter_ if again else 0)
            self.loss_curve_ = (self.loss_curve_ if again else []) + outcome.loss_curve
            rows = [row | {"epoch": self.n_iter_} for row in outcome.history]
            self.history_ = (self.history_ if again else []) + rows
            self._optimizer_state = self.solver, outcome.optimizer_state
        return self

    def _read(self, X, y, sample_weight, *, classes=None, again=False, partial=False):
        """Return X as it is computed with, the encoding of y, and the targets with their weights."""
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        X = self._check_features(X, reset=not again)
        if again and partial:
            encoding = self._encoding
            if classes is not None and not np.array_equal(np.unique(classes), encoding.classes):
                raise ValueError(f"classes={classes!r} is not the same as in the first call: {encoding.classes!r}.")
            targets = encoding.encode(y, missing_labels=self.missing_labels)
        else:
            if partial and classes is None and not is_label_matrix(y):
                raise ValueError("classes must be passed on the first call to partial_fit.")
            encoding, targets = read_targets(y, missing_labels=self.missing_labels, classes=classes)
        if targets.n_samples != X.shape[0]:
            raise ValueError(f"X and y must have the same number of rows, got {X.shape[0]} and {targets.n_samples}.")
        targets = weigh_classes(targets, encoding, self.class_weight, check_weight(sample_weight, targets))
        check_known(*known_weight(targets))
        return X, encoding, targets

    def _prepare(self, encoding, *, soft, again):
        """Resolve what does not depend on the features: the loss, the thresholds, the form of y."""
        loss = resolve_loss(self.loss)
        if (soft or self.label_smoothing) and not loss.soft_targets:
            raise ValueError(
                f"loss={loss.name!r} takes targets 0 and 1 only, got soft targets in y or label_smoothing="
                f"{self.label_smoothing}."
            )
        self._check_recipe()
        if again:
            self._encoding.check_same(encoding)
        self._cut, self.threshold_ = resolve_threshold(loss, self.threshold, encoding.n_labels)
        self.loss_, self._encoding, self.classes_ = loss, encoding, encoding.classes
        if hasattr(self, "label_names_in_"):
            del self.label_names_in_
        if encoding.label_names is not None:
            self.label_names_in_ = encoding.label_names

    def _check_recipe(self):
        """Refuse parameters that would have no effect together with others."""
        if not SOLVERS[self.solver].stochastic:
            for name in self._asked_for() & EPOCHS_ONLY.keys():
                learners = sorted(name for name, solver in SOLVERS.items() if solver.stochastic)
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is not possible with solver={self.solver!r}, "
                    f"{EPOCHS_ONLY[name]}. Use one of {learners}."
                )
        if self.scoring is not None and not self.early_stopping:
            raise ValueError(
                f"scoring={self.scoring!r} needs early_stopping=True, which holds out the rows that are scored."
            )

    def _check_incremental(self):
        """Refuse what needs to know all rows or epochs in a call that sees some of them."""
        for name in self._asked_for() & FIT_ONLY.keys():
            raise ValueError(f"partial_fit does not support {name}={getattr(self, name)!r}: {FIT_ONLY[name]}. Use fit.")

    def _asked_for(self):
        """Return the names of the parameters of training by epochs that are not neutral."""
        asked = {
            "hidden_layer_sizes": np.size(self.hidden_layer_sizes) > 0,
            "residual": self.residual,
            "learning_rate": self.learning_rate != "constant",
            "warmup_fraction": self.warmup_fraction > 0,
            "mixup_alpha": self.mixup_alpha > 0,
            "early_stopping": self.early_stopping,
        }
        return {name for name, is_asked in asked.items() if is_asked}

    def _shape_of_network(self, n_features, n_labels):
        """Return what a net is built from as plain values: hidden layers, activation, residual, fit_intercept."""
        hidden = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        if not all(isinstance(size, Integral) and int(size) > 0 for size in hidden):
            raise ValueError(f"hidden_layer_sizes must be positive integers, got {self.hidden_layer_sizes!r}.")
        widths = [n_features, *hidden]
        if self.residual and not any(wide == next_wide for wide, next_wide in pairwise(widths)):
            raise ValueError(
                f"residual=True needs a hidden layer as wide as its input, got {n_features} features and "
                f"hidden_layer_sizes={self.hidden_layer_sizes!r}."
            )
        return tuple(map(int, hidden)), self.activation, bool(self.residual), bool(self.fit_intercept)

    def _train(self, data, *, again, state=None, score=None, **changes):
        """Train, from the present weights if again, and return the outcome."""
        from sk_quadrant._devices import resolve_device
        from sk_quadrant._training.plan import Architecture, Plan, train

        shape = self._shape_of_network(data.n_features, data.n_labels)
        start = self._layers() if again else None
        if again and shape != self._network:
            raise ValueError(
                "hidden_layer_sizes, activation, residual and fit_intercept must be those of the first call, "
                f"{self._network}, got {shape}."
            )
        plan = Plan(
            data=data,
            loss=self.loss_,
            architecture=Architecture(*shape),
            device=resolve_device(self.device),
            seed=self._draw_seed(again=again),
            seed_is_free=self.random_state is None and not again,
            warm_start=again,
            score=score,
            **{name: getattr(self, name) for name in PLANNED} | changes,
        )
        self._network = shape
        return train(SOLVERS[self.solver], plan, start=start, optimizer_state=state)

    def _score_of(self, X, y, sample_weight):
        """Return a function that scores weights on some rows, or None if only the loss is watched."""
        if self.scoring is None:
            return None
        scorer = check_scoring(self, scoring=list(self.scoring) if isinstance(self.scoring, tuple) else self.scoring)
        weight = sample_weight if sample_weight is not None and np.ndim(sample_weight) == 1 else None

        def score(layers, rows):
            candidate = copy(self)  # has not got the names of features, which the rows of X have lost
            candidate.__dict__.pop("feature_names_in_", None)
            candidate._set_layers(layers)
            options = {} if weight is None else {"sample_weight": _safe_indexing(weight, rows)}
            held_out = _safe_indexing(X, rows), _safe_indexing(y, rows)
            return _named_scores(scorer(candidate, *held_out, **options), self.classes_)

        return score

    def _draw_seed(self, *, again):
        if not SOLVERS[self.solver].stochastic:
            return 0
        goes_on = again and hasattr(self, "_random_state")
        state = deepcopy(self._random_state) if goes_on else check_random_state(self.random_state)
        seed = int(state.randint(np.iinfo(np.int32).max))
        self._random_state = state if goes_on else deepcopy(state)  # the user's, or the global one, goes its own way
        return seed

    def _moments(self):
        """Return what the optimizer remembers of earlier batches, None if another one has trained."""
        solver, state = self._optimizer_state
        return deepcopy(state) if solver == self.solver else None

    def _publish(self, outcome):
        if not all(np.isfinite(part).all() for layer in outcome.layers for part in layer):
            raise FloatingPointError(
                f"The coefficients became infinite or NaN with loss={self.loss_.name!r} and solver={self.solver!r}. "
                "Scale X, lower learning_rate_init, or lower C."
            )
        self._set_layers(outcome.layers)
        self._net = outcome.net

    def _set_layers(self, layers):
        """Take weights: of a linear model as coefficients, of a network as they are."""
        self._net = None
        if len(layers) == 1:
            ((coef, intercept),) = layers
            self.__dict__.update(coef_=coef, intercept_=intercept)  # at once: other threads may be predicting
            self.__dict__.pop("_hidden", None)
        else:
            self._hidden = layers
            for name in ("coef_", "intercept_"):
                self.__dict__.pop(name, None)

    def _layers(self):
        """Return weights and intercepts of each layer."""
        if self._network[0]:
            return self._hidden
        return [(self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_, self.intercept_)]

    def __getattr__(self, name):
        if name in ("coef_", "intercept_") and "_hidden" in vars(self):
            raise _networks_only(name)
        return super().__getattribute__(name)  # raises again, with the reason why a method is not available

    def _warn(self, outcome):
        if outcome.interrupted:
            warnings.warn(
                f"Training was interrupted after {outcome.n_iter} iterations; the model is usable as it is.",
                ConvergenceWarning,
                stacklevel=4,
            )
        elif not outcome.converged:
            warnings.warn(
                f"The {self.solver} solver did not converge within max_iter={self.max_iter} iterations to "
                f"tol={self.tol}. Raise max_iter or tol, or scale the features of X.",
                ConvergenceWarning,
                stacklevel=4,
            )

    @property
    def net_(self):
        """Trained skorch net, built again from the coefficients after unpickling."""
        check_is_fitted(self)
        if getattr(self, "_net", None) is None:
            from sk_quadrant._training.plan import Architecture, net_of

            self._net = net_of(self.loss_, self._layers(), Architecture(*self._network))
        return self._net

    def decision_function(self, X):
        """Return the score of each row and label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels), or (n_samples,) for a binary 1-D `y`
            Scores, which the link turns into probabilities. For a binary 1-D `y` the score of the threshold is
            subtracted, so that it is positive where ``classes_[1]`` is predicted, as scikit-learn expects.

        Raises
        ------
        FloatingPointError
            If a score is too large for the precision of `X`; so do the other methods of prediction.
        """
        scores = self._scores(self._check_X(X))
        return self._encoding.centre(scores, self._cut)

    def predict(self, X):
        """Return the labels whose score exceeds their threshold.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        {ndarray, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            In the form of `y` in `fit`: int64 indicators, sparse if `y` was, or classes.
        """
        X = self._check_X(X)
        if self._encoding.kind != "multilabel":
            scores = self._scores(X)
            return self._encoding.decode(scores > self._cut, scores)
        return self._encoding.stack([scores > self._cut for _, scores in self._score_blocks(X)])

    @available_if(_has_link)
    def predict_proba(self, X):
        """Return the probability of each label, by the link of the loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Probabilities of the labels; for a 1-D `y` of the classes, which sum to 1: two columns if binary,
            otherwise the one-vs-rest probabilities divided by their sum.
        """
        X = self._check_X(X)
        return self._encoding.complete(self._scores(X, self.loss_.link.inverse))

    @available_if(_has_link)
    def predict_log_proba(self, X):
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _check_X(self, X):
        if not hasattr(self, "_encoding"):
            check_is_fitted(self)
        return X if self._is_as_checked(X) else self._check_features(X, reset=False)

    def _is_as_checked(self, X):
        """Whether X is certainly what its validation would return: for one row that takes longer than prediction."""
        plain = type(X) is np.ndarray and X.dtype in (np.float64, np.float32) and X.ndim == 2 and X.flags.forc
        if not plain or not len(X) or X.shape[1] != self.n_features_in_ or hasattr(self, "feature_names_in_"):
            return False
        values = X.ravel(order="K")
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(values @ values))  # twice as fast as their sum

    def _check_features(self, X, *, reset):
        dtypes = [np.float64, np.float32]
        return validate_data(self, masked_as_nan(X), accept_sparse="csr", dtype=dtypes, reset=reset)

    def _scores(self, X, transform=None):
        """Return the scores of all rows, transformed if asked for while a block of them is in cache."""
        scores = None
        for rows, block in self._score_blocks(X):
            block = block if transform is None else transform(block)
            if len(block) == X.shape[0]:
                return block
            if scores is None:
                scores = np.empty((X.shape[0], block.shape[1]), block.dtype)
            scores[rows] = block
        return scores

    def _score_blocks(self, X):
        """Yield blocks of rows, as slices, and their scores."""
        score = self._network_score() if self._network[0] else self._linear_score()
        size = max(1, PREDICT_ELEMENTS // max(self._encoding.n_labels, *self._network[0], 1))
        for start in range(0, X.shape[0], size):
            rows = slice(start, start + size)
            with np.errstate(over="ignore", invalid="ignore"):
                scores = score(X[rows])
                total = scores.sum()
            if not np.isfinite(total) and not np.isfinite(scores).all():  # of an infinite one the sign may be wrong
                raise FloatingPointError(
                    f"Scores of rows with values up to {abs(X).max():.3g} are beyond {scores.dtype}. Scale the "
                    "features of X, here and in fit."
                )
            yield rows, scores

    def _linear_score(self):
        """Return the function that scores rows, with the coefficients as they are now."""
        present = vars(self).copy()  # at once: another thread may be publishing what it has fitted
        coef, intercept = present["coef_"].T, present["intercept_"]

        def score(X):
            scores = safe_sparse_dot(X, coef, dense_output=True)
            scores += intercept
            return scores

        return score

    def _network_score(self):
        from sk_quadrant._training.plan import scores_of

        net = self.net_
        return lambda X: scores_of(net, X)

    def _pack(self, state):
        """Leave out the net, which is built again from the coefficients, so that loading needs no PyTorch."""
        state.pop("_net", None)
        state |= {name: plain_loss(state[name]) for name in ("loss", "loss_") if name in state}
        if "_encoding" in state:
            state["_encoding"] = plain(state["_encoding"])
        if sparse.issparse(coef := state.get("coef_")):
            state["coef_"] = {"data": coef.data, "indices": coef.indices, "indptr": coef.indptr, "shape": coef.shape}
        return state

    def _unpack(self, state):
        state |= {name: loss_of(state[name]) for name in ("loss", "loss_") if name in state}
        if "_encoding" in state:
            state["_encoding"] = LabelEncoding(**state["_encoding"])
        if isinstance(coef := state.get("coef_"), dict):
            parts = coef["data"], coef["indices"], coef["indptr"]
            state["coef_"] = sparse.csr_matrix(parts, shape=coef["shape"])
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        return tags


def resolve_loss(loss: Any) -> Loss:
    """Return the loss object of a name or a loss."""
    return LOSSES[loss]() if isinstance(loss, str) else loss


def _named_scores(scores: Any, labels: Any) -> dict[str, float]:
    """Return what a scorer has returned by names for the history, the one that is watched first."""
    if isinstance(scores, dict):
        named = {f"valid_{name}": float(score) for name, score in scores.items()}
        return {"valid_score": next(iter(named.values())), **named}
    if np.ndim(scores):
        named = {f"valid_score_{label}": float(score) for label, score in zip(labels, scores, strict=True)}
        return {"valid_score": float(np.mean(scores)), **named}
    return {"valid_score": float(scores)}


@contextmanager
def _unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Put all attributes back as they were if an error is raised."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
