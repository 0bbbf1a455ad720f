"""Files that somebody names or that may have been altered: read and written only where they are files."""

import json
import os
import stat
from pathlib import Path
from typing import Any
from unicodedata import category

from permask.errors import PermaskError

LARGEST = 2**30  # bytes of a file that is read whole


class UnreadableError(PermaskError):
    """A file that cannot be read.

    Attributes:
        reason: Why, without the name of the file.
    """

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path}: cannot be read: {reason}")
        self.reason = reason


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """What is in a file.

    A pipe could keep who reads it waiting for ever, and a device has no end: neither is read.

    Args:
        path: Of the file, or of a link that leads to it.
        largest: Bytes that it may have.

    Raises:
        UnreadableError: It is not there, no file, larger, or the system does not let it be read.
    """
    if (size := _size(path)) > largest:
        raise UnreadableError(path, f"expected at most {largest:,} bytes, it has {size:,}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error


def check_file(path: Path) -> None:
    """Raise a `PermaskError` for what is no file, or one that may not be read, before another library opens it."""
    try:
        _size(path)
        path.open("rb").close()
    except UnreadableError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise PermaskError(f"{path}: no such file") from error
        raise
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error


def _size(path: Path) -> int:
    """The bytes of a file; an `UnreadableError` if it is none."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UnreadableError(path, "expected a file, this is a folder")
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError(path, "expected a file, this is a device, a pipe or a socket")
        return found.st_size
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error
    except ValueError as error:  # a NUL in the path
        raise UnreadableError(path, str(error)) from error


def read_text(path: Path, largest: int = LARGEST) -> str:
    """What is in a file of text, in UTF-8.

    Raises:
        UnreadableError: As of `read_bytes`; or it is other than text.
    """
    try:
        return read_bytes(path, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(path, "not a text file") from error


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """The value in a file of JSON.

    Raises:
        UnreadableError: As of `read_text`; or it is other than JSON.
    """
    return parse_json(read_text(path, largest), path)


def has_controls(text: str) -> bool:
    """Whether a text has control characters, but line breaks and tabs, or halves of characters."""
    return any(category(c) in ("Cc", "Cs") and c not in "\n\t" for c in text)


def parse_json(text: str, path: Path) -> Any:
    """The value that JSON from a file stands for.

    Raises:
        UnreadableError: It is other than JSON: also nested deeper, or with longer numbers, than Python reads.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(path, f"expected JSON: {error}") from error


def check_writable(*paths: Path | None) -> None:
    """Raise a `PermaskError` if one of the files that are wanted cannot be written, before any work is done.

    A link stays what it is, and so does what it leads to; a device, a pipe or a socket is not replaced by a file.
    """
    wanted = [path for path in paths if path is not None]
    for number, path in enumerate(wanted):
        try:
            check_replaceable(path)
            same = path.resolve() in {other.resolve() for other in wanted[:number]}
        except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a NUL in it, a circle of links
            raise PermaskError(f"{path}: cannot write there: {error}") from error
        if same:
            raise PermaskError(f"{path}: expected a file for each output, this is another one's; choose another name")


def check_safetensors(path: Path | None) -> None:
    """Raise a `PermaskError` if a safetensors file that is wanted is named otherwise, before any work is done."""
    if path is not None and path.suffix != ".safetensors":
        raise PermaskError(
            f"{path}: expected a name that ends in .safetensors, because a safetensors file is written there, got "
            f"{path.suffix or 'one without an ending'}; choose another name"
        )


def check_replaceable(path: Path) -> None:
    """Raise a `PermaskError` for a path that no file can be written to, or that something else than a file is at."""
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
