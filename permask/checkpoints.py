"""Tensors and masks in the files that people already have, read without running code that a file contains."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from permask.errors import PermaskError
from permask.files import check_file
from permask.shards import Shards, in_shards, is_safetensors

OWN = "permask"  # in the metadata of a mask that permask wrote
# where training scripts put the state_dict inside a checkpoint
NESTED = ("state_dict", "model_state_dict", "model", "net", "weights")
EXPANDED = 2**30  # bytes of a tensor that is larger than what is stored of it
# how files begin that `torch.save` writes, today and before torch 1.6
ZIPPED, PICKLED = b"P", b"\x80"


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read tensors from one safetensors file, from several with an index, or from a saved `state_dict`.

    A file may have any name. In a checkpoint, the `state_dict` may have any of the usual names. The prefix `module.` of
    distributed training is removed.

    Raises:
        PermaskError: If the file is missing or truncated, holds no tensors, or could only be read by running code that
            it contains.
    """
    return _state_in(_content(Path(path)), path)


def read_kept(path: str | Path) -> dict[str, Tensor]:
    """Read which weights are kept, as boolean tensors, from any file that `read_state` reads.

    A mask that permask wrote is read as it is. Before `squash_mask()`, the masks of a `torch.ao.pruning` sparsifier are
    in the sparsifier's own `state_dict`. They are read from a file of that, or from a checkpoint that holds it beside
    the network's. In all other files, `permask.masks.formats.mask_of_state` says where the mask comes from.

    Raises:
        PermaskError: If the file cannot be read, or carries no mask.
    """
    content = _content(Path(path))
    if _is_own(Path(path)):
        return content
    try:
        return _kept_by_sparsifier(content) or kept_in_state(_state_in(content, path))
    except PermaskError as error:
        raise error if str(error).startswith(str(path)) else PermaskError(f"{path}: {error}") from error


def kept_in_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which weights a `state_dict` keeps, as boolean tensors by name.

    In this order: tensors that are all 0 or 1 are the mask itself; buffers of `torch.nn.utils.prune`; zeros
    among the weights, in which case the scope is every tensor with at least two dims that holds a zero.

    Raises:
        PermaskError: None of these.
    """
    if all(x.dtype == torch.bool or ((x == 0) | (x == 1)).all() for x in state.values()):
        return {name: x.bool() for name, x in state.items()}
    buffers = {
        name.removesuffix("_mask"): as_kept(name, x)
        for name, x in state.items()
        if name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in state
    }
    if buffers:
        return buffers
    weights = {name: x for name, x in state.items() if x.ndim > 1 and x.is_floating_point()}
    zeros = {name: x != 0 for name, x in weights.items() if (x == 0).any()}
    if not zeros:
        raise PermaskError("there is no mask here: no pruning buffers, and no weight is exactly zero")
    for name in zeros:  # what is meant as a mask is not read as weights
        if 2 * (weights[name] == 1).sum() > zeros[name].sum() or (weights[name] == weights[name].round()).all():
            as_kept(name, weights[name])
    return zeros


def as_kept(name: str, mask: Tensor) -> Tensor:
    """Which weights a mask of any type keeps; a `PermaskError` for values other than 0 and 1."""
    if len(grey := mask[(mask != 0) & (mask != 1)]):
        raise PermaskError(f"{name}: expected a mask of zeros and ones, got {grey[0].item():g} in it")
    return mask.bool()


def _state_in(content: Any, path: str | Path) -> dict[str, Tensor]:
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    named = content.items() if isinstance(content, Mapping) else ()
    state = {n: x for n, x in named if isinstance(x, Tensor) and isinstance(n, str)}
    if not state:
        raise PermaskError(f"{path}: expected tensors by name (a state_dict), found none")
    for name, x in state.items():
        if not _holds_entries(x):
            raise PermaskError(
                f"{path}: {name}: expected a tensor that holds all its entries, got one that is sparse, quantised, on "
                "the meta device or larger than what is stored of it; save its dense copy"
            )
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): x for name, x in state.items()}
    return state


def _holds_entries(x: Tensor) -> bool:
    """Whether a tensor of a file is a plain one; the few numbers of an expanded one can stand for terabytes."""
    if x.layout != torch.strided or x.is_quantized or x.is_meta:
        return False
    return x.nbytes <= max(x.untyped_storage().nbytes(), EXPANDED)


def _kept_by_sparsifier(content: Any) -> dict[str, Tensor] | None:
    """The masks that a sparsifier's `state_dict` holds, there or one level down: state, then weight, then mask."""
    parts = [content, *content.values()] if isinstance(content, Mapping) else []
    states = [part["state"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("state"), Mapping)]
    for state in states:
        entries = {name: entry for name, entry in state.items() if isinstance(entry, Mapping)}
        masks = {str(name): entry["mask"] for name, entry in entries.items() if isinstance(entry.get("mask"), Tensor)}
        if all(map(_holds_entries, masks.values())) and masks:
            return {name: as_kept(name, x) for name, x in masks.items()}
    return None


def _is_own(path: Path) -> bool:
    """Whether a file is a mask that permask wrote; of several, the first."""
    try:
        with safe_open(Shards(path).files[0], framework="pt") as file:
            return OWN in (file.metadata() or {})
    except (OSError, SafetensorError, PermaskError):
        return False


def _load_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about protocols, on files that are refused below anyway
            with torch.serialization.safe_globals(ADMITTED):
                content = torch.load(path, map_location="cpu", weights_only=True)
        if altered := _altered(path):
            raise PermaskError(
                f"{path}: damaged: {altered} in it is not what its checksum was computed from; copy it anew"
            )
        return content
    except PermaskError:
        raise
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


def _altered(path: Path) -> str | None:
    """The first part of an archive that differs from its checksum, which torch does not compare; None if all agree."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        # all are 0 after torch.serialization.set_crc32_options(False)
        return archive.testzip() if any(part.CRC for part in archive.infolist()) else None


def _plain_dict(_factory: type) -> dict[Any, Any]:
    """What stands in for the `defaultdict` in which a sparsifier keeps its masks: nothing of the file is called."""
    return {}


class _Unread:
    """What stands in for the `argparse.Namespace` of a training script: nothing of it is kept or called."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Leave out what the file says of it."""


ADMITTED = [(_plain_dict, "collections.defaultdict"), (_Unread, "argparse.Namespace"), dict]  # beside torch's own


def _content(path: Path) -> Any:
    if in_shards(path):
        return dict(Shards(path))
    check_file(path)
    return dict(Shards(path)) if is_safetensors(path) else _load_pickle(path)


def _first_line(error: Exception) -> str:
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
