"""The folder where permask keeps what it makes of data sets, and who may make something there."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from permask.errors import DataError


def cache_place(kind: str, name: str) -> Path:
    """Where something is kept: in `$PERMASK_CACHE`, or in permask's folder among the user's caches.

    Raises:
        DataError: The folder cannot be created.
    """
    chosen = os.environ.get("PERMASK_CACHE")
    root = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "permask"
    try:
        (root / kind).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{root / kind}: cannot be created: {error.strerror}; choose another place with PERMASK_CACHE"
        ) from error
    return root / kind / name


@contextmanager
def making(place: Path) -> Iterator[Path | None]:
    """Yield an empty folder that moves to its place whole when the block ends well; None if the place is taken.

    One process at a time makes a place; others wait, and find it made.

    Raises:
        DataError: The cache cannot be written to.
    """
    if place.exists():
        yield None
        return
    try:
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if place.exists():
                yield None
                return
            temporary = place.parent / f"unfinished-{secrets.token_hex(4)}"
            temporary.mkdir()  # for whom the umask lets read it, which tempfile's folders are not
            try:
                yield temporary
                temporary.rename(place)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{place.parent}: cannot be written to: {error.strerror}; choose another place with PERMASK_CACHE"
        ) from error
