"""How far a long call is: bars on a terminal or in a notebook, and nothing anywhere else.

Bars appear two seconds after the outermost call began and go when it ends. A call inside another one adds a line to its
bars. The environment variable `PERMASK_PROGRESS=0` switches them off. A notebook needs ipywidgets to show them.
"""

import os
from collections.abc import Iterable, Iterator, Sized
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from threading import Timer
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

PATIENCE = 2.0  # seconds
SWITCH = "PERMASK_PROGRESS"

T = TypeVar("T")
_AROUND: ContextVar[Progress | None] = ContextVar("around", default=None)


class Watch:
    """One bar, for one loop or several, one after another."""

    def __init__(self, display: Progress, task: TaskID):
        self._display, self._task = display, task

    def __call__(self, items: Iterable[T]) -> Iterator[T]:
        """The items as they are; the bar counts those that are done."""
        self._display.reset(self._task, total=len(items) if isinstance(items, Sized) else None)
        for item in items:
            yield item
            self._display.advance(self._task)


@contextmanager
def progress(what: str) -> Iterator[Watch]:
    """A bar for a block of code.

    Args:
        what: What the block does, in permask's own words, since it is read as markup.

    Example:
        ```python
        with progress("match activations") as watch:
            for batch in watch(batches):
                ...
        ```
    """
    with ExitStack() as ending:
        display = _AROUND.get()
        if display is None:
            display = _bars()
            ending.enter_context(_appearing(display))
            ending.enter_context(inside(display))
        task = display.add_task(what, total=None)
        ending.callback(display.remove_task, task)
        yield Watch(display, task)


@contextmanager
def inside(display: Progress) -> Iterator[None]:
    """Have all bars inside a block join others, which somebody else shows."""
    before = _AROUND.set(display)
    try:
        yield
    finally:
        _AROUND.reset(before)


@contextmanager
def silent() -> Iterator[None]:
    """Show no bars inside a block, or inside a function that this decorates."""
    with inside(Progress(disable=True)):
        yield


@contextmanager
def _appearing(display: Progress) -> Iterator[None]:
    """Show bars once the block takes long, and take them away when it ends."""
    if display.disable:
        yield
        return
    timer = Timer(PATIENCE, display.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if display.live.is_started:
            # there, rich closes the bars by themselves, and would print an empty line for a terminal's cursor
            display.console.quiet = display.console.is_jupyter
            display.stop()


def _bars() -> Progress:
    """Bars on the standard error, disabled where nobody would see them."""
    console = Console(stderr=True)
    terminal = console.is_interactive and console.file.isatty()
    notebook = console.is_jupyter and find_spec("ipywidgets") is not None
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        # what the caller prints on the same terminal goes above the bars, what goes to a file stays as it is
        redirect_stdout=terminal and Console().file.isatty(),
        redirect_stderr=terminal,
        disable=os.environ.get(SWITCH) == "0" or not (terminal or notebook),
    )
