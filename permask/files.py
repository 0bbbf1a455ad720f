"""Files that somebody names or that may have been altered: read whole, and only if they are files."""

import json
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
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UnreadableError(path, "expected a file, this is a folder")
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError(path, "expected a file, this is a device, a pipe or a socket")
        if found.st_size > largest:
            raise UnreadableError(path, f"expected at most {largest:,} bytes, it has {found.st_size:,}")
        return path.read_bytes()
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
