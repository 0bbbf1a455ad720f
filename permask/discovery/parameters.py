"""The values of parameters and buffers: an atom for every position along every axis.

The rows of some weights fall into blocks that may move differently along the other axes: those of a grouped
convolution `[G out, in]`, and stacked matrices `[G, in, out]` that a batched product multiplies by one by one.
There the other axes have an atom for every position *in each block*.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from permask.discovery.atoms import Bundle, Digit, Value, pinned, value
from permask.discovery.constraints import Constraints, Slot
from permask.discovery.program import Node, Ref


@dataclass(frozen=True)
class Structure:
    """How many blocks of rows a weight has, and which of its dims may move differently in each."""

    blocks: int
    dims: tuple[int, ...]


def state(constraints: Constraints, node: Node, key: str, structure: Structure | None) -> Value:
    """The value of a parameter or buffer, and its slots."""
    if structure is None:
        x = pinned(node.shape, "")
        bundles = [constraints.fresh([digit]) for digit in x.digits]
        moving = [dim for dim, size in enumerate(node.shape) if size != 1]
        for dim, bundle in zip(moving, bundles, strict=True):
            constraints.slots.append(Slot(key, dim, bundle.atoms))
        return value(x.dims, bundles)
    block, rows = Digit(structure.blocks), Digit(node.shape[0] // structure.blocks)
    first = (block, rows) if rows.size != 1 else (block,)
    dims = [first, *((Digit(size),) if size != 1 else () for size in node.shape[1:])]
    outer = constraints.fresh([block])
    bundles: list[Bundle] = []
    for dim, digits in enumerate(dims):
        by_block = dim in structure.dims
        if dim == 0 and rows.size == 1:
            bundle = outer
        elif digits:
            bundle = constraints.fresh((block, *digits) if by_block else digits)
            bundles.append(bundle)
            if by_block or dim == 0:
                constraints.refine(outer, bundle)
        else:
            continue
        constraints.slots.append(Slot(key, dim, bundle.atoms.ravel(), structure.blocks if by_block else 1))
    return value(dims, bundles)


def structures(nodes: Sequence[Node]) -> Mapping[str, Structure]:
    """The structured parameters of a network, by key, from how they are used."""
    users: dict[str, list[tuple[Node, str]]] = {}
    for node in nodes:
        for name in node.inputs:
            users.setdefault(name, []).append((node, name))
    found: dict[str, Structure] = {}
    for node in nodes:
        uses = users.get(node.name, [])
        if node.kind != "state" or len(node.shape) < 2 or not uses:
            continue
        groups = {use.arguments["groups"] if _is_weight(use, name) and use.arguments else 1 for use, name in uses}
        if groups != {1} and len(groups) == 1 and node.shape[1] > 1:
            found[node.key] = Structure(groups.pop(), (1,))
        elif len(node.shape) == 3 and node.shape[0] > 1 and all(_is_stack(use, name, users) for use, name in uses):
            found[node.key] = Structure(node.shape[0], (1, 2))
    stacks = {
        (node.shape[0], n) for node in nodes if node.key in found and len(node.shape) == 3 for n in node.shape[1:]
    }
    for node in nodes:  # the biases of stacked matrices
        products = [
            use for use, _ in users.get(node.name, []) if use.function in ("linear", "matmul", "mm", "addmm", "einsum")
        ]
        if node.kind == "state" and node.shape in stacks and node.shape[0] > 1 and node.name in users and not products:
            found[node.key] = Structure(node.shape[0], (1,))
    return found


def _is_weight(use: Node, name: str) -> bool:
    """Whether a node is a convolution with this value as its weight only."""
    arguments = use.arguments or {}
    given = [key for key, x in arguments.items() if isinstance(x, Ref) and x.name == name]
    return use.function.startswith("conv") and given == ["weight"]


def _is_stack(use: Node, name: str, users: Mapping[str, Sequence[tuple[Node, str]]]) -> bool:
    """Whether a node multiplies by a stack of matrices one by one."""
    arguments = use.arguments or {}
    if use.function in ("transpose", "contiguous", "to", "mT"):
        dims = {arguments.get("dim0", 1) % 3, arguments.get("dim1", 2) % 3}
        return dims == {1, 2} and all(_is_stack(*further, users) for further in users.get(use.name, []))
    if use.function in ("index", "index_select"):  # the weights of every row's expert
        first = (arguments.get("indices") or [arguments.get("index")])[0]
        picks = arguments.get("dim", 0) == 0 and isinstance(first, Ref) and first.name != name and len(use.shape) == 3
        return picks and all(_is_stack(*further, users) for further in users.get(use.name, []))
    if use.function in ("bmm", "baddbmm", "_grouped_mm", "transformers::grouped_mm_fallback"):
        return True
    if use.function == "matmul":
        return len(use.shape) >= 3
    if use.function == "einsum":
        inputs, _, output = arguments["equation"].replace(" ", "").partition("->")
        place = [isinstance(x, Ref) and x.name == name for x in arguments["tensors"]].index(True)
        letter = inputs.split(",")[place][:1]
        return letter in output
    return False
