"""Locks on files, which end with the process or the machine that holds them, and read no clock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock on a file among all processes, and between two places of one process; yields whether it is held.

    Args:
        path: The file; it is created.
        wait: Whether to wait for who holds it.

    Raises:
        OSError: The file cannot be opened, or the file system has no locks.
    """
    with path.open("ab") as file:
        held = lock_descriptor(file.fileno(), blocking=wait)
        try:
            yield held
        finally:
            if held:
                unlock_descriptor(file.fileno())  # also for a forked process that has the file open


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock on a file; asking needs no right to write, and creates nothing.

    Raises:
        OSError: The file cannot be opened, or the file system has no locks.
    """
    if not path.exists():
        return False
    with path.open("ab" if os.access(path, os.W_OK) else "rb") as file:  # NFS locks only what may be written
        free = lock_descriptor(file.fileno(), blocking=False)
        if free:
            unlock_descriptor(file.fileno())
        return not free
