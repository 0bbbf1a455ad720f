"""How a rule is written and found.

A rule reads one call of an op and gives the values of its results:

    @rule("relu", "gelu")
    def elementwise(op: Op) -> Value:
        return op.values[0]
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from permask.discovery import concatenate, contract, layout
from permask.discovery.atoms import Places, Value, constant
from permask.discovery.constraints import Constraints, Reason, UnsupportedError
from permask.discovery.program import Node, Ref

__all__ = ["READ_PLACES", "RULES", "Op", "Result", "UnsupportedError", "names", "rule"]

Result = Value | Sequence[Value | None]


@dataclass(frozen=True, eq=False)
class Op:
    """A call that a rule reads: its arguments by the names of the op's schema, with values for tensors.

    Attributes:
        node: The node of the program.
        arguments: Its arguments.
        constraints: Takes what the rule demands.
        numbers: The nodes whose entries are known, since they depend on neither parameters nor inputs.
    """

    node: Node
    arguments: Mapping[str, Any]
    constraints: Constraints
    numbers: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name)

    @property
    def values(self) -> list[Value]:
        """The arguments that are values, in order; those inside lists too."""
        found: list[Value] = []
        for argument in self.arguments.values():
            items = argument if isinstance(argument, list | tuple) else [argument]
            found += [item for item in items if isinstance(item, Value)]
        return found

    @property
    def label(self) -> str:
        """How the reasons of pins name the call."""
        return self.node.label

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the (first) result."""
        return self.node.shape

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all results."""
        return [() if x is None else tuple(x.shape) for x in self.node.outputs]

    def known(self, name: str, item: int | None = None) -> np.ndarray | None:
        """The entries of an argument, or of one in a list, if they are known."""
        ref = (self.node.arguments or {}).get(name)
        ref = ref if item is None or ref is None else ref[item]
        return self.numbers.get(ref.name) if isinstance(ref, Ref) else None

    def places(self, result: Value, source: Value, along: Sequence[int]) -> Value:
        """A result whose entries are places along dims of another value."""
        return Places(result.dims, result.bundles, result.constant, source, tuple(along))

    def picks(self, numbers: Value, size: int) -> Value | None:
        """The dim that numbers are places along, if it moves by itself and has the size of what they pick from.

        Otherwise what picks them is pinned, and so has to be what they pick from.
        """
        dim = numbers.counted if isinstance(numbers, Places) else None
        if dim is not None and dim.shape == (size,):
            return dim
        self.constraints.settle(numbers, op=self.label)
        return None

    def contract(
        self,
        *operands: tuple[Value | None, Sequence[Hashable]],
        to: Sequence[Hashable],
        pin: Mapping[Any, str] | None = None,
        new: Mapping[Any, int] | None = None,
    ) -> Value:
        """See `contract.contract`."""
        return contract.contract(self.constraints, operands, to, op=self.label, pin=pin, new=new)

    def view(self, x: Value, shape: Sequence[int]) -> Value:
        """See `layout.view`."""
        return layout.view(self.constraints, x, shape, op=self.label)

    def take(self, x: Value, dim: int, index: Any) -> Value:
        """See `layout.take`."""
        return layout.take(self.constraints, x, dim, index, op=self.label)

    def collapse(self, x: Value, dim: int) -> Value:
        """See `layout.collapse`."""
        return layout.collapse(self.constraints, x, dim, op=self.label)

    def fill(self, shape: Sequence[int]) -> Value:
        """A value whose entries are all the same."""
        return constant(shape)

    def concatenate(self, values: Sequence[Value], dim: int) -> Value:
        """See `concatenate.concatenate`."""
        return concatenate.concatenate(self.constraints, values, dim, op=self.label)

    def replace(self, x: Value, dim: int, index: Any, new: Value) -> Value:
        """See `concatenate.replace`."""
        return concatenate.replace(self.constraints, x, dim, index, new=new, op=self.label)

    def register(self, *values: Value) -> None:
        """See `Constraints.register`."""
        self.constraints.register(*values)

    def keep_blocks(self, x: Value, mixed: Sequence[int]) -> None:
        """See `Constraints.keep_blocks`."""
        self.constraints.keep_blocks(x, mixed)

    def pin(self, x: Value, why: str) -> Value:
        """Forbid every movement of a value; gives the value, pinned."""
        return self.constraints.pin(x, Reason(self.label, why))


Rule = Callable[[Op], Result]
RULES: dict[str, Rule] = {}
READ_PLACES: dict[str, str] = {}


def rule(*functions: str, places: str = "") -> Callable[[Rule], Rule]:
    """Register a rule for ops, by their names without overload; `namespace::name` outside of ATen.

    Args:
        functions: The ops.
        places: Name of an argument that may come as `Places`, which `Op.picks` looks through.
    """

    def register(read: Rule) -> Rule:
        for function in functions:
            if function in RULES:
                raise ValueError(f"two rules for {function}")
            RULES[function] = read
            READ_PLACES[function] = places
        return read

    return register


def names(text: str) -> list[str]:
    """The names of ops in a text, between white space."""
    return text.split()
