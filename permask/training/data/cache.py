"""Who may make something in the folder where permask keeps what it makes of data sets."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from permask.errors import DataError
from permask.locks import locked


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
        with locked(place.with_suffix(".lock"), wait=True):
            if place.exists():
                yield None
                return
            temporary = place.parent / f"unfinished-{secrets.token_hex(4)}"
            temporary.mkdir()  # with the permissions that the umask allows; tempfile's folders have fewer
            try:
                yield temporary
                temporary.rename(place)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{place.parent}: cannot be written to: {error.strerror}; choose another place with PERMASK_CACHE"
        ) from error
