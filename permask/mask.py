"""A sparse mask: which weights of a network survive pruning."""

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from permask.checkpoints import OWN, as_kept, read_kept
from permask.display import bar, card, table
from permask.errors import NetworkError, PermaskError
from permask.permutation import Permutation
from permask.tensors import save_tensors
from permask.wrapped import unwrap

# where a torch.ao.pruning sparsifier keeps the mask of a module's parameter
SPARSIFIER_MASK = re.compile(r"(?:(.*)\.)?parametrizations\.([^.]+)\.\d+\.mask")
FORMAT = {"format": "permask-mask", "version": 1}


class Mask(Mapping[str, Tensor]):
    """A mapping from parameter names to boolean tensors, which are True where a weight is kept.

    Each tensor has the shape of its parameter. The named parameters are the *scope* of the mask: the weights that it
    could have pruned. All counts are exact integers. For two masks of the same parameters, `a & b` keeps what both
    keep, `a | b` keeps what at least one keeps, and `~a` keeps what `a` prunes.

    Args:
        kept: Parameter name to boolean tensor.

    Raises:
        PermaskError: If a tensor is not boolean.

    Example:
        ```python
        from torch import nn

        import permask

        model = nn.Linear(4, 3)
        mask = permask.Mask({"weight": model.weight.abs() > 0.1})
        mask.apply_(model)  # the other weights are zero now
        print(mask.count, mask.size, mask.sparsity)
        ```
    """

    def __init__(self, kept: Mapping[str, Tensor]):
        for name, tensor in kept.items():
            if tensor.dtype != torch.bool:
                raise PermaskError(f"mask of {name}: expected a boolean tensor, got {tensor.dtype}")
        self._kept = dict(kept)

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        """Read the mask that a network carries.

        The mask comes from the buffers of `torch.nn.utils.prune` or of a `torch.ao.pruning` sparsifier. If there are
        none, the zeros among the weights are the pruned weights, and the scope is every parameter with at least two
        dims that holds a zero. The padding row of an embedding is zero in dense networks too; an embedding with no
        other zeros is not in the scope.

        Raises:
            PermaskError: If the network is dense, or a buffer holds values other than 0 and 1.
        """
        model = unwrap(model)
        buffers = dict(model.named_buffers())
        suffix = "_mask"
        from_buffers = {
            name.removesuffix(suffix): as_kept(name, tensor)
            for name, tensor in buffers.items()
            if name.endswith(suffix) and f"{name.removesuffix(suffix)}_orig" in dict(model.named_parameters())
        }
        for name, tensor in buffers.items():
            if match := SPARSIFIER_MASK.fullmatch(name):
                from_buffers[".".join(filter(None, match.groups()))] = as_kept(name, tensor)
        if from_buffers:
            return cls(from_buffers)
        zeros = _zeros(model)
        if not zeros:
            raise PermaskError(
                "the network is dense, so it carries no mask: it has no pruning buffers and no weight is exactly zero; "
                "make a mask by permask.magnitude_mask(model, sparsity)"
            )
        return cls({name: ~zero for name, zero in zeros.items()})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a mask from any file that carries one. The commands of permask read the same files.

        The file may be one that `save` wrote, or hold tensors of zeros and ones. It may also be a checkpoint with the
        buffers of `torch.nn.utils.prune`, with the state of a sparsifier, or with zeros among its weights. The format
        may be safetensors or that of `torch.save`. Code that a file contains is never run.

        Raises:
            PermaskError: If the file is missing, cannot be read, or carries no mask.
        """
        return cls(read_kept(path))

    def save(self, path: str | Path) -> None:
        """Write the mask to a safetensors file, as boolean tensors."""
        save_tensors(self._kept, path, {OWN: json.dumps(FORMAT, sort_keys=True)})

    def __getitem__(self, name: str) -> Tensor:
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask) or self.keys() != other.keys():
            return NotImplemented if not isinstance(other, Mask) else False
        return all(torch.equal(tensor, other[name].to(tensor.device)) for name, tensor in self.items())

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"Mask({self.count} of {self.size} weights kept, sparsity {self.sparsity:.4f})"

    def _repr_html_(self) -> str:
        rows = [(escape(name), int(kept.sum()), kept.numel()) for name, kept in self.items()]
        cells = [[name, *_counted(kept, size)] for name, kept, size in rows]
        total = ["all", *_counted(self.count, self.size)]
        return card(repr(self), table(["layer", "kept", "of", "sparsity", ""], cells, total))

    def __and__(self, other: object) -> Self:
        return self._with(other, operator.and_)

    def __or__(self, other: object) -> Self:
        return self._with(other, operator.or_)

    def __invert__(self) -> Self:
        return type(self)({name: ~kept for name, kept in self.items()})

    def to(self, device: str | torch.device) -> Self:
        """Return the mask on another device."""
        return type(self)({name: kept.to(device) for name, kept in self.items()})

    def _with(self, other: object, combine: Callable[[Tensor, Tensor], Tensor]) -> Self:
        """Two masks of the same weights as one, where the first of them is."""
        if not isinstance(other, Mask):
            return NotImplemented
        if self.keys() != other.keys():
            name = min(self.keys() ^ other.keys())
            raise NetworkError(f"expected two masks of the same parameters; {name} is in one only")
        for name, kept in self.items():
            if kept.shape != other[name].shape:
                shapes = f"{list(kept.shape)} and {list(other[name].shape)}"
                raise NetworkError(f"expected two masks of the same shapes; those of {name} are {shapes}")
        return type(self)({name: combine(kept, other[name].to(kept.device)) for name, kept in self.items()})

    def permuted(self, permutation: Permutation) -> Self:
        """Permute the units of the mask as those of a network's weights: `new[i] = old[p[i]]`.

        Raises:
            NetworkError: If the mask does not fit the symmetry of the permutation.
        """
        return type(self)(permutation.permute_tensors(self))

    @property
    def count(self) -> int:
        """The number of weights that the mask keeps."""
        return sum(int(tensor.sum()) for tensor in self._kept.values())

    @property
    def size(self) -> int:
        """The number of weights in the scope."""
        return sum(tensor.numel() for tensor in self._kept.values())

    @property
    def sparsity(self) -> float:
        """The share of the scope that is pruned, in [0, 1]. Papers usually state this number."""
        return 1 - self.count / self.size if self.size else 0.0

    def sparsity_of(self, model: nn.Module) -> float:
        """Return the share of all weights of a network that the mask prunes, in [0, 1].

        The weights of a network are its parameters with at least two dims.

        Raises:
            NetworkError: If the mask does not fit the network.
        """
        self.check(model)
        total = sum(p.numel() for _, p in parameters_by_name(model).items() if p.ndim > 1)
        return (self.size - self.count) / total if total else 0.0

    def check(self, model: nn.Module) -> None:
        """Check that the mask fits a network.

        Raises:
            NetworkError: If it does not fit. The message names the first parameter that differs.
        """
        check_fits(self, parameters_by_name(model))

    @torch.no_grad()
    def apply_(self, model: nn.Module) -> nn.Module:
        """Set the pruned weights of a network to zero in place, even if they are not finite, and return the network.

        Raises:
            NetworkError: If the mask does not fit the network.
        """
        self.check(model)
        parameters = parameters_by_name(model)
        for name, kept in self.items():
            parameters[name].masked_fill_(~kept.to(parameters[name].device), 0)
        return model


def _zeros(model: nn.Module) -> dict[str, Tensor]:
    """Where the parameters with at least two dims are zero, of those that are, apart from padding of embeddings."""
    embeddings = (module for module in model.modules() if isinstance(module, nn.Embedding))
    padding = {id(module.weight): module.padding_idx for module in embeddings}
    found = {}
    for name, parameter in model.named_parameters():
        zero, row = parameter.detach() == 0, padding.get(id(parameter))
        expected = zero[row].sum() if row is not None else 0
        if parameter.ndim > 1 and zero.sum() > expected:
            found[name] = zero
    return found


def _counted(kept: int, size: int) -> list[str]:
    """Cells of a table: how many weights are kept, of how many, and the share that is pruned, in words and as a bar."""
    pruned = 1 - kept / size if size else 0.0
    return [f"{kept:,}", f"{size:,}", f"{pruned:.2%}", bar(pruned)]


def check_fits(mask: Mask, weights: Mapping[str, Tensor]) -> None:
    """Raise a `NetworkError` that names the first of the weights that a mask does not fit."""
    for name, kept in mask.items():
        if name not in weights:
            raise NetworkError(f"the mask names {name}, which the network does not have{_instead(name, weights)}")
        if weights[name].shape != kept.shape:
            raise NetworkError(
                f"mask of {name}: expected shape {list(weights[name].shape)} as in the network, got {list(kept.shape)}"
            )


def _instead(name: str, weights: Mapping[str, Tensor]) -> str:
    """What a network has in place of a weight, and what to do about it."""
    module, _, parameter = name.rpartition(".")
    here, layer = f"{module}.".lstrip("."), module or "it"
    if any(other.startswith(f"{here}parametrizations.{parameter}.") for other in weights):
        return (
            " as a parameter: it is parametrized; call "
            f'torch.nn.utils.parametrize.remove_parametrizations on {layer} and "{parameter}" first'
        )
    for ending, kind in (("_g", "weight"), ("_orig", "spectral")):
        if f"{name}{ending}" in weights:
            return f" as a parameter: a hook computes it; call torch.nn.utils.remove_{kind}_norm on {layer} first"
    if f"{here}base_layer.{parameter}" in weights:
        return f": PEFT calls it {here}base_layer.{parameter}; make the mask of the network that PEFT has wrapped"
    inside = next((other.removesuffix(f".{name}") for other in weights if other.endswith(f".{name}")), None)
    return f": it is in {inside}, which can be passed in its place" if inside else ""


def parameters_by_name(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters of the network inside of a wrapper, by their plain names.

    One that `torch.nn.utils.prune` has renamed goes without its suffix.
    """
    model = unwrap(model)
    named = dict(model.named_parameters())
    if any(prune.is_pruned(module) for module in model.modules()):
        return {name.removesuffix("_orig"): parameter for name, parameter in named.items()}
    return named
