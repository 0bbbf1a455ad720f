"""Results of steps on disk, each under the key of what determines it: whole and unaltered, or not there.

A result is written into a folder of its own under a temporary name and moved into place in one rename. Its manifest
holds the checksum of every file, so a truncated or altered result is told apart from a good one.

Who may compute a key is settled by a lock of the file system, which ends with the process or the machine that holds
it. No clock is read, so none has to be right.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from permask.errors import StoreError
from permask.files import UnreadableError, read_bytes, read_json, read_text
from permask.locks import is_locked, locked
from permask.study.disk import bytes_below, checksum_on_disk, read_checked, remove, sync_folder, write_whole
from permask.study.manifest import MANIFEST, Manifest, as_text, read_manifest, seal_of
from permask.study.step import IDENTITY, key_of

VERSION = 1  # of how results lie in the store; a store that does not say is of version 1
ABOUT = "store.json"  # the file that says it
LOCK = "lock"  # the file that who removes results locks, and a run while it begins
LOCKS = "locks"  # the folder of the files that runs and claims lock
RUN = "run-"  # what begins the names of those of runs
LOCKED = 16  # hex digits of a key that name the file of its claim, and begin the name of what is unfinished

# what a system says when a file system takes no more
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Store:
    """A folder of results that any number of processes share.

    Args:
        root: The folder; it is created.
        existing: Whether to expect a store there, only to read it, and to create nothing.

    Raises:
        StoreError: The folder cannot be created or written, holds other things than a store, or a store of a later
            version.
    """

    def __init__(self, root: Path, existing: bool = False):
        self.root = root
        if existing:
            if not self._is_there():
                raise StoreError(f"{root}: expected a store that permask has written")
            self._check_version()
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in root.iterdir()}
            if names and not self._is_there():
                raise StoreError(f"{root}: expected a store or an empty folder; choose another with --store")
            self._check_version()
            (root / LOCK).touch()
            (root / LOCKS).mkdir(exist_ok=True)
            self._temporary.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self._temporary):
                pass
            if ABOUT not in names:
                write_whole(root / ABOUT, json.dumps({"format": "permask-store", "version": VERSION}) + "\n")
        except OSError as error:
            raise StoreError(
                f"{root}: cannot write to the store: {error.strerror}; choose another with --store"
            ) from error

    def _is_there(self) -> bool:
        try:
            return (self.root / LOCK).is_file()
        except OSError:
            return False

    def _check_version(self) -> None:
        path = self.root / ABOUT
        if not path.is_symlink() and not path.exists():
            return
        try:
            version = read_json(path)["version"]
        except (UnreadableError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}: expected the version of the store; where it is {VERSION}, remove the file"
            ) from error
        if version != VERSION:
            raise StoreError(
                f"{path}: a store of version {version}, this permask reads version {VERSION}: use the permask that "
                "wrote it, or choose another store with --store"
            )

    @property
    def _temporary(self) -> Path:
        return self.root / "unfinished"

    def results(self) -> list[str]:
        """The keys of all results, whole or damaged."""
        return sorted(folder.name for folder in self.root.glob("??/*") if is_key(folder.name))

    def unfinished(self) -> dict[Path, str]:
        """Folders of results that are being written, or were when a process died, and the start of their keys."""
        return {folder: folder.name[:LOCKED] for folder in sorted(self._temporary.glob(f"{'[0-9a-f]' * LOCKED}-*"))}

    def folder(self, key: str) -> Path:
        """Where the result of a key lies once it is complete."""
        return self.root / key[:2] / key

    def checkpoints(self, key: str) -> Path:
        """Where a step under way keeps how far it is."""
        return self.root / "checkpoints" / key

    def has(self, key: str) -> bool:
        """Whether the result of a key is complete."""
        return (self.folder(key) / MANIFEST).exists()

    def manifest(self, key: str) -> Manifest:
        """The manifest of a complete result, its seal not looked at.

        Raises:
            StoreError: It is none.
        """
        return read_manifest(self.folder(key) / MANIFEST)

    def damage(self, key: str) -> str | None:
        """What is wrong with a result that is there, naming the file; None if it is as it was written."""
        path = self.folder(key) / MANIFEST
        try:
            manifest = self.sealed_manifest(key)
            if read_bytes(path) != as_text(manifest).encode():
                return f"{path} is truncated or altered"
            for name, checksum in manifest["files"].items():
                read_checked(path.with_name(name), checksum)
        except (StoreError, UnreadableError) as error:
            return str(error)
        return None

    def sealed_manifest(self, key: str) -> Manifest:
        """The manifest of a complete result, seen to be as it was written, and to be that of this key.

        Raises:
            StoreError: What is wrong with it.
        """
        path = self.folder(key) / MANIFEST
        manifest = read_manifest(path)
        if manifest["seal"] != seal_of(manifest) or not manifest.keys() >= {*IDENTITY}:
            raise StoreError(f"{path} is truncated or altered")
        belongs = key_of(manifest)
        if belongs != key:
            raise StoreError(f"{path} belongs to the result {belongs[:LOCKED]}, whose folder this is not")
        return manifest

    def read(self, key: str, name: str) -> bytes:
        """A file of a complete result, seen to be as it was written.

        Raises:
            StoreError: What is wrong with it, or with the manifest.
        """
        return read_checked(self.folder(key) / name, self.sealed_manifest(key)["files"].get(name))

    def note(self, folder: str, text: str) -> None:
        """Keep a text beside the results, once however often it is noted."""
        name = hashlib.sha256(text.encode()).hexdigest()[:LOCKED]
        path = self.root / folder / f"{name}.json"
        if not path.exists():
            with self._refusals_told():
                path.parent.mkdir(exist_ok=True)
                write_whole(path, text)

    def notes(self, folder: str) -> list[str]:
        """The texts that were kept so; what cannot be read is passed over."""
        found = []
        for path in sorted((self.root / folder).glob("*.json")):
            with suppress(UnreadableError):
                found.append(read_text(path))
        return found

    def size(self, key: str) -> int:
        """The bytes that a result takes."""
        return bytes_below(self.folder(key))

    def discard(self, key: str) -> None:
        """Remove a result, so that it is computed again; only who holds the claim may."""
        with self._refusals_told():
            graveyard = self._new_folder(key)
            self.folder(key).rename(graveyard / key)
        remove(graveyard)

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold the only right to compute a key, among all processes; yields whether this one has it.

        The right ends with the process, however it ends. On a shared file system the file server keeps it, and drops
        it when it no longer hears from the machine.

        Args:
            key: The key, or the 16 digits that it begins with.

        Raises:
            StoreError: The file system has no locks, or takes no more.
        """
        with self._locked(self._claim_file(key)) as mine:
            yield mine

    def is_claimed(self, key: str) -> bool:
        """Whether some process holds the right to compute a key.

        Raises:
            StoreError: The file system has no locks.
        """
        with self._lock_troubles_told(self._claim_file(key)):
            return is_locked(self._claim_file(key))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep every result from being removed, as a run does to its end; waits while another process removes some.

        Any number of processes may. The right ends with the process, as a claim does.

        Raises:
            StoreError: The file system has no locks, or takes no more.
        """
        run = self.root / LOCKS / f"{RUN}{secrets.token_hex(8)}"
        with ExitStack() as held:
            with self._locked(self.root / LOCK, wait=True):
                held.enter_context(self._locked(run))
            try:
                yield
            finally:
                with suppress(OSError):
                    run.unlink()  # Windows refuses what is open; who removes results finds it

    @contextmanager
    def to_oneself(self) -> Iterator[None]:
        """Hold the right to remove results: no run is under way, and none begins.

        Raises:
            StoreError: A run is under way, or the file system has no locks.
        """
        with self._locked(self.root / LOCK) as alone:
            if not alone or any(not self._remove_lock(run) for run in sorted((self.root / LOCKS).glob(f"{RUN}*"))):
                raise StoreError(
                    f"{self.root}: expected no run under way on this store, which may need what would be removed; "
                    "nothing was removed: wait for the run to end"
                )
            yield
            for claim in (self.root / LOCKS).iterdir():
                self._remove_lock(claim)

    @contextmanager
    def writing(self, key: str, manifest: Manifest) -> Iterator[Path]:
        """Yield an empty folder to write a result into, and complete the result when the block ends well.

        Args:
            key: The step's key.
            manifest: What to record beside the checksums; entries added inside the block count.
        """
        with self._refusals_told():
            folder = self._new_folder(key)
            try:
                yield folder
                checksums = {path.name: checksum_on_disk(path) for path in sorted(folder.iterdir())}
                whole = {**manifest, "files": checksums}
                (folder / MANIFEST).write_bytes(as_text({**whole, "seal": seal_of(whole)}).encode())
                checksum_on_disk(folder / MANIFEST)
                self.folder(key).parent.mkdir(exist_ok=True)
                self._move_into_place(folder, key)
                sync_folder(self.folder(key).parent)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def tidy(self, key: str) -> None:
        """Remove what a killed process left of a step, unless another one is at it."""
        with self.claim(key) as mine:
            if mine:
                self.sweep(key)

    def sweep(self, key: str) -> None:
        """Remove what a killed process left of a step; only who holds the claim may.

        Args:
            key: The key, or the 16 digits that it begins with.
        """
        for leftover in self._temporary.glob(f"{key[:LOCKED]}-*"):
            remove(leftover)

    def _claim_file(self, key: str) -> Path:
        return self.root / LOCKS / key[:LOCKED]

    @contextmanager
    def _locked(self, path: Path, *, wait: bool = False) -> Iterator[bool]:
        with self._refusals_told(), ExitStack() as held:
            with self._lock_troubles_told(path):
                path.parent.mkdir(exist_ok=True)  # a store of an earlier permask has none
                mine = held.enter_context(locked(path, wait=wait))
            yield mine

    @contextmanager
    def _lock_troubles_told(self, path: Path) -> Iterator[None]:
        """Say which file cannot be locked, for another reason than a full or read-only disk."""
        try:
            if path.exists() and not path.is_file():
                raise StoreError(f"{path}: cannot be locked: expected a file")
            yield
        except OSError as error:
            if error.errno in REFUSALS:
                raise
            raise StoreError(
                f"{path}: cannot be locked: {error.strerror}; where the file system has no locks, choose another with "
                "--store"
            ) from error

    def _remove_lock(self, path: Path) -> bool:
        """Remove the file of a lock unless it is held; whether it was free."""
        with self._locked(path) as free:
            if free:
                with suppress(OSError):
                    path.unlink()  # Windows refuses what is open
        return free

    def _move_into_place(self, folder: Path, key: str) -> None:
        try:
            folder.rename(self.folder(key))
        except OSError as error:
            # a file system that keeps locks to one machine lets two of them compute a key: the first result stays
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not self.has(key):
                raise

    def _new_folder(self, key: str) -> Path:
        folder = self._temporary / f"{key[:LOCKED]}-{secrets.token_hex(4)}"
        folder.mkdir()  # with the permissions that the umask allows; tempfile's folders have fewer
        return folder

    @contextmanager
    def _refusals_told(self) -> Iterator[None]:
        """Turn what a full, read-only or broken disk says into one clear error."""
        try:
            yield
        except Exception as error:
            found = _ERRNO.search(str(error))  # of an OSError, also in the log of a process under torchrun
            number = int(found[1]) if found else None
            if number not in REFUSALS:
                raise
            raise StoreError(
                f"{self.root}: cannot write to the store: {os.strerror(number)}; what is complete is kept: make room "
                "or choose another with --store, and run again"
            ) from error


_KEY = re.compile("[0-9a-f]{64}")
_ERRNO = re.compile(r"\[Errno (\d+)\]")


def is_key(name: str) -> bool:
    """Whether a name is the key of a step."""
    return _KEY.fullmatch(name) is not None
