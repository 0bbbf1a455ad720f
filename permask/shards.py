"""Checkpoints in safetensors files, one or several with an index as Hugging Face writes them, one tensor at a time.

A tensor is read when it is asked for, from a map of its file into memory, and written before the next one is read. What
is written appears under its name when it is complete: a file at once, and a folder of shards with its index.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from permask.errors import PermaskError
from permask.files import UnreadableError, check_file, check_safetensors, check_writable, read_json

INDEX = ".safetensors.index.json"
# how the names of files of weights end, also in formats that are not read here
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")
Change = Callable[[str, Tensor], Tensor]  # gives a tensor of the same shape and type


@dataclass(frozen=True)
class _Entry:
    """Where a tensor is, and what it is."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int


class Shards(Mapping[str, Tensor]):
    """The tensors of a checkpoint, each read when it is asked for.

    Args:
        path: A safetensors file, an index (`model.safetensors.index.json`), or a folder that holds one of either.

    Raises:
        PermaskError: Something else, a file that is missing or damaged, an index that leads out of its folder.
    """

    def __init__(self, path: str | Path):
        self.in_folder = in_shards(Path(path))
        self.path = index_in(Path(path)) or _only_file_in(Path(path)) or Path(path)
        self.index: dict[str, Any] | None = None
        if self.path.name.endswith(INDEX):
            self.index = _read_index(self.path)
            files = [self.path.parent / name for name in dict.fromkeys(self.index["weight_map"].values())]
        else:
            files = [self.path]
        self._entries: dict[str, _Entry] = {}
        self._headers: dict[Path, bytes] = {}
        self._opened: tuple[Path, Any] | None = None  # the file that was read last, which takes long to open
        for file in files:
            try:
                check_file(file)
            except PermaskError as error:
                named = f", but {self.path.name} names it; copy all shards" if self.index else ""
                raise PermaskError(f"{error}{named}") from error
            self._read(file)
        for name, file in (self.index["weight_map"] if self.index else {}).items():
            if name not in self._entries or self._entries[name].file.name != file:
                raise PermaskError(f"{self.path}: names {name} in {file}, which does not hold it")

    def _read(self, file: Path) -> None:
        try:
            with safe_open(file, framework="pt"):
                self._headers[file], content = _header(file)
        except (OSError, SafetensorError) as error:
            raise PermaskError(f"{file}: expected a safetensors file: {error}") from error
        for name, told in content.items():
            self._entries[name] = _Entry(file, told["dtype"], tuple(told["shape"]), told["data_offsets"][0])

    def __getitem__(self, name: str) -> Tensor:
        file = self._entries[name].file
        if self._opened is None or self._opened[0] != file:
            self._opened = file, safe_open(file, framework="pt")
        return self._opened[1].get_tensor(name)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def files(self) -> list[Path]:
        """The files that hold them."""
        return list(self._headers)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors."""
        return {name: entry.shape for name, entry in self._entries.items()}

    @property
    def boolean(self) -> bool:
        """Whether all tensors are, as those of a mask."""
        return all(entry.dtype == "BOOL" for entry in self._entries.values())

    def check_out(self, out: Path) -> None:
        """Raise a `PermaskError` if `rewrite` cannot write there, before any work is done."""
        if not self.in_folder:
            check_writable(out)
            check_safetensors(out)
            return
        try:
            taken = out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir())))
        except (OSError, ValueError) as error:
            raise PermaskError(f"{out}: cannot write there: {error}") from error
        if not out.name:
            raise PermaskError(f"{out}: expected the name of a new folder for a checkpoint in shards, such as merged")
        if taken:
            raise PermaskError(f"{out}: expected a new or empty folder for a checkpoint in shards, there is something")
        if not out.parent.is_dir():
            raise PermaskError(f"{out}: cannot write there: {out.parent} is not a folder")

    def rewrite(self, out: Path, change: Change, companions: bool = False) -> None:
        """Write all tensors, changed, into files like those that they are from.

        Args:
            out: A file for a checkpoint in one file; for one in a folder, a folder, which may not hold anything yet.
            change: Is called once for every tensor.
            companions: Whether to copy what lies beside the tensors in a folder, such as the configuration and the
                tokenizer: all files but weights in other formats, README.md and hidden files.

        Raises:
            PermaskError: `out` is in the way, or cannot be written; nothing is left there then.
        """
        self.check_out(out)
        partial = out.with_name(f".{out.name}.partial")
        _remove(partial)  # of a run that was killed
        try:
            if not self.in_folder:
                self._write(self.path, partial, change)
            else:
                partial.mkdir()
                for file in self._headers:
                    self._write(file, partial / file.name, change)
                if self.index is not None:
                    (partial / self.path.name).write_text(json.dumps(self.index, indent=2) + "\n", encoding="utf-8")
                for file in _beside(self.path) if companions else ():
                    shutil.copyfile(file, partial / file.name)
            self._opened = None
            partial.replace(out)
        except OSError as error:
            raise PermaskError(f"{out}: cannot write: {error}") from error
        finally:
            _remove(partial)

    def _write(self, source: Path, target: Path, change: Change) -> None:
        names = [name for name, entry in self._entries.items() if entry.file == source]
        with target.open("wb") as file:
            file.write(self._headers[source])  # types and shapes stay, and so does where everything lies
            for name in sorted(names, key=lambda name: self._entries[name].begin):
                x = change(name, self[name]).contiguous()
                file.write(x.reshape(-1).view(torch.uint8).numpy().data)


def index_in(path: Path) -> Path | None:
    """The index in a folder; None if it is no folder, or holds none or several."""
    found = sorted(path.glob(f"*{INDEX}")) if path.is_dir() else []
    return found[0] if len(found) == 1 else None


def in_shards(path: Path) -> bool:
    """Whether this is a checkpoint in a folder: an index, or a folder with one, or with a single safetensors file."""
    return path.name.endswith(INDEX) or index_in(path) is not None or _only_file_in(path) is not None


def is_safetensors(path: Path) -> bool:
    """Whether this is to be read as safetensors: a file that begins like one, or a checkpoint in shards."""
    if in_shards(path) or path.suffix == ".safetensors":
        return True
    try:
        check_file(path)
        with path.open("rb") as file:
            return file.read(10)[8:] == b'{"'  # a JSON object follows its length
    except (OSError, PermaskError):
        return False


def _only_file_in(path: Path) -> Path | None:
    """The safetensors file in a folder; None if it is no folder, or holds none or several."""
    found = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    return found[0] if len(found) == 1 and index_in(path) is None else None


def _beside(path: Path) -> list[Path]:
    """The files beside an index or a file of tensors, as `Shards.rewrite` copies them."""
    return [
        file
        for file in sorted(path.parent.iterdir())
        if file.is_file()
        and not file.name.startswith((".", "README"))
        and not file.name.endswith((*WEIGHTS, ".index.json"))
    ]


def _read_index(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
        files = content["weight_map"]
        plain = all(isinstance(name, str) and Path(file).name == file for name, file in files.items())
    except (UnreadableError, KeyError, TypeError, AttributeError) as error:
        raise PermaskError(f"{path}: expected an index of a checkpoint in shards, with a weight_map") from error
    if not plain or not files:
        raise PermaskError(f"{path}: expected names of tensors and of files beside it in its weight_map")
    return content


def _header(file: Path) -> tuple[bytes, dict[str, Any]]:
    """How a safetensors file begins, the length of a JSON object and the object; and what that says of every tensor."""
    with file.open("rb") as opened:
        length = opened.read(8)
        text = opened.read(int.from_bytes(length, "little"))
    content = json.loads(text)
    content.pop("__metadata__", None)
    return length + text, content


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
