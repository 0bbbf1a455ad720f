"""The values of parameters and buffers: an atom for every position along every axis.

The rows of some weights fall into blocks that may move differently along the other axes: those of a grouped
convolution `[G out, in]`, and stacked matrices `[G, in, out]` that a batched product multiplies by one by one.
There the other axes have an atom for every position *in each block*.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from permask.discovery.atoms import Bundle, Dim, Value, pinned, value
from permask.discovery.constraints import Constraints, Slot
from permask.discovery.program import Op, Ref


@dataclass(frozen=True)
class Structure:
    """How many blocks of rows a weight has, and which of its dims may move differently in each."""

    blocks: int
    dims: tuple[int, ...]


def state(constraints: Constraints, op: Op, key: str, structure: Structure | None) -> Value:
    """The value of a parameter or buffer, and its slots."""
    if structure is None:
        x = pinned(op.shape, "")
        bundles = [constraints.fresh([dim]) for dim in x.dims]
        moving = [dim for dim, size in enumerate(op.shape) if size != 1]
        for dim, bundle in zip(moving, bundles, strict=True):
            constraints.slots.append(Slot(key, dim, bundle.atoms))
        return value(x.axes, bundles)
    block, rows = Dim(structure.blocks), Dim(op.shape[0] // structure.blocks)
    axes = [(block, rows) if rows.size != 1 else (block,), *((Dim(n),) if n != 1 else () for n in op.shape[1:])]
    outer = constraints.fresh([block])
    bundles: list[Bundle] = []
    for dim, axis in enumerate(axes):
        by_block = dim in structure.dims
        if dim == 0 and rows.size == 1:
            bundle = outer
        elif axis:
            bundle = constraints.fresh((block, *axis) if by_block else axis)
            bundles.append(bundle)
            if by_block or dim == 0:
                constraints.refine(outer, bundle)
        else:
            continue
        constraints.slots.append(Slot(key, dim, bundle.atoms.ravel(), structure.blocks if by_block else 1))
    return value(axes, bundles)


def structures(ops: Sequence[Op]) -> Mapping[str, Structure]:
    """The structured parameters of a network, by key, from how they are used."""
    users: dict[str, list[tuple[Op, str]]] = {}
    for op in ops:
        for name in op.inputs:
            users.setdefault(name, []).append((op, name))
    found: dict[str, Structure] = {}
    for op in ops:
        uses = users.get(op.name, [])
        if op.kind != "state" or len(op.shape) < 2 or not uses:
            continue
        groups = {use.arguments["groups"] if _is_weight(use, name) and use.arguments else 1 for use, name in uses}
        if groups != {1} and len(groups) == 1 and op.shape[1] > 1:
            found[op.key] = Structure(groups.pop(), (1,))
        elif len(op.shape) == 3 and op.shape[0] > 1 and all(_is_stack(use, name, users) for use, name in uses):
            found[op.key] = Structure(op.shape[0], (1, 2))
    stacks = {(op.shape[0], n) for op in ops if op.key in found and len(op.shape) == 3 for n in op.shape[1:]}
    for op in ops:  # the biases of stacked matrices
        products = [
            use for use, _ in users.get(op.name, []) if use.function in ("linear", "matmul", "mm", "addmm", "einsum")
        ]
        if op.kind == "state" and op.shape in stacks and op.shape[0] > 1 and op.name in users and not products:
            found[op.key] = Structure(op.shape[0], (1,))
    return found


def _is_weight(use: Op, name: str) -> bool:
    """Whether an op is a convolution with this value as its weight only."""
    arguments = use.arguments or {}
    given = [key for key, x in arguments.items() if isinstance(x, Ref) and x.name == name]
    return use.function.startswith("conv") and given == ["weight"]


def _is_stack(use: Op, name: str, users: Mapping[str, Sequence[tuple[Op, str]]]) -> bool:
    """Whether an op multiplies by a stack of matrices one by one."""
    arguments = use.arguments or {}
    if use.function in ("transpose", "contiguous", "to", "mT"):
        dims = {arguments.get("dim0", 1) % 3, arguments.get("dim1", 2) % 3}
        return dims == {1, 2} and all(_is_stack(*further, users) for further in users.get(use.name, []))
    if use.function in ("bmm", "baddbmm"):
        return True
    if use.function == "matmul":
        return len(use.shape) >= 3
    if use.function == "einsum":
        inputs, _, output = arguments["equation"].replace(" ", "").partition("->")
        place = [isinstance(x, Ref) and x.name == name for x in arguments["tensors"]].index(True)
        letter = inputs.split(",")[place][:1]
        return letter in output
    return False
