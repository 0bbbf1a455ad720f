"""The tensors that a network returns, by name, and the part of its graph that some of them depend on.

A tensor inside dicts is named by their keys, one inside tuples by its place: `logits`, `0`, `hidden_states.3`. A
network that returns one tensor has one output without a name.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import TreeSpec

from permask.discovery.program import Node
from permask.errors import NetworkError

Wanted = str | int | Sequence[str | int] | None  # names or places of outputs; None for all

# what a network without a name for its only output calls it
WHOLE = ""


def named_tensors(output: Any, name: str = WHOLE) -> dict[str, Tensor]:
    """The tensors inside whatever a network returned, by name."""
    if isinstance(output, Tensor):
        return {name: output}
    if isinstance(output, Mapping):
        inside = output.items()
    elif isinstance(output, list | tuple):
        inside = zip(getattr(output, "_fields", range(len(output))), output, strict=True)
    else:
        return {}
    return {path: x for key, value in inside for path, x in named_tensors(value, _join(name, key)).items()}


def named_leaves(spec: TreeSpec, name: str = WHOLE) -> Iterator[str]:
    """The names of all that a captured network returns, in order, by the form in which it does."""
    if spec.is_leaf():
        yield name
        return
    keys = spec.context
    if isinstance(keys, type):  # a named tuple
        keys = getattr(keys, "_fields", None)
    children = spec.children()
    if not (isinstance(keys, Sequence) and len(keys) == len(children)):
        keys = range(len(children))
    for key, child in zip(keys, children, strict=True):
        yield from named_leaves(child, _join(name, key))


def wanted_names(names: Mapping[str, Any], wanted: Wanted) -> list[str]:
    """The outputs that are meant: by name, by the beginning of a name, or by place.

    Args:
        names: Of all outputs.
        wanted: What is asked for.

    Raises:
        NetworkError: There is no such output, or none at all.
    """
    if wanted is None:
        if not names:
            raise NetworkError("the network returns no tensor that it computes, so there is nothing to keep as it is")
        return list(names)
    first = list(dict.fromkeys(name.partition(".")[0] for name in names))
    chosen: list[str] = []
    for one in [wanted] if isinstance(wanted, str | int) else wanted:
        meant = first[one] if isinstance(one, int) and -len(first) <= one < len(first) else str(one)
        found = [name for name in names if name == meant or name.startswith(f"{meant}.")]
        if not found:
            known = ", ".join(filter(None, first)) or "one output without a name"
            raise NetworkError(f"the network has no output {one!r}; it returns {known}")
        chosen += found
    if not chosen:
        raise NetworkError("expected at least one output that counts, got none")
    return list(dict.fromkeys(chosen))


def needed(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes that the output depends on, with all that the network has and is given."""
    by_name = {node.name: node for node in nodes}
    wanted: set[str] = set()
    memory: set[int] = set()
    kept: list[Node] = []
    for node in reversed(nodes):
        writes = any(by_name[name].storages & memory for name in node.writes)
        if node.kind != "call" or node.name in wanted or writes:
            kept.append(node)
            if node.kind in ("call", "output"):
                wanted.update(node.inputs)
                memory.update(*(by_name[name].storages for name in node.inputs))
    return tuple(reversed(kept))


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
