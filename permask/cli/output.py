"""What commands write: files, whole or not at all, tables, and bars of how far they are."""

import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from permask.cli.boundary import printable
from permask.errors import PermaskError
from permask.files import check_replaceable
from permask.files import check_safetensors as check_safetensors
from permask.files import check_writable as check_writable
from permask.progress import inside

MOST = 2_000  # rows that a table shows


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
        write: Writes them into an empty folder, and below it, and returns those to tell of.

    Returns:
        The files to tell of, in their places.

    Raises:
        PermaskError: They cannot be written there.
    """
    with created(folder), tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        try:
            told = [folder / file.relative_to(partial) for file in write(Path(partial))]
            written = [file for file in Path(partial).rglob("*") if file.is_file()]
            files = {folder / file.relative_to(partial): file for file in written}
            for below in {place.parent for place in files}:
                below.mkdir(exist_ok=True)
            for place in files:
                check_replaceable(place)
            for place, file in files.items():
                file.replace(place)
        except OSError as error:
            raise PermaskError(_refusal(folder, error)) from error
    return told


def _refusal(folder: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{folder}: cannot write results: {reason or error}; choose another folder with --out"


def plain_console() -> Console:
    """A console that shows what users and files named as it is: as no markup, emoji or number."""
    return Console(markup=False, emoji=False, highlight=False)


def say(text: str) -> None:
    """Print a text that users or files may have named parts of."""
    typer.echo(printable(text))


@contextmanager
def bar(quiet: bool) -> Iterator[Progress]:
    """Progress bars on the standard error, unless quiet; those of what is called meanwhile join them."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bars, inside(bars):
        yield bars


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print a table whose first column is on the left, the others on the right; of very many rows, the first ones."""
    table = Table(*header, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    left = iter(rows)
    for row in islice(left, MOST):
        table.add_row(*map(printable, row))
    plain_console().print(table)
    if more := sum(1 for _ in left):
        typer.echo(f"and {more:,} more rows, which --json has")
