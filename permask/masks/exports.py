"""Masks, and weights under them, in forms that other tools read.

A mask that was made from a network names a tied weight once; what is here puts it under all of the weight's names. In a
`state_dict`, tensors of one shape and content are one weight: few files tell more.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from permask.errors import NetworkError
from permask.mask import Mask, check_fits
from permask.shards import Shards
from permask.wrapped import observable, tensors_of


def to_prune_buffers(model: nn.Module, mask: Mask) -> nn.Module:
    """Attach a mask to a network in place as `torch.nn.utils.prune` does, with `weight_orig` and `weight_mask`.

    If a weight is pruned already, it loses what either of the two masks prunes.

    Returns:
        The same network.

    Raises:
        NetworkError: If the mask does not fit the network.
    """
    network = observable(model)
    weights = _weights(network)
    for name, kept in _under_all_names(mask, weights, id).items():
        module, _, parameter = name.rpartition(".")
        prune.custom_from_mask(network.get_submodule(module), parameter, kept.to(weights[name].device))
    return model


def state_with_buffers(state: Mapping[str, Tensor], mask: Mask) -> dict[str, Tensor]:
    """Return a `state_dict` with `*_orig` and `*_mask` in place of masked weights, as `torch.nn.utils.prune` saves it.

    Raises:
        NetworkError: If the mask does not fit the weights.
    """
    mask = _under_all_names(mask, state)
    exported = {name: x for name, x in state.items() if name not in mask}
    for name, kept in mask.items():
        exported |= {f"{name}_orig": state[name], f"{name}_mask": kept.to(state[name].dtype)}
    return exported


def state_with_zeros(state: Mapping[str, Tensor], mask: Mask) -> dict[str, Tensor]:
    """Return a `state_dict` with zeros in place of pruned weights.

    Raises:
        NetworkError: If the mask does not fit the weights.
    """
    mask = _under_all_names(mask, state)
    return {name: x.masked_fill(~mask[name].to(x.device), 0) if name in mask else x for name, x in state.items()}


def shards_with_zeros(weights: Shards, mask: Mask, out: Path) -> None:
    """As `state_with_zeros`, of safetensors files and into such, with one tensor in memory at a time.

    Raises:
        NetworkError: The mask does not fit.
        PermaskError: It cannot be written.
    """
    mask = _under_all_names(mask, weights)
    weights.rewrite(out, lambda name, x: x.masked_fill(~mask[name], 0) if name in mask else x)


def state_with_two_four(state: Mapping[str, Tensor], mask: Mask) -> dict[str, Tensor]:
    """Return a `state_dict` in which weights are compressed to `*.values` and `*.place` if their mask fits 2:4.

    The other masked weights have zeros in place of what is pruned.

    Raises:
        NetworkError: If the mask does not fit the weights, or no weight has a mask that fits 2:4.
    """
    mask = _under_all_names(mask, state)
    fitting = [name for name, kept in mask.items() if fits_two_four(kept)]
    if not fitting:
        raise NetworkError(
            "no weight's mask fits 2:4, which is two of every four neighbours along a linear layer's input"
        )
    exported = {name: x for name, x in state_with_zeros(state, mask).items() if name not in fitting}
    for name in fitting:
        exported[f"{name}.values"], exported[f"{name}.place"] = compress_two_four(state[name], mask[name])
    return exported


def fits_two_four(kept: Tensor) -> bool:
    """Whether a weight's mask keeps at most two of every four neighbours along its input dim."""
    return kept.ndim == 2 and kept.shape[1] % 4 == 0 and bool((kept.unflatten(1, (-1, 4)).sum(-1) <= 2).all())


def compress_two_four(weight: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """A weight under a 2:4 mask as `values` `[out, in / 2]` and, for each, its `place` (0 to 3) among its four.

    Raises:
        NetworkError: The mask does not fit 2:4.
    """
    if not fits_two_four(kept):
        raise NetworkError("this mask keeps more than two of four neighbours somewhere, so it does not fit 2:4")
    fours = kept.unflatten(1, (-1, 4))
    # kept places first, in order; where fewer than two are kept, pruned ones (zeros) fill up
    place = fours.logical_not().byte().sort(dim=-1, stable=True).indices[..., :2].sort(dim=-1).values
    values = weight.masked_fill(~kept, 0).unflatten(1, (-1, 4)).gather(-1, place)
    return values.flatten(1), place.to(torch.uint8).flatten(1)


def to_semi_structured(model: nn.Module, mask: Mask) -> list[str]:
    """Convert the linear layers whose mask fits 2:4 to the format of sparse tensor cores, in place.

    Args:
        model: A network on a GPU, in float16 or bfloat16.
        mask: A mask of the network.

    Returns:
        The names of the weights that were converted.

    Raises:
        NetworkError: If the mask does not fit the network, or the device or type of a weight does not support the
            format.
    """
    network = observable(model)
    mask = _under_all_names(mask, _weights(network), id)
    layers = {f"{n}.weight".lstrip("."): m for n, m in network.named_modules() if isinstance(m, nn.Linear)}
    fitting = [name for name, kept in mask.items() if name in layers and fits_two_four(kept)]
    for name in fitting:
        weight = layers[name].weight
        if prune.is_pruned(layers[name]):
            raise NetworkError(f'{name}: torch.nn.utils.prune computes it: call prune.remove(module, "weight") first')
        if not weight.is_cuda or weight.dtype not in (torch.float16, torch.bfloat16):
            raise NetworkError(
                f"{name}: 2:4 sparsity needs a GPU and float16 or bfloat16, got {weight.dtype} on {weight.device}"
            )
    for name in fitting:
        weight = layers[name].weight.detach()
        masked = weight.masked_fill(~mask[name].to(weight.device), 0)
        layers[name].weight = nn.Parameter(torch.sparse.to_sparse_semi_structured(masked), requires_grad=False)
    return fitting


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters by name; one that several modules share by the name that it has in each."""
    named = ((n, m.named_parameters(recurse=False)) for n, m in model.named_modules())
    weights = {f"{module}.{name}".lstrip("."): x for module, parameters in named for name, x in parameters}
    pruned = {f"{name}_orig": name for name in tensors_of(model)[1]}
    return {pruned.get(name, name): x for name, x in weights.items()}


def _content(x: Tensor) -> tuple[str, str]:
    """What tells tensors of one shape apart, and is the same for tied weights in a file."""
    entries = x.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return str(x.dtype), hashlib.sha256(entries.numpy().data).hexdigest()


def _under_all_names(
    mask: Mask, weights: Mapping[str, Tensor], identity: Callable[[Tensor], object] = _content
) -> Mask:
    """A mask under every name that its weights have, where it fits them."""
    check_fits(mask, weights)
    shapes = {kept.shape for kept in mask.values()}
    masked = {(kept.shape, identity(weights[name])): kept for name, kept in mask.items()}
    others = {name: x for name, x in weights.items() if name not in mask and x.shape in shapes}
    aliases = {name: masked[key] for name, x in others.items() if (key := (x.shape, identity(x))) in masked}
    return Mask({**mask, **aliases})
