"""A sparse mask: which weights of a network survive pruning."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.utils import prune

from permask.errors import NetworkError, PermaskError
from permask.permutation import Permutation
from permask.tensors import save_tensors

# where a torch.ao.pruning sparsifier keeps the mask of a module's parameter
SPARSIFIER_MASK = re.compile(r"(?:(.*)\.)?parametrizations\.([^.]+)\.\d+\.mask")
FORMAT = {"format": "permask-mask", "version": 1}


class Mask(Mapping[str, Tensor]):
    """Parameter name to a boolean tensor of that parameter's shape, True where the weight is kept.

    The parameters named are the mask's *scope*: what it could have pruned. All counts are exact integers.

    Args:
        kept: Parameter name to boolean tensor.

    Raises:
        PermaskError: A tensor that is not boolean.
    """

    def __init__(self, kept: Mapping[str, Tensor]):
        for name, tensor in kept.items():
            if tensor.dtype != torch.bool:
                raise PermaskError(f"mask of {name}: expected a boolean tensor, got {tensor.dtype}")
        self._kept = dict(kept)

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        """The mask that a network carries.

        That is what `torch.nn.utils.prune` or a `torch.ao.pruning` sparsifier keeps as buffers, or else the zeros
        of its weights: then the scope is every parameter with at least two dims that holds a zero.
        """
        buffers = dict(model.named_buffers())
        suffix = "_mask"
        from_buffers = {
            name.removesuffix(suffix): tensor.bool()
            for name, tensor in buffers.items()
            if name.endswith(suffix) and f"{name.removesuffix(suffix)}_orig" in dict(model.named_parameters())
        }
        for name, tensor in buffers.items():
            if match := SPARSIFIER_MASK.fullmatch(name):
                from_buffers[".".join(filter(None, match.groups()))] = tensor.bool()
        if from_buffers:
            return cls(from_buffers)
        weights = ((name, p.detach()) for name, p in model.named_parameters() if p.ndim > 1)
        return cls({name: weight != 0 for name, weight in weights if (weight == 0).any()})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a mask saved by `save`, or any safetensors file of 0/1 tensors; nothing is unpickled.

        Raises:
            PermaskError: A file that is missing, no safetensors file, or holds other values than 0 and 1.
        """
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise PermaskError(f"{path}: expected a mask as a safetensors file: {error}") from error
        for name, tensor in tensors.items():
            if not ((tensor == 0) | (tensor == 1)).all():
                raise PermaskError(f"{path}: {name} holds values other than 0 and 1, so it is not a mask")
        return cls({name: tensor.bool() for name, tensor in tensors.items()})

    def save(self, path: str | Path) -> None:
        """Write the mask as boolean tensors in a safetensors file."""
        save_tensors(self._kept, path, {"permask": json.dumps(FORMAT, sort_keys=True)})

    def __getitem__(self, name: str) -> Tensor:
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask) or self.keys() != other.keys():
            return NotImplemented if not isinstance(other, Mask) else False
        return all(torch.equal(tensor, other[name]) for name, tensor in self.items())

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"Mask({self.count} of {self.size} weights kept, sparsity {self.sparsity:.4f})"

    def permuted(self, permutation: Permutation) -> Self:
        """The mask with its units permuted, as the weights of a network are: `new[i] = old[p[i]]`.

        Raises:
            NetworkError: The mask does not fit the symmetry of the permutation.
        """
        return type(self)(permutation.permute_tensors(self))

    @property
    def count(self) -> int:
        """Number of weights kept."""
        return sum(int(tensor.sum()) for tensor in self._kept.values())

    @property
    def size(self) -> int:
        """Number of weights in the scope."""
        return sum(tensor.numel() for tensor in self._kept.values())

    @property
    def sparsity(self) -> float:
        """Share of the scope that is pruned: the figure to compare with papers."""
        return 1 - self.count / self.size if self.size else 0.0

    def sparsity_of(self, model: nn.Module) -> float:
        """Share of all weights of the network (parameters with at least two dims) that is pruned.

        Raises:
            NetworkError: The mask does not fit the network.
        """
        self.check(model)
        total = sum(p.numel() for _, p in parameters_by_name(model).items() if p.ndim > 1)
        return (self.size - self.count) / total if total else 0.0

    def check(self, model: nn.Module) -> None:
        """Raise a `NetworkError` that names the first parameter that the mask does not fit."""
        check_fits(self, parameters_by_name(model))

    @torch.no_grad()
    def apply_(self, model: nn.Module) -> nn.Module:
        """Set the pruned weights of a network to zero, in place, and return it.

        Raises:
            NetworkError: The mask does not fit the network.
        """
        self.check(model)
        parameters = parameters_by_name(model)
        for name, kept in self.items():
            parameters[name].mul_(kept.to(parameters[name].device))
        return model


def check_fits(mask: Mask, weights: Mapping[str, Tensor]) -> None:
    """Raise a `NetworkError` that names the first of the weights that a mask does not fit."""
    for name, kept in mask.items():
        if name not in weights:
            raise NetworkError(f"the mask names {name}, which the network does not have")
        if weights[name].shape != kept.shape:
            raise NetworkError(
                f"mask of {name}: expected shape {list(weights[name].shape)} as in the network, got {list(kept.shape)}"
            )


def parameters_by_name(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by their plain names; one that `torch.nn.utils.prune` has renamed goes without its suffix."""
    named = dict(model.named_parameters())
    if any(prune.is_pruned(module) for module in model.modules()):
        return {name.removesuffix("_orig"): parameter for name, parameter in named.items()}
    return named
