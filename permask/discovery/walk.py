"""Follow the units of a network through its ops, one rule per op."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from permask.discovery.atoms import Places, Value, new_axes, pinned, same, value
from permask.discovery.concatenate import replace
from permask.discovery.constraints import Constraints
from permask.discovery.layout import insert
from permask.discovery.parameters import state, structures
from permask.discovery.program import Capture, Op, Ref, substitute
from permask.discovery.rules import READ_PLACES, RULES, Step, UnsupportedError
from permask.discovery.rules.segments import picked

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
                x = found.constraints.settle(x) if isinstance(x, Places) else x
                found.constraints.pin(x, "output of the network")
        elif op.kind == "state" and op.name in used and _floating(op):
            key = names[op.key]
            if key not in found.states:
                found.states[key] = state(found.constraints, op, key, structured.get(key))
            found.values[op.name] = found.states[key]
        else:
            if op.kind == "input":
                found.depends.add(op.name)
            found.values[op.name] = _given(op, capture.constants.get(op.name))
    found.constraints.fix_unused()
    return found


def _given(op: Op, known: Tensor | None) -> Value:
    """What the network is given, or has of its own: pinned, but for dims along which all known entries are alike."""
    if known is None:
        return pinned(op.shape, "the network's input" if op.kind == "input" else "numbers of the network's own")
    axes = new_axes(tuple(known.shape), "numbers of the network's own")
    alike = {
        dim
        for k, axis in enumerate(axes)
        for dim in axis
        if not known.numel() or (known == known.narrow(k, 0, 1)).all()
    }
    return value(axes, (), alike)


def _floating(op: Op) -> bool:
    return any(x is not None and x.is_floating_point() for x in op.outputs)


def _call(op: Op, found: Walk, numbers: Mapping[str, np.ndarray]) -> Any:
    def read(ref: Ref) -> Any:
        x = found.values[ref.name]
        return found.constraints.settle(x) if isinstance(x, Places) and ref is not picking else x

    picking = (op.arguments or {}).get(READ_PLACES.get(op.function, ""))
    if op.outputs and all(x is not None and 0 in x.shape for x in op.outputs):  # nothing depends on it
        results = [pinned(tuple(x.shape), "nothing") for x in op.outputs if x is not None]
        return results if op.many else results[0]
    arguments = substitute(op.arguments, read)
    try:
        if any(0 in x.shape for x in (arguments or {}).values() if isinstance(x, Value)):
            raise UnsupportedError("a tensor without entries")
        if op.function not in RULES:
            raise UnsupportedError("no rule for this op")
        result = RULES[op.function](Step(op, arguments, found.constraints, numbers))
    except UnsupportedError as error:
        return _pin(op, arguments, found.constraints, str(error))
    except Exception as error:  # the op is called in a way that its rule does not know; what it demanded so far stays
        return _pin(op, arguments, found.constraints, f"its rule failed: {type(error).__name__}: {error}")
    results = [result] if isinstance(result, Value) else list(result)
    checked = [_checked(x, output) for x, output in zip(results, op.outputs, strict=False)]
    return checked if op.many else checked[0] if checked else None


def _checked(x: Value | None, output: Tensor | None) -> Value | None:
    """A result, if it has the shape that the graph says; else something that pins it once it is read."""
    if x is None or output is None or x.shape == tuple(output.shape):
        return x
    return Places(pinned(tuple(output.shape), "").axes, source=x, along=tuple(range(x.ndim)))


def _pin(op: Op, arguments: Any, constraints: Constraints, why: str) -> Any:
    """Pin all that an op touches."""
    for x in _tensors(arguments):
        constraints.pin(x, why, UNSUPPORTED)
    results = [None if x is None else pinned(x.shape, why) for x in op.outputs]
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

    If the argument moves afterwards as it did before, so does everything that shares its memory. (But a part
    of a constant is no longer like the rest of it.) Otherwise it takes its new value, and so does what it is
    a slice of. If anything else that shares its memory is read later, all of it is pinned.
    """
    op, result = ops[position], found.values[ops[position].name]
    by_name = {other.name: other for other in ops[: position + 1]}
    later = {name for other in ops[position + 1 :] for name in other.inputs}
    for name in op.writes:
        before = found.values[name]
        if isinstance(result, Value) and isinstance(before, Value):
            if not before.constant and same(result, before):
                continue
            changed = _sliced_from(name, result, by_name, found)
        else:
            changed = {}
        storages = by_name[name].storages
        aliases = [x for x in by_name if by_name[x].storages & storages and x not in (name, op.name)]
        if changed and not later.intersection(aliases) - changed.keys():
            found.values |= changed
            continue
        for alias in [*aliases, name, op.name]:
            pinned_ones = [
                found.constraints.pin(x, "modified in place where another view of it is read", UNSUPPORTED)
                for x in _tensors(found.values[alias])
            ]
            found.values[alias] = pinned_ones if isinstance(found.values[alias], list) else pinned_ones[0]


def _sliced_from(name: str, new: Value, ops: Mapping[str, Op], found: Walk) -> dict[str, Value]:
    """The values after one of them has changed: itself, what it is a slice of, and so on; none if unclear."""
    changed = {name: new}
    while ops[name].function in ("slice", "select"):
        arguments = ops[name].arguments or {}
        parent = arguments["self"].name
        whole = found.values[parent]
        axis, index = picked(arguments, whole.shape)
        new = insert(new, axis) if ops[name].function == "select" else new
        try:
            new = replace(found.constraints, whole, axis, index, new)
        except UnsupportedError:
            return {}
        changed[parent] = new
        name = parent
    return changed
