"""Checkpoints: training that resumes after its process has died."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback

from sk_quadrant._arrays import row_blocks


class Checkpoint(Callback):
    """Save the state of training after epochs, and resume from it when the same fit is started again.

    If the process dies, run the same program again: `fit` resumes after the last saved epoch, and its coefficients are
    those of an uninterrupted fit, bit for bit on the CPU. The file holds plain arrays. Its name is a hash of data and
    parameters, so that other fits, such as those of a grid search, ignore it; it is removed after training. The state
    of other callbacks is not saved.

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
        OSError
            If the folder cannot be written.
        """
        if not hasattr(net, "progress"):
            raise ValueError("Checkpoint needs a solver that trains by epochs, such as 'adamw'.")
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}.")
        self.path_ = Path(self.folder) / f"{fingerprint(net, X)}.npz"
        self._do(lambda: self.path_.parent.mkdir(parents=True, exist_ok=True))
        if self.path_.exists():
            net.restore(*read(self.path_))

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
            description, arrays = net.progress()
            text = json.dumps(description | {"arrays": sorted(arrays)}, default=np.generic.item)
            self._do(lambda: self._write({"description": np.array(text), **arrays}))

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
            self._do(lambda: self.path_.unlink(missing_ok=True))

    def _write(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Replace the file atomically, so that it is complete at any time."""
        new = self.path_.with_suffix(f".{os.getpid()}.tmp")
        try:
            with new.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path_)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def _do(self, action: Any) -> None:
        try:
            action()
        except OSError as error:
            raise OSError(
                error.errno,
                f"the checkpoint could not be written: {error.strerror or error}. The last complete one, if any, is "
                "kept, and the same fit resumes from it",
                str(self.path_),
            ) from error


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the description and the arrays of a file.

    Raises
    ------
    ValueError
        If the file is truncated or altered.
    """
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            description = json.loads(str(arrays.pop("description")))
            if description.pop("arrays") != sorted(arrays):
                raise ValueError(f"it holds only the arrays {sorted(arrays)}")
        except Exception as error:  # a corrupt archive can raise anything
            raise ValueError(
                f"{path} is truncated, altered or not a checkpoint ({type(error).__name__}: {error}). Remove it to "
                "train from the start."
            ) from error
    return description, arrays


def fingerprint(net: NeuralNet, data: Any) -> str:
    """Return a hash of the data and of the parameters of a net."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(net.description()).encode())
    for array in data.arrays():
        digest.update(f"{array.dtype}{array.shape}".encode())
        for rows in row_blocks(len(array), 4096):  # other memory orders are copied block by block
            digest.update(np.ascontiguousarray(array[rows]).tobytes())
    return digest.hexdigest()
