"""Base class of classifiers with thresholds: the rule, and the methods of the inner classifier."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _estimator_has

from sk_quadrant._arrays import FloatArray
from sk_quadrant._meta_estimator import MetaClassifier
from sk_quadrant._namespaces import in_namespace_of_X, in_numpy
from sk_quadrant._targets.encodings import Encoding
from sk_quadrant._targets.responses import RESPONSE_METHODS, Response, first_method
from sk_quadrant._thresholds.rules import RULES, Rule


class ThresholdClassifier(MetaClassifier):
    """Base of the meta-estimators that compare the scores of a classifier with thresholds."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict_proba"]), HasMethods(["fit", "decision_function"])],
        "response_method": [StrOptions({"auto", *RESPONSE_METHODS})],
        "min_labels": [Interval(Integral, 0, None, closed="left")],
        "max_labels": [Interval(Integral, 1, None, closed="left"), None],
        "rule": [StrOptions(set(RULES)), None],
    }

    @available_if(_estimator_has("predict_proba"))
    @in_namespace_of_X
    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the fitted estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples, 2), or list of n_labels arrays of shape (n_samples, 2)
            Output of `estimator_`.
        """
        return self._fitted().predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    @in_namespace_of_X
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of the probabilities of the fitted estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples, 2), or list of n_labels arrays of shape (n_samples, 2)
            Output of `estimator_`.
        """
        return self._fitted().predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    @in_namespace_of_X
    def decision_function(self, X: Any) -> Any:
        """Return the decision values of the fitted estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Data, as `estimator` takes it.

        Returns
        -------
        ndarray of shape (n_samples, n_labels) or (n_samples,)
            Output of `estimator_`.
        """
        return self._fitted().decision_function(X)

    @property
    def classes_(self) -> Any:
        """Classes of the fitted estimator."""
        return self._fitted().classes_

    def _rule(self) -> Rule:
        return Rule(self.min_labels, self.max_labels, self.rule)

    def _decide(self, response: Response, thresholds: FloatArray, encoding: Encoding) -> Any:
        """Return the predictions in the form of y."""
        decisions = self._rule().decide(response.values, in_numpy(thresholds))
        if encoding.exclusive and len(encoding.classes) == 1:  # the only class is the negative one
            decisions = np.zeros_like(decisions)
        return encoding.decode([encoding.decide(decisions, 0.5)])  # sparse if y was

    def _check_response_method(self) -> str:
        """Return the method whose values are compared with thresholds."""
        allowed = RESPONSE_METHODS if self.response_method == "auto" else (self.response_method,)
        method = first_method(self.estimator, allowed)
        if method is None:
            raise ValueError(
                f"response_method={self.response_method!r} needs an estimator with that method, which "
                f"{type(self.estimator).__name__} does not have; use 'auto' or another estimator."
            )
        if self.rule is not None and method != "predict_proba":
            raise ValueError(
                f"rule={self.rule!r} needs probabilities, got response_method={self.response_method!r} and a "
                f"{type(self.estimator).__name__}. Use an estimator with predict_proba, such as "
                "CalibratedMultiLabelClassifierCV around it."
            )
        return method
