"""Estimators are followed to the one that decides."""

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant._targets import delegates


def test_pipelines_and_searches_are_followed():
    """Check a pipeline around a search around a pipeline, down to the classifier."""
    inner = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(inner, {}, cv=2)
    search.best_estimator_ = inner
    outer = make_pipeline(StandardScaler(), search)
    assert list(delegates(outer)) == [outer, search, inner, inner[-1]]
    assert list(delegates(inner[-1])) == [inner[-1]]


def test_the_first_attribute_that_is_there_is_followed():
    """Check meta-estimators, which name what they wrap differently."""
    classifier = LogisticRegression()
    outer = GridSearchCV(classifier, {})
    outer.estimator_ = classifier
    assert list(delegates(outer)) == [outer]
    assert list(delegates(outer, ("best_estimator_", "estimator_"))) == [outer, classifier]
