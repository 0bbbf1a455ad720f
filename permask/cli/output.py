"""Files that commands write: whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

from permask.errors import PermaskError


def check_writable(path: Path) -> None:
    """Raise a `PermaskError` if a file cannot be written there, before any work is done."""
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
