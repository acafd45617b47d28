"""Checkpoints: training that resumes after its process has died."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

DIGEST_SIZE = 16  # bytes


class Checkpoint(Callback):
    """Save the state of training after epochs, and resume from it when the same fit is started again.

    If the process dies, run the same program again: `fit` resumes after the last saved epoch, and its coefficients are
    those of an uninterrupted fit, bit for bit on the CPU. The file holds tensors and plain values, and is read without
    running code from it. Its name is a hash of data and parameters, so that other fits, such as those of a grid search,
    ignore it; it is removed after training. The state of other callbacks is not saved.

    Parameters
    ----------
    folder : str or path-like
        Folder of the file; created if it does not exist.
    every : int, default=1
        Number of epochs between saves.

    See Also
    --------
    sk_quadrant.QuadrantMultiLabelClassifier : Its parameter `callbacks` takes checkpoints.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
    >>> from sk_quadrant.callbacks import Checkpoint
    >>> X, Y = make_quadrants(n_samples=400, random_state=0)
    >>> with TemporaryDirectory() as folder:
    ...     clf = QuadrantMultiLabelClassifier(
    ...         solver="adamw", learning_rate="cosine", max_iter=5, random_state=0, callbacks=[Checkpoint(folder)]
    ...     ).fit(X, Y)
    >>> clf.n_iter_
    5
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: int = 1) -> None:
        self.folder = folder
        self.every = every

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Resume an interrupted training with the same data and parameters; skorch calls it.

        Parameters
        ----------
        net : NeuralNet
            The net that is trained.
        X : object, default=None
            Training data, from which the name of the file follows.
        y : object, default=None
            Not used: the targets are a part of `X`.
        **kwargs : dict
            Not used.

        Raises
        ------
        ValueError
            If the solver does not train by epochs, `every` is below 1, or the file is truncated or altered.
        TypeError
            If the state of a module holds anything but tensors.
        OSError
            If the folder cannot be written.
        """
        if not hasattr(net, "progress"):
            raise ValueError("Checkpoint needs a solver that trains by epochs, such as 'adamw'.")
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}.")
        others = [name for name, part in net.module_.state_dict().items() if not isinstance(part, torch.Tensor)]
        if others:
            raise TypeError(f"Checkpoint saves tensors only, but the state of module has {others[0]!r}, which is none.")
        self.path_ = Path(self.folder) / f"{joblib.hash((net.description(), X.arrays()))}.pt"
        with explained(self.path_):
            self.path_.parent.mkdir(parents=True, exist_ok=True)
        if self.path_.exists():
            net.restore(read(self.path_))

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Save the state of training every `every` epochs; skorch calls it.

        Parameters
        ----------
        net : NeuralNet
            The net that is trained.
        **kwargs : dict
            Not used.

        Raises
        ------
        OSError
            If the file cannot be written; the last complete one is kept.
        """
        if len(net.history) % self.every == 0:
            with explained(self.path_):
                write(self.path_, net.progress())

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Remove the file after training, unless it was interrupted; skorch calls it.

        Parameters
        ----------
        net : NeuralNet
            The net that was trained.
        **kwargs : dict
            Not used.
        """
        if not net.interrupted_:
            with explained(self.path_):
                self.path_.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say what an error of the operating system means for training."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"the checkpoint could not be written: {error.strerror or error}. The last complete one, if any, is kept, "
            "and the same fit resumes from it",
            str(path),
        ) from error


def write(path: Path, progress: dict[str, Any]) -> None:
    """Replace a file atomically, so that it is complete at any time."""
    buffer, new = BytesIO(), path.with_suffix(f".{os.getpid()}.tmp")
    torch.save(progress, buffer)
    try:
        with new.open("wb") as file:
            file.write(digest(buffer.getvalue()))
            file.write(buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def read(path: Path) -> dict[str, Any]:
    """Return the content of a file.

    Raises
    ------
    ValueError
        If the file is truncated or altered.
    """
    with path.open("rb") as file:
        expected, content = file.read(DIGEST_SIZE), file.read()
    if digest(content) != expected:
        raise ValueError(f"{path} is truncated, altered or not a checkpoint. Remove it to train from the start.")
    progress: dict[str, Any] = torch.load(BytesIO(content), "cpu", weights_only=True)
    return progress


def digest(content: bytes) -> bytes:
    """Return a hash."""
    return hashlib.blake2b(content, digest_size=DIGEST_SIZE).digest()
