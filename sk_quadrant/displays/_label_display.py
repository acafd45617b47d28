"""Displays of labels: drawn from classifiers in one way, most of them as curves in one panel per label."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sk_quadrant.displays._fitted import align_to_fit, check_classifier, respond
from sk_quadrant.displays._panels import PanelDisplay

if TYPE_CHECKING:
    from typing_extensions import Self


class LabelDisplay(PanelDisplay):
    """A display of labels that can be drawn from classifiers or from their predictions."""

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, label_names: Sequence[Any] | None = None, **options: Any
    ) -> Self:
        """Draw the labels of a fitted classifier.

        Parameters
        ----------
        estimator : estimator instance or dict of {name: estimator}
            Fitted multi-label or binary classifier, or a dict of them if `from_predictions` takes a dict.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, as in `from_predictions`. Columns are sorted by name into the order of fit.

        label_names : sequence of str of length n_labels, default=None
            Names of the labels. None takes the estimator's `label_names_in_` or the columns of `y`.

        **options : dict
            Further options of `from_predictions`. A display of scores also takes `response_method`, "predict_proba",
            "decision_function", or by default "auto": the probability if the estimator has one.

        Returns
        -------
        display : display object
            The display, drawn.

        Raises
        ------
        ValueError
            If an estimator is not a classifier, or `y` or an option does not fit its labels.
        NotFittedError
            If an estimator is not fitted.
        AttributeError
            If an estimator does not have the response method.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_estimator")
        estimators = list(estimator.values()) if isinstance(estimator, Mapping) and cls._compares else [estimator]
        for each in estimators:
            check_classifier(each, f"{cls.__name__}.from_estimator")
        encoding, y, names = align_to_fit(estimators, X, y, label_names)
        if "sample_weight" in options:
            options["sample_weight"] = encoding.align(options["sample_weight"], name="sample_weight")
        predictions, options = cls._predict(estimator, X, **options)
        display: Self = cls.from_predictions(y, predictions, label_names=names, **options)
        return display

    _compares: ClassVar[bool] = False  # several classifiers by name
    from_predictions: ClassVar[Callable[..., Any]]

    @classmethod
    @abstractmethod
    def _predict(cls, estimator: Any, X: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Return the predictions of a classifier, and the options of `from_predictions`."""


class CurvesDisplay(LabelDisplay):
    """A display of curves in panels that share their axes and a legend."""

    note: str
    lines_: dict[str, list[Any]]

    def plot(self, *, line_kw: dict[str, Any] | None = None, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        line_kw : dict, default=None
            Keywords of :meth:`matplotlib.axes.Axes.plot` for the curves.

        ax : Axes or array-like of Axes of shape (n_panels,), default=None
            Axes to draw on; several panels replace a single axes. None makes a figure.

        Returns
        -------
        display : display object
            The display itself.
        """
        titles = self._titles()
        self._make_panels(ax, len(titles))
        further_handles = self._plot_curves(line_kw)
        self._add_titles(titles)
        self.legend_ = self._add_legend([*(lines[0] for lines in self.lines_.values()), *further_handles])
        self._add_note(self.note)
        return self

    @abstractmethod
    def _titles(self) -> list[str]:
        """Return the names of the panels."""

    @abstractmethod
    def _plot_curves(self, line_kw: Any) -> list[Any]:
        """Draw into the panels, name their axes, keep `lines_`, and return further entries of the legend."""


@dataclass(eq=False, repr=False)
class LabelCurvesDisplay(CurvesDisplay):
    """A display of one curve per classifier and label, and of all labels together; the name of a panel is its title."""

    curves: dict[str, list[Any]]
    _: KW_ONLY
    panel_names: list[str]
    note: str = ""

    _compares: ClassVar[bool] = True
    _response_method: ClassVar[str] = "auto"

    @classmethod
    def _predict(
        cls, estimator: Any, X: Any, *, response_method: str = "", **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        method = response_method or cls._response_method
        named = estimator if isinstance(estimator, Mapping) else {type(estimator).__name__: estimator}
        return {name: respond(member, X, method).values for name, member in named.items()}, options

    def _titles(self) -> list[str]:
        return self.panel_names
