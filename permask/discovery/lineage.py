"""What a value is computed by, whatever the shapes: the same in two captures if the same computation gives it.

A network may branch on the shape of its inputs, so that another batch size runs other code, in which a node of the same
name is something else.
"""

import hashlib
from collections.abc import Mapping, Sequence

from permask.discovery.program import Node


def lineages(nodes: Sequence[Node]) -> Mapping[str, str]:
    """A hash for every node: of its op, its module, the parameters it uses, and the lineages of what it reads.

    Numbers among the arguments are left out, since they tell of shapes. What modifies a value in place counts as a part
    of the lineage of all that shares its memory.
    """
    found: dict[str, str] = {}
    sharing: dict[int, list[str]] = {}  # memory -> names of the nodes that live in it
    by_name = {node.name: node for node in nodes}
    inputs = 0
    for node in nodes:
        who = (node.kind, node.function, node.module, node.key)
        if node.kind == "input":
            who, inputs = (node.kind, str(inputs)), inputs + 1
        found[node.name] = _hash(*who, *(found[name] for name in node.inputs))
        for name in node.writes:
            for alias in {alias for memory in by_name[name].storages for alias in sharing.get(memory, ())}:
                found[alias] = _hash(found[alias], found[node.name])
        for memory in node.storages:
            sharing.setdefault(memory, []).append(node.name)
    return found


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
