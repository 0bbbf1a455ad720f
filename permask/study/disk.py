"""The files of a store: brought to the disk, read with their checksums, removed."""

import hashlib
import os
import secrets
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from permask.errors import StoreError
from permask.files import UnreadableError, read_bytes


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, or whatever else is there; what a link leads to stays."""
    with suppress(OSError):
        path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path, ignore_errors=True)


def bytes_below(path: Path) -> int:
    """The bytes of all files in a folder and below; 0 for what is no folder."""
    return sum(Path(place, name).lstat().st_size for place, _, names in os.walk(path) for name in names)


def write_whole(path: Path, text: str) -> None:
    """Write a text under a temporary name, and move it into place."""
    partial = path.with_name(f"{path.stem}-{secrets.token_hex(4)}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def read_checked(path: Path, checksum: str | None) -> bytes:
    """The content of a file, seen to be as it was written.

    Raises:
        StoreError: It is not.
    """
    try:
        content = read_bytes(path, largest=sys.maxsize)
    except UnreadableError as error:
        raise StoreError(f"{path} cannot be read: {error.reason}") from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise StoreError(f"{path} is truncated or altered")
    return content


def checksum_on_disk(path: Path) -> str:
    """Bring a file's content to the disk; its SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
