"""Masks and weights in the files that people already have, read without unpickling code."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from permask.errors import NetworkError, PermaskError
from permask.mask import Mask

# where training scripts put the state_dict inside a checkpoint
NESTED = ("state_dict", "model_state_dict", "model", "net", "weights")
# how files begin that `torch.save` writes, today and before torch 1.6
ZIPPED, PICKLED = b"P", b"\x80"
# a weight under a torch.ao.pruning sparsifier (torchao's, before it was removed, are the same)
SPARSIFIED = re.compile(r"(?P<module>.*?)\.?parametrizations\.(?P<name>[^.]+)\.original")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, of whatever name, or of a `state_dict` saved by `torch.save`.

    A checkpoint that holds the `state_dict` under one of the usual names is looked into, and the prefix
    `module.` of distributed training is taken off.

    Raises:
        PermaskError: A file that is missing, truncated, holds no tensors, or could only be read by running
            code that it contains.
    """
    return _state_in(_content(Path(path)), path)


def _state_in(content: Any, path: str | Path) -> dict[str, Tensor]:
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    state = {n: x for n, x in content.items() if isinstance(x, Tensor)} if isinstance(content, Mapping) else {}
    if not state:
        raise PermaskError(f"{path}: expected tensors by name (a state_dict), found none")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): x for name, x in state.items()}
    return state


def mask_of_state(state: Mapping[str, Tensor]) -> Mask:
    """The mask that a `state_dict` carries.

    In this order: tensors that are all 0 or 1 are the mask itself; buffers of `torch.nn.utils.prune`; zeros
    among the weights, in which case the scope is every tensor with at least two dims that holds a zero.

    Raises:
        PermaskError: None of these.
    """
    if all(x.dtype == torch.bool or ((x == 0) | (x == 1)).all() for x in state.values()):
        return Mask({name: x.bool() for name, x in state.items()})
    buffers = {
        name.removesuffix("_mask"): x.bool()
        for name, x in state.items()
        if name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in state
    }
    if buffers:
        return Mask(buffers)
    weights = {name: x for name, x in state.items() if x.ndim > 1 and x.is_floating_point()}
    zeros = {name: x != 0 for name, x in weights.items() if (x == 0).any()}
    if not zeros:
        raise PermaskError("there is no mask here: no pruning buffers, and no weight is exactly zero")
    return Mask(zeros)


def read_mask(path: str | Path) -> Mask:
    """Read a mask from any file that `read_state` reads and that carries one, see `mask_of_state`.

    Before `squash_mask()`, the masks of a `torch.ao.pruning` sparsifier are in its own `state_dict`: in a file of that,
    or in a checkpoint that holds it beside the network's.
    """
    try:
        content = _content(Path(path))
        return _mask_of_sparsifier(content) or mask_of_state(_state_in(content, path))
    except PermaskError as error:
        raise error if str(error).startswith(str(path)) else PermaskError(f"{path}: {error}") from error


def plain_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The `state_dict` of the network without its pruning machinery: masks multiplied into the weights.

    A `state_dict` under a `torch.ao.pruning` sparsifier holds no masks; its weights come as they were.
    """
    plain = {}
    for name, x in state.items():
        if name.endswith("_orig") and f"{name.removesuffix('_orig')}_mask" in state:
            plain[name.removesuffix("_orig")] = x * state[f"{name.removesuffix('_orig')}_mask"]
        elif name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in state:
            continue
        elif match := SPARSIFIED.fullmatch(name):
            plain[_joined(match["module"], match["name"])] = x
        else:
            plain[name] = x
    return plain


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Load a file's weights into a network, in place, folding in whatever pruned them.

    Raises:
        PermaskError: A file that `read_state` cannot read.
        NetworkError: Tensors that are missing, superfluous or of another shape.
    """
    state, own = plain_state(read_state(path)), model.state_dict()
    for name in [*own, *state]:
        if name not in state or name not in own or state[name].shape != own[name].shape:
            shapes = (list(x[name].shape) if name in x else "nothing" for x in (own, state))
            raise NetworkError(f"{path}: {name}: the network has {next(shapes)}, the file {next(shapes)}")
    model.load_state_dict(state)
    return model


def _mask_of_sparsifier(content: Any) -> Mask | None:
    """The masks that a sparsifier's `state_dict` holds, there or one level down: state, then weight, then mask."""
    parts = [content, *content.values()] if isinstance(content, Mapping) else []
    states = [part["state"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("state"), Mapping)]
    for state in states:
        entries = {name: entry for name, entry in state.items() if isinstance(entry, Mapping)}
        masks = {name: entry["mask"] for name, entry in entries.items() if isinstance(entry.get("mask"), Tensor)}
        if masks:
            return Mask({name: x.bool() for name, x in masks.items()})
    return None


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise PermaskError(f"{path}: expected a safetensors file: {error}") from error


def _load_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about protocols, on files that are refused below anyway
            with torch.serialization.safe_globals([(_plain_dict, "collections.defaultdict"), dict]):
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        with path.open("rb") as file:
            first = file.read(1)
        if first not in (ZIPPED, PICKLED):
            raise PermaskError(f"{path}: expected a safetensors file or a state_dict, this is neither") from error
        raise PermaskError(
            f"{path}: not a plain state_dict: it holds more than tensors, and permask never runs code that a file "
            "contains; save model.state_dict() and use that file"
        ) from error
    except Exception as error:  # the reader fails in any way on a file that is damaged or of another kind
        raise PermaskError(f"{path}: expected a safetensors file or a state_dict: {_first_line(error)}") from error


def _plain_dict(_factory: type) -> dict[Any, Any]:
    """What stands in for the `defaultdict` in which a sparsifier keeps its masks: nothing of the file is called."""
    return {}


def _content(path: Path) -> Any:
    if not path.is_file():
        raise PermaskError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            header = file.read(10)[8:]  # in safetensors, a JSON object follows its length
    except OSError as error:
        raise PermaskError(f"{path}: cannot read: {error.strerror}") from error
    return _load_safetensors(path) if header == b'{"' or path.suffix == ".safetensors" else _load_pickle(path)


def _joined(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name


def _first_line(error: Exception) -> str:
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
