"""Masks and weights in the files that people already have, read without unpickling code."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from permask.checkpoints import kept_in_state, read_state
from permask.errors import NetworkError
from permask.mask import Mask

# a weight under a torch.ao.pruning sparsifier (torchao's, before it was removed, are the same)
SPARSIFIED = re.compile(r"(?P<module>.*?)\.?parametrizations\.(?P<name>[^.]+)\.original")


def read_mask(path: str | Path) -> Mask:
    """Read a mask from any file that carries one, as `Mask.load` does.

    Raises:
        PermaskError: If the file is missing, cannot be read, or carries no mask.
    """
    return Mask.load(path)


def mask_of_state(state: Mapping[str, Tensor]) -> Mask:
    """Return the mask that a `state_dict` carries.

    If all tensors consist of zeros and ones, they are the mask. Otherwise the mask comes from the buffers of
    `torch.nn.utils.prune`, or else from the zeros among the weights.

    Raises:
        PermaskError: If there is no mask.
    """
    return Mask(kept_in_state(state))


def plain_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the `state_dict` of the network without its pruning machinery: weights are multiplied by their masks.

    The `state_dict` of a network under a `torch.ao.pruning` sparsifier holds no masks, so its weights are not changed.
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
    """Load weights from a file into a network in place; weights that are pruned in the file become zero.

    If the network ties weights to each other, the file needs to hold only one of them.

    Returns:
        The same network.

    Raises:
        PermaskError: If `read_state` cannot read the file.
        NetworkError: If tensors are missing, superfluous or of another shape, or weights are integers or complex
            numbers.
    """
    state, own = plain_state(read_state(path)), model.state_dict()
    tied = {id(x): state[name] for name, x in model.named_parameters(remove_duplicate=False) if name in state}
    for name, x in model.named_parameters(remove_duplicate=False):
        if id(x) in tied:
            state.setdefault(name, tied[id(x)])
    for name in [*own, *state]:
        if name not in state or name not in own or state[name].shape != own[name].shape:
            shapes = (list(x[name].shape) if name in x else "nothing" for x in (own, state))
            raise NetworkError(
                f"{path}: {name}: the network has {next(shapes)}, the file {next(shapes)}; give weights of the same "
                "network"
            )
        if _sort(own[name]) != _sort(state[name]):
            raise NetworkError(
                f"{path}: {name}: expected {_sort(own[name])} as in the network, got {state[name].dtype}; give the "
                "weights as they were trained"
            )
    model.load_state_dict(state)
    return model


def _sort(x: Tensor) -> str:
    if x.is_complex():
        return "complex numbers"
    return "floating-point numbers" if x.is_floating_point() else "whole numbers or booleans"


def _joined(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name
