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
    """Read a mask from any file that carries one, as `Mask.load` does."""
    return Mask.load(path)


def mask_of_state(state: Mapping[str, Tensor]) -> Mask:
    """The mask that a `state_dict` carries, see `permask.checkpoints.kept_in_state`, which raises what this does."""
    return Mask(kept_in_state(state))


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

    Of weights that the network ties to each other, the file need not hold more than one.

    Raises:
        PermaskError: A file that `read_state` cannot read.
        NetworkError: Tensors that are missing, superfluous or of another shape, whole or complex numbers as weights.
    """
    state, own = plain_state(read_state(path)), model.state_dict()
    tied = {id(x): state[name] for name, x in model.named_parameters(remove_duplicate=False) if name in state}
    for name, x in model.named_parameters(remove_duplicate=False):
        if id(x) in tied:
            state.setdefault(name, tied[id(x)])
    for name in [*own, *state]:
        if name not in state or name not in own or state[name].shape != own[name].shape:
            shapes = (list(x[name].shape) if name in x else "nothing" for x in (own, state))
            raise NetworkError(f"{path}: {name}: the network has {next(shapes)}, the file {next(shapes)}")
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
