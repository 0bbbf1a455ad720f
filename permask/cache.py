"""The folder where permask keeps what it would otherwise have to make again."""

import os
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
