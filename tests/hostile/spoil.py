"""Ways to spoil a file: each takes its path, and leaves something else there."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

Spoil = Callable[[Path], object]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_its_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def latin(path: Path) -> None:
    path.write_bytes("Gewichte für später".encode("latin-1"))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def circular_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def nested(path: Path) -> None:
    path.write_text("[" * 200_000 + "]" * 200_000, encoding="utf-8")


def other_json(content: object) -> Spoil:
    return lambda path: path.write_text(json.dumps(content))


def header(text: bytes, length: int | None = None, body: bytes = b"") -> Spoil:
    """A safetensors file with any header, which may claim to be of another length."""
    return lambda path: path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)


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


def at(name: str, spoil: Spoil) -> Callable[[Path], object]:
    """What spoils one file in a folder."""
    return lambda around: spoil(around / name)


# whatever kind of file is expected
ANY: dict[str, Spoil] = {
    "empty": empty,
    "truncated": truncated,
    "latin-1": latin,
    "a pipe": pipe,
    "an endless device": endless_device,
    "a dangling link": dangling_link,
    "a circular link": circular_link,
    "deep JSON": nested,
}
