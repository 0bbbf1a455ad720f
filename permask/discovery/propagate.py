"""Follow the units of a network through its nodes, by one rule per op."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from permask.discovery.atoms import Mismatch, Value, new_dims, pinned, same, value
from permask.discovery.concatenate import replace
from permask.discovery.constraints import Constraints, Reason
from permask.discovery.layout import insert
from permask.discovery.parameters import state, structures
from permask.discovery.program import Node, Program, Ref, substitute
from permask.discovery.rules import READ_PLACES, RULES, Op, Rule, UnsupportedError
from permask.discovery.rules.segments import picked
from permask.errors import RuleError

UNSUPPORTED = "unsupported op"
MODIFIED = "modified in place where another view of it is read"


@dataclass(eq=False)
class Propagation:
    """What is known of a network after the rules of all its ops.

    Attributes:
        constraints: The coloured graph of atoms.
        values: The value of every node, or the list of its values.
        states: The value of every parameter and buffer in use, by the first of its names.
        depends: Names of the nodes whose value depends on the network's inputs.
    """

    constraints: Constraints = field(default_factory=Constraints)
    values: dict[str, Any] = field(default_factory=dict)
    states: dict[str, Value] = field(default_factory=dict)
    depends: set[str] = field(default_factory=set)


def propagate(program: Program, names: Mapping[str, str], numbers: Mapping[str, np.ndarray]) -> Propagation:
    """Apply the rules to every node of a network.

    Args:
        program: The network.
        names: Of every key of the `state_dict`, the key to use for it: the same one for tied parameters.
        numbers: What `Program.numbers` knows.
    """
    found = Propagation()
    structured = {names[key]: structure for key, structure in structures(program.nodes).items()}
    used = {name for node in program.nodes for name in node.inputs}
    for position, node in enumerate(program.nodes):
        if found.depends.intersection(node.inputs):
            found.depends.add(node.name)
        if node.kind == "call":
            found.values[node.name] = _call(node, found, numbers)
            if node.writes:
                _write(position, program.nodes, found)
        elif node.kind == "result":
            found.values[node.name] = substitute((node.arguments or {})["results"], lambda ref: found.values[ref.name])
        elif node.kind == "output":
            arguments = node.arguments or {}
            for ref, name in zip(arguments["values"], arguments["names"], strict=True):
                which = f"output {name} of the network" if len(arguments["names"]) > 1 else "output of the network"
                for x in _tensors(substitute(ref, lambda ref: found.values[ref.name])):
                    x = found.constraints.settle(x, op=node.label)
                    found.constraints.pin(x, Reason(node.label, which))
        elif node.kind == "state" and node.name in used and _floating(node):
            key = names[node.key]
            if key not in found.states:
                found.states[key] = state(found.constraints, node, key, structured.get(key))
            found.values[node.name] = found.states[key]
        else:
            if node.kind == "input":
                found.depends.add(node.name)
            found.values[node.name] = _given(node, program.constants.get(node.name))
    found.constraints.fix_unused()
    return found


def _given(node: Node, known: Tensor | None) -> Value:
    """What the network is given, or has of its own: pinned, but for digits along which all known entries are alike."""
    if known is None or known.is_meta:
        return pinned(node.shape, "the network's input" if node.kind == "input" else "numbers of the network's own")
    dims = new_dims(tuple(known.shape), "numbers of the network's own")
    alike = {
        digit
        for k, digits in enumerate(dims)
        for digit in digits
        if not known.numel() or (known == known.narrow(k, 0, 1)).all()
    }
    return value(dims, (), alike)


def _floating(node: Node) -> bool:
    return any(x is not None and x.is_floating_point() for x in node.outputs)


def _call(node: Node, found: Propagation, numbers: Mapping[str, np.ndarray]) -> Any:
    def read(ref: Ref) -> Any:
        x = found.values[ref.name]
        return found.constraints.settle(x, op=node.label) if isinstance(x, Value) and ref not in picking else x

    places = (node.arguments or {}).get(READ_PLACES.get(node.function, ""))
    picking = places if isinstance(places, list | tuple) else [places]
    if node.outputs and all(x is not None and 0 in x.shape for x in node.outputs):  # nothing depends on it
        results = [pinned(tuple(x.shape), "nothing") for x in node.outputs if x is not None]
        return results if node.many else results[0]
    arguments = substitute(node.arguments, read)
    try:
        if any(0 in x.shape for x in (arguments or {}).values() if isinstance(x, Value)):
            raise UnsupportedError("a tensor without entries")
        if node.function not in RULES:
            raise UnsupportedError("no rule for this op")
        result = RULES[node.function](Op(node, arguments or {}, found.constraints, numbers))
        results = [result] if isinstance(result, Value) else list(result)
        if len(results) != len(node.outputs):
            raise ValueError(f"it gives {len(results)} results, where the op returns {len(node.outputs)}")
    except UnsupportedError as error:  # what the rule demanded so far stays
        return _pin(node, arguments, found.constraints, str(error))
    except Exception as error:
        raise _rule_error(node, RULES[node.function], error) from error
    checked = [_checked(x, output) for x, output in zip(results, node.outputs, strict=True)]
    return checked if node.many else checked[0] if checked else None


def _rule_error(node: Node, rule: Rule, error: Exception) -> RuleError:
    """Say which rule failed, where it is written, and on which call."""
    code = getattr(rule, "__code__", None)
    written = f"{rule.__qualname__} ({code.co_filename}:{code.co_firstlineno})" if code else repr(rule)
    where = f" at {node.line}" if node.line else ""
    return RuleError(
        f"{node.label}{where}: the rule {written} failed: {type(error).__name__}: {error}. "
        "Mend the rule; a call that it cannot describe should raise UnsupportedError, which pins what the op touches"
    )


def _checked(x: Value | None, output: Tensor | None) -> Value | None:
    """A result, if it has the shape that the op returns."""
    if x is None or output is None or x.shape == tuple(output.shape):
        return x
    return Mismatch(pinned(tuple(output.shape), "").dims, given=x)


def _pin(node: Node, arguments: Any, constraints: Constraints, why: str) -> Any:
    """Pin all that a node touches."""
    for x in _tensors(arguments):
        constraints.pin(x, Reason(node.label, why, UNSUPPORTED))
    results = [None if x is None else pinned(x.shape, why) for x in node.outputs]
    return results if node.many else results[0] if results else None


def _tensors(arguments: Any) -> list[Value]:
    """The values inside nested arguments."""
    if isinstance(arguments, Value):
        return [arguments]
    if isinstance(arguments, Mapping):
        return _tensors(list(arguments.values()))
    if isinstance(arguments, list | tuple):
        return [x for argument in arguments for x in _tensors(argument)]
    return []


def _write(position: int, nodes: tuple[Node, ...], found: Propagation) -> None:
    """Account for a node that modifies its argument in place.

    If the argument moves afterwards as it did before, so does everything that shares its memory. (But a part
    of a constant is no longer like the rest of it.) Otherwise it takes its new value, and so does what it is
    a slice of. If anything else that shares its memory is read later, all of it is pinned.
    """
    node, result = nodes[position], found.values[nodes[position].name]
    by_name = {other.name: other for other in nodes[: position + 1]}
    later = {name for other in nodes[position + 1 :] for name in other.inputs}
    for name in node.writes:
        before = found.values[name]
        if isinstance(result, Value) and isinstance(before, Value):
            if not before.constant and same(result, before):
                continue
            changed = _sliced_from(name, result, by_name, found, op=node.label)
        else:
            changed = {}
        storages = by_name[name].storages
        aliases = [x for x in by_name if by_name[x].storages & storages and x not in (name, node.name)]
        if changed and not later.intersection(aliases) - changed.keys():
            found.values |= changed
            continue
        for alias in [*aliases, name, node.name]:
            pinned_ones = [
                found.constraints.pin(x, Reason(node.label, MODIFIED, UNSUPPORTED))
                for x in _tensors(found.values[alias])
            ]
            found.values[alias] = pinned_ones if isinstance(found.values[alias], list) else pinned_ones[0]


def _sliced_from(name: str, new: Value, nodes: Mapping[str, Node], found: Propagation, *, op: str) -> dict[str, Value]:
    """The values after one of them has changed: itself, what it is a slice of, and so on; none if unclear."""
    changed = {name: new}
    while nodes[name].function in ("slice", "select"):
        arguments = nodes[name].arguments or {}
        parent = arguments["self"].name
        whole = found.values[parent]
        dim, index = picked(arguments, whole.shape)
        new = insert(new, dim) if nodes[name].function == "select" else new
        try:
            new = replace(found.constraints, whole, dim, index, new=new, op=op)
        except UnsupportedError:
            return {}
        changed[parent] = new
        name = parent
    return changed
