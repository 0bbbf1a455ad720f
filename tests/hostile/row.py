"""A row of the table: a command, what is done to its files first, and what must come of it."""

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

import pytest

from hostile.forked import Ended, call


@dataclass(frozen=True)
class Row:
    """A command with hostile or clumsy input.

    Attributes:
        command: As in a shell, without `permask`, in a fresh copy of the fixtures.
        says: A pattern in the sentence that it ends with, or in its output where it is right to go on.
        prepare: Spoils the copy first.
        code: The exit code. With 2, nothing at all may have changed.
        writes: Files and folders that may be new or changed after it, by pattern.
        environment: Beside the one there is.
        file_size: Bytes that a file may have at most, as on a full disk.
        stdout: A device that its output goes to.
    """

    command: str
    says: str
    prepare: Callable[[Path], object] | None = None
    code: int = 2
    writes: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    file_size: int | None = None
    stdout: str = ""


def sampled(rows: dict[str, Row], plain: int) -> list:
    """All rows as parameters of a test, of which so many, spread over the table, are run in the plain tests."""
    chosen = {round(number * len(rows) / plain) for number in range(plain)}
    return [
        pytest.param(row, id=name, marks=() if number in chosen else (pytest.mark.slow,))
        for number, (name, row) in enumerate(rows.items())
    ]


def around(fixtures: Path, place: Path) -> tuple[Path, dict[str, str]]:
    """A fresh copy of the fixtures, and what a command's environment has to say for nothing to be changed elsewhere."""
    folder = place / "here"
    shutil.copytree(fixtures, folder, symlinks=True)
    for name in ("temporary", "cache", "home"):
        (place / name).mkdir()
    environment = {"TMPDIR": "temporary", "PERMASK_CACHE": "cache", "HOME": "home"}
    return folder, {name: str(place / path) for name, path in environment.items()} | {"COLUMNS": "200"}


def check(row: Row, fixtures: Path, place: Path) -> None:
    """Run a row on a fresh copy: no traceback, no hang, nothing left, nothing wrong."""
    folder, environment = around(fixtures, place)
    (place / "outside.txt").write_text("mine")
    if row.prepare is not None:
        row.prepare(folder)
    before = _everything(place)
    environment |= dict(row.environment)
    ended = call(shlex.split(row.command), folder, environment, file_size=row.file_size, stdout=row.stdout)
    _judge(row, ended)
    after = _everything(place)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    left = [name for name in changed if not any(Path(name).match(f"here/{pattern}") for pattern in row.writes)]
    assert not left, f"left behind: {left}"


def _judge(row: Row, ended: Ended) -> None:
    told = f"exit code {ended.code}\n{ended.out}\n{ended.err}"
    assert ended.code is not None, f"hung: {told}"
    assert "Traceback (most recent call last)" not in ended.out + ended.err, told
    assert "this is a defect of permask" not in ended.err, told
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", ended.out + ended.err), (
        f"control characters: {told!r}"
    )
    assert ended.code == row.code, told
    where = ended.err if row.code == 2 else ended.out + ended.err
    assert re.search(row.says, " ".join(re.sub("[│╭╮╰╯─]", " ", where).split())), f"expected {row.says}: {told}"
    if row.code == 2:
        assert len(re.findall(r"(?i)\berror\b(?=:| )", ended.err)) >= 1, told


def _everything(around: Path) -> dict[str, str]:
    """All that lies below a folder, but what was said and the caches of permask and torch, with what is in it."""
    found = {}
    for root, folders, files in os.walk(around):
        folders[:] = [name for name in folders if not name.startswith(("said", "cache", "torchinductor_"))]
        for path in (Path(root, name) for name in (*folders, *files)):
            found[str(path.relative_to(around))] = _content(path)
    return found


def _content(path: Path) -> str:
    mode = path.lstat().st_mode
    if S_ISLNK(mode):
        return f"link to {path.readlink()}"
    if S_ISREG(mode):
        return f"{mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return "folder" if S_ISDIR(mode) else f"{mode:o}"
