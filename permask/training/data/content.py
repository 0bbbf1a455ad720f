"""What a data set is, wherever it lies: a hash of its files, remembered for as long as they are not touched."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from permask.errors import DataError
from permask.training.data.cache import cache_place, making

Progress = Callable[[int, int], None]


def unseen(done: int, total: int) -> None:
    """Progress that nobody looks at."""


def content_of(root: Path, progress: Progress = unseen) -> str:
    """SHA-256, in hex, over the relative paths and the contents of all files below a folder, or of one file.

    Args:
        root: The folder or file.
        progress: Called with the files read and the files to read.

    Raises:
        DataError: Nothing is there, or it cannot be read.
    """
    files = _files(root)
    remembered = cache_place("contents", _hash([str(root.resolve()), *files]))
    with making(remembered) as folder:
        if folder is not None:
            (folder / "content").write_text(_read(root, [name for name, *_ in files], progress))
    return (remembered / "content").read_text()


def listing_of(root: Path) -> str:
    """SHA-256, in hex, over the relative paths and the sizes of all files below a folder too large to read."""
    return _hash([(name, size) for name, size, _ in _files(root)])


def _read(root: Path, names: list[str], progress: Progress) -> str:
    content = hashlib.sha256()
    for number, name in enumerate(names, 1):
        try:
            digest = hashlib.sha256((root / name).read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{root / name}: cannot be read: {error.strerror}") from error
        content.update(f"{name}\n{digest}\n".encode())
        progress(number, len(names))
    return content.hexdigest()


def _files(root: Path) -> list[tuple[str, int, int]]:
    """Relative path (empty for a file itself), size and time of change of every file, sorted."""
    if root.is_file():
        status = root.stat()
        return [("", status.st_size, status.st_mtime_ns)]
    if not root.is_dir():
        raise DataError(f"{root}: no such file or folder")
    found = []
    for folder, _, names in os.walk(root, followlinks=True):
        below = "" if folder == str(root) else f"{os.path.relpath(folder, root)}/"
        for name in names:
            status = Path(folder, name).stat()
            found.append((below + name, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _hash(values: list) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
