"""Follow the units of a network through its ops, one rule per op."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from permask.discovery.atoms import Value, pinned, same, value
from permask.discovery.constraints import Constraints, Slot
from permask.discovery.program import Capture, Op, substitute
from permask.discovery.rules import RULES, Step, UnsupportedError

UNSUPPORTED = "unsupported op"


@dataclass(eq=False)
class Walk:
    """What a walk through a network finds.

    Attributes:
        constraints: The coloured graph of atoms.
        values: The value of every op, or the list of its values.
        states: The value of every parameter and buffer in use, by the first of its names.
        depends: Names of the ops whose value depends on the network's inputs.
    """

    constraints: Constraints = field(default_factory=Constraints)
    values: dict[str, Any] = field(default_factory=dict)
    states: dict[str, Value] = field(default_factory=dict)
    depends: set[str] = field(default_factory=set)


def walk(capture: Capture, names: Mapping[str, str]) -> Walk:
    """Apply the rules to every op of a network.

    Args:
        capture: The network.
        names: Of every key of the `state_dict`, the key to use for it: the same one for tied parameters.
    """
    found = Walk()
    used = {name for op in capture.ops for name in op.inputs}
    for position, op in enumerate(capture.ops):
        found.constraints.here = f"{op.name} ({op.function})" if op.function else op.kind
        if op.kind == "call":
            if found.depends.intersection(op.inputs):
                found.depends.add(op.name)
            found.values[op.name] = _call(op, found)
            if op.writes:
                _write(position, capture.ops, found)
        elif op.kind == "output":
            for x in _tensors([found.values[name] for name in op.inputs]):
                found.constraints.pin(x, "output of the network")
        elif op.kind == "state" and op.name in used and _floating(op):
            key = names[op.key]
            if key not in found.states:
                found.states[key] = _state(op, key, found.constraints)
            found.values[op.name] = found.states[key]
        else:
            if op.kind == "input":
                found.depends.add(op.name)
            found.values[op.name] = pinned(op.shape)
    found.constraints.fix_unused()
    return found


def _floating(op: Op) -> bool:
    return any(x is not None and x.is_floating_point() for x in op.outputs)


def _state(op: Op, key: str, constraints: Constraints) -> Value:
    """A parameter or buffer: an atom for every position along every axis."""
    x = pinned(op.shape)
    bundles = [constraints.fresh([dim]) for dim in x.dims]
    moving = [dim for dim, size in enumerate(op.shape) if size != 1]
    for dim, bundle in zip(moving, bundles, strict=True):
        constraints.slots.append(Slot(key, dim, bundle.atoms))
    return value(x.axes, bundles)


def _call(op: Op, found: Walk) -> Any:
    arguments = substitute(op.arguments, lambda ref: found.values[ref.name])
    try:
        if _empty(op) or any(0 in x.shape for x in _tensors(arguments)):
            raise UnsupportedError("a tensor without entries")
        if op.function not in RULES:
            raise UnsupportedError("no rule for this op")
        result = RULES[op.function](Step(op, arguments, found.constraints))
    except UnsupportedError as error:
        return _pin(op, arguments, found.constraints, str(error))
    results = [result] if isinstance(result, Value) else list(result)
    for x, output in zip(results, op.outputs, strict=False):
        if x is not None and output is not None and x.shape != tuple(output.shape):
            raise AssertionError(f"rule for {op.function}: expected shape {tuple(output.shape)}, got {x.shape}")
    return results if op.many else results[0] if results else None


def _empty(op: Op) -> bool:
    return any(x is not None and 0 in x.shape for x in op.outputs)


def _pin(op: Op, arguments: Any, constraints: Constraints, why: str) -> Any:
    """Pin all that an op touches."""
    for x in _tensors(arguments):
        constraints.pin(x, why, UNSUPPORTED)
    results = [None if x is None else pinned(x.shape) for x in op.outputs]
    return results if op.many else results[0] if results else None


def _tensors(arguments: Any) -> list[Value]:
    """The values inside nested arguments."""
    if isinstance(arguments, Value):
        return [arguments]
    if isinstance(arguments, Mapping):
        return _tensors(list(arguments.values()))
    if isinstance(arguments, list | tuple):
        return [x for argument in arguments for x in _tensors(argument)]
    return []


def _write(position: int, ops: tuple[Op, ...], found: Walk) -> None:
    """Account for an op that modifies its argument in place.

    If the argument moves afterwards as it did before, so does everything that shares its memory. If nothing
    else that shares its memory is read later, it takes its new value. Otherwise all of it is pinned. (A
    part of a constant is no longer like the rest of it once it was modified.)
    """
    op = ops[position]
    result = found.values[op.name]
    for name in op.writes:
        before = found.values[name]
        if isinstance(result, Value) and not before.constant and same(result, before):
            continue
        written = next(other for other in ops[:position] if other.name == name)
        later = {name for other in ops[position + 1 :] for name in other.inputs}
        aliases = [x.name for x in ops[:position] if x.name != name and x.storages & written.storages]
        if isinstance(result, Value) and not later.intersection(aliases):
            found.values[name] = result
            continue
        for alias in [*aliases, name, op.name]:
            for x in _tensors(found.values[alias]):
                found.constraints.pin(x, "modified in place where another view of it is read", UNSUPPORTED)
            many = isinstance(found.values[alias], list)
            unknown = [value(new.axes) for new in _tensors(found.values[alias])]
            found.values[alias] = unknown if many else unknown[0]
