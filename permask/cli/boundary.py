"""What a user sees of anything that goes wrong: one sentence, whatever it was."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import extract_tb
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from permask.errors import PermaskError
from permask.extras import EXTRAS, remedy

DEBUG = "PERMASK_DEBUG"
ENDINGS = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
OWN = Path(__file__).parents[1]


class Ended(KeyboardInterrupt):
    """A signal that ends a process came.

    Where KeyboardInterrupt itself passes code that a C extension runs, as some do when they are imported, Python ends
    by SIGINT, whatever the exit code was to be.
    """


@contextmanager
def boundary() -> Iterator[None]:
    """End the process with one sentence and exit code 2 in place of a traceback; on a signal, with 128 + its number.

    With PERMASK_DEBUG set, what is no error of permask's own shows its traceback, as a report of a defect needs it.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # text on any terminal, ASCII too
    if not os.environ.get("COLUMNS", "").strip("0"):
        os.environ.pop("COLUMNS", None)  # of a terminal that does not know its width; on one of 0, rich prints nothing
    received = _interrupted_by_signals()
    try:
        yield
        sys.stdout.flush()
    except BaseException as error:
        if received:
            _flush()
            sys.exit(128 + received[0])
        if isinstance(error, PermaskError):
            _end(str(error))
        if isinstance(error, ModuleNotFoundError) and (module := str(error.name).partition(".")[0]) in EXTRAS:
            _end(f"this command needs {remedy(module)}")
        if os.environ.get(DEBUG) or not isinstance(error, Exception):
            raise
        _end(_sentence(error))


def _interrupted_by_signals() -> list[int]:
    """Have signals that end a process do as Ctrl-C does, unless they are ignored; those that came, which is one."""
    received: list[int] = []

    def interrupt(number: int, _: object) -> None:
        for name in taken:
            signal.signal(name, signal.SIG_IGN)  # what ends already is not interrupted again
        received.append(number)
        raise Ended

    endings = (getattr(signal, name, None) for name in ENDINGS)
    taken = [ending for ending in endings if ending and signal.getsignal(ending) == signal.SIG_DFL]
    for ending in taken:
        signal.signal(ending, interrupt)
    return received


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return f"cannot write: {error}; make room there and run the command again"
    if isinstance(error, MemoryError):
        return "not enough memory; give smaller inputs, or run it on a machine with more"
    place = next((f for f in reversed(extract_tb(error.__traceback__)) if OWN in Path(f.filename).parents), None)
    where = "" if place is None else f" in {Path(place.filename).relative_to(OWN.parent)}, line {place.lineno}"
    try:
        what = " ".join(str(error).split())
    except Exception:  # of an error of somebody's own class
        what = "it cannot say what"
    said = f"unexpected {type(error).__name__}{where}: {what}"
    return f"{said}; this is a defect of permask, please report it with what {DEBUG}=1 shows"


def _end(sentence: str) -> NoReturn:
    """Say it and exit with code 2; what cannot even be said is not."""
    with suppress(OSError):
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(Text.assemble(("error: ", "bold red"), printable(sentence)))
    _flush()
    sys.exit(2)


def _flush() -> None:
    """Write what waits for the standard output; if that fails, nothing waits any more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """A text without control characters, which could move the cursor or change colours, but line breaks and tabs."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
