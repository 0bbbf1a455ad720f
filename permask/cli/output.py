"""What commands write: files, whole or not at all, tables, and bars of how far they are."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from permask.errors import PermaskError
from permask.progress import inside


def check_writable(*paths: Path | None) -> None:
    """Raise a `PermaskError` if one of the files that are wanted cannot be written, before any work is done."""
    for path in filter(None, paths):
        if path.is_dir():
            raise PermaskError(f"{path}: expected a file to write, this is a folder")
        if not path.parent.is_dir():
            raise PermaskError(f"{path}: cannot write there: {path.parent} is not a folder")
        if not os.access(path.parent, os.W_OK):
            raise PermaskError(f"{path}: cannot write there: no permission for {path.parent}")


def write_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Write a file under a temporary name and move it into place when it is complete."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        save(partial)
        partial.replace(path)
    except OSError as error:
        raise PermaskError(f"{path}: cannot write: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


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
    Console().print(table)
