"""Locks on a file or one byte of it, which end with the process or the machine that holds them."""

import fcntl
from typing import BinaryIO

from permask.errors import StoreError

ALONE, TOGETHER = fcntl.LOCK_EX, fcntl.LOCK_SH


def lock(file: BinaryIO, how: int, *, byte: int | None = None, wait: bool = False) -> bool:
    """Lock a file until it is closed; of one process, closing it anywhere ends all of its locks on it.

    Args:
        file: The file, open for writing to lock it alone.
        how: `ALONE` or `TOGETHER` with others who lock it so.
        byte: Offset of the byte to lock; the whole file unless given.
        wait: Whether to wait for who holds it.

    Returns:
        Whether it is locked now.

    Raises:
        StoreError: The file system has no locks.
    """
    length, start = (0, 0) if byte is None else (1, byte)
    try:
        fcntl.lockf(file, how if wait else how | fcntl.LOCK_NB, length, start)
    except (BlockingIOError, PermissionError):  # what POSIX lets a system say of a lock that another holds
        return False
    except OSError as error:
        raise StoreError(f"{file.name}: cannot be locked: {error.strerror}") from error
    return True
