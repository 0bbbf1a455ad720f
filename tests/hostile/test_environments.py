"""Environments that are odd: caches that are spoilt or no folders, terminals of no size, homes that are not there."""

import os
import shutil
from pathlib import Path

import pytest

from hostile.forked import call
from hostile.row import Row, check, sampled
from hostile.spoil import NO_FILES, NO_JSON, OTHER_JSON, Spoil, holding, truncated

INSPECT = "inspect net.py:mlp --input 6"
# what commands of every kind read and print
COMMANDS = (INSPECT, "mask show mask.safetensors", "ensemble net.py:mlp a.safetensors b.safetensors --data data.npz")
NO_CACHE = "choose another place with PERMASK_CACHE|mlp on float32"


def cached(spoil: Spoil) -> Spoil:
    """The network is in the cache already, where every file is spoilt."""

    def prepare(folder: Path) -> None:
        cache = folder.parent / "cache"
        call(INSPECT.split(), folder, os.environ | {"PERMASK_CACHE": str(cache)})
        shutil.rmtree(folder.parent / "said")
        files = [path for path in cache.rglob("*") if path.is_file()]
        assert files
        for path in files:
            spoil(path)

    return prepare


ROWS = {
    f"a cache of what is {name}": Row(INSPECT, "mlp on float32", cached(holding(content)), code=0)
    for name, content in (NO_JSON | OTHER_JSON).items()
}
ROWS |= {
    f"a cache of {name}": Row(INSPECT, "mlp on float32", cached(spoil), code=0)
    for name, (spoil, _) in (NO_FILES | {"what is cut off": (truncated, "")}).items()
}
ROWS |= {
    f"PERMASK_CACHE={place[:20]!r}": Row(INSPECT, "mlp on float32", code=0, environment=(("PERMASK_CACHE", place),))
    for place in ("/dev/null", "/proc/nothing", "net.py", "net.py/a", "a" * 300)
}
ROWS |= {
    f"{name}={value}: {command.split()[0]}": Row(
        command, "float32|kept|accuracy", code=0, environment=((name, value),), writes=("__pycache__",)
    )
    for name, value in (
        ("COLUMNS", "0"),
        ("COLUMNS", "-5"),
        ("COLUMNS", "many"),
        ("COLUMNS", "99999"),
        ("LINES", "-1"),
        ("TERM", "\\x1b[31m"),
        ("LANG", "xx_XX.nothing"),
        ("HOME", "/nowhere"),
        ("TMPDIR", "/nowhere"),
        ("OMP_NUM_THREADS", "many"),
        ("PERMASK_DEBUG", "1"),
        ("PYTHONWARNINGS", "error"),
    )
    for command in COMMANDS
}


@pytest.mark.parametrize("row", sampled(ROWS, 3))
def test_a_row(row: Row, with_values, tmp_path) -> None:
    check(row, with_values, tmp_path)
