"""The estimator: a multi-label model with a choice of losses, each with its link and threshold."""

from __future__ import annotations

from collections.abc import Mapping, Set
from copy import copy, deepcopy
from dataclasses import replace
from functools import cached_property
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions
from sklearn.utils._pprint import _EstimatorPrettyPrinter
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_quadrant._arrays import follow_sparse_interface
from sk_quadrant._callback_support import FIT_CALLER, CallbackSupportMixin, FitTask, with_callbacks
from sk_quadrant._cores import sum_of_squares
from sk_quadrant._model.fitted import FittedModel, loss_from_dict, loss_to_dict
from sk_quadrant._model.module_parameter import ModuleName, is_instance, module_from_dict, module_to_dict
from sk_quadrant._namespaces import can_dispatch, check_namespace, give, in_numpy
from sk_quadrant._rows.inputs import Inputs
from sk_quadrant._rows.reading import read_features
from sk_quadrant._saved_state import SavedState, upgrade_classifier
from sk_quadrant._solvers.registry import SOLVERS, solvers_that_can
from sk_quadrant._targets.accuracy import accuracy
from sk_quadrant._targets.encodings import MultiLabel
from sk_quadrant._targets.label_values import read_label_values
from sk_quadrant._training.data import read_batch, read_rows, read_validation
from sk_quadrant._training.fit import (
    fit_rows,
    unchanged_on_error,
    update_with_rows,
    warm_start_of,
    warn_after_fit,
    wrap_module,
)
from sk_quadrant._training.parameters import (
    NO_EARLY_STOPPING,
    check_loss,
    check_partial_fit,
    check_validation_data,
    refuse_validation_data,
    resolve_loss,
)
from sk_quadrant._training.validation_score import ValidationScore
from sk_quadrant.losses import LOSSES, Loss


def has_link(estimator: Any) -> bool:
    """Whether the scores of an estimator have probabilities; raise an AttributeError with the reason if not."""
    model = getattr(estimator, "model_", None)
    loss = resolve_loss(estimator.loss) if model is None else model.loss
    if loss.link is None:
        raise AttributeError(
            f"predict_proba is not available for loss={loss.name!r}: its scores have no probability. Use "
            "decision_function, or CalibratedMultiLabelClassifierCV."
        )
    return True


def can_learn_in_parts(estimator: Any) -> bool:
    """Whether the solver of an estimator has `partial_fit`; raise an AttributeError with the reason if not."""
    solver = SOLVERS.get(estimator.solver)
    if solver is not None and "partial_fit" in solver.cannot:  # an unknown one is refused by the method
        raise AttributeError(
            f"partial_fit is not available for solver={estimator.solver!r}, {solver.cannot['partial_fit']}. Use one of "
            f"{solvers_that_can('partial_fit')}."
        )
    return True


def has_coefficients(estimator: Any) -> bool:
    """Whether features have coefficients; raise an AttributeError with the reason if not."""
    model = getattr(estimator, "model_", None)
    if estimator.module is not None if model is None else not model.is_linear:
        raise AttributeError(f"{type(estimator).__name__} has no coefficients of features with a module.")
    return True


class QuadrantMultiLabelClassifier(
    CallbackSupportMixin, SavedState, SparseCoefMixin, LinearClassifierMixin, BaseEstimator
):
    """Linear multi-label classifier, or network, with a choice of losses, each with its own link and threshold.

    It minimises ``C * sum_i w_i loss_i + 0.5 * ||coef||^2`` over the rows i, with the loss of a row taken over all its
    labels and the intercept not penalised. With the default loss its coefficients are those of
    ``OneVsRestClassifier(LogisticRegression(C=C))``. The model is a PyTorch module trained through skorch. The fitted
    coefficients are NumPy arrays: predictions of a linear model need neither library.

    Parameters
    ----------
    loss : str or Loss, default="bce_with_logits"
        A name in `sk_quadrant.losses.LOSSES`, or a loss object with its own parameters.
    C : float, or array-like, Series or dict with a value for each label, default=1.0
        Inverse strength of the penalty, ``np.inf`` for none; 10 to 100 is usual for TF-IDF features. One value per
        label needs "lbfgs"; the objective is then ``sum_i w_i loss_i + sum_j 0.5 * ||coef_j||^2 / C_j``. A Series or
        dict is read by label name. With a `module` the penalty covers all trained parameters of two axes or more,
        pretrained weights and embeddings included; ``np.inf`` is then the usual choice.
    fit_intercept : bool, default=True
        Whether each label has an intercept.
    threshold : {"natural", "bayes"}, float or array-like of shape (n_labels,), default="natural"
        Threshold above which a label is predicted: "natural" is the score threshold of the loss, "bayes" a probability
        of 1/2; a float or an array gives probability thresholds, a Series, dict or one-row DataFrame by label name.
        Not used for a 1-D `y` with more than two classes: the class with the largest score is predicted. A value set
        after fit is used by the next prediction.
    coef_threshold : float, default=0.0
        If positive, weights of smaller absolute value become 0, and `coef_` is a CSR matrix. A labelwise loss is solved
        for some labels at a time, which needs no memory for the dense matrix: for many thousands of labels, with a
        sparse `y`. Only with "lbfgs", and without callbacks.
    solver : {"lbfgs", "adamw", "sgd"}, default="lbfgs"
        "lbfgs" uses all rows in each iteration, starts at zero and is deterministic [1]_. "adamw" [2]_ and "sgd" (with
        Nesterov momentum 0.9) use mini-batches.
    max_iter : int, default=200
        Largest number of iterations, of epochs for "adamw" and "sgd".
    tol : float or "auto", default="auto"
        "lbfgs" stops when the estimated distance to the optimum falls below ``tol ** 2`` of the objective: a relative
        error of about `tol` in the coefficients; "auto" is 5e-4. The hinge of a sparse `X` stops at ``0.02 * tol`` of
        the objective. "adamw" and "sgd" stop when `n_iter_no_change` epochs have not improved the training loss by
        `tol`, or with `early_stopping` the loss or score on the held-out rows; "auto" is 1e-4. Without
        `early_stopping` and with a falling learning rate they run all epochs.
    hidden_layer_sizes : int or array-like of shape (n_hidden_layers,), default=()
        Units of each hidden layer; without hidden layers the model is linear. Not with "lbfgs".
    activation : {"identity", "relu", "gelu", "tanh"}, default="relu"
        Activation function of the hidden layers.
    residual : bool, default=False
        Whether a hidden layer as wide as its input adds that input to its output.
    batch_size : int or "auto", default="auto"
        Largest number of rows in a batch; rows are divided evenly into as few batches as possible. "auto" is
        ``min(200, n_samples)``. With "lbfgs" an integer is the number of rows read at a time from memory-mapped arrays,
        for data larger than memory; "auto" reads all rows at once, which is faster.
    learning_rate_init : float, default=5e-3
        Learning rate of "adamw" and "sgd", reached after the warm-up.
    learning_rate : {"constant", "cosine"}, default="constant"
        "cosine" lowers the learning rate to zero along half a cosine wave over `max_iter` epochs [3]_. Not with
        "lbfgs".
    warmup_fraction : float, default=0.0
        Fraction of all steps of `max_iter` epochs over which the learning rate rises to `learning_rate_init`. Not with
        "lbfgs".
    label_smoothing : float, default=0.0
        Weight in [0, 1) of 1/2 in each training target: 1 becomes ``1 - label_smoothing / 2`` [4]_. Targets become
        dense.
    mixup_alpha : float, default=0.0
        If positive, training uses convex combinations of the rows of a batch and of their targets, with weights from
        Beta(mixup_alpha, mixup_alpha) [5]_. Not with "lbfgs".
    class_weight : dict, "balanced", list of these or None, default=None
        For a 1-D `y` the weights of its classes. For a label matrix the weights of absent and present labels,
        ``{0: w0, 1: w1}``, the same for all labels, or a list with one dict per label, or a dict by label name;
        "balanced" is ``n / (2 * n_absent)`` and ``n / (2 * n_present)`` for each label.
    missing_labels : {"error", "ignore"}, default="error"
        "ignore" takes NaN in `y` as an unknown label, which training ignores; "error" refuses it.
    early_stopping : bool, default=False
        Whether to hold out rows, to stop when their loss or score no longer improves, and to keep the weights of the
        best epoch. Not with "lbfgs". The split is stratified by labels where possible.
    scoring : str, callable, list, tuple, dict or None, default=None
        What `early_stopping` monitors on the held-out rows: None for the loss, or a scikit-learn scorer. With several
        scorers (or one that returns a dict) the first is monitored and all are recorded; with one that returns an
        array, one score per label, the mean is monitored. Row weights are passed on to the scorer. Names are those of
        :func:`sk_quadrant.metrics.get_scorer`; its own scorers take unknown labels. A score of NaN is an error.
    validation_fraction : float or cross-validation splitter, default=0.1
        Fraction of the rows to hold out, or a splitter whose first split is used, such as
        ``GroupShuffleSplit(n_splits=1)`` with ``fit(..., groups=groups)``. Not used with `X_val`.
    n_iter_no_change : int, default=10
        Epochs without progress before "adamw" and "sgd" stop.
    warm_start : bool, default=False
        Whether `fit` starts from the coefficients of the last fit, and "adamw" and "sgd" from its optimizer state.
    random_state : int, RandomState instance or None, default=None
        Seed for the order of rows, the rows held out, and the initial weights of hidden layers; not used by "lbfgs".
        With a `module` also for its dropout, and for its initial weights unless it is an instance.
    device : str, default="cpu"
        Where to train: "cpu", "cuda", "cuda:N", "mps", or "auto" for a GPU if there is one. With ``array_api_dispatch``
        "cpu" is the device of `X`.
    module : torch.nn.Module, callable or None, default=None
        Module to train in place of the linear model, with "adamw" or "sgd": an instance, which is copied for each fit,
        or a class or function of (n_features, n_labels) that returns one. It returns scores of shape
        (n_rows, n_labels), as a tensor, as the attribute `logits`, or as the first entry of a tuple. `X` may then also
        have more than two axes, be a sequence of strings, or be a dict of arrays with one entry per row, which become
        keyword arguments. n_features is ``X.shape[1]``, ``X.shape[1:]`` for more axes, and None for strings and dicts.
        Floats are converted to the precision of the module; integers are passed as they are.
    param_groups : list of (str, dict) or None, default=None
        Options of the optimizer, such as "lr" and "weight_decay", for the parameters of `module` whose name matches a
        pattern, such as "encoder.*"; the first matching pattern is used. Schedules keep the ratios of learning rates.
    micro_batch_size : int or None, default=None
        Largest number of rows in one forward pass of `module`, None for `batch_size`. Gradients are accumulated over
        the parts of a batch: this saves memory and changes no result, except with batch norm. Predictions use the same
        size.
    callbacks : list or None, default=None
        Callbacks of skorch, which are not copied. One that looks at single batches makes training use the slower steps
        of skorch. "lbfgs" counts as a single epoch.
    verbose : int, default=0
        1 shows a bar with the objective or loss and the time left in a terminal or notebook, and prints a line for each
        iteration or epoch elsewhere; 2 always prints lines.

    Attributes
    ----------
    coef_ : {ndarray, CSR matrix or array} of shape (n_labels, n_features)
        Weights, sparse with `coef_threshold`, as scikit-learn's `sparse_interface` says; (1, n_features) for a binary
        1-D `y`. Not with hidden layers.
    intercept_ : ndarray of shape (n_labels,)
        Intercepts, zero without `fit_intercept`. Not with hidden layers.
    classes_ : ndarray of shape (n_classes,)
        Classes of a 1-D `y`, or ``arange(n_labels)``.
    threshold_ : ndarray of shape (n_labels,)
        Probability above which each label is predicted; a score for a loss without a link. It can be assigned, until
        the next fit or change of `threshold`.
    loss_ : Loss
        The loss object.
    model_ : FittedModel
        Weights, thresholds, encoding of `y` and loss. The attributes above are read from it.
    net_ : skorch.NeuralNet
        The trained net, built again from the coefficients after unpickling.
    n_iter_ : int
        Iterations or epochs run.
    loss_curve_ : list of float
        For "lbfgs" the objective, a weighted mean over rows plus the penalty, at the start and after each iteration.
        For "adamw" and "sgd" the training loss of each epoch, without the penalty, averaged over its batches during
        training.
    training_state_ : dict
        State from which `warm_start` and `partial_fit` continue: solver, moments of the optimizer, random state.
    history_ : list of dict
        One entry for each iteration ("epoch" and "objective") or epoch ("epoch", "learning_rate", "train_loss", with
        `early_stopping` "valid_loss" and scores, and the records of callbacks).
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, if `X` had string column names.
    label_names_in_ : ndarray of shape (n_labels,)
        Names of labels, if `y` was a DataFrame.

    See Also
    --------
    QuadrantMultiLabelClassifierCV : Choose loss, C, thresholds and calibration by cross-validation.
    TunedThresholdMultiLabelClassifierCV : Tune the thresholds of any classifier.
    CalibratedMultiLabelClassifierCV : Calibrate the probabilities of any classifier.
    sklearn.multiclass.OneVsRestClassifier : One estimator per label.
    sklearn.neural_network.MLPClassifier : Networks, trained with binary cross-entropy.

    References
    ----------
    .. [1] D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical
       Programming 45, 1989. :doi:`10.1007/BF01589116`
    .. [2] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization",
       ICLR 2019. :arxiv:`1711.05101`
    .. [3] I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
       :arxiv:`1608.03983`
    .. [4] C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, "Rethinking the Inception architecture for computer
       vision", CVPR 2016. :arxiv:`1512.00567`
    .. [5] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018.
       :arxiv:`1710.09412`

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

    __metadata_request__fit: ClassVar[dict[str, Any]] = {"groups": False}  # those that are routed are for a splitter

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "loss": [StrOptions(set(LOSSES)), Loss],
        "C": [Interval(Real, 0, None, closed="neither"), Options(Real, {np.inf}), "array-like", dict],
        "fit_intercept": ["boolean"],
        "coef_threshold": [Interval(Real, 0, None, closed="left")],
        "threshold": [StrOptions({"natural", "bayes"}), Interval(Real, 0, 1, closed="both"), "array-like"],
        "solver": [StrOptions(set(SOLVERS))],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
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
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), HasMethods(["split"])],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "module": [callable, None],
        "param_groups": [list, tuple, None],
        "micro_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "device": [str],
        "callbacks": [list, tuple, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        loss: str | Loss = "bce_with_logits",
        *,
        C: Any = 1.0,
        fit_intercept: bool = True,
        threshold: Any = "natural",
        coef_threshold: float = 0.0,
        solver: str = "lbfgs",
        max_iter: int = 200,
        tol: float | str = "auto",
        hidden_layer_sizes: Any = (),
        activation: str = "relu",
        residual: bool = False,
        batch_size: int | str = "auto",
        learning_rate_init: float = 5e-3,
        learning_rate: str = "constant",
        warmup_fraction: float = 0.0,
        label_smoothing: float = 0.0,
        mixup_alpha: float = 0.0,
        class_weight: Any = None,
        missing_labels: str = "error",
        early_stopping: bool = False,
        scoring: Any = None,
        validation_fraction: Any = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "cpu",
        module: Any = None,
        param_groups: Any = None,
        micro_batch_size: int | None = None,
        callbacks: Any = None,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.C = C
        self.fit_intercept = fit_intercept
        self.threshold = threshold
        self.coef_threshold = coef_threshold
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
        self.module = module
        self.param_groups = param_groups
        self.micro_batch_size = micro_batch_size
        self.callbacks = callbacks
        self.verbose = verbose

    def _validate_params(self) -> None:
        check_loss(self)
        super()._validate_params()

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> QuadrantMultiLabelClassifier:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features; float32 stays float32. With a `module` also an array of more axes, a sequence of strings, or a
            dict of arrays, here and in the other methods.
        y : {array-like, sparse matrix, DataFrame} of shape (n_samples,) or (n_samples, n_labels)
            Label indicators, probabilities in [0, 1] (soft targets), or classes if 1-D. A single column counts as 1-D.
            NaN is an unknown label with ``missing_labels="ignore"``.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of each label of each row. A weight of 2 is a repeated row: with weights that sum to 1,
            `C` is divided by the number of rows.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Features of the validation rows of `early_stopping`. In a :class:`~sklearn.pipeline.Pipeline` pass
            ``transform_input=["X_val"]`` to transform them like `X`.
        y_val : {array-like, sparse matrix, DataFrame} of shape (n_val,) or (n_val, n_labels), default=None
            Labels of the validation rows, in the form of `y`.
        sample_weight_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Weights of the validation rows.
        groups : array-like of shape (n_samples,), default=None
            Groups of rows, for a splitter given as `validation_fraction`.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If data or parameters are invalid; the estimator is not changed.
        FloatingPointError
            If the loss becomes infinite or NaN; the estimator is not changed.
        """
        task = self._fit_task(X, y, sample_weight)
        with unchanged_on_error(self):
            check_validation_data(self, X_val, y_val, sample_weight_val, groups)
            start = warm_start_of(self)
            y, sample_weight, y_val, sample_weight_val = map(in_numpy, (y, sample_weight, y_val, sample_weight_val))
            y = y if start is None else start.encoding.align(y)
            rows = read_rows(self, X, y, sample_weight, start=start)
            held_out = read_validation(self, rows, X, y, groups, (X_val, y_val, sample_weight_val))
            seen = (X, rows, y, sample_weight) if X_val is None else (X_val, held_out, y_val, sample_weight_val)
            score = None if self.scoring is None else ValidationScore.of(self, *seen)
            result = fit_rows(self, rows, start=start, score=score, validation=held_out, task=task)
        if task is not None:
            task.end()
        warn_after_fit(self, result, stacklevel=FIT_CALLER)
        return self

    def _fit_task(self, X, y, sample_weight):
        """Return the fit as reported to callbacks of scikit-learn, None without callbacks."""
        name = "iteration" if SOLVERS[self.solver].needs_sums_only else "epoch"
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        return FitTask.of(self, name, self.max_iter, X, y, metadata)

    @classmethod
    def from_module(
        cls, module: Any, labels: Any, *, solver: str = "adamw", **params: Any
    ) -> QuadrantMultiLabelClassifier:
        """Return a fitted classifier around a trained module.

        It predicts with the scores of the module and the link and threshold of `loss`. Tune thresholds or calibrate
        probabilities on rows that the module was not trained on, by ``cv="prefit"`` of
        :class:`~sk_quadrant.TunedThresholdMultiLabelClassifierCV` or a :class:`~sklearn.frozen.FrozenEstimator` in
        :class:`~sk_quadrant.CalibratedMultiLabelClassifierCV`; train it further by `partial_fit`.

        Parameters
        ----------
        module : torch.nn.Module
            Trained module. It is copied, and the copy is put into evaluation mode.
        labels : int or sequence of str
            Number of labels, or their names.
        solver : {"adamw", "sgd"}, default="adamw"
            Solver of `partial_fit`.
        **params : dict
            Other parameters. Pass the `loss` with which the module was trained.

        Returns
        -------
        QuadrantMultiLabelClassifier
            Fitted estimator. The form of `X` is unknown, so only the module checks it.

        Raises
        ------
        TypeError
            If `module` is not an instance of a module.
        ValueError
            If `labels` are neither a number nor names in an order (a set or dict is none), or a parameter is not
            allowed.

        Examples
        --------
        >>> import torch
        >>> from sk_quadrant import QuadrantMultiLabelClassifier
        >>> network = torch.nn.Linear(3, 2)
        >>> clf = QuadrantMultiLabelClassifier.from_module(network, ["soft", "hard"])
        >>> clf.predict_proba([[0.0, 1.0, 2.0]]).shape
        (1, 2)
        """
        if not is_instance(module):
            raise TypeError(f"module must be a torch.nn.Module that is trained already, got {module!r}.")
        names = None if isinstance(labels, Integral) else np.fromiter(labels, dtype=object)
        n_labels = int(labels) if names is None else len(names)
        if n_labels < 1 or isinstance(labels, (str, Set, Mapping)):
            raise ValueError(
                "labels must be a number of labels, at least 1, or their names in the order of the scores of module, "
                f"got {labels!r}."
            )
        clf = cls(module=module, solver=solver, **params)
        clf._validate_params()
        wrap_module(clf, MultiLabel(np.arange(n_labels), names))
        return clf

    @available_if(can_learn_in_parts)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None, **validation: Any
    ) -> QuadrantMultiLabelClassifier:
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
            Weights of rows, or of each label of each row.
        **validation : None
            `X_val`, `y_val`, `sample_weight_val` and `groups` of `fit` must be None: there is no early stopping.

        Returns
        -------
        self : object
            Updated estimator.

        Raises
        ------
        ValueError
            If data or parameters are invalid, or `classes` is missing in the first call; the estimator is not changed.
        FloatingPointError
            If the loss becomes infinite or NaN; the estimator is not changed.
        """
        with unchanged_on_error(self):
            refuse_validation_data("partial_fit", validation, NO_EARLY_STOPPING)
            check_partial_fit(self)
            start = getattr(self, "model_", None)
            rows = read_batch(self, X, y, classes, sample_weight, start=start)
            update_with_rows(self, rows, start=start)
        return self

    @property
    def model_(self) -> Any:
        """The fitted model, with the current value of `threshold`."""
        try:
            model = self.__dict__["model_"]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'model_'") from None
        followed = self.__dict__.get("_followed_threshold", self.threshold)  # older saved models have no such entry
        if followed is self.threshold or _are_same(followed, self.threshold):
            return model
        self.model_ = model.with_threshold(self.threshold)
        return self.__dict__["model_"]

    @model_.setter
    def model_(self, model: Any) -> None:
        self.__dict__["model_"] = model
        self._followed_threshold = deepcopy(self.threshold)

    @property
    def classes_(self) -> Any:
        """Classes of a 1-D `y`, or ``arange(n_labels)``."""
        return self.model_.encoding.classes

    @property
    def label_names_in_(self) -> Any:
        """Names of labels, if `y` was a DataFrame."""
        names = self.model_.encoding.label_names
        if names is None:
            raise AttributeError("label_names_in_ is only available after a fit with a DataFrame y.")
        return names

    @property
    def loss_(self) -> Any:
        """The loss object."""
        return self.model_.loss

    @property
    def threshold_(self) -> Any:
        """Probability above which each label is predicted; a score for a loss without a link."""
        return give(self.model_.namespace, self.model_.threshold)

    @threshold_.setter
    def threshold_(self, threshold: Any) -> None:
        model = self.model_
        if model.loss.link is not None:
            self.model_ = model.with_threshold(threshold)
            return
        cuts = read_label_values(threshold, model.encoding.names, model.encoding.n_labels, name="threshold_")
        self.model_ = replace(model, score_threshold=cuts, threshold=cuts)

    @property
    def coef_(self) -> Any:
        """Weights of a linear model."""
        return give(self.model_.namespace, follow_sparse_interface(self._linear_layer("coef_")[0]))

    @coef_.setter
    def coef_(self, coef: Any) -> None:
        self._set_linear_layer(coef, self.intercept_)

    @property
    def intercept_(self) -> Any:
        """Intercepts of a linear model."""
        return give(self.model_.namespace, self._linear_layer("intercept_")[1])

    @intercept_.setter
    def intercept_(self, intercept: Any) -> None:
        self._set_linear_layer(self.coef_, intercept)

    def _linear_layer(self, name):
        if not self.model_.is_linear:
            weights = "net_.module_" if self.model_.takes_inputs else "net_.module_.layers"
            raise AttributeError(
                f"{name} is not available with {self.model_.summary}, which has no coefficients of features. The "
                f"weights are in {weights}; sklearn.inspection.permutation_importance ranks features."
            )
        return self.model_.layers[0]

    def _set_linear_layer(self, coef, intercept):
        coef = coef.tocsr() if issparse(coef) else coef
        self.model_ = self.model_.with_layers([(coef, intercept)])
        self.__dict__.pop("net_", None)

    @cached_property
    def net_(self) -> Any:
        """Trained skorch net, built again from the coefficients after unpickling."""
        check_is_fitted(self)
        from sk_quadrant._solvers.mini_batch.net import net_of

        return net_of(self.model_)

    def decision_function(self, X: Any) -> Any:
        """Return the score of each row and label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_labels), or (n_samples,) for a binary 1-D `y`
            Scores, which the link turns into probabilities. For a binary 1-D `y` the score of the threshold is
            subtracted, so that it is positive where ``classes_[1]`` is predicted, as scikit-learn expects.

        Raises
        ------
        FloatingPointError
            If a score is too large for the precision of `X`, also in the other methods of prediction.
        """
        X = self._check_X(X, "decision_function")
        return give(self.model_.namespace, self.model_.decision_function(X))

    def predict(self, X: Any) -> Any:
        """Return the labels whose score exceeds their threshold.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        {ndarray, CSR matrix or array} of shape (n_samples,) or (n_samples, n_labels)
            In the form of `y` in `fit`: int64 indicators, or classes. They are sparse if `y` was: a sparse array if `y`
            was one, or with ``sklearn.set_config(sparse_interface="sparray")``.
        """
        X = self._check_X(X, "predict")
        return give(self.model_.namespace, self.model_.predict(X))

    @available_if(has_link)
    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each label, by the link of the loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Probabilities of the labels. For a 1-D `y` probabilities of the classes, which sum to 1: two columns if
            binary, otherwise the one-vs-rest probabilities divided by their sum.
        """
        X = self._check_X(X, "predict_proba")
        return give(self.model_.namespace, self.model_.predict_proba(X))

    @available_if(has_link)
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Logarithms, minus infinity for a probability of 0.
        """
        X = self._check_X(X, "predict_log_proba")
        return give(self.model_.namespace, self.model_.predict_log_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the subset accuracy: the share of rows with all labels right; for a 1-D `y`, the accuracy.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, as in `fit`.
        y : {array-like, sparse matrix, DataFrame} of shape (n_samples,) or (n_samples, n_labels)
            Labels, in any order of their names. With ``missing_labels="ignore"`` NaN marks an unknown label, which is
            left out; rows without known labels are left out.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of each label of each row: then a label of weight 0 counts as unknown, and the weight of
            a row is the mean weight of its other known labels.

        Returns
        -------
        float
            Between 0 and 1; higher is better.

        Raises
        ------
        ValueError
            If `y` has other label names, unknown labels without ``missing_labels="ignore"``, soft labels, or no row
            with a known label and a positive weight.
        """
        y, predicted, sample_weight = map(in_numpy, (y, self.predict(X), sample_weight))
        return accuracy(self.model_.encoding, y, predicted, sample_weight, missing_labels=self.missing_labels)

    def _check_X(self, X, method):
        model = getattr(self, "model_", None)
        if model is None:
            check_is_fitted(self)
        if model.namespace is None and not model.takes_inputs and self._is_as_checked(X):
            return X
        if not isinstance(X, Inputs):  # rows of `scoring`, which are read already
            check_namespace(self, X, method)
        return read_features(self, X, model, model.namespace)

    def _is_as_checked(self, X):
        """Whether validation would return X unchanged; for one row validation takes longer than prediction."""
        plain = type(X) is np.ndarray and X.dtype in (np.float64, np.float32) and X.ndim == 2 and X.flags.forc
        if not plain or not len(X) or X.shape[1] != self.n_features_in_ or hasattr(self, "feature_names_in_"):
            return False
        values = X.ravel(order="K")
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(sum_of_squares(values)))  # twice as fast as their sum

    @available_if(has_coefficients)
    def densify(self) -> Any:
        """Convert `coef_` to a dense array.

        Returns
        -------
        self : object
            The estimator.
        """
        return super().densify()

    @available_if(has_coefficients)
    def sparsify(self) -> Any:
        """Convert `coef_` to a sparse matrix.

        Returns
        -------
        self : object
            The estimator.
        """
        return super().sparsify()

    def _pack(self, state):
        """Leave out the net: it is built again from the coefficients, so that loading needs no PyTorch."""
        state.pop("net_", None)
        if "loss" in state:
            state["loss"] = loss_to_dict(state["loss"])
        if "model_" in state:
            state["model_"] = state["model_"].to_dict()
        return state | {"module": module_to_dict(state.get("module"))}

    def __copy__(self):
        """Return a shallow copy, which leaves out the net as a saved one does."""
        clf = object.__new__(type(self))
        clf.__dict__.update({name: value for name, value in vars(self).items() if name != "net_"})
        return clf

    def _unpack(self, state):
        state = upgrade_classifier(state)
        if "loss" in state:
            state["loss"] = loss_from_dict(state["loss"])
        if "model_" in state:
            state["model_"] = FittedModel.from_dict(state["model_"])
        return state | {"module": module_from_dict(state.get("module"))}

    def __sklearn_array_api_convert__(self, converter):
        """Return the fitted estimator with arrays that a function of scikit-learn's `move_estimator_to` moves."""
        clf = clone(self)
        clf.__dict__.update(vars(copy(self)))
        if "model_" in vars(self):
            clf.__dict__["model_"] = self.model_.__sklearn_array_api_convert__(converter)
        return clf

    def __repr__(self, N_CHAR_MAX=700):
        return BaseEstimator.__repr__(_with_short_module(self), N_CHAR_MAX)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = self.module is None
        tags.array_api_support = can_dispatch() and not self.coef_threshold  # which makes coef_ a matrix of SciPy
        return tags


def _are_same(first: Any, second: Any) -> bool:
    """Whether two values of a parameter are equal, arrays and named values included."""
    if type(first) is not type(second):
        return False
    if isinstance(first, str):
        return bool(first == second)
    if hasattr(first, "equals"):  # names and values of pandas
        return bool(first.equals(second))
    return bool(first == second) if isinstance(first, dict) else bool(np.array_equal(first, second))


def _with_short_module(estimator):
    """Return an unfitted estimator to be shown, with the name of a module in place of its architecture."""
    if estimator.module is None:
        return estimator
    return type(estimator)(**estimator.get_params(deep=False) | {"module": ModuleName.of(estimator.module)})


def _print_short(printer, estimator, *where):
    _EstimatorPrettyPrinter._pprint_estimator(printer, _with_short_module(estimator), *where)


# scikit-learn breaks lines of an estimator, also of a step of a pipeline, whose __repr__ it knows
_EstimatorPrettyPrinter._dispatch[QuadrantMultiLabelClassifier.__repr__] = _print_short
