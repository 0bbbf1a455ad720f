"""Checkpoints as commands are given them: files, or folders as Hugging Face has them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from permask.cli.network import load_network
from permask.cli.output import check_writable, write_whole
from permask.errors import NetworkError, PermaskError
from permask.masks.formats import load_weights, plain_state, read_state
from permask.shards import Change, Shards, is_safetensors
from permask.tensors import save_pickled, save_tensors
from permask.training.execution import find_device
from permask.training.imported import summary

HALF = (torch.float16, torch.bfloat16)
# in a configuration of transformers, what changes nothing that a network computes from token ids or inputs
ASIDE = {"architectures", "dtype", "id2label", "label2id", "torch_dtype", "transformers_version", "use_cache"}


@dataclass(frozen=True)
class Given:
    """What the words of a command name.

    Attributes:
        model: What makes the network; None where transformers makes it, from the first checkpoint's configuration.
        arguments: What to call it with, as `key=value`.
        checkpoints: The files and folders.
    """

    model: str | None
    arguments: tuple[str, ...]
    checkpoints: tuple[Path, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> "Given":
        """Tell words apart: the first is a model if it is a reference and no path, the last ones are `key=value`.

        Raises:
            PermaskError: A checkpoint that is named twice.
        """
        model = words[0] if ":" in words[0] and not Path(words[0]).exists() else None
        rest = words[1:] if model else words
        arguments = tuple(text for text in rest if "=" in Path(text).name and not Path(text).exists())
        checkpoints = tuple(Path(text) for text in rest if text not in arguments)
        places = [_place(path) for path in checkpoints]
        for number, place in enumerate(places):
            if place in places[:number]:
                earlier = checkpoints[places.index(place)]
                raise PermaskError(f"{checkpoints[number]}: is the same as {earlier}; name every checkpoint once")
        return cls(model, arguments, checkpoints)

    def load(self, device: str = "cpu") -> list[nn.Module]:
        """The networks of the checkpoints, in evaluation mode, in float32 at least and on a device.

        Raises:
            PermaskError: A reference that leads nowhere, or a file that holds no weights.
            NetworkError: Weights of another network, or a folder whose configuration is another than the first one's.
        """
        networks = []
        if not self.model:
            _check_alike(self.checkpoints)
        for path in self.checkpoints:
            network = load_network(self.model, self.arguments) if self.model else _described(self.checkpoints[0])
            if any(x.dtype in HALF for x in network.parameters()):
                network = network.float()
            networks.append(load_weights(network, path).eval().to(find_device(device)))
        return networks


def _place(path: Path) -> Path:
    """The file that a checkpoint is in, or that stands for its shards, without links."""
    with resolvable(path):
        return (Shards(path).path if path.is_dir() else path).resolve()


@contextmanager
def resolvable(path: Path) -> Iterator[None]:
    """Make a `PermaskError` of what a path can be: too long, with a NUL in it, a circle of links."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise PermaskError(f"{path}: is no place for a file: {error}") from error


def names_of(checkpoints: Sequence[Path]) -> list[str]:
    """What the aligned checkpoints are called: as they are, with a number in front if two have the same name."""
    names = [path.resolve().parent.name if in_its_folder(path) else path.resolve().name for path in checkpoints]
    return names if len(set(names)) == len(names) else [f"{i}-{name}" for i, name in enumerate(names, start=1)]


def in_its_folder(path: Path) -> bool:
    """Whether a checkpoint is named by a file that stands for its folder: the index of shards."""
    return path.name.endswith(".index.json")


def suffix_of(path: Path) -> str:
    """How the name of a checkpoint like another ends: not at all, of a folder."""
    if is_safetensors(path):
        return "" if Shards(path).in_folder else ".safetensors"
    return ".pt"


def check_new_folder(folder: Path, purpose: str) -> None:
    """Raise a `PermaskError` if a new folder cannot be made there."""
    with resolvable(folder):
        taken = folder.is_symlink() or folder.exists()
    if taken:
        raise PermaskError(f"{folder}: expected a new folder for {purpose}, there is something")
    if not folder.parent.is_dir():
        raise PermaskError(f"{folder}: cannot write there: {folder.parent} is not a folder")


def check_out(source: Path, out: Path) -> None:
    """Raise a `PermaskError` if a checkpoint like another cannot be written."""
    if is_safetensors(source) and Shards(source).in_folder:
        Shards(source).check_out(out)
    else:
        check_writable(out)


def rewrite(source: Path, out: Path, change: Change) -> None:
    """Write a checkpoint with other values, in the form that it has, and with what lies beside it in its folder."""
    shards = Shards(source) if is_safetensors(source) else None
    if shards is not None and shards.in_folder:
        shards.rewrite(out, change, companions=True)
        return
    state = {name: change(name, x) for name, x in plain_state(read_state(source)).items()}
    metadata = {"format": "pt"}  # which transformers asks for
    if out.suffix == ".safetensors":
        write_whole(out, lambda path: save_tensors(state, path, metadata))
    else:
        write_whole(out, lambda path: save_pickled(state, path))


def _check_alike(checkpoints: Sequence[Path]) -> None:
    """Raise a `NetworkError` if configurations differ in what networks compute; shapes of tensors may not show it."""
    expected = _configuration(first := checkpoints[0]).to_dict()
    for path in checkpoints[1:]:
        if not (_folder_of(path) / "config.json").is_file():
            continue
        got = _configuration(path).to_dict()
        for name in sorted(expected.keys() | got.keys()):
            aside = name in ASIDE or name.startswith("_") or name.endswith("_token_id")
            ours, theirs = expected.get(name), got.get(name)
            if not aside and ours != theirs:
                raise NetworkError(
                    f"{path}: config.json: {name}: expected {ours} as in {first}, got {theirs}; give networks that "
                    "compute the same but for their weights"
                )


def _folder_of(path: Path) -> Path:
    return path.parent if in_its_folder(path) else path


def _described(folder: Path) -> nn.Module:
    """The network that a folder's `config.json` describes, made by transformers without running code of the folder."""
    config, transformers = _configuration(folder), _transformers(folder)
    try:
        return getattr(transformers, config.architectures[0])(config)
    except Exception as error:  # it is not our code that runs
        raise NetworkError(f"{folder}: transformers cannot make the network: {summary(error)}") from error


def _configuration(path: Path) -> Any:
    """What a folder's `config.json` says, as transformers understands it."""
    folder = _folder_of(path)
    if not (folder / "config.json").is_file():
        raise PermaskError(
            f"{folder}: expected MODEL before the checkpoints, such as net.py:make_net, or a folder of Hugging Face's "
            "with a config.json"
        )
    transformers = _transformers(folder)
    try:
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # it is not our code that runs
        raise NetworkError(f"{folder}: transformers cannot make the network: {summary(error)}") from error


def _transformers(folder: Path) -> Any:
    try:
        return import_module("transformers")
    except ImportError as error:
        raise PermaskError(
            f"{folder}: transformers makes the network from its config.json, and is not installed: install it, or name "
            "MODEL before the checkpoints"
        ) from error
