"""HierarchicalMultiLabelClassifier: consistent probabilities and label sets around any multi-label classifier."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import _raise_for_params, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _estimator_has, check_is_fitted

from sk_quadrant._callback_support import with_callbacks
from sk_quadrant._meta_estimator import MetaClassifier
from sk_quadrant._namespaces import in_namespace_of_X, in_numpy
from sk_quadrant._targets.any_classifier import read_for_any_classifier
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.label_names import listed
from sk_quadrant._targets.responses import respond
from sk_quadrant.hierarchy._labels import LabelHierarchy

METHODS = ("raise_parents", "lower_children")


class HierarchicalMultiLabelClassifier(MetaClassifier):
    """Classifier of labels in a tree: a parent is at least as probable as its children, and predicted with them.

    Parameters
    ----------
    estimator : estimator instance
        Multi-label classifier. A :class:`~sklearn.frozen.FrozenEstimator` is used as it is.

    hierarchy : LabelHierarchy or None, default=None
        Parent of each label. None derives it from the names of the columns of `y` by `LabelHierarchy.from_names`.

    method : {"raise_parents", "lower_children"}, default="raise_parents"
        "raise_parents" makes a parent at least as probable as each child and predicts it with any child.
        "lower_children" makes a child at most as probable as its parent and predicts it only together with it.

    Attributes
    ----------
    estimator_ : estimator instance
        The fitted classifier.

    hierarchy_ : LabelHierarchy
        Parent of each label.

    encoding_ : Encoding
        How `y` was encoded.

    classes_ : ndarray or list of ndarray
        The classes as `estimator_` gives them.

    n_features_in_ : int
        Number of features seen during :term:`fit`, if `estimator_` has it.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, if `estimator_` has them.

    label_names_in_ : ndarray of shape (n_labels,)
        Names of the labels, if `estimator_` has them.

    See Also
    --------
    LabelHierarchy : Parents of labels, given or derived from their names.
    hierarchical_f1_score : F1 of label sets with their ancestors.

    Notes
    -----
    `fit` adds the ancestors of each label to `y`, so that the classifier learns that every A01B is an A01. With one
    threshold for all labels predictions equal thresholded consistent probabilities.

    Put it around `TunedThresholdMultiLabelClassifierCV` and `CalibratedMultiLabelClassifierCV`, not into them: outside
    of it, thresholds, maps and scorers see `y` without ancestors. `LabelHierarchy.close` adds them in advance.

    References
    ----------
    .. [1] C. N. Silla, A. A. Freitas. :doi:`"A survey of hierarchical classification across different application
       domains" <10.1007/s10618-010-0175-9>`. Data Mining and Knowledge Discovery 22, 2011.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.hierarchy import HierarchicalMultiLabelClassifier
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> y = pd.DataFrame(Y, columns=["A", "A01"])
    >>> model = HierarchicalMultiLabelClassifier(QuadrantMultiLabelClassifier()).fit(X, y)
    >>> model.predict([[-2.0, 2.0]])
    array([[1, 1]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "hierarchy": [LabelHierarchy, None],
        "method": [StrOptions(set(METHODS))],
    }

    def __init__(
        self, estimator: Any, *, hierarchy: LabelHierarchy | None = None, method: str = "raise_parents"
    ) -> None:
        self.estimator = estimator
        self.hierarchy = hierarchy
        self.method = method

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, **params: Any) -> HierarchicalMultiLabelClassifier:
        """Add the ancestors of all labels to y and fit the classifier.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Training data, as `estimator` takes it.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels)
            Indicator matrix of the labels, NaN where unknown.

        **params : dict
            Parameters for the `fit` method of `estimator`, by metadata routing. The ancestors of labels are added to
            `y_val`, too.

        Returns
        -------
        self : object
            This instance.

        Raises
        ------
        ValueError
            If `y` is not a label matrix, its labels have no names that are strings while `hierarchy` is None, or their
            number is one, or not that of `hierarchy`.
        """
        _raise_for_params(params, self, None)
        if y is not None and np.ndim(y) != 2 and not hasattr(y, "columns"):
            raise ValueError(f"y must be a label matrix of shape (n_samples, n_labels), got shape {np.shape(y)}.")
        routed = process_routing(self, "fit", **params)
        data = self._read(X, y, routed.estimator.fit, soft=False)
        if data.encoding.exclusive:
            raise ValueError("y must have at least two labels, got one, which has no parent. Fit estimator itself.")
        hierarchy = self._hierarchy_of(data.encoding.label_names)
        fit_params = dict(routed.estimator.fit)
        if fit_params.get("y_val") is not None:
            fit_params["y_val"] = _with_ancestors(fit_params["y_val"], data.encoding, hierarchy, name="y_val")
        self._fit_once(data.with_labels(hierarchy.close(data.y), fit_params), hierarchy_=hierarchy)
        return self

    @in_namespace_of_X
    def predict(self, X: Any) -> Any:
        """Predict label sets in which every label has its parent.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        {ndarray, CSR matrix or array} of shape (n_samples, n_labels)
            Predictions of `estimator_`, with missing parents added, or without labels whose parent is absent.
        """
        check_is_fitted(self)
        predicted = in_numpy(self.estimator_.predict(X))
        return self.hierarchy_.close(predicted) if self.method == METHODS[0] else self.hierarchy_.prune(predicted)

    @available_if(_estimator_has("predict_proba"))
    @in_namespace_of_X
    def predict_proba(self, X: Any) -> Any:
        """Return probabilities in which a parent is at least as probable as its children.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels)
            Probability of each label.
        """
        check_is_fitted(self)
        values = respond(self.estimator_, X, "predict_proba", self.encoding_).values
        return getattr(self.hierarchy_, self.method)(values)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the subset accuracy of label sets with their ancestors: the share of rows with all labels right.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        y : {array-like, sparse matrix, dataframe} of shape (n_samples, n_labels)
            Labels, in any order of their names, to which ancestors are added as in `fit`. NaN marks an unknown label,
            which is left out.

        sample_weight : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Weights of rows, or of each label of each row.

        Returns
        -------
        score : float
            Between 0 and 1; higher is better.

        See Also
        --------
        hierarchical_f1_score : F1 of label sets with their ancestors, which counts partly right sets.
        """
        check_is_fitted(self)
        return super().score(X, _with_ancestors(y, self.encoding_, self.hierarchy_), sample_weight)

    @property
    def classes_(self) -> Any:
        """Classes of the fitted estimator."""
        return self._fitted().classes_

    def _pack(self, state: dict[str, Any]) -> dict[str, Any]:
        hierarchies = {name: state[name] for name in ("hierarchy", "hierarchy_") if state.get(name) is not None}
        return super()._pack(state) | {name: list(each.parents) for name, each in hierarchies.items()}

    def _unpack(self, state: dict[str, Any]) -> dict[str, Any]:
        saved = {name: state[name] for name in ("hierarchy", "hierarchy_") if state.get(name) is not None}
        return super()._unpack(state) | {name: LabelHierarchy(tuple(parents)) for name, parents in saved.items()}

    def _hierarchy_of(self, names: Any) -> LabelHierarchy:
        if self.hierarchy is not None:
            return self.hierarchy
        if names is None:
            raise ValueError(
                "hierarchy must be given where y has no names. Pass a LabelHierarchy, or y as a DataFrame."
            )
        if not all(isinstance(name, str) for name in names):  # 1 is no parent of 10 in the default names of pandas
            raise ValueError(
                f"hierarchy must be given where names of labels are not strings, got {listed(names)}. Pass "
                "LabelHierarchy.from_names(names) if a number is the parent of those that begin with it."
            )
        return LabelHierarchy.from_names(list(names))


def _with_ancestors(y: Any, encoding: Encoding, hierarchy: LabelHierarchy, *, name: str = "y") -> Any:
    """Return labels in the order of an encoding, with all ancestors added."""
    labels, _, _ = read_for_any_classifier(encoding.align(in_numpy(y), name=name), soft=False)
    return hierarchy.close(labels)
