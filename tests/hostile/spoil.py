"""Ways to spoil a file: what may stand in its place, what may be in it, what may be altered. Each takes its path."""

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

Spoil = Callable[[Path], object]  # of a file, or of the folder that a row begins with
DEEP = 100_000


def at(name: str, spoil: Spoil) -> Spoil:
    """What spoils one file in a folder."""
    return lambda folder: spoil(folder / name)


def holding(content: str | bytes) -> Spoil:
    """Other content."""
    made = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(made)


def instead(make: Spoil) -> Spoil:
    """Something else in its place."""

    def spoil(path: Path) -> None:
        path.unlink(missing_ok=True)
        make(path)

    return spoil


def replacing(old: str, new: str) -> Spoil:
    """Other words in it."""

    def spoil(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return spoil


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_its_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def other_json(content: object) -> Spoil:
    return holding(json.dumps(content))


def altered_json(content: dict) -> Spoil:
    """Other values in a JSON object."""
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | content))


def sealed_json(content: dict, inside: tuple = ()) -> Spoil:
    """Other values in an object inside of a JSON object, and the checksum that fits."""

    def spoil(path: Path) -> None:
        from permask.seal import CHECKSUM, sealed

        whole = json.loads(path.read_text(encoding="utf-8"))
        part = whole
        for key in inside:
            part = part[key]
        part.update(content)
        path.write_text(
            json.dumps(sealed({name: value for name, value in whole.items() if name != CHECKSUM})), encoding="utf-8"
        )

    return spoil


def header(text: bytes, length: int | None = None, body: bytes = b"") -> Spoil:
    """A safetensors file with any header, which may claim to be of another length."""
    return holding(struct.pack("<Q", len(text) if length is None else length) + text + body)


def tensors(content: dict) -> Spoil:
    """A safetensors file of other tensors."""

    def spoil(path: Path) -> None:
        from safetensors.torch import save_file

        save_file({name: x.contiguous() for name, x in content.items()}, path)

    return spoil


def saved(content: object) -> Spoil:
    """What `torch.save` writes of anything."""

    def spoil(path: Path) -> None:
        import torch

        torch.save(content, path)

    return spoil


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the whole path may be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


# what is no file that can be read, and what is said of it
_DEVICE = "expected a file, this is a device, a pipe or a socket"
NO_FILES: dict[str, tuple[Spoil, str]] = {
    "nothing": (Path.unlink, "[Nn]o such file"),
    "a folder": (instead(Path.mkdir), "expected a file, this is a folder"),
    "a pipe": (instead(os.mkfifo), _DEVICE),
    "a socket": (instead(_socket), _DEVICE),
    "a device": (instead(lambda path: path.symlink_to("/dev/zero")), _DEVICE),
    "a link to nothing": (instead(lambda path: path.symlink_to("nowhere")), "[Nn]o such file"),
    "a link to itself": (instead(lambda path: path.symlink_to(path.name)), "[Tt]oo many levels of symbolic links"),
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
