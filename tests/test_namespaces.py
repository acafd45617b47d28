"""Arrays of other libraries become tensors or NumPy arrays, and results arrays of their library again."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.utils import _array_api

from sk_quadrant import _namespaces
from sk_quadrant._namespaces import Namespace, give, in_numpy, pack_arrays, unpack_arrays

strict = pytest.importorskip("array_api_strict")
if not hasattr(_array_api, "move_to"):
    pytest.skip("scikit-learn before 1.9 does not move arrays between libraries", allow_module_level=True)


@pytest.fixture(autouse=True)
def _dispatch():
    with config_context(array_api_dispatch=True):
        yield


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.ones(2), id="NumPy"),
        pytest.param(np.array(["a"]), id="strings"),
        pytest.param([[1.0]], id="list"),
        pytest.param(sparse.csr_array(np.eye(2)), id="sparse"),
        pytest.param({"ids": torch.ones(2)}, id="dict"),
        pytest.param(None, id="None"),
    ],
)
def test_what_is_or_becomes_numpy_has_no_namespace(array):
    """It passes as it is."""
    assert Namespace.of(array) is None
    assert in_numpy(array) is array
    assert give(None, array) is array


def test_nothing_has_a_namespace_without_dispatch():
    """Tensors are then read by NumPy, as in scikit-learn."""
    with config_context(array_api_dispatch=False):
        assert Namespace.of(torch.ones(2)) is None
        assert isinstance(in_numpy(torch.ones(2)), torch.Tensor)


def test_tensors_share_the_memory_of_arrays_and_back():
    """Nothing is copied on the CPU, also of another library, as long as it can be read by DLPack."""
    tensor, array = torch.ones(3, 2, requires_grad=True), strict.ones((3, 2))
    of_torch, of_strict = Namespace.of(tensor), Namespace.of(array)

    assert of_torch.tensor(tensor).data_ptr() == tensor.data_ptr()
    assert not of_torch.tensor(tensor).requires_grad
    assert of_torch.give(tensor) is tensor
    inside = of_strict.tensor(array)
    inside[0, 0] = 5
    assert float(array[0, 0]) == 5
    assert float(of_strict.give(inside)[0, 0]) == 5


def test_results_without_numbers_stay():
    """Strings, sparse matrices and lists are of no other library."""
    namespace = Namespace.of(torch.ones(1))
    for result in (np.array(["yes"]), sparse.csr_array(np.eye(2)), [np.ones(2)]):
        assert namespace.give(result) is result


@pytest.mark.parametrize("array", [torch.ones(2), strict.ones(2)], ids=["torch", "array_api_strict"])
def test_namespaces_are_copied_and_saved_by_name(array):
    """Modules cannot be pickled."""
    namespace = Namespace.of(array)

    assert pickle.loads(pickle.dumps(namespace)) == copy.deepcopy(namespace) == namespace
    assert Namespace.from_dict(namespace.to_dict()) == namespace
    assert set(map(type, namespace.to_dict().values())) == {str}


def test_attributes_are_packed_as_numpy_arrays():
    """What was packed comes back as it was; NumPy arrays stay as they are."""
    state = {"best_threshold_": strict.ones(2), "pooled_": torch.tensor([True]), "C": np.ones(1), "cv": 5}
    packed = pack_arrays(state)
    back = unpack_arrays(packed)

    assert isinstance(packed["best_threshold_"]["array"], np.ndarray)
    assert packed["C"] is state["C"]
    assert {name: type(value) for name, value in back.items()} == {name: type(value) for name, value in state.items()}


def test_sparse_tensors_are_refused():
    """The message says what to use."""
    with pytest.raises(TypeError, match=r"torch.sparse_coo.*to_dense\(\)"):
        Namespace.of(torch.eye(2).to_sparse())


def test_missing_library_gives_numpy(monkeypatch):
    """A warning names what is missing."""
    with pytest.warns(UserWarning, match="no_such_library, which is not installed"):
        assert Namespace.from_dict({"name": "no_such_library", "device": "cpu"}) is None


def test_older_scikit_learn_is_an_error(monkeypatch):
    """It has no function that moves arrays between libraries."""
    monkeypatch.setattr(_namespaces, "can_dispatch", lambda: False)
    with pytest.raises(ImportError, match=r"scikit-learn 1\.9"):
        Namespace.of(torch.ones(2))
