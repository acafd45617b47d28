"""Picture of which labels are taken for which, and how well each is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sk_quadrant.displays._fitted import check_classifiers, find_label_names, predict_labels
from sk_quadrant.displays._labels import Floats, check_same_shape, choose_labels, name_labels, read_labels, shorten
from sk_quadrant.displays._panels import PanelDisplay, check_matplotlib, check_parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTINGS = ("pairs", "shares")
MEANINGS = {None: "count", "true": "share of the true label", "pred": "share of the predicted label"}
PARTS = ("matrix", "table")
COLUMNS = ("precision", "recall", "f1", "support")
CELL_INCHES = 0.36
LETTER_INCHES = 0.08  # of the small size of ticks
DIAGONAL = "0.88"


class LabelConfusionDisplay(PanelDisplay):
    """Which labels are predicted instead of which, with precision, recall, F1 and support of each label.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one. In multi-label data nothing says which wrong
    label stands for which missed one, so a rule must. Row i, column j of the matrix counts, for true label i:

    ``counting="pairs"``, the multi-label confusion matrix of Heydarian et al. [1]_:

    - a label found counts on the diagonal;
    - where labels are missed and others are predicted wrongly, every pair (missed, wrong) counts one;
    - where labels are missed and none is predicted wrongly, each missed one counts in the last column, "missed";
    - where none is missed and labels are predicted wrongly, every pair (true, wrong) counts one; if the sample has no
      label, each wrong one counts in the last row, "no label";
    - a sample without labels for which none is predicted counts in the last cell.

    ``counting="shares"``, for samples with many labels, whose pairs would drown the others: a missed label counts one
    in all, shared evenly by the wrong labels of its sample; where none is missed, each wrong label counts in the last
    row, "no label". The rows of the labels sum to their supports.

    As no single matrix keeps both the precision and the recall [2]_, the table beside it takes them from each label's
    own decisions.

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
        Matrix and table.

    ax_ : matplotlib Axes
        The first of them.

    figure_ : matplotlib Figure
        Figure of the parts.

    im_ : matplotlib AxesImage or None
        Matrix, the diagonal masked.

    text_ : ndarray of shape (n_rows, n_columns), dtype=matplotlib Text, or None
        Numbers in the matrix, None where they are left out.

    table_text_ : ndarray of shape (n_shown, 4), dtype=matplotlib Text, or None
        Numbers in the table.

    shown_labels_ : ndarray of shape (n_shown,)
        Columns of the labels shown.

    colorbar_ : matplotlib Colorbar or None
        Colour bar of the matrix.

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
    >>> display.confusion_matrix  # of two cats one was found, one was taken for a dog
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 0, 0]])
    >>> display.most_confused()
    [('cat', 'dog', 1)]
    """

    def __init__(
        self, confusion_matrix: NDArray[Any], table: dict[str, NDArray[Any]], *, label_names: list[str]
    ) -> None:
        self.confusion_matrix = confusion_matrix
        self.table = table
        self.label_names = label_names

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, label_names: Sequence[Any] | None = None, **options: Any
    ) -> LabelConfusionDisplay:
        """Draw the confusions of a fitted classifier.

        Parameters
        ----------
        estimator : estimator instance
            Fitted multi-label classifier.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, 0 or 1.

        label_names : sequence of str of length n_labels, default=None
            Names of the labels. None takes the columns of `y` or the estimator's `label_names_in_`.

        **options
            Further options of :meth:`from_predictions`.

        Returns
        -------
        display : LabelConfusionDisplay
        """
        check_classifiers(f"{cls.__name__}.from_estimator", estimator)
        predicted = predict_labels(estimator, X)
        names = name_labels(label_names, predicted.shape[1], y=y, fitted=find_label_names(estimator))
        return cls.from_predictions(y, predicted, label_names=names, **options)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        counting: str = "pairs",
        normalize: str | None = None,
        parts: Sequence[str] = PARTS,
        labels: Any = None,
        max_labels: int = 20,
        label_names: Sequence[Any] | None = None,
        cmap: Any = "Oranges",
        include_values: bool | str = "auto",
        ax: Any = None,
    ) -> LabelConfusionDisplay:
        """Draw the confusions of predictions.

        Parameters
        ----------
        y_true : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
            True labels, 0 or 1.

        y_pred : {array-like, sparse matrix} of shape (n_samples, n_labels)
            Predicted labels, 0 or 1.

        counting : {"pairs", "shares"}, default="pairs"
            Rule by which wrong labels stand for missed ones.

        normalize : {"true", "pred"}, default=None
            Whether to divide the matrix by its row or column sums, over all labels.

        parts : sequence of {"matrix", "table"}, default=("matrix", "table")
            What to draw.

        labels : sequence of int or str, default=None
            Labels to show. None shows all, or the `max_labels` with most wrong decisions. The others share a row and a
            column of the matrix.

        max_labels : int, default=20
            Number of labels shown when `labels` is None.

        label_names : sequence of str of length n_labels, default=None
            Names of all labels. None takes the columns of `y_true`.

        cmap : str or Colormap, default="Oranges"
            Colour map of the confusions; the diagonal, which would outshine them, is grey.

        include_values : bool or "auto", default="auto"
            Whether to write numbers into the matrix; "auto" does up to 20 rows.

        ax : Axes or array-like of Axes of shape (n_parts,), default=None
            Where to draw; one axes is divided. None makes a figure.

        Returns
        -------
        display : LabelConfusionDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        if counting not in COUNTINGS:
            raise ValueError(f"counting must be one of {', '.join(COUNTINGS)}, got {counting!r}.")
        truth, predicted = read_labels(y_true, parameter="y_true"), read_labels(y_pred, parameter="y_pred")
        check_same_shape(y_true=truth, y_pred=predicted)
        display = cls(
            count_confusions(truth, predicted, counting),
            _tabulate(truth, predicted),
            label_names=name_labels(label_names, truth.shape[1], y=y_true),
        )
        return display.plot(
            normalize=normalize,
            parts=parts,
            labels=labels,
            max_labels=max_labels,
            cmap=cmap,
            include_values=include_values,
            ax=ax,
        )

    def most_confused(self, n_pairs: int = 10) -> list[tuple[str, str, Any]]:
        """Return the pairs of labels that are confused most.

        Parameters
        ----------
        n_pairs : int, default=10
            Largest number of pairs.

        Returns
        -------
        pairs : list of (true label, predicted label, count)
            Pairs that occur, the most frequent first.
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
            What to draw.

        labels : sequence of int or str, default=None
            Labels to show. None shows all, or the `max_labels` with most wrong decisions. The others share a row and a
            column of the matrix.

        max_labels : int, default=20
            Number of labels shown when `labels` is None.

        cmap : str or Colormap, default="Oranges"
            Colour map of the confusions; the diagonal, which would outshine them, is grey.

        include_values : bool or "auto", default="auto"
            Whether to write numbers into the matrix; "auto" does up to 20 rows.

        ax : Axes or array-like of Axes of shape (n_parts,), default=None
            Where to draw; one axes is divided. None makes a figure.

        Returns
        -------
        display : LabelConfusionDisplay
        """
        if normalize not in MEANINGS:
            raise ValueError(f"normalize must be None, 'true' or 'pred', got {normalize!r}.")
        check_parts(parts, PARTS)
        self.shown_labels_, note = choose_labels(
            labels,
            self.label_names,
            importance=self.table["errors"],
            important="most wrong decisions",
            max_labels=max_labels,
        )
        shown = self.shown_labels_
        counts, names = self._shown_counts(normalize, width=24 if ax is None else 14)
        if "matrix" not in parts:
            names = names[: len(shown)]
        widths = {"matrix": len(names) * CELL_INCHES, "table": len(COLUMNS) * 0.55}
        letters = LETTER_INCHES * max(map(len, names))
        width = (sum(widths[part] for part in parts) + letters + 1.4) / len(parts)  # 1.4 for the colour bar
        panels = self._make_panels(
            ax,
            len(parts),
            n_columns=len(parts),
            size=(width, len(names) * CELL_INCHES * 0.8 + letters + 0.3),
            margin=0.0,
            width_ratios=[widths[part] for part in parts],
            spacing=0.05,
            sharex=False,
        )
        self.im_: Any = None
        self.text_: NDArray[np.object_] | None = None
        self.table_text_: NDArray[np.object_] | None = None
        self.colorbar_: Any = None
        for part, panel in zip(parts, self.axes_, strict=True):
            if part == "matrix":
                values = len(shown) <= 20 if include_values == "auto" else include_values
                self._plot_matrix(panel, counts, names, normalize, cmap, include_values=bool(values))
            else:
                self._plot_table(panel)
        self.ax_.set_yticks(range(len(names)), names, fontsize="small")
        self.ax_.set_ylim(len(names) - 0.5, -0.5)
        self.ax_.set_ylabel("true label")
        panels.add_note(note)
        return self

    def _shown_counts(self, normalize: str | None, *, width: int) -> tuple[NDArray[Any], list[str]]:
        """Return the matrix of the labels shown, the others together, and the names of its rows."""
        counts = self.confusion_matrix
        n_labels, shown = len(self.label_names), self.shown_labels_
        others = np.setdiff1d(np.arange(n_labels), shown)
        groups = [*([j] for j in shown), *([list(others)] if len(others) else []), [n_labels]]
        counts = np.array([[counts[np.ix_(rows, columns)].sum() for columns in groups] for rows in groups])
        if normalize is not None:
            totals = counts.sum(axis=1 if normalize == "true" else 0, keepdims=True)
            counts = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        names = [shorten(self.label_names[j], width) for j in shown]
        return counts, [*names, *([f"{len(others)} other{'s' * (len(others) > 1)}"] if len(others) else []), "no label"]

    def _plot_matrix(
        self,
        ax: Axes,
        counts: NDArray[Any],
        names: list[str],
        normalize: str | None,
        cmap: Any,
        *,
        include_values: bool,
    ) -> None:
        n_shown = len(self.shown_labels_)
        together = np.zeros(len(names), dtype=bool)
        together[n_shown:-1] = True  # the labels not shown, whose sums would outshine the others
        hidden = np.eye(len(names), dtype=bool) | together | together[:, np.newaxis]
        confusions = np.ma.masked_array(counts, mask=hidden)
        top = _top(confusions[:n_shown, :n_shown], confusions)
        ax.set_facecolor(DIAGONAL)
        self.im_ = ax.imshow(confusions, cmap=cmap, vmin=0, vmax=top, aspect="auto")
        ax.set_xticks(range(len(names)), [*names[:-1], "missed"], rotation=90, fontsize="small")
        ax.set_xlabel("predicted label")
        if include_values:
            self.text_ = _write_cells(ax, self.im_, counts, ".2f" if normalize else "")
        extent, dpi = ax.get_window_extent(), self.figure_.dpi
        self.colorbar_ = self.figure_.colorbar(
            self.im_,
            ax=list(self.axes_),
            label=MEANINGS[normalize],
            extend="max" if confusions.max() > top else "neither",
            fraction=min(0.04, 0.3 * dpi / extent.width),
            aspect=30,
            shrink=min(1.0, 6 * dpi / extent.height),
            pad=0.02,
        )

    def _plot_table(self, ax: Axes) -> None:
        ratios = np.column_stack([self.table[column][self.shown_labels_] for column in COLUMNS[:-1]])
        support = self.table["support"][self.shown_labels_]
        image = ax.imshow(ratios, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")  # light enough for dark letters
        written = _write_cells(ax, image, ratios, ".2f")
        counted = [ax.text(3, i, f"{n}", ha="center", va="center", fontsize="x-small") for i, n in enumerate(support)]
        self.table_text_ = np.column_stack([written, np.array(counted, dtype=object)])
        ax.set_xlim(-0.5, 3.5)
        ax.set_xticks(range(4), COLUMNS, rotation=90, fontsize="small")
        for side in ("top", "right", "bottom", "left"):
            ax.spines[side].set_visible(False)
        ax.tick_params(length=0)


def count_confusions(y_true: Floats, y_pred: Floats, counting: str) -> NDArray[Any]:
    """Return the matrix of shape (n_labels + 1, n_labels + 1) by one of the rules of `LabelConfusionDisplay`."""
    truth, predicted = sparse.csr_matrix(y_true), sparse.csr_matrix(y_pred)
    found = truth.multiply(predicted).tocsr()
    missed, wrong = truth - found, predicted - found
    n_missed, n_wrong = _row_sums(missed), _row_sums(wrong)
    matrix = np.zeros((truth.shape[1] + 1, truth.shape[1] + 1))
    exchanged = (n_missed > 0) & (n_wrong > 0)
    share = np.ones(len(n_wrong)) if counting == "pairs" else 1 / np.maximum(n_wrong, 1)
    matrix[:-1, :-1] += _pair_counts(missed, wrong, exchanged, share)
    surplus = (n_missed == 0) & (n_wrong > 0)
    blamed = surplus & (_row_sums(truth) > 0) & (counting == "pairs")
    matrix[:-1, :-1] += _pair_counts(truth, wrong, blamed, share)
    matrix[:-1, :-1] += np.diag(_column_sums(found))
    matrix[:-1, -1] = _column_sums(missed[n_wrong == 0])
    matrix[-1, :-1] = _column_sums(wrong[surplus & ~blamed])
    matrix[-1, -1] = np.sum((_row_sums(truth) == 0) & (_row_sums(predicted) == 0))
    return matrix.astype(np.intp) if counting == "pairs" else matrix


def _pair_counts(rows: Any, columns: Any, samples: NDArray[np.bool_], share: Floats) -> Floats:
    """Return how often each pair of a label of `rows` and one of `columns` meets in these samples, weighted."""
    weighted = sparse.diags(share[samples]) @ columns[samples]
    return np.asarray((rows[samples].T @ weighted).toarray())


def _top(between_labels: Any, confusions: Any) -> float:
    """Return the upper end of the colours; missed labels do not count where they would outshine confusions."""
    high = float(confusions.max()) or 1.0
    between = float(between_labels.filled(0).max())
    return between if 0 < 3 * between < high else high


def _row_sums(matrix: Any) -> Floats:
    return np.asarray(matrix.sum(axis=1)).ravel()


def _column_sums(matrix: Any) -> Floats:
    return np.asarray(matrix.sum(axis=0)).ravel()


def _tabulate(y_true: Floats, y_pred: Floats) -> dict[str, NDArray[Any]]:
    """Return the quality of each label, NaN where a ratio is undefined."""
    found, predicted, support = (table.sum(axis=0) for table in (y_true * y_pred, y_pred, y_true))
    ratios = {"precision": (found, predicted), "recall": (found, support), "f1": (2 * found, predicted + support)}
    counts = {"support": support, "errors": predicted + support - 2 * found}
    return {name: _ratio(*parts) for name, parts in ratios.items()} | {
        name: count.astype(np.intp) for name, count in counts.items()
    }


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def _write_cells(ax: Axes, image: Any, values: NDArray[Any], form: str) -> NDArray[np.object_]:
    """Write numbers into an image, dark on light and light on dark; a dash for what is undefined."""
    texts = np.empty(values.shape, dtype=object)
    shades = image.cmap(image.norm(np.ma.masked_invalid(image.get_array())))[..., :3] @ (0.299, 0.587, 0.114)
    for (i, j), value in np.ndenumerate(values):
        masked = np.ma.getmaskarray(image.get_array())[i, j]
        color = "white" if shades[i, j] < 0.45 and not masked else "black"
        text = "-" if np.isnan(value) else _brief(value, form)
        texts[i, j] = ax.text(j, i, text, ha="center", va="center", fontsize="x-small", color=color)
    return texts


def _brief(value: Any, form: str) -> str:
    """Return a number in the width of a cell."""
    if form:
        return format(value, form).lstrip("0") if 0 < value < 1 else format(value, ".0f")
    if value >= 1000:
        return f"{value / 1000:.2g}k"
    return format(value, ".0f") if value >= 10 else format(value, ".2g").removeprefix("0") or "0"
