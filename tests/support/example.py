"""A small network with the symmetries that were derived for it by hand, and how found ones compare with them.

Groups are written as text: `"a.weight:0 b.weight:1x4"` says that every unit owns one position along dim 0 of
`a.weight` and four positions along dim 1 of `b.weight`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from permask.symmetry import Symmetry

Inputs = tuple[Tensor, ...]
Key = tuple[object, ...]


@dataclass(frozen=True)
class Units:
    """Interchangeable units as derived by hand; `inside` are the groups that live within each of them."""

    size: int
    axes: str
    inside: tuple["Units", ...] = ()

    def nested(self, blocks: int = 1, parent: Key | None = None) -> list[Key]:
        """This group and all inside it, each as (size, blocks, axes, parent)."""
        axes = frozenset(_axis(entry) for entry in self.axes.split())
        key = (self.size, blocks, axes, parent)
        return [key, *(inner for child in self.inside for inner in child.nested(blocks * self.size, key))]


@dataclass(frozen=True)
class Example:
    """A network, inputs for it, and exactly the groups that it has."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    groups: tuple[Units, ...]


def units(size: int, axes: str, *inside: Units) -> Units:
    """A group of `size` units that live on `axes`, written as in the module's docstring."""
    return Units(size, axes, inside)


def expected_groups(example: Example) -> Counter[Key]:
    """What discovery should find, in the form that `found_groups` gives."""
    return Counter(key for group in example.groups for key in group.nested())


def found_groups(symmetry: Symmetry) -> Counter[Key]:
    """The groups of a symmetry, stripped of names and of the positions in their tables."""
    keys: dict[str, Key] = {}
    for group in symmetry.groups:  # parents come before their children
        axes = frozenset((axis.parameter, axis.dim, axis.table.shape[-1]) for axis in group.axes)
        keys[group.name] = (group.size, group.blocks, axes, group.parent and keys[group.parent])
    return Counter(keys.values())


def floats(*shape: int) -> Callable[[], Inputs]:
    """Inputs of one standard normal tensor, the same every time."""
    return lambda: (torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),)


def tokens(*shape: int, below: int) -> Callable[[], Inputs]:
    """Inputs of one tensor of token numbers, the same every time."""
    return lambda: (torch.randint(0, below, shape, generator=torch.Generator().manual_seed(0)),)


class Net(nn.Module):
    """A network written as one expression: `forward(self, *inputs)` over the named parts."""

    def __init__(self, forward: Callable[..., Tensor], **parts: nn.Module | nn.Parameter):
        super().__init__()
        self.expression = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.expression(self, *inputs)


def table(examples: dict[str, Example]) -> Callable[..., Callable[[Callable[[], nn.Module]], None]]:
    """Decorator that enters a function making a network into `examples`; its docstring is the derivation."""

    def example(inputs: Callable[[], Inputs], *groups: Units) -> Callable[[Callable[[], nn.Module]], None]:
        def enter(make: Callable[[], nn.Module]) -> None:
            examples[make.__name__] = Example(lambda: make().double().eval(), inputs, groups)

        return enter

    return example


def _axis(entry: str) -> tuple[str, int, int]:
    parameter, _, where = entry.rpartition(":")
    dim, _, positions = where.partition("x")
    return parameter, int(dim), int(positions or 1)
