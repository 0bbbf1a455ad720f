"""How a rule is written and found.

A rule reads one call of an op and gives the values of its results:

    @rule("relu", "gelu")
    def elementwise(step: Step) -> Value:
        return step.values[0]
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permask.discovery import concatenate, contract, layout
from permask.discovery.atoms import Value
from permask.discovery.constraints import Constraints
from permask.discovery.program import Op

Result = Value | Sequence[Value | None]


class UnsupportedError(Exception):
    """An op, or a way of calling it, that no rule describes; the walk pins what it touches."""


@dataclass(frozen=True, eq=False)
class Step:
    """A call that a rule reads: its arguments by the names of the op's schema, with values for tensors.

    Attributes:
        op: The call.
        arguments: Its arguments.
        constraints: Takes what the rule demands.
    """

    op: Op
    arguments: Mapping[str, Any]
    constraints: Constraints

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
    def shape(self) -> tuple[int, ...]:
        """Shape of the (first) result."""
        return self.op.shape

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all results."""
        return [() if x is None else tuple(x.shape) for x in self.op.outputs]

    def contract(
        self,
        *operands: tuple[Value | None, Sequence[Hashable]],
        to: Sequence[Hashable],
        pin: Sequence[Hashable] = (),
        new: Mapping[Any, int] | None = None,
    ) -> Value:
        """See `contract.contract`."""
        return contract.contract(self.constraints, operands, to, pin, new)

    def view(self, x: Value, shape: Sequence[int]) -> Value:
        """See `layout.view`."""
        return layout.view(self.constraints, x, shape)

    def take(self, x: Value, axis: int, index: Any) -> Value:
        """See `layout.take`."""
        return layout.take(self.constraints, x, axis, index)

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """See `concatenate.concatenate`."""
        return concatenate.concatenate(self.constraints, values, axis)


Rule = Callable[[Step], Result]
RULES: dict[str, Rule] = {}


def rule(*functions: str) -> Callable[[Rule], Rule]:
    """Register a rule for ops, by their names without overload; `namespace::name` outside of ATen."""

    def register(read: Rule) -> Rule:
        for function in functions:
            if function in RULES:
                raise ValueError(f"two rules for {function}")
            RULES[function] = read
        return read

    return register


def names(text: str) -> list[str]:
    """The names of ops in a text, between white space."""
    return text.split()
