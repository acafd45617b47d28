"""Progress of long fits: a bar with the time left in terminals and notebooks, and lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import current_process
from typing import Any, TypeVar

Item = TypeVar("Item")

DELAY = 0.5  # seconds: what ends sooner draws no bar
SHARE_FORMAT = "{l_bar}{bar}| [{elapsed}<{remaining}{postfix}]"
_bars: list[Any] = []  # the bar of this process: a fit inside of what has one draws none
_verbose: ContextVar[int] = ContextVar("verbose", default=0)


class Progress:
    """Progress of a task, as a context.

    Parameters
    ----------
    verbose : int
        0 for nothing. 1 for a bar where one can be drawn, and for lines elsewhere. More for lines.
    title : str
    total : int or None, default=None
        Number of steps, None where progress is a share.

    Attributes
    ----------
    is_on : bool
        Whether anything is shown.
    prints : bool
        Whether lines are printed.
    bar : tqdm or None
        The bar.
    """

    def __init__(self, verbose: int, title: str, total: int | None = None) -> None:
        self.title, self.total = title, total
        self.is_on = bool(verbose) and not _bars
        self.draws = self.is_on and verbose == 1 and _can_draw()
        self.prints = self.is_on and not self.draws
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.draws:
            self.bar = _new_bar(self.title, self.total)
            _bars.append(self.bar)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if self.bar is None:
            return
        if kind is None and self.total is not None:  # it may have ended early
            self.bar.total = max(self.bar.n, 1)
        _bars.remove(self.bar)
        self.bar.close()
        self.bar = None

    def step(self, done: float, line: str = "", note: str = "") -> None:
        """Say how far the task has come.

        Parameters
        ----------
        done : float
            Steps, or share, that are done; what is below an earlier one counts as that.
        line : str, default=""
            What to print.
        note : str, default=""
            What to write beside the bar.
        """
        if self.prints and line:
            print(line, flush=True)
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(max(0.0, (done if self.total is not None else round(100 * done, 1)) - self.bar.n))


def _can_draw() -> bool:
    """Whether this is the main process, with a terminal or a notebook to draw in."""
    return current_process().name == "MainProcess" and (_in_terminal() or _in_notebook())


def _in_terminal() -> bool:
    """Whether stderr is a terminal; it can be None, as without a console, closed, or an object that only writes."""
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError):
        return False


def _in_notebook() -> bool:
    """Whether code runs in a notebook, without importing anything that no notebook would have imported."""
    if "ipykernel" not in sys.modules:
        return False
    from tqdm.auto import tqdm

    return any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)


def _new_bar(title: str, total: int | None) -> Any:
    from tqdm.auto import tqdm

    options: dict[str, Any] = {"total": total} if total is not None else {"total": 100, "bar_format": SHARE_FORMAT}
    return tqdm(desc=title, delay=DELAY, dynamic_ncols=True, file=sys.stderr, **options)


@contextmanager
def verbosity(verbose: int) -> Iterator[None]:
    """Let `tracked` show progress in the code of a context."""
    token = _verbose.set(int(verbose))
    try:
        yield
    finally:
        _verbose.reset(token)


def tracked(items: Sequence[Item], title: str) -> Iterator[Item]:
    """Yield items, and show how many are done where `verbosity` asks for it."""
    with Progress(_verbose.get(), title, len(items)) as progress:
        for done, item in enumerate(items):
            progress.step(done)
            yield item
        progress.step(len(items), f"{title}: all {len(items)} done")
