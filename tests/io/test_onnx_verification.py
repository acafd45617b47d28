"""Comparison of converted models with the estimators, and warnings of steps that are known to differ."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_quadrant import QuadrantMultiLabelClassifier, TunedThresholdMultiLabelClassifierCV, make_quadrants
from sk_quadrant.io import register_onnx_converters, verify_onnx

pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")
data_types = pytest.importorskip("skl2onnx.common.data_types")


@pytest.fixture(scope="module", autouse=True)
def converters():
    """Register once."""
    register_onnx_converters()


@pytest.fixture(scope="module")
def fitted():
    """Fit a model, and return it with its rows."""
    X, Y = make_quadrants(300, slope=2.0, random_state=0)
    return QuadrantMultiLabelClassifier("zlpr").fit(X, Y), X


def texts(words, n=100):
    """Return texts of random words, and labels that say which of the first two they have."""
    rng = np.random.default_rng(0)
    drawn = [" ".join(rng.choice(words.split(), 8)) for _ in range(n)]
    return drawn, np.array([[word in text.split() for word in words.split()[:2]] for text in drawn]).astype(int)


def convert_texts(pipeline):
    """Return a converted pipeline of texts."""
    return skl2onnx.to_onnx(pipeline, initial_types=[("text", data_types.StringTensorType([None, 1]))])


@pytest.mark.parametrize("convert", [np.asarray, np.float32, sparse.csr_matrix, pd.DataFrame], ids=lambda f: f.__name__)
@pytest.mark.parametrize("form", [lambda graph: graph, lambda graph: graph.SerializeToString()], ids=["model", "bytes"])
def test_the_largest_difference_is_returned(convert, form, fitted):
    """That of single precision for rows in single precision."""
    model, X = fitted
    graph = skl2onnx.to_onnx(model, X[:1].astype(np.float32))
    assert 0 < verify_onnx(form(graph), model, convert(X)) < 1e-6


def test_a_model_of_other_labels_is_refused(fitted):
    """The message has both shapes, rather than NumPy's about operands."""
    model, X = fitted
    graph = skl2onnx.to_onnx(model, X[:1])
    one = QuadrantMultiLabelClassifier().fit(X, model.predict(X)[:, 0])
    with pytest.raises(
        ValueError, match=r"must be a conversion of estimator: its output 'label' has shape \(300, 2\), pre"
    ):
        verify_onnx(graph, one, X)


def test_a_model_in_a_file_and_without_probabilities(fitted, tmp_path):
    """Scores are compared for a loss without a link, with sparse labels too."""
    X = fitted[1]
    model = QuadrantMultiLabelClassifier("hinge").fit(X, sparse.csr_array(fitted[0].predict(X)))
    path = tmp_path / "model.onnx"
    path.write_bytes(skl2onnx.to_onnx(model, X[:1]).SerializeToString())
    assert verify_onnx(str(path), model, X) < 1e-12


def test_columns_of_a_frame_are_inputs_by_name(fitted):
    """Each input gets the column with its name."""
    X = pd.DataFrame(fitted[1], columns=["first", "second"])
    pipeline = make_pipeline(make_column_transformer((StandardScaler(), ["first", "second"])), fitted[0])
    pipeline.fit(X, fitted[0].predict(fitted[1]))
    types = [(name, data_types.DoubleTensorType([None, 1])) for name in X]
    graph = skl2onnx.to_onnx(pipeline, initial_types=types)
    assert verify_onnx(graph, pipeline, X[["second", "first"]]) < 1e-9
    with pytest.raises(ValueError, match=r"must be a DataFrame with the columns \['first', 'second'\]"):
        verify_onnx(graph, pipeline, fitted[1])


def test_another_model_is_found_out(fitted):
    """Labels and probabilities are counted, and the largest difference is said."""
    model, X = fitted
    other = QuadrantMultiLabelClassifier().fit(X, 1 - model.predict(X))
    with pytest.raises(ValueError, match=r"[1-9]\d* of 600 labels, and [1-9]\d* of 600 probabilities by more than"):
        verify_onnx(skl2onnx.to_onnx(other, X[:1]), model, X)
    shifted = QuadrantMultiLabelClassifier("zlpr", C=0.9).fit(X, model.predict(X))
    with pytest.raises(ValueError, match="the largest difference is 0"):
        verify_onnx(skl2onnx.to_onnx(shifted, X[:1]), model, X, atol=1e-9, rtol=0)


def test_other_graphs_are_refused(fitted):
    """Those without the outputs of a classifier of this package."""
    X = fitted[1]
    other = LogisticRegression().fit(X, X[:, 0] > 0)
    with pytest.raises(ValueError, match=r"model_onnx must have the outputs 'label' and .* got"):
        verify_onnx(skl2onnx.to_onnx(other, X[:1].astype(np.float32)), other, X)


DIFFERENT = {
    "sublinear": ("sublinear_tf=True", "alpha beta gamma", [TfidfVectorizer(lowercase=False, sublinear_tf=True)]),
    "two steps": (
        "TfidfTransformer with sublinear_tf=True",
        "alpha beta gamma",
        [CountVectorizer(lowercase=False), TfidfTransformer(sublinear_tf=True)],
    ),
    "n-grams": (
        r"ngram_range=\(1, 2\)",
        "alpha beta a gamma",
        [TfidfVectorizer(lowercase=False, ngram_range=(1, 2))],
    ),
    "not ASCII": ("words that are not ASCII", "naïve Straße beta", [CountVectorizer(lowercase=False)]),
}


@pytest.mark.parametrize(("message", "words", "steps"), DIFFERENT.values(), ids=DIFFERENT)
def test_steps_that_differ_are_warned_of_and_found_out(message, words, steps):
    """skl2onnx converts them in silence; if it mends one, this test fails, and the warning can go."""
    X, Y = texts(words)
    pipeline = make_pipeline(*steps, QuadrantMultiLabelClassifier(C=100)).fit(X, Y)
    with pytest.warns(UserWarning, match=rf"skl2onnx computes other features for .*{message}.*verify_onnx"):
        graph = convert_texts(pipeline)
    with pytest.raises(ValueError, match="The converted model differs from Pipeline"):
        verify_onnx(graph, pipeline, X)


def test_texts_of_one_axis_go_to_an_input_of_one_axis():
    """An array of texts as the example makes the input of the graph 1-D."""
    X, Y = texts("alpha beta gamma")
    X = np.array(X, dtype=object)
    pipeline = make_pipeline(CountVectorizer(lowercase=False), QuadrantMultiLabelClassifier()).fit(X, Y)

    assert verify_onnx(skl2onnx.to_onnx(pipeline, X[:1]), pipeline, X) < 1e-6


def test_steps_below_a_meta_estimator_are_warned_of():
    """The pipeline is inside."""
    X, Y = texts("alpha beta gamma")
    pipeline = make_pipeline(TfidfVectorizer(lowercase=False, sublinear_tf=True), QuadrantMultiLabelClassifier())
    model = TunedThresholdMultiLabelClassifierCV(pipeline, cv=2).fit(X, Y)
    with pytest.warns(UserWarning, match="TfidfVectorizer with sublinear_tf=True"):
        convert_texts(model)


@pytest.mark.parametrize(
    "vectorizer", [TfidfVectorizer(lowercase=False), TfidfVectorizer(lowercase=False, analyzer="char")], ids=str
)
def test_other_steps_are_not_warned_of(vectorizer):
    """They are the same in ONNX."""
    X, Y = texts("alpha beta it's snake_case x1 42")
    pipeline = make_pipeline(vectorizer, QuadrantMultiLabelClassifier()).fit(X, Y)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="skl2onnx computes other features")
        graph = convert_texts(pipeline)
    assert verify_onnx(graph, pipeline, X) < 1e-6
