"""Follow the units of a network through its ops, one rule per op."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from permask.discovery.atoms import Places, Value, pinned, same, value
from permask.discovery.constraints import Constraints
from permask.discovery.parameters import state, structures
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


def walk(capture: Capture, names: Mapping[str, str], numbers: Mapping[str, np.ndarray]) -> Walk:
    """Apply the rules to every op of a network.

    Args:
        capture: The network.
        names: Of every key of the `state_dict`, the key to use for it: the same one for tied parameters.
        numbers: What `Capture.numbers` knows.
    """
    found = Walk()
    structured = {names[key]: structure for key, structure in structures(capture.ops).items()}
    used = {name for op in capture.ops for name in op.inputs}
    for position, op in enumerate(capture.ops):
        found.constraints.here = f"{op.name} ({op.function})" if op.function else op.kind
        if op.kind == "call":
            if found.depends.intersection(op.inputs):
                found.depends.add(op.name)
            found.values[op.name] = _call(op, found, numbers)
            if op.writes:
                _write(position, capture.ops, found)
        elif op.kind == "output":
            for x in _tensors([found.values[name] for name in op.inputs]):
                x = _settle(x, found.constraints) if isinstance(x, Places) else x
                found.constraints.pin(x, "output of the network")
        elif op.kind == "state" and op.name in used and _floating(op):
            key = names[op.key]
            if key not in found.states:
                found.states[key] = state(found.constraints, op, key, structured.get(key))
            found.values[op.name] = found.states[key]
        else:
            if op.kind == "input":
                found.depends.add(op.name)
            found.values[op.name] = pinned(op.shape)
    found.constraints.fix_unused()
    return found


def _floating(op: Op) -> bool:
    return any(x is not None and x.is_floating_point() for x in op.outputs)


def _call(op: Op, found: Walk, numbers: Mapping[str, np.ndarray]) -> Any:
    def read(name: str) -> Any:
        x = found.values[name]
        return _settle(x, found.constraints) if isinstance(x, Places) else x

    arguments = substitute(op.arguments, lambda ref: read(ref.name))
    try:
        if _empty(op) or any(0 in x.shape for x in _tensors(arguments)):
            raise UnsupportedError("a tensor without entries")
        if op.function not in RULES:
            raise UnsupportedError("no rule for this op")
        result = RULES[op.function](Step(op, arguments, found.constraints, numbers))
    except UnsupportedError as error:
        return _pin(op, arguments, found.constraints, str(error))
    results = [result] if isinstance(result, Value) else list(result)
    for x, output in zip(results, op.outputs, strict=False):
        if x is not None and output is not None and x.shape != tuple(output.shape):
            raise AssertionError(f"rule for {op.function}: expected shape {tuple(output.shape)}, got {x.shape}")
    return results if op.many else results[0] if results else None


def _settle(x: Places, constraints: Constraints) -> Value:
    """The value of places that are read: where they are may not move."""
    for axis in x.along:
        for dim in x.source.axes[axis]:
            for bundle in x.source.bundles_of(dim):
                constraints.pin_dim(bundle, dim, "places along it are read")
    return value(x.axes, x.bundles, x.constant)


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
