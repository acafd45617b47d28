"""Networks: hidden layers, activations and residual connections."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.neural_network import MLPClassifier

import sk_quadrant
from sk_quadrant import QuadrantMultiLabelClassifier
from sk_quadrant._model import fitted
from sk_quadrant._solvers.mini_batch.net import MultiLabelNet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FUNCTIONS = {"identity": torch.nn.Identity, "relu": torch.nn.ReLU, "gelu": torch.nn.GELU, "tanh": torch.nn.Tanh}


def make_rows(n_samples=80, dtype=np.float64):
    """Return points of which each label is a product of two signs, which no linear model can tell."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, 4)).astype(dtype)
    return X, np.c_[X[:, 0] * X[:, 1] > 0, X[:, 2] * X[:, 3] > 0].astype(int)


def make_network(**params):
    defaults = {"solver": "adamw", "hidden_layer_sizes": (4, 6), "max_iter": 5, "batch_size": 16, "random_state": 0}
    return QuadrantMultiLabelClassifier(**defaults | params)


@pytest.mark.parametrize("as_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no-intercept"])
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("activation", sorted(FUNCTIONS))
def test_gradients_in_closed_form_are_those_of_autograd(activation, residual, fit_intercept, as_sparse, monkeypatch):
    """Training is the same with autograd of the whole objective, for every kind of layer."""

    def autograd_step(net, batch, **fit_params):
        scores = net.module_(batch[0])
        loss = net.criterion_(scores, batch[1])
        (loss + 0.5 * net.penalty_ * sum(layer.weight.square().sum() for layer in net.module_.layers)).backward()
        return {"loss": loss, "y_pred": scores}

    X, Y = make_rows()
    X = sparse.csr_matrix(np.where(np.abs(X) > 0.5, X, 0)) if as_sparse else X
    net = make_network(
        activation=activation, residual=residual, fit_intercept=fit_intercept, hidden_layer_sizes=(4, 4, 3), C=0.5
    )
    fast = clone(net).fit(X, Y)
    monkeypatch.setattr(MultiLabelNet, "_shows_batches", lambda net: True)
    monkeypatch.setattr(MultiLabelNet, "train_step_single", autograd_step)
    plain = clone(net).fit(X, Y)
    np.testing.assert_allclose(fast.decision_function(X), plain.decision_function(X), rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(fast.loss_curve_, plain.loss_curve_, rtol=1e-10)


@pytest.mark.parametrize("activation", sorted(FUNCTIONS))
def test_training_is_that_of_a_pytorch_network(activation):
    """From the same start, steps on all rows give the weights of a network made of PyTorch's own layers."""
    X, Y = make_rows()
    kwargs = {"activation": activation, "batch_size": 80, "learning_rate_init": 0.05, "C": 2.0, "tol": 0}
    clf = make_network(**kwargs, max_iter=10).fit(X, Y)
    function = FUNCTIONS[activation]
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 4), function(), torch.nn.Linear(4, 6), function(), torch.nn.Linear(6, 2)
    ).double()
    linears = [layer for layer in theirs if isinstance(layer, torch.nn.Linear)]
    start = make_network(**kwargs | {"learning_rate_init": 1e-300}, max_iter=1).fit(X, Y)
    for layer, (weight, bias) in zip(linears, start.model_.layers, strict=True):
        layer.weight.data, layer.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.05, weight_decay=0)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(Y).double()
    for _ in range(10):
        optimizer.zero_grad()
        losses = torch.nn.functional.binary_cross_entropy_with_logits(theirs(inputs), targets, reduction="sum")
        penalty = sum(layer.weight.square().sum() for layer in linears) / 2
        ((2 * losses + penalty) / (2 * len(X))).backward()
        optimizer.step()
    np.testing.assert_allclose(clf.decision_function(X), theirs(inputs).detach().numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_scores_are_those_of_scikit_learns_network_with_the_same_weights(activation):
    """MLPClassifier with our weights has our probabilities."""
    X, Y = make_rows()
    clf = make_network(activation=activation).fit(X, Y)
    theirs = MLPClassifier((4, 6), activation=activation, max_iter=1).fit(X, Y)
    layers = clf.net_.module_.layers
    theirs.coefs_ = [layer.weight.detach().numpy().T for layer in layers]
    theirs.intercepts_ = [layer.bias.detach().numpy() for layer in layers]
    np.testing.assert_allclose(clf.predict_proba(X), theirs.predict_proba(X), rtol=1e-12)


def test_first_weights_are_uniform_within_glorots_bound_and_depend_on_the_seed():
    """Before the first step no weight exceeds sqrt(6 / (n_in + n_out)), and most of that range is used."""
    X, Y = make_rows()
    starts = [
        make_network(learning_rate_init=1e-30, max_iter=1, hidden_layer_sizes=(200,), random_state=seed).fit(X, Y)
        for seed in (0, 0, 1)
    ]
    weights = [clf.net_.module_.layers[0].weight.detach().numpy() for clf in starts]
    bound = np.sqrt(6 / 204)
    assert 0.98 * bound < np.abs(weights[0]).max() <= bound
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


def test_a_network_learns_what_no_linear_model_can():
    """Labels that are products of signs are learnt with a hidden layer, and not without one."""
    X, Y = make_rows(2000)
    params = {"learning_rate_init": 0.02, "learning_rate": "cosine", "max_iter": 40, "batch_size": 32, "C": 1e3}
    assert make_network(**params, hidden_layer_sizes=(32,)).fit(X, Y).score(X, Y) > 0.9
    assert make_network(**params, hidden_layer_sizes=()).fit(X, Y).score(X, Y) < 0.5


def test_residual_connections_change_the_model_where_widths_agree():
    """A residual layer of zero weights passes its input on."""
    X, Y = make_rows()
    clf = make_network(hidden_layer_sizes=(4,), residual=True, activation="identity", fit_intercept=False).fit(X, Y)
    hidden, last = clf.net_.module_.layers
    W, V = hidden.weight.detach().numpy(), last.weight.detach().numpy()
    np.testing.assert_allclose(clf.decision_function(X), (X + X @ W.T) @ V.T, rtol=1e-10)


@pytest.mark.parametrize("name", ["coef_", "intercept_"])
def test_networks_have_no_coefficients_and_say_why(name):
    """The error names the attribute and where the weights of the layers are."""
    clf = make_network().fit(*make_rows())
    assert not hasattr(clf, name)
    with pytest.raises(AttributeError, match=f"{name} is not available with hidden layers.*net_.module_.layers"):
        getattr(clf, name)
    clf.set_params(hidden_layer_sizes=()).fit(*make_rows())
    assert hasattr(clf, name)


def test_feature_selection_says_why_and_permutation_importance_works():
    """SelectFromModel passes the reason on; permutation importance finds the features that matter."""
    X, Y = make_rows(400)
    X = np.c_[X, np.random.default_rng(1).standard_normal((400, 2))]
    clf = make_network(hidden_layer_sizes=(32,), learning_rate_init=0.02, max_iter=60, C=1e3).fit(X, Y)
    with pytest.raises((ValueError, AttributeError), match="coef_"):
        SelectFromModel(clf, prefit=True).transform(X)
    importance = permutation_importance(clf, X, Y, random_state=0, n_repeats=3).importances_mean
    assert importance[:4].min() > 3 * np.abs(importance[4:]).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_in_blocks_keep_precision_and_agree(dtype, monkeypatch):
    """Rows are predicted in blocks, in the precision of X, dense or sparse."""
    X, Y = make_rows(dtype=dtype)
    clf = make_network().fit(X, Y)
    scores = clf.decision_function(X)
    monkeypatch.setattr(fitted, "PREDICT_ELEMENTS", 50)
    assert scores.dtype == dtype
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(clf.decision_function(X), scores, rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(clf.decision_function(sparse.csr_matrix(X)), scores, rtol=rtol, atol=1e-6)
    np.testing.assert_array_equal(clf.predict(X), scores > 0)


def test_a_pickled_network_holds_plain_arrays_and_predicts_the_same(tmp_path):
    """A network comes back from a pickle, in this process and another, with the same bits."""
    X, Y = make_rows()
    clf = make_network(residual=True, activation="gelu").fit(X, Y)
    assert b"torch" not in pickle.dumps(clf)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).decision_function(X), clf.decision_function(X))
    (tmp_path / "clf").write_bytes(pickle.dumps(clf))
    np.save(tmp_path / "X.npy", X)
    code = (
        "import pickle, sys, numpy as np; clf = pickle.load(open('clf', 'rb')); assert 'torch' not in sys.modules; "
        "np.save('scores.npy', clf.decision_function(np.load('X.npy')))"
    )
    path = [str(sk_quadrant.__file__).rsplit("/", 2)[0]]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {code}"], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), clf.decision_function(X))


def test_an_integer_is_one_hidden_layer():
    """hidden_layer_sizes=6 is (6,), as in scikit-learn."""
    X, Y = make_rows()
    one, tuple_of_one = (make_network(hidden_layer_sizes=sizes).fit(X, Y) for sizes in (6, (6,)))
    np.testing.assert_array_equal(one.decision_function(X), tuple_of_one.decision_function(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden_layer_sizes": (3, 0)}, r"positive integers, got \(3, 0\)"),
        ({"hidden_layer_sizes": (2.5,)}, "positive integers"),
        ({"residual": True, "hidden_layer_sizes": (7, 5)}, "as wide as its input, got 4 features"),
        ({"residual": True, "hidden_layer_sizes": ()}, "as wide as its input"),
        ({"solver": "lbfgs"}, r"hidden_layer_sizes=\(4, 6\) is not possible with solver='lbfgs', which solves linear"),
        ({"activation": "selu"}, "'activation' parameter"),
    ],
    ids=["zero", "fraction", "no-equal-widths", "no-hidden-layer", "lbfgs", "activation"],
)
def test_impossible_networks_are_refused(params, message):
    """The error says which parameter is wrong and why."""
    with pytest.raises(ValueError, match=message):
        make_network(**params).fit(*make_rows())


def test_a_warm_start_needs_the_same_layers_and_goes_on_from_them():
    """Five epochs twice lower the loss further; other layers are refused."""
    X, Y = make_rows()
    clf = make_network(warm_start=True).fit(X, Y)
    before = clf.loss_curve_[-1]
    assert clf.fit(X, Y).loss_curve_[0] < before
    with pytest.raises(ValueError, match=r"hidden_layer_sizes.*must be those of the first call"):
        clf.set_params(hidden_layer_sizes=(5,)).fit(X, Y)


def test_one_dimensional_targets_work_as_in_linear_models():
    """Two classes and three classes are predicted by a network, too."""
    X, Y = make_rows(600)
    y = np.array(["no", "yes"])[Y[:, 0]]
    params = {"hidden_layer_sizes": (16,), "learning_rate_init": 0.02, "max_iter": 60, "C": 1e3}
    assert make_network(**params).fit(X, y).score(X, y) > 0.9
    y = Y.sum(axis=1)
    clf = make_network(**params).fit(X, y)
    assert clf.score(X, y) > 0.8
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1)
