"""Looking after a store: what it holds, what is damaged, what can go, and copies of it."""

import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from permask.errors import StoreError
from permask.study.disk import bytes_below, remove
from permask.study.machines import Machines
from permask.study.manifest import MANIFEST, Manifest
from permask.study.store import LOCKED, Store, is_key


@dataclass(frozen=True)
class Entry:
    """One result of a store.

    Attributes:
        key: Its key.
        kind: What kind of step it is; None if its manifest cannot be read.
        size: Bytes.
        seconds: How long it took to compute.
    """

    key: str
    kind: str | None
    size: int
    seconds: float | None


@dataclass(frozen=True)
class Garbage:
    """What nobody needs.

    Attributes:
        leftovers: Folders of steps that were under way when their process died, and checkpoints that no step will read.
        unneeded: Keys of results that no study needs.
        size: Bytes of both.
    """

    leftovers: list[Path]
    unneeded: list[str]
    size: int


def list_results(store: Store) -> list[Entry]:
    """Every result of a store, by kind and key."""
    entries = []
    for key in store.results():
        try:
            manifest: Manifest = store.manifest(key)
        except StoreError:
            manifest = {}
        entries.append(Entry(key, manifest.get("kind"), store.size(key), manifest.get("seconds")))
    return sorted(entries, key=lambda entry: (entry.kind or "", entry.key))


def find_key(store: Store, start: str) -> str:
    """The one key of a store that begins so.

    Raises:
        StoreError: No key does, or several do.
    """
    found = [key for key in store.results() if key.startswith(start)]
    if len(found) != 1:
        some = "no result" if not found else f"{len(found)} results"
        raise StoreError(f"{start}: {some} in {store.root} with a key that begins so; see permask store ls")
    return found[0]


def verify(store: Store, keys: Iterable[str], tell: Callable[[], object] = lambda: None) -> dict[str, str]:
    """Compare results with their checksums.

    Args:
        store: The store.
        keys: Of results that are there.
        tell: Called after every result.

    Returns:
        Key to what is wrong with it, for the damaged ones.
    """
    damaged = {}
    for key in keys:
        if damage := store.damage(key):
            damaged[key] = damage
        tell()
    return damaged


def find_garbage(store: Store, needed: Collection[str] | None = None) -> Garbage:
    """What can be removed.

    Args:
        store: The store.
        needed: Keys to keep; None keeps every result.
    """
    leftovers = [folder for folder, start in store.unfinished().items() if not store.is_claimed(start)]
    leftovers += [
        folder
        for folder in sorted((store.root / "checkpoints").glob("*"))
        if is_key(folder.name) and (store.has(folder.name) or (needed is not None and folder.name not in needed))
    ]
    unneeded = [] if needed is None else [key for key in store.results() if key not in needed]
    return Garbage(leftovers, unneeded, sum(map(bytes_below, leftovers)) + sum(map(store.size, unneeded)))


def remove_garbage(store: Store, garbage: Garbage) -> None:
    """Remove what was found, but for what a process is at.

    Raises:
        StoreError: A run is under way, which may need it.
    """
    with store.to_oneself():
        for folder in garbage.leftovers:
            with store.claim(folder.name[:LOCKED]) as mine:
                if mine:
                    remove(folder)
        for key in garbage.unneeded:
            with store.claim(key) as mine:
                if mine:
                    store.discard(key)


def export(store: Store, keys: Iterable[str], target: Store, tell: Callable[[], object] = lambda: None) -> int:
    """Copy results to another store, checksums compared on both sides; what it has already stays.

    Args:
        store: Where the results are.
        keys: Which ones.
        target: Where they go.
        tell: Called after every result.

    Returns:
        How many were copied.

    Raises:
        StoreError: A result is damaged, or the other store cannot be written.
    """
    copied = 0
    for machines in Machines.recorded(store):
        machines.record(target)
    for key in keys:
        with target.claim(key) as mine:
            if mine and not target.has(key):
                _copy(store, key, target)
                copied += 1
        tell()
    return copied


def _copy(store: Store, key: str, target: Store) -> None:
    damage = store.damage(key)
    if damage:
        raise StoreError(f"{damage}; run the study again to compute it anew")
    manifest = store.sealed_manifest(key)
    unsealed = {name: value for name, value in manifest.items() if name not in ("files", "seal")}
    with target.writing(key, unsealed) as folder:
        for name in manifest["files"]:
            shutil.copyfile(store.folder(key) / name, folder / name)
    if target.manifest(key) != manifest:
        target.discard(key)
        raise StoreError(f"{store.folder(key) / MANIFEST}: the result changed while it was copied")
