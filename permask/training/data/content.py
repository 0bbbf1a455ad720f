"""What a data set is, wherever it lies: a hash of its files, remembered for as long as they are not touched."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from permask.cache import cache_place
from permask.errors import DataError
from permask.training.data.cache import making

Progress = Callable[[int, int], None]


def unseen(done: int, total: int) -> None:
    """Progress that nobody looks at."""


def itself(root: Path, progress: Progress = unseen) -> Path:
    """A root that is the folder or file that is meant."""
    return root


def content_of(root: Path, progress: Progress = unseen, find: Callable[[Path, Progress], Path] = itself) -> str:
    """SHA-256, in hex, over the relative paths and the contents of all files below a folder, or of one file.

    Args:
        root: The folder or file, whose names, sizes and times say whether the content is known already.
        progress: Called with how much is done and how much there is to do, while the folder is found and its files are
            read.
        find: Root to the folder that is meant, such as where an archive is unpacked.

    Raises:
        DataError: Nothing is there, or it cannot be read.
    """
    files = _files(root)
    remembered = cache_place("contents", _hash([find.__name__, str(root.resolve()), *files]))
    with making(remembered) as folder:
        if folder is not None:
            (folder / "content").write_text(_read(find(root, progress), progress), encoding="utf-8")
    return (remembered / "content").read_text(encoding="utf-8")


def listing_of(root: Path) -> str:
    """SHA-256, in hex, over the relative paths and the sizes of all files below a folder too large to read."""
    return _hash([(name, size) for name, size, _ in _files(root)])


def _read(root: Path, progress: Progress) -> str:
    content = hashlib.sha256()
    names = [name for name, *_ in _files(root)]
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
        raise DataError(
            f"{root}: no such file or folder; expected a folder or an archive of images, with train/CLASS/IMAGE and "
            "test/CLASS/IMAGE; name it by data.root=PATH"
        )
    found = []
    below = [("", root)]
    try:
        while below:
            prefix, folder = below.pop()
            if folder.is_symlink() and folder.resolve() in folder.absolute().parents:
                raise DataError(f"{folder}: expected folders that end, this link comes back to where it is")
            for entry in os.scandir(folder):
                if entry.is_dir():
                    below.append((f"{prefix}{entry.name}/", Path(entry)))
                else:
                    status = entry.stat()
                    found.append((prefix + entry.name, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be read: {error.strerror}") from error
    return sorted(found)


def _hash(values: list) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
