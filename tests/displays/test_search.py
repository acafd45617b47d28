"""What a search has tried is drawn as it was scored."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant import QuadrantMultiLabelClassifier, QuadrantMultiLabelClassifierCV
from sk_quadrant.displays import SearchDisplay
from sk_quadrant.losses import ZLPR, BCEWithLogits, Focal

LINEAR = QuadrantMultiLabelClassifier()

GRID = {
    "kneighborsclassifier__n_neighbors": [9, 1, 30],
    "kneighborsclassifier__weights": ["uniform", "distance"],
    "standardscaler__with_mean": [True, False],
}


@pytest.fixture(scope="module")
def grid(data):
    """Return a search of scikit-learn over three parameters of two steps."""
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier())
    return GridSearchCV(pipeline, GRID, scoring="f1_micro", cv=3).fit(*data)


def _mean_of(search, **params):
    """Mean score of the candidate with these parameters."""
    found = [all(each[name] == value for name, value in params.items()) for each in search.cv_results_["params"]]
    (mean,) = search.cv_results_["mean_test_score"][found]
    return mean


def test_candidates_of_a_grid_search_are_drawn(pyplot, grid):
    """Check every point of every line and panel against `mean_test_score`, numbers in their order."""
    display = SearchDisplay.from_estimator(grid)
    assert display.names == ("with_mean", "weights", "n_neighbors")
    assert display.values == (["True", "False"], ["uniform", "distance"], [1, 9, 30])
    for lines, with_mean in zip(display.lines_, [True, False], strict=True):
        for line, weights in zip(lines, ["uniform", "distance"], strict=True):
            expected = [
                _mean_of(
                    grid,
                    kneighborsclassifier__n_neighbors=n_neighbors,
                    kneighborsclassifier__weights=weights,
                    standardscaler__with_mean=with_mean,
                )
                for n_neighbors in (1, 9, 30)
            ]
            assert_allclose(line.get_xydata(), np.column_stack([[1, 9, 30], expected]))
    assert [ax.get_title() for ax in display.axes_] == ["with_mean: True", "with_mean: False"]
    assert display.legend_.get_title().get_text() == "weights"


def test_band_is_the_deviation_over_splits(pyplot, grid):
    """Check the highest points of the band of one line against mean and standard deviation of the results."""
    display = SearchDisplay.from_estimator(grid)
    results = grid.cv_results_
    i = int(results["rank_test_score"].argmin())
    panel, line, value = display.best
    heights = display.bands_[panel][line].get_paths()[0].vertices
    at_best = heights[np.isclose(heights[:, 0], display.values[2][value]), 1]
    expected = results["mean_test_score"][i] + np.array([-1, 1]) * results["std_test_score"][i]
    assert_allclose([at_best.min(), at_best.max()], expected)


def test_best_candidate_has_the_star(pyplot, grid):
    """Check the place of the star and the number in the legend."""
    display = SearchDisplay.from_estimator(grid)
    best = [grid.best_params_["kneighborsclassifier__n_neighbors"], grid.best_score_]
    assert_allclose(display.best_.get_xydata(), [best])
    assert display.legend_.get_texts()[-1].get_text() == f"best: {grid.best_score_:.3f}"


def test_further_parameters_are_at_their_best(pyplot, data):
    """Check lines of a search over four parameters against the best of the ones that have no place, and the note."""
    search = GridSearchCV(
        KNeighborsClassifier(),
        {"n_neighbors": [1, 9], "weights": ["uniform", "distance"], "p": [1, 2], "algorithm": ["brute", "kd_tree"]},
        cv=2,
    ).fit(*data)
    display = SearchDisplay.from_estimator(search, x="n_neighbors", lines="weights", panels="algorithm")
    expected = [
        max(_mean_of(search, n_neighbors=n, weights="distance", p=p, algorithm="brute") for p in (1, 2)) for n in (1, 9)
    ]
    assert_allclose(display.lines_[0][1].get_ydata(), expected)
    assert display.figure_.get_suptitle() == "best over p"


def test_parameters_are_chosen_with_and_without_their_step(pyplot, grid):
    """Check words on the x axis, numbers as lines, and that one name is enough."""
    display = SearchDisplay.from_estimator(
        grid, x="kneighborsclassifier__weights", lines="n_neighbors", panels="with_mean"
    )
    assert display.names == ("with_mean", "n_neighbors", "weights")
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["uniform", "distance"]


def test_own_search_is_drawn(pyplot, data):
    """Check losses as lines, C as the axis and kinds of thresholds as panels."""
    losses, Cs = [ZLPR(), BCEWithLogits()], [0.01, 1.0, 100.0]
    search = QuadrantMultiLabelClassifierCV(losses, Cs, C_scope="shared", cv=2, estimator=LINEAR).fit(*data)
    display = SearchDisplay.from_estimator(search)
    assert display.names == ("thresholds", "loss", "C")
    assert display.values[1:] == (["zlpr", "bce_with_logits"], [0.01, 1.0, 100.0])
    assert display.ax_.get_xscale() == "log"
    assert display.figure_.get_supylabel() == "f1 macro"
    assert_allclose(display.best_.get_ydata(), [search.best_score_])
    assert_array_equal(np.sort(display.scores.mean(axis=3).ravel()), np.sort(search.cv_results_["mean_test_score"]))


def test_words_among_numbers_are_at_the_right_end(pyplot, data):
    """Check C of each label beside values of C for all: a point of its own, only for the loss that has it."""
    losses, Cs = ["zlpr", "bce_with_logits"], [10**-2.5, 1.0, 100.0]
    search = QuadrantMultiLabelClassifierCV(losses, Cs, thresholds="natural", cv=2, estimator=LINEAR).fit(*data)
    display = SearchDisplay.from_estimator(search)
    assert display.names == ("", "loss", "C")
    assert display.values[2] == [*Cs, "label"]
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["0.00316", "1", "100", "label"]
    (zlpr, logistic), means = display.lines_[0], search.cv_results_["mean_test_score"]
    assert_allclose(zlpr.get_ydata()[:3], means[:3])
    assert np.isnan(zlpr.get_ydata()[3:]).all()
    assert_allclose(logistic.get_ydata(), [*means[3:6], np.nan, means[6]])


def test_combinations_that_were_not_tried_are_left_out(pyplot, data):
    """Check that lines of a random search have the points that it drew, and no other."""
    search = RandomizedSearchCV(
        KNeighborsClassifier(), {"n_neighbors": list(range(1, 30)), "p": [1, 2]}, n_iter=5, cv=2, random_state=0
    ).fit(*data)
    display = SearchDisplay.from_estimator(search)
    drawn = [tuple(point) for line in display.lines_[0] for point in line.get_xydata()]
    assert_allclose(sorted(y for _, y in drawn), sorted(search.cv_results_["mean_test_score"]))


def test_one_candidate_is_a_star(pyplot, data):
    """Check a search of a single candidate."""
    search = GridSearchCV(OneVsRestClassifier(LogisticRegression()), {"estimator__C": [1.0]}, cv=2).fit(*data)
    display = SearchDisplay.from_estimator(search)
    assert display.names == ("", "", "C")
    assert_allclose(display.best_.get_xydata(), [[1.0, search.best_score_]])


def test_search_without_parameters_is_a_star(pyplot, data):
    """Check a grid without parameters, and the message for results without candidates."""
    search = GridSearchCV(KNeighborsClassifier(), {}, cv=2).fit(*data)
    assert_allclose(SearchDisplay.from_estimator(search).best_.get_ydata(), [search.best_score_])
    with pytest.raises(ValueError, match="cv_results must hold at least one candidate, got none"):
        SearchDisplay.from_results({"params": []})


def test_several_metrics_are_told_apart(pyplot, data):
    """Check the choice of a metric, and the message for one that was not scored."""
    search = GridSearchCV(
        KNeighborsClassifier(), {"n_neighbors": [1, 9]}, scoring=["f1_micro", "f1_macro"], refit="f1_micro", cv=2
    ).fit(*data)
    display = SearchDisplay.from_estimator(search, metric="f1_macro", score_name="f1_macro")
    assert_allclose(display.lines_[0][0].get_ydata(), search.cv_results_["mean_test_f1_macro"])
    with pytest.raises(ValueError, match="metric must be among f1_macro, f1_micro, got 'score'"):
        SearchDisplay.from_estimator(search)


def test_values_of_one_name_are_told_apart(pyplot):
    """Check that losses of one class with different parameters have a line each."""
    losses = [Focal(gamma=gamma) for gamma in (1.0, 2.0, 3.0)]
    display = SearchDisplay.from_results(
        {
            "params": [{"loss": loss, "C": C} for loss in losses for C in (0.1, 1.0)],
            "split0_test_score": np.arange(6.0),
            "rank_test_score": np.arange(6, 0, -1),
        }
    )
    assert display.names == ("", "loss", "C")
    assert display.values[1] == ["focal, gamma=1", "focal, gamma=2", "focal, gamma=3"]
    assert_array_equal(display.scores[0, :, :, 0], [[0, 1], [2, 3], [4, 5]])


def test_candidates_of_successive_halving_are_drawn_at_their_last_iteration(pyplot):
    """Check that high scores on few rows hide neither later scores nor the candidate that the search has chosen."""
    display = SearchDisplay.from_results(
        {
            "params": [{"C": C} for C in (0.1, 1.0, 10.0, 0.1, 1.0)],
            "iter": np.array([0, 0, 0, 1, 1]),
            "split0_test_score": np.array([0.7, 0.9, 0.8, 0.4, 0.5]),
            "rank_test_score": np.array([3, 1, 2, 5, 4]),
        }
    )
    assert_allclose(display.scores.ravel(), [0.4, 0.5, 0.8])
    assert_allclose(display.best_.get_xydata(), [[1.0, 0.5]])
    assert display.figure_.get_suptitle() == "each candidate at its last iteration"


def test_axes_of_the_user_are_drawn_into(pyplot, grid):
    """Check given axes, one a panel."""
    _, axes = pyplot.subplots(1, 2)
    assert list(SearchDisplay.from_estimator(grid, ax=axes).axes_) == list(axes)


def test_wrong_names_are_refused(pyplot, grid):
    """Check the messages for a parameter that was not searched and for an estimator that is no search."""
    with pytest.raises(
        ValueError, match=r"x must be one of the parameters kneighborsclassifier__n_neighbors, .* got 'C'"
    ):
        SearchDisplay.from_estimator(grid, x="C")
    with pytest.raises(ValueError, match="KNeighborsClassifier has no cv_results_; fit it, or pass the results"):
        SearchDisplay.from_estimator(KNeighborsClassifier())
