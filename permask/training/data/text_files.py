"""The files of a text: one file, those of a folder, or Python's own library, which every machine has."""

import hashlib
import os
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from permask.errors import DataError

LIBRARY = "*.py"  # of Python's own library, without
NOT_LIBRARY = ("site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__")


@dataclass(frozen=True)
class TextFiles:
    """The files of a text, in the order in which they follow each other.

    Attributes:
        contents: Relative path to content, sorted by the parts of the path.
    """

    contents: Mapping[str, bytes]

    @classmethod
    def read(cls, root: str = "", pattern: str = "*") -> "TextFiles":
        """Read a file, the files of a folder whose names fit a shell pattern, or Python's own library.

        Args:
            root: File or folder; Python's library where it is empty.
            pattern: Of the names of the files in a folder. Names that begin with a dot are left out.

        Raises:
            DataError: Nothing is there, or it cannot be read.
        """
        place = Path(root or sysconfig.get_paths()["stdlib"])
        if not root:
            pattern = LIBRARY
        try:
            paths = [place] if place.is_file() else sorted(_below(place, pattern, () if root else NOT_LIBRARY))
            contents = {path.relative_to(place).as_posix(): path.read_bytes() for path in paths}
        except OSError as error:
            raise DataError(f"{error.filename or place}: cannot be read: {error.strerror}") from error
        if not contents:
            what = f"no file named {pattern} in it" if place.is_dir() else "no such file or folder"
            raise DataError(
                f"{place}: {what}; expected a file of text or a folder of such files, or no data.root at all"
            )
        return cls(contents)

    @property
    def content(self) -> str:
        """SHA-256, in hex, over the list of files and what is in each."""
        listed = hashlib.sha256()
        for name, content in self.contents.items():
            listed.update(f"{name}\n{hashlib.sha256(content).hexdigest()}\n".encode())
        return listed.hexdigest()


def _below(folder: Path, pattern: str, left_out: tuple[str, ...]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in left_out]
        yield from (Path(place, name) for name in names if fnmatchcase(name, pattern) and not name.startswith("."))
