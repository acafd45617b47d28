"""Display of confusions between labels and of precision and recall of each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import ConfusionMatrixDisplay, precision_recall_fscore_support

from sk_quadrant._arrays import FloatArray
from sk_quadrant._targets.scored import check_predicted_targets
from sk_quadrant.displays._fitted import predict_labels
from sk_quadrant.displays._label_display import LabelDisplay
from sk_quadrant.displays._labels import choose_labels, name_labels
from sk_quadrant.displays._panels import check_choices, shorten

MEANINGS = {None: "count", "true": "share of the true label", "pred": "share of the predicted label"}
PARTS = ("matrix", "table")
COLUMNS = ("precision", "recall", "f1", "support")
CELL_INCHES = 0.36
LETTER_INCHES = 0.08  # of the small size of ticks
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
DIAGONAL = "0.88"


@dataclass(eq=False, repr=False)
class LabelConfusionDisplay(LabelDisplay):
    """Confusions between labels, with precision, recall, F1 and support of each label.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one. In multi-label data it is not known which
    wrong label replaces which missed label; `counting` chooses a rule. Row i of the matrix counts for true label i:

    ``counting="pairs"``, the multi-label confusion matrix of Heydarian et al. [1]_:

    - a correct label counts on the diagonal;
    - in a sample with missed and wrong labels, every pair (missed, wrong) counts one;
    - in a sample with missed labels only, each of them counts one in the last column, "missed";
    - in a sample with wrong labels only, every pair (true, wrong) counts one; if the sample has no true label, each
      wrong one counts in the last row, "no label";
    - a sample without true and without predicted labels counts in the last cell.

    ``counting="shares"``, for samples with many labels, which dominate the pairs: a missed label counts one in total,
    divided equally among the wrong labels of its sample; in a sample without missed labels, each wrong label counts in
    the last row, "no label". The row of a label sums to its support.

    No single matrix keeps both precision and recall [2]_, so the table computes them from the binary decisions of each
    label.

    Parameters
    ----------
    confusion_matrix : ndarray of shape (n_labels + 1, n_labels + 1)
        Counts, true labels in rows and predicted ones in columns.

    table : dict of {str: ndarray of shape (n_labels,)}
        "precision", "recall", "f1", "support" and "errors" (wrong decisions) of each label.

    label_names : list of str of length n_labels
        Names of the labels.

    Attributes
    ----------
    axes_ : ndarray of shape (n_parts,), dtype=matplotlib Axes
        Matrix and table; `ax_` is the first of them, `figure_` their figure.

    im_ : matplotlib AxesImage or None
        Matrix with a masked diagonal.

    text_ : ndarray of shape (n_rows, n_columns), dtype=matplotlib Text, or None
        Numbers in the matrix, None without numbers.

    table_text_ : ndarray of shape (n_shown, 4), dtype=matplotlib Text, or None
        Numbers in the table.

    shown_labels_ : ndarray of shape (n_shown,)
        Columns of the labels shown.

    colorbar_ : matplotlib Colorbar or None
        Colour bar of the matrix.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : The same for exclusive classes.
    sklearn.metrics.multilabel_confusion_matrix : Counts of right and wrong decisions of each label.

    References
    ----------
    .. [1] M. Heydarian, T. E. Doyle, R. Samavi, "MLCM: multi-label confusion matrix", IEEE Access 10, 2022.
       :doi:`10.1109/ACCESS.2022.3151048`
    .. [2] D. Krstinić, A. Kuzmanić Skelin, I. Slapničar, M. Braović, "Multi-label confusion tensor", IEEE Access 12,
       2024. :doi:`10.1109/ACCESS.2024.3353050`

    Examples
    --------
    >>> from sk_quadrant.displays import LabelConfusionDisplay
    >>> y_true, y_pred = [[1, 0], [1, 0], [0, 1]], [[1, 0], [0, 1], [0, 1]]
    >>> display = LabelConfusionDisplay.from_predictions(y_true, y_pred, label_names=["cat", "dog"])
    >>> display.confusion_matrix  # one of two cats is predicted as a dog
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 0, 0]])
    >>> display.most_confused()
    [('cat', 'dog', 1)]
    """

    confusion_matrix: NDArray[Any]
    table: dict[str, NDArray[Any]]
    _: KW_ONLY
    label_names: list[str]

    @classmethod
    def _predict(cls, estimator: Any, X: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        return predict_labels(estimator, X), options

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        counting: str = "pairs",
        label_names: Sequence[Any] | None = None,
        **options: Any,
    ) -> LabelConfusionDisplay:
        """Draw the confusions of predictions.

        Parameters
        ----------
        y_true : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, 0 or 1.

        y_pred : {array-like, sparse matrix} of shape (n_samples, n_labels)
            Predicted labels, 0 or 1.

        counting : {"pairs", "shares"}, default="pairs"
            Rule for pairs of missed and wrong labels.

        label_names : sequence of str of length n_labels, default=None
            Names of all labels. None takes the columns of `y_true`.

        **options : dict
            Options of :meth:`plot`, such as `labels` and `normalize`.

        Returns
        -------
        display : LabelConfusionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If labels are not 0 and 1, shapes differ, or an option is not allowed.
        ImportError
            If matplotlib is not installed.
        """
        cls._require_matplotlib("from_predictions")
        check_choices("counting", [counting], ["pairs", "shares"])
        inputs = check_predicted_targets(y_true, y_pred, None)
        if not inputs.known.all():
            raise ValueError("y_true must hold 0 and 1, got NaN. Leave out rows with unknown labels.")
        display = cls(
            count_confusions(inputs.targets, inputs.scores, counting),
            tabulate(inputs.targets, inputs.scores),
            label_names=name_labels(label_names, inputs.n_labels, y=y_true),
        )
        return display.plot(**options)

    def most_confused(self, n_pairs: int = 10) -> list[tuple[str, str, Any]]:
        """Return the most frequent confusions between two labels.

        Parameters
        ----------
        n_pairs : int, default=10
            Largest number of pairs.

        Returns
        -------
        pairs : list of (true label, predicted label, count)
            Pairs with a count above zero, the most frequent first.
        """
        counts = self.confusion_matrix[:-1, :-1].copy()
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")[:n_pairs]
        rows, columns = np.unravel_index(order, counts.shape)
        names = self.label_names
        return [(names[i], names[j], counts[i, j].item()) for i, j in zip(rows, columns, strict=True) if counts[i, j]]

    def plot(
        self,
        *,
        normalize: str | None = None,
        parts: Sequence[str] = PARTS,
        labels: Any = None,
        max_labels: int = 20,
        cmap: Any = "Oranges",
        include_values: bool | str = "auto",
        ax: Any = None,
    ) -> LabelConfusionDisplay:
        """Draw.

        Parameters
        ----------
        normalize : {"true", "pred"}, default=None
            Whether to divide the matrix by its row or column sums, over all labels.

        parts : sequence of {"matrix", "table"}, default=("matrix", "table")
            Parts to draw.

        labels : sequence of int or str, default=None
            Labels to show. None shows all labels, or the `max_labels` with most wrong decisions. The others share one
            row and one column of the matrix.

        max_labels : int, default=20
            Number of labels shown when `labels` is None.

        cmap : str or Colormap, default="Oranges"
            Colour map of the confusions; the diagonal is grey, because its counts are much larger.

        include_values : bool or "auto", default="auto"
            Whether to write numbers into the matrix; "auto" does so for up to 20 labels.

        ax : Axes or array-like of Axes of shape (n_parts,), default=None
            Axes to draw on; several panels replace a single axes. None makes a figure.

        Returns
        -------
        display : LabelConfusionDisplay
            The display itself.

        Raises
        ------
        ValueError
            If an option is not allowed, or a label is not among `label_names`.
        """
        check_choices("normalize", [normalize], MEANINGS)
        check_choices("parts", parts, PARTS)
        choice = {"labels": labels, "max_labels": max_labels}
        self.shown_labels_, note = choose_labels(
            self.label_names, self.table["errors"], "most wrong decisions", **choice
        )
        counts, names = self._shown_counts(normalize, width=24 if ax is None else 14)
        n_shown = len(self.shown_labels_)
        names = names if "matrix" in parts else names[:n_shown]
        self._make_parts(ax, parts, names)
        self.im_: Any = None
        self.text_: NDArray[np.object_] | None = None
        self.table_text_: NDArray[np.object_] | None = None
        self.colorbar_: Any = None
        for part, panel in zip(parts, self.axes_, strict=True):
            if part == "table":
                self._plot_table(panel)
                continue
            with_words = n_shown <= 20 if include_values == "auto" else include_values
            words = _format_cells(counts, ".2f" if normalize else "") if with_words else None
            self._plot_matrix(panel, counts, words, [*names[:-1], "missed"], cmap)
            self._add_colorbar(MEANINGS[normalize])
        self.ax_.set_yticks(range(len(names)), names, fontsize="small")
        self.ax_.set_ylim(len(names) - 0.5, -0.5)
        self.ax_.set_ylabel("true label")
        self._add_note(note)
        return self

    def _make_parts(self, ax: Any, parts: Sequence[str], names: list[str]) -> None:
        """Make panels with cells of the same height in all parts, and of the same width in the matrix."""
        inches = {"matrix": len(names) * CELL_INCHES, "table": len(COLUMNS) * 0.55}
        widths = [inches[part] for part in parts]
        letters = LETTER_INCHES * max(map(len, names))
        width = sum(widths) + letters + 0.8  # 0.8 for the colour bar
        size = (width / max(len(parts), 1), len(names) * CELL_INCHES * 0.8 + letters + 0.3)
        options: dict[str, Any] = {"n_columns": len(parts), "width_ratios": widths, "sharex": False}
        # 0.6 inches for the tick labels of the colour bar
        self._make_panels(ax, len(parts), size=size, single=size, legend_inches=0.6, **options)

    def _shown_counts(self, normalize: str | None, *, width: int) -> tuple[NDArray[Any], list[str]]:
        """Return the matrix with the sums of the labels that are not shown, and the names of its rows."""
        counts, shown = self.confusion_matrix, self.shown_labels_
        names = [shorten(self.label_names[j], width) for j in shown]
        others = np.setdiff1d(np.arange(len(self.label_names)), shown)
        groups = [[j] for j in shown]
        if len(others):
            groups.append(list(others))
            names.append(f"{len(others)} other{'s' * (len(others) > 1)}")
        groups.append([-1])
        counts = np.array([[counts[np.ix_(rows, columns)].sum() for columns in groups] for rows in groups])
        if normalize is not None:
            totals = counts.sum(axis=1 if normalize == "true" else 0, keepdims=True)
            counts = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        return counts, [*names, "no label"]

    def _plot_matrix(self, ax: Any, counts: NDArray[Any], words: Any, names: list[str], cmap: Any) -> None:
        """Draw the confusions; the diagonal and the sums of other labels are much larger and get no colour."""
        n_shown = len(self.shown_labels_)
        hidden = np.eye(len(names), dtype=bool)
        hidden[n_shown:-1] = hidden[:, n_shown:-1] = True
        confusions = np.ma.masked_array(counts, mask=hidden)
        top = _top(confusions[:n_shown, :n_shown], confusions)
        matrix = ConfusionMatrixDisplay(np.where(hidden, 0, np.minimum(counts, top)), display_labels=names).plot(
            ax=ax,
            cmap=cmap,
            colorbar=False,
            include_values=words is not None,
            xticks_rotation="vertical",
            im_kw={"vmin": 0, "vmax": top, "aspect": "auto"},
            text_kw={"fontsize": "x-small"},
        )
        matrix.im_.set_data(confusions)
        self.im_, self.text_ = matrix.im_, matrix.text_
        dark = (matrix.im_.to_rgba(confusions)[..., :3] @ LUMINANCE < 0.45) & ~hidden
        for place, word in [] if words is None else np.ndenumerate(words):
            matrix.text_[place].set(text=word, color="white" if dark[place] else "black")
        ax.set_facecolor(DIAGONAL)
        ax.set_xlabel("predicted label")
        ax.tick_params(labelsize="small")

    def _add_colorbar(self, label: str) -> None:
        is_cut = self.im_.get_array().max() > self.im_.norm.vmax
        style: dict[str, Any] = {"fraction": 0.04, "aspect": 30, "pad": 0.02, "extend": "max" if is_cut else "neither"}
        self.colorbar_ = self._part.colorbar(self.im_, ax=list(self.axes_), label=label, **style)

    def _plot_table(self, ax: Any) -> None:
        """Draw the ratios of each label with a shade light enough for dark letters, and its support."""
        *ratios, support = (self.table[column][self.shown_labels_] for column in COLUMNS)
        shades = np.column_stack([*ratios, np.full(len(support), np.nan)])
        words = np.column_stack([_format_cells(shades[:, :-1], ".2f"), support.astype(str)])
        ax.imshow(shades, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
        ax.set_xticks(range(len(COLUMNS)), COLUMNS, rotation=90, fontsize="small")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        self.table_text_ = np.empty(words.shape, dtype=object)
        for (i, j), word in np.ndenumerate(words):
            self.table_text_[i, j] = ax.text(j, i, word, ha="center", va="center", fontsize="x-small")


def count_confusions(y_true: FloatArray, y_pred: FloatArray, counting: str) -> NDArray[Any]:
    """Return the matrix of shape (n_labels + 1, n_labels + 1) by one of the rules of `LabelConfusionDisplay`."""
    truth, predicted = (sparse.csr_array(labels, dtype=np.float64) for labels in (y_true, y_pred))
    found = truth * predicted
    missed, wrong = truth - found, predicted - found
    n_true, n_missed, n_wrong = (labels.sum(axis=1) for labels in (truth, missed, wrong))
    surplus = (n_missed == 0) & (n_wrong > 0)
    blamed = surplus & (counting == "pairs")
    unlabelled = (n_true == 0) | (surplus & ~blamed)
    share = np.where((n_missed > 0) & (counting == "shares"), 1 / np.maximum(n_wrong, 1), 1.0)
    # Each sample counts for all pairs of its rows and its columns.
    rows = sparse.hstack([missed + truth * blamed[:, np.newaxis], unlabelled[:, np.newaxis]])
    columns = sparse.hstack([wrong * share[:, np.newaxis], (n_wrong == 0)[:, np.newaxis]])
    matrix = np.asarray((rows.T @ columns).toarray())
    matrix[:-1, :-1] += np.diag(found.sum(axis=0))
    return matrix.astype(np.intp) if counting == "pairs" else matrix


def _top(between_labels: Any, confusions: Any) -> float:
    """Return the upper end of the colour scale; it may be below the counts of missed labels."""
    high = float(confusions.max()) or 1.0
    between = float(between_labels.filled(0).max())
    return between if 0 < 3 * between < high else high


def tabulate(y_true: FloatArray, y_pred: FloatArray) -> dict[str, NDArray[Any]]:
    """Return the quality of each label; NaN for an undefined ratio."""
    labels = [1] if y_true.shape[1] == 1 else None  # scikit-learn reads one column as a binary target
    precision, recall, f1, support = precision_recall_fscore_support(
        y_true, y_pred, labels=labels, zero_division=np.nan
    )
    errors = (y_true != y_pred).sum(axis=0)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support, "errors": errors}


def _format_cells(values: NDArray[Any], form: str) -> NDArray[Any]:
    """Return numbers as words, a dash for NaN."""
    words = ["-" if np.isnan(value) else _brief(value, form) for value in values.flat]
    return np.reshape(words, values.shape)


def _brief(value: Any, form: str) -> str:
    """Return a number short enough for a cell."""
    if form:
        return format(value, form).lstrip("0") if 0 < value < 1 else format(value, ".0f")
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if value >= scale:
            number = value / scale
            return f"{number:.1f}{letter}" if number < 9.95 else f"{number:.0f}{letter}"
    return format(value, ".0f") if value >= 10 else format(value, ".2g").removeprefix("0") or "0"
