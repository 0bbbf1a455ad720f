"""Results of steps on disk, each under the key of what determines it: whole and unaltered, or not there.

A result is written into a folder of its own under a temporary name and moved into place in one rename. Its manifest
holds the checksum of every file, so a truncated or altered result is told apart from a good one.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from permask.errors import StoreError

MANIFEST = "manifest.json"


class Store:
    """A folder of results that any number of processes share.

    Args:
        root: The folder; it is created.
        existing: Whether to expect a store there, only to read it, and to create nothing.

    Raises:
        StoreError: The folder cannot be created or written, or holds other things than a store.
    """

    def __init__(self, root: Path, existing: bool = False):
        self.root = root
        if existing:
            if not self._lock_file.exists():
                raise StoreError(f"{root}: expected a store that permask has written")
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not self._lock_file.exists() and any(root.iterdir()):
                raise StoreError(f"{root}: expected a store or an empty folder; choose another with --store")
            self._lock_file.touch()
            self._temporary.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self._temporary):
                pass
        except OSError as error:
            raise StoreError(
                f"{root}: cannot write to the store: {error.strerror}; choose another with --store"
            ) from error

    @property
    def _temporary(self) -> Path:
        return self.root / "unfinished"

    @property
    def _lock_file(self) -> Path:
        return self.root / "lock"

    def folder(self, key: str) -> Path:
        """Where the result of a key lies once it is complete."""
        return self.root / key[:2] / key

    def has(self, key: str) -> bool:
        """Whether the result of a key is complete."""
        return (self.folder(key) / MANIFEST).exists()

    def manifest(self, key: str) -> dict[str, Any]:
        """The manifest of a complete result: kind, specification, parents, checksums, provenance."""
        return json.loads((self.folder(key) / MANIFEST).read_text())

    def damage(self, key: str) -> str | None:
        """What is wrong with a result that is there, naming the file; None if it is as it was written."""
        folder = self.folder(key)
        try:
            text = (folder / MANIFEST).read_text()
            manifest = json.loads(text)
            seal = manifest.pop("seal")
            if seal != _seal(manifest) or text != _as_text(manifest | {"seal": seal}):
                raise ValueError
        except (OSError, ValueError, KeyError, AttributeError):
            return f"{folder / MANIFEST} is truncated or altered"
        for name, checksum in manifest["files"].items():
            try:
                content = (folder / name).read_bytes()
            except OSError as error:
                return f"{folder / name} cannot be read: {error.strerror}"
            if hashlib.sha256(content).hexdigest() != checksum:
                return f"{folder / name} is truncated or altered"
        return None

    def discard(self, key: str) -> None:
        """Remove a result, so that it is computed again; only who holds the claim may."""
        graveyard = Path(tempfile.mkdtemp(prefix=f"{key[:12]}-", dir=self._temporary))
        self.folder(key).rename(graveyard / key)
        shutil.rmtree(graveyard)

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold the only right to compute a key, among all processes; yields whether this one has it.

        The right ends with the process, however it ends: it is a lock on the one byte of the lock file whose offset
        is the key's first 62 bits.
        """
        with self._lock_file.open("r+b") as file:
            offset = int(key[:16], 16) >> 2
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
            except (BlockingIOError, PermissionError):  # what POSIX lets a system say of a lock that another holds
                yield False
            except OSError as error:
                raise StoreError(f"{self._lock_file}: cannot be locked: {error.strerror}") from error
            else:
                yield True  # closing the file releases the lock

    @contextmanager
    def writing(self, key: str, manifest: dict[str, Any]) -> Iterator[Path]:
        """Yield an empty folder to write a result into, and complete the result when the block ends well.

        Args:
            key: The step's key.
            manifest: What to record beside the checksums; entries added inside the block count.
        """
        folder = Path(tempfile.mkdtemp(prefix=f"{key[:12]}-", dir=self._temporary))
        try:
            yield folder
            manifest["files"] = {path.name: _checksum_on_disk(path) for path in sorted(folder.iterdir())}
            manifest["seal"] = _seal(manifest)
            (folder / MANIFEST).write_text(_as_text(manifest))
            _checksum_on_disk(folder / MANIFEST)
            self.folder(key).parent.mkdir(exist_ok=True)
            folder.rename(self.folder(key))
            _sync_folder(self.folder(key).parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, key: str) -> None:
        """Remove what a killed process left of a step; only who holds the claim may."""
        for leftover in self._temporary.glob(f"{key[:12]}-*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _as_text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1, sort_keys=True) + "\n"


def _seal(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _checksum_on_disk(path: Path) -> str:
    """Bring a file's content to the disk; its SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
