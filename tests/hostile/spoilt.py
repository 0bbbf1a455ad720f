"""What may stand where a file of a study, of results or of a store is expected."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

STUDY = """\
name: tiny
data: {name: digits, train: 64}
network: {name: mlp, widths: [4]}
pairs: 1
epochs: 2
batch_size: 32
dense: {learning_rate: 0.1}
prune: {epochs: 1, rate: 0.5}
sparse: {learning_rate: 0.1}
sparsities: [0.5]
methods: [lth, naive]
connect: null
execution: {device: cpu}
"""

Prepare = Callable[[Path], object]
DEEP = 100_000


def put(name: str, content: str | bytes) -> Prepare:
    """Other content in a file."""
    made = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(made)


def change(name: str, old: str, new: str) -> Prepare:
    """Other words in a file."""

    def prepare(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return prepare


def truncate(name: str) -> Prepare:
    """Half of a file."""
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    )


def instead(path: Path, make: Callable[[Path], object]) -> None:
    """Something else in the place of a file."""
    path.unlink(missing_ok=True)
    make(path)


def replaced(name: str, make: Callable[[Path], object]) -> Prepare:
    """Something else in the place of a file."""
    return lambda folder: instead(folder / name, make)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the whole path may be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


# what is no file that can be read
NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "[Nn]o such file"),
    "a folder": (lambda path: path.mkdir(), "expected a file, this is a folder"),
    "a pipe": (os.mkfifo, "expected a file, this is a device, a pipe or a socket"),
    "a socket": (_socket, "expected a file, this is a device, a pipe or a socket"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "expected a file, this is a device, a pipe or a socket"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "[Nn]o such file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "[Tt]oo many levels of symbolic links"),
}
# content that is no text
NO_TEXT: dict[str, bytes] = {
    "latin-1": "é = ü".encode("latin-1"),
    "UTF-16": "name: tiny".encode("utf-16"),
    "bytes": bytes(range(256)),
}
# content that is no JSON
NO_JSON: dict[str, bytes] = NO_TEXT | {
    "empty": b"",
    "deep": b"[" * DEEP,
    "deep and whole": b"[" * DEEP + b"]" * DEEP,
    "a number of many digits": b"9" * DEEP,
    "two values": b"{} {}",
    "NUL": b"\0" * 100,
}
# JSON of other content
OTHER_JSON: dict[str, bytes] = {
    "null": b"null",
    "a number": b"1",
    "a text": b'"text"',
    "a list": b"[]",
    "an empty object": b"{}",
    "an object of other things": b'{"a": [1, 2], "b": null}',
    "NaN": b"NaN",
}
