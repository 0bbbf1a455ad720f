"""How a rule is written and found.

A rule reads one call of an op and gives the values of its results:

    @rule("relu", "gelu")
    def elementwise(op: Op) -> Value:
        return op.contract((op["self"], ["place"]), to=["place"])

It has one obligation. Let σ be a permutation of the atoms that keeps all colours and edges of the constraints, those
that the rule adds among them. σ moves the entries of a tensor as the tensor's value says. Then

    op(σ·x) = σ·op(x)    for every such σ and all tensors x:

the op computes the permuted result from the permuted arguments. A rule that demands too much hides symmetries. A rule
that demands too little breaks its obligation, and the certificate leaves out what it lets through.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch

from permask.discovery import concatenate, contract, layout
from permask.discovery.atoms import Places, Route, Value, constant
from permask.discovery.constraints import Constraints, Reason, UnsupportedError
from permask.discovery.program import Node, Ref
from permask.symmetry import PinKind

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
        """An argument that the call has.

        Raises:
            LookupError: The schema of the op has no such argument, or the argument is None in this call.
        """
        if name not in self.arguments:
            raise LookupError(f"no argument {name!r} in this call, which has {', '.join(self.arguments)}")
        if self.arguments[name] is None:
            raise LookupError(f"the argument {name!r} is None in this call: read it with op.get({name!r})")
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """An argument that may be None, or that not all ops of the rule have; `default` where there is none.

        Raises:
            LookupError: None of the ops that the rule is for has such an argument.
        """
        if name not in self.arguments and name not in _argument_names(FAMILIES.get(self.node.function, ())):
            raise LookupError(f"no op of this rule has an argument {name!r}; this call has {', '.join(self.arguments)}")
        given = self.arguments.get(name)
        return default if given is None else given

    def dim(self, x: Value, name: str = "dim", default: int | None = None) -> int:
        """The dim of a value that an argument names, counted from the front."""
        given = self[name] if default is None else self.get(name, default)
        if x.ndim == 0:
            raise UnsupportedError("a dim of a single number")
        return given % x.ndim

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
        found = Places(result.dims, result.bundles, result.constant, source, tuple(along))
        experts = found.counted
        return replace(found, route=Route(experts)) if experts is not None and len(experts.digits) == 1 else found

    def picks(self, numbers: Value, size: int) -> Value | None:
        """The dim that numbers are places along, if it moves by itself and has the size of what they pick from.

        Otherwise what picks them is pinned, and so has to be what they pick from.
        """
        dim = numbers.counted if isinstance(numbers, Places) else None
        if dim is not None and dim.shape == (size,):
            return dim
        self.settle(numbers)
        return None

    def settle(self, x: Value) -> Value:
        """See `Constraints.settle`."""
        return self.constraints.settle(x, op=self.label)

    def contract(
        self,
        *operands: tuple[Value | None, Sequence[Hashable]],
        to: Sequence[Hashable],
        pin: Mapping[Any, str] | None = None,
        new: Mapping[Any, int] | None = None,
        kind: PinKind = "genuine",
    ) -> Value:
        """See `contract.contract`."""
        return contract.contract(self.constraints, operands, to, op=self.label, pin=pin, new=new, kind=kind)

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
FAMILIES: dict[str, tuple[str, ...]] = {}  # op -> the ops that share its rule


def rule(*functions: str, places: str = "") -> Callable[[Rule], Rule]:
    """Register a rule for ops, by their names without overload; `namespace::name` outside of ATen.

    Args:
        functions: The ops.
        places: Name of an argument that may come as `Places` or `Sorting`, or a list of them, and that the rule settles
            itself unless it looks through them, as `Op.picks` does.
    """

    def register(read: Rule) -> Rule:
        for function in functions:
            if function in RULES:
                raise ValueError(f"two rules for {function}")
            RULES[function] = read
            READ_PLACES[function] = places
            FAMILIES[function] = functions
        return read

    return register


@cache
def _argument_names(functions: tuple[str, ...]) -> frozenset[str]:
    """The names of all arguments of some ops, in any of their overloads."""
    names: set[str] = set()
    for function in functions:
        space, _, name = function.rpartition("::")
        packet = getattr(getattr(torch.ops, space or "aten"), name, None)
        for overload in packet.overloads() if packet is not None else ():
            names.update(argument.name for argument in getattr(packet, overload)._schema.arguments)
    return frozenset(names)


def names(text: str) -> list[str]:
    """The names of ops in a text, between white space."""
    return text.split()
