"""What commands write: files, whole or not at all, tables, and bars of how far they are."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from permask.errors import PermaskError
from permask.progress import inside


def check_writable(*paths: Path | None) -> None:
    """Raise a `PermaskError` if one of the files that are wanted cannot be written, before any work is done.

    A link stays what it is, and so does what it leads to; a device, a pipe or a socket is not replaced by a file.
    """
    wanted = [path for path in paths if path is not None]
    for number, path in enumerate(wanted):
        try:
            _check_replaceable(path)
            same = path.resolve() in {other.resolve() for other in wanted[:number]}
        except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a NUL in it, a circle of links
            raise PermaskError(f"{path}: cannot write there: {error}") from error
        if same:
            raise PermaskError(f"{path}: expected a file for each output, this is another one's; choose another name")


def _check_replaceable(path: Path) -> None:
    if path.is_symlink():
        raise PermaskError(f"{path}: expected a file to write, this is a link; name the file that it leads to")
    if path.is_dir():
        raise PermaskError(f"{path}: expected a file to write, this is a folder")
    if path.exists() and not path.is_file():
        raise PermaskError(
            f"{path}: expected a file to write, this is a device, a pipe or a socket; choose another name"
        )
    if not path.parent.is_dir():
        raise PermaskError(f"{path}: cannot write there: {path.parent} is not a folder")
    if not os.access(path.parent, os.W_OK):
        raise PermaskError(f"{path}: cannot write there: no permission for {path.parent}")


def write_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Write a file under a temporary name and move it into place when it is complete."""
    check_writable(path)
    partial = path.with_name(f".{path.stem[:100]}-{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        save(partial)
        partial.replace(path)
    except OSError as error:
        raise PermaskError(f"{path}: cannot write: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def created(folder: Path) -> Iterator[None]:
    """A folder for results, seen to be writable; where a block fails, what was made for it goes if it is empty.

    Raises:
        PermaskError: It cannot be created or written to.
    """
    made = []
    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        raise PermaskError(_refusal(folder, error)) from error
    try:
        yield
    except BaseException:
        for place in made:
            with suppress(OSError):
                place.rmdir()
        raise


def write_together(folder: Path, write: Callable[[Path], list[Path]]) -> list[Path]:
    """Write files into a folder, which is created: all of them, or none if anything fails.

    Args:
        folder: Where to; files of the same names are replaced.
        write: Writes them into an empty folder, and returns them.

    Returns:
        The files in their places.

    Raises:
        PermaskError: They cannot be written there.
    """
    with created(folder), tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        try:
            files = {folder / file.relative_to(partial): file for file in write(Path(partial))}
            for below in {place.parent for place in files}:
                below.mkdir(exist_ok=True)
            for place in files:
                _check_replaceable(place)
            for place, file in files.items():
                file.replace(place)
        except OSError as error:
            raise PermaskError(_refusal(folder, error)) from error
    return list(files)


def _refusal(folder: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{folder}: cannot write results: {reason or error}; choose another folder with --out"


def plain_console() -> Console:
    """A console that shows what users and files named as it is: as no markup, emoji or number."""
    return Console(markup=False, emoji=False, highlight=False)


@contextmanager
def bar(quiet: bool) -> Iterator[Progress]:
    """Progress bars on the standard error, unless quiet; those of what is called meanwhile join them."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bars, inside(bars):
        yield bars


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print a table whose first column is on the left, the others on the right."""
    table = Table(*header, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    plain_console().print(table)
