"""Training that is killed goes on from its last checkpoint, to the same bits."""

import errno
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from skorch.callbacks import Callback

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.callbacks import Checkpoint, _checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RECIPES = {
    "adamw": {},
    "sgd-cosine-mixup": {"solver": "sgd", "learning_rate": "cosine", "warmup_fraction": 0.2, "mixup_alpha": 0.4},
    "network": {"hidden_layer_sizes": (4,), "label_smoothing": 0.1},
    "early-stopping": {
        "early_stopping": True,
        "scoring": "f1_macro",
        "n_iter_no_change": 9,
        "learning_rate_init": 0.02,
    },
    "no-random-state": {"random_state": None},
}


class Dies(Callback):
    """Callback that raises when an epoch ends, once, as a stand-in for the end of the process."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        """Raise at the end of the epoch."""
        if len(net.history) == self.epoch:
            raise RuntimeError("died")


def make_classifier(folder, *more, **params):
    defaults = {"solver": "adamw", "max_iter": 12, "batch_size": 32, "random_state": 0}
    return QuadrantMultiLabelClassifier(**defaults | params, callbacks=[*more, Checkpoint(folder)])


@pytest.fixture(scope="module")
def data():
    """Return 400 points of the quadrants with some labels flipped."""
    return make_quadrants(400, flip_y=0.1, random_state=0)


def weights_of(clf):
    return [part for layer in clf.model_.layers for part in layer]


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "no-random-state"])
@pytest.mark.parametrize("epoch", [1, 7])
def test_a_fit_that_died_is_continued_to_the_same_bits(recipe, epoch, data, tmp_path):
    """Weights and history are those of a fit that was not interrupted."""
    whole = make_classifier(tmp_path / "whole", **RECIPES[recipe]).fit(*data)
    with pytest.raises(RuntimeError, match="died"):
        make_classifier(tmp_path / "cut", Dies(epoch + 1), **RECIPES[recipe]).fit(*data)
    (file,) = (tmp_path / "cut").iterdir()
    continued = make_classifier(tmp_path / "cut", **RECIPES[recipe]).fit(*data)
    for expected, actual in zip(weights_of(whole), weights_of(continued), strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert continued.history_ == whole.history_
    assert not file.exists()


def test_without_a_random_state_the_seed_of_the_first_fit_goes_on(data, tmp_path):
    """The order of rows after the restart is the one the interrupted fit would have taken."""
    seeds = []

    class Records(Callback):
        def on_epoch_end(self, net, **kwargs):
            seeds.append(net.seed)

    with pytest.raises(RuntimeError, match="died"):
        make_classifier(tmp_path, Records(), Dies(3), random_state=None).fit(*data)
    make_classifier(tmp_path, Records(), random_state=None).fit(*data)
    assert len(seeds) == 3 + 10
    assert len(set(seeds)) == 1


def test_another_fit_does_not_take_the_file(data, tmp_path):
    """Other data, parameters or seeds begin anew."""
    X, Y = data
    with pytest.raises(RuntimeError, match="died"):
        make_classifier(tmp_path, Dies(3)).fit(X, Y)
    for fit in (
        lambda: make_classifier(tmp_path, C=2.0).fit(X, Y),
        lambda: make_classifier(tmp_path, random_state=1).fit(X, Y),
        lambda: make_classifier(tmp_path).fit(X + 1, Y),
        lambda: make_classifier(tmp_path).fit(X, 1 - Y),
    ):
        assert [row["epoch"] for row in fit().history_] == list(range(1, 13))
        assert len(list(tmp_path.iterdir())) == 1


def test_sparse_data_without_a_value_have_a_fingerprint(data, tmp_path):
    """The arrays of a sparse matrix may be empty."""
    X, Y = (sparse.csr_matrix(np.zeros_like(part)) for part in data)
    assert make_classifier(tmp_path, max_iter=1).fit(X, Y).n_iter_ == 1


def test_saving_can_be_less_frequent(data, tmp_path):
    """With every=5 the epochs since the last multiple of five are done again."""
    seen = []

    class Records(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(len(net.history))

    first, second = make_classifier(tmp_path, Dies(8)), make_classifier(tmp_path, Records())
    first.callbacks[-1].every = second.callbacks[-1].every = 5
    with pytest.raises(RuntimeError, match="died"):
        first.fit(*data)
    second.fit(*data)
    assert seen == list(range(6, 13))


@pytest.mark.slow
def test_a_killed_process_is_continued_to_the_same_bits(data, tmp_path):
    """Killed with SIGKILL in the middle of training, a child process that is run again gives the same coefficients."""
    program = textwrap.dedent(
        """
        import os, signal, sys
        import numpy as np
        from skorch.callbacks import Callback
        from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
        from sk_quadrant.callbacks import Checkpoint

        class Kills(Callback):
            def on_epoch_begin(self, net, **kwargs):
                if len(net.history) == 6 and sys.argv[2] == "die":
                    os.kill(os.getpid(), signal.SIGKILL)

        X, Y = make_quadrants(400, flip_y=0.1, random_state=0)
        clf = QuadrantMultiLabelClassifier(
            solver="adamw", learning_rate="cosine", max_iter=12, batch_size=32, random_state=0,
            callbacks=[Kills(), Checkpoint(sys.argv[1])],
        )
        np.save(sys.argv[1] + ".npy", clf.fit(X, Y).coef_)
        """
    )
    folder = str(tmp_path / "run")

    def run(last):
        return subprocess.run([sys.executable, "-c", program, folder, last], env={**os.environ}, check=False)

    assert run("die").returncode == -signal.SIGKILL
    assert len(os.listdir(folder)) == 1
    assert run("live").returncode == 0
    whole = make_classifier(tmp_path / "other", learning_rate="cosine").fit(*data)
    np.testing.assert_array_equal(np.load(folder + ".npy"), whole.coef_)


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only file system")]
)
def test_a_disk_that_fails_is_reported_and_the_last_good_file_kept(number, words, data, tmp_path, monkeypatch):
    """The error says what has happened and what to do, and the file of the epoch before is whole."""
    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(_checkpoint.os, "fsync", fsync)
    with pytest.raises(OSError, match=f"checkpoint could not be written: {words}.*same fit resumes") as info:
        make_classifier(tmp_path).fit(*data)
    assert info.value.errno == number
    monkeypatch.undo()
    (file,) = tmp_path.iterdir()
    assert file.suffix == ".pt"
    continued = make_classifier(tmp_path).fit(*data)
    np.testing.assert_array_equal(continued.coef_, make_classifier(tmp_path / "whole").fit(*data).coef_)


def test_a_fit_that_died_after_its_last_epoch_ends_at_once(data, tmp_path):
    """Early stopping had ended it: no further epoch is trained, and the model is that of a fit that did not die."""

    class DiesAtTheEnd(Callback):
        def on_train_end(self, net, **kwargs):
            raise RuntimeError("died")

    options = {"early_stopping": True, "learning_rate_init": 0.5, "n_iter_no_change": 2, "max_iter": 50}
    with pytest.raises(RuntimeError, match="died"):
        make_classifier(tmp_path, DiesAtTheEnd(), **options).fit(*data)
    epochs = []
    continued = make_classifier(tmp_path, EpochRecorder(epochs), **options).fit(*data)
    whole = make_classifier(tmp_path / "whole", **options).fit(*data)
    assert not epochs
    assert continued.history_ == whole.history_
    np.testing.assert_array_equal(continued.coef_, whole.coef_)


@pytest.fixture
def file(data, tmp_path):
    """Return what a training that has died left behind."""
    with pytest.raises(RuntimeError, match="died"):
        make_classifier(tmp_path, Dies(3)).fit(*data)
    return next(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99], ids=str)
def test_a_truncated_file_is_reported_before_training(share, file, data):
    """With its name and what to do, and the estimator stays unfitted."""
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    clf = make_classifier(file.parent)
    with pytest.raises(
        ValueError, match=r"\.pt is truncated, altered or not a checkpoint. Remove it to train from the start"
    ):
        clf.fit(*data)
    assert not hasattr(clf, "coef_")
    file.unlink()
    clf.fit(*data)


def test_no_altered_bit_goes_unnoticed(file):
    """A changed bit anywhere makes the file be refused."""
    content = file.read_bytes()
    for position in range(0, len(content), 23):
        file.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        with pytest.raises(ValueError, match="is truncated, altered or not a checkpoint"):
            _checkpoint.read(file)


def test_a_state_that_is_no_tensor_is_refused_before_training(data, tmp_path):
    """A module with other state could not be restored from tensors."""

    class Stateful(torch.nn.Linear):
        def get_extra_state(self):
            return {"calls": 3}

        def set_extra_state(self, state):
            pass

    clf = make_classifier(tmp_path, module=Stateful(2, 2))
    with pytest.raises(TypeError, match="saves tensors only, but the state of module has '_extra_state'"):
        clf.fit(*data)


def test_a_folder_that_cannot_be_made_is_reported_before_training(data, tmp_path):
    """A file where the folder should be is an error of the operating system, with its number and path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="checkpoint could not be written") as info:
        make_classifier(tmp_path / "file" / "folder").fit(*data)
    assert info.value.errno == errno.ENOTDIR


def test_ctrl_c_keeps_the_file(data, tmp_path):
    """After an interruption by the user the same fit goes on, too."""

    class Interrupts(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 6:
                raise KeyboardInterrupt

    assert make_classifier(tmp_path, Interrupts()).fit(*data).n_iter_ == 5
    continued = make_classifier(tmp_path).fit(*data)
    np.testing.assert_array_equal(continued.coef_, make_classifier(tmp_path / "whole").fit(*data).coef_)


def test_it_can_be_cloned_and_is_no_use_to_the_full_batch_solver(data, tmp_path):
    """A clone has its parameters; lbfgs refuses it with the reason."""
    clf = clone(make_classifier(tmp_path))
    assert clf.callbacks[0].folder == tmp_path
    with pytest.raises(ValueError, match="solver that trains by epochs"):
        clf.set_params(solver="lbfgs").fit(*data)
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        QuadrantMultiLabelClassifier(solver="adamw", callbacks=[Checkpoint(tmp_path, every=0)]).fit(*data)


@pytest.mark.parametrize("same", [True, False], ids=["the same", "others"])
def test_rows_to_watch_belong_to_the_data(same, data, tmp_path):
    """A fit with the validation rows of before goes on, with others it starts anew."""
    X, Y = data
    first, other = ({"X_val": X[300:], "y_val": Y[300:] ^ flip} for flip in (0, 1))
    with pytest.raises(RuntimeError, match="died"):
        make_classifier(tmp_path, Dies(5), early_stopping=True).fit(X[:300], Y[:300], **first)
    epochs = []
    seen = EpochRecorder(epochs)
    validation = first if same else other
    continued = make_classifier(tmp_path, seen, early_stopping=True).fit(X[:300], Y[:300], **validation)
    whole = make_classifier(tmp_path / "whole", early_stopping=True).fit(X[:300], Y[:300], **validation)
    assert continued.history_ == whole.history_
    assert epochs[0] == (5 if same else 1)


class EpochRecorder(Callback):
    """Callback that writes the numbers of the epochs that are trained to a list."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, net, **kwargs):
        """Add the number of the epoch."""
        self.epochs.append(len(net.history))
