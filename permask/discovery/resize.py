"""The calls of a program at other sizes: what an op is told about sizes and places, told again.

Ops that are told nothing of the kind are called as they were. `check_shapes` tells what does not work that way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from permask.discovery.program import Call, Node, Program, Ref, substitute, tensors_in
from permask.discovery.rules.segments import picked
from permask.errors import NetworkError

Mask = Bool[np.ndarray, "size"]


@dataclass(frozen=True, eq=False)
class Kept:
    """What stays of a tensor.

    Attributes:
        dims: For every dim, which positions stay.
        constant: For every dim, whether the tensor does not vary along it, or along a part of it.
    """

    dims: tuple[Mask, ...]
    constant: tuple[bool, ...]

    @property
    def shape(self) -> list[int]:
        """The shape that is left."""
        return [int(mask.sum()) for mask in self.dims]

    @property
    def whole(self) -> bool:
        """Whether all of it stays."""
        return all(mask.all() for mask in self.dims)


Sizes = Mapping[str, Sequence[Kept | None]]  # of all results, by node
# gives the arguments that change; under `target`, another op to call
Change = Callable[[Mapping[str, Any], Kept, Sequence[Kept]], dict[str, Any]]


def resized(program: Program, kept: Sizes) -> Program:
    """A program for smaller tensors.

    Args:
        program: The program.
        kept: What stays of the results of its nodes.
    """
    nodes: list[Node] = []
    calls = dict(program.calls)
    for node in program.nodes:
        results = [x for x in kept.get(node.name, ()) if x is not None]
        operands = {name: x for name in node.inputs if (x := kept[name][0]) is not None}
        if node.kind == "call" and results and not all(x.whole for x in (*results, *operands.values())):
            cuts = {name: _cut(node, name, x, results) for name, x in operands.items()}
            for part, call in (pair for pairs in cuts.values() for pair in pairs):
                nodes.append(part)
                calls[part.name] = call
            names = {name: pairs[-1][0].name for name, pairs in cuts.items() if pairs}
            operands |= {new: operands[old] for old, new in names.items()}
            node, calls[node.name] = _renamed(node, calls[node.name], names)
            calls[node.name] = _called(node, calls[node.name], operands, results)
        nodes.append(node)
    return Program(tuple(nodes), calls, program.constants, program.example)


def check_shapes(program: Program, kept: Sizes, state: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> None:
    """Raise a `NetworkError` that names the first op that does not run, or gives another shape than it should."""
    by_name = {node.name: node for node in program.nodes}

    def visit(name: str, values: list[Any]) -> None:
        got = [list(x.shape) for x in tensors_in(values[0])]
        expected = [x.shape for x in kept.get(name, ()) if x is not None]
        if name in kept and got != expected:
            node = by_name[name]
            where = f" at {node.line}" if node.line else ""
            raise NetworkError(f"{node.function} gives {got} in place of {expected}{where}")

    with torch.no_grad():
        program.run([state], inputs, visit)


def _cut(node: Node, name: str, x: Kept, results: Sequence[Kept]) -> list[tuple[Node, Call]]:
    """What makes an operand that does not vary along some dims as short there as the results are."""
    cuts: list[tuple[Node, Call]] = []
    for back, here in enumerate(reversed(x.dims), 1):
        ends = [result.dims[-back] for result in results if len(result.dims) >= back]
        there = next((end for end in ends if len(end) == len(here) and end.sum() < here.sum()), here)
        if x.constant[-back] and there is not here and here[there].all():
            index = torch.as_tensor(np.flatnonzero(there[here]))
            arguments = {"self": Ref(cuts[-1][0].name if cuts else name), "dim": -back, "index": index}
            part = Node(f"{node.name}/{name}/{back}", "call", (), function="index_select", arguments=arguments)
            cuts.append((part, Call(torch.ops.aten.index_select.default, list(arguments.values()), {}, None)))
    return cuts


def _renamed(node: Node, call: Call, names: Mapping[str, str]) -> tuple[Node, Call]:
    """A node that reads other ones."""
    arguments, args, kwargs = (
        substitute(x, lambda ref: Ref(names.get(ref.name, ref.name))) for x in (node.arguments, call.args, call.kwargs)
    )
    return replace(node, arguments=arguments), replace(call, args=args, kwargs=kwargs)


def _called(node: Node, call: Call, operands: Mapping[str, Kept], results: Sequence[Kept]) -> Call:
    arguments = dict(node.arguments or {})
    first = next((operands[x.name] for x in arguments.values() if isinstance(x, Ref) and x.name in operands), None)
    change = CHANGES.get(node.function.removesuffix("_copy"), _sizes)
    changed = change(arguments, first or results[0], results)
    if not changed:
        return call
    target = changed.pop("target", None)
    kept = {} if target else arguments
    return replace(call, target=target or call.target, args=(), kwargs={**kept, **changed})


def _sizes(arguments: Mapping[str, Any], x: Kept, results: Sequence[Kept]) -> dict[str, Any]:
    """Views, and what makes tensors of a shape; numbers of classes."""
    shape = results[0].shape
    whole = {name: shape for name in ("size", "shape") if isinstance(arguments.get(name), list | tuple)}
    return whole | {name: shape[-1] for name in ("num_classes", "bins", "minlength") if name in arguments}


def _unflatten(arguments: Mapping[str, Any], x: Kept, results: Sequence[Kept]) -> dict[str, Any]:
    dim = arguments["dim"] % len(x.dims)
    return {"sizes": results[0].shape[dim : dim + len(arguments["sizes"])]}


def _split(arguments: Mapping[str, Any], x: Kept, results: Sequence[Kept]) -> dict[str, Any]:
    dim = arguments.get("dim", 0) % len(x.dims)
    sizes = [result.shape[dim] for result in results]
    return {
        "target": torch.ops.aten.split_with_sizes.default,
        "self": arguments["self"],
        "split_sizes": sizes,
        "dim": dim,
    }


def _slice(arguments: Mapping[str, Any], x: Kept, results: Sequence[Kept]) -> dict[str, Any]:
    """Places along a dim are counted among those that stay."""
    dim, positions = picked(arguments, [len(mask) for mask in x.dims])
    mask = x.dims[dim]
    left = np.cumsum(mask)[positions[mask[positions]]] - 1
    if mask.all():
        return {}
    steps = np.unique(np.diff(left)).tolist()
    if len(left) == 0 or len(steps) > 1:
        raise NetworkError("a slice takes places that are not the same distance apart in a narrow copy")
    if "index" in arguments:
        return {"index": int(left[0])}
    if "length" in arguments:
        return {"start": int(left[0]), "length": len(left)}
    return {"start": int(left[0]), "end": int(left[-1]) + 1, "step": next(iter(steps), 1)}


def _normalized(arguments: Mapping[str, Any], x: Kept, results: Sequence[Kept]) -> dict[str, Any]:
    return {"normalized_shape": results[0].shape[-len(arguments["normalized_shape"]) :]}


def _groups(name: str, channel: int) -> Change:
    """Of channels in groups, how many groups stay: those of which a channel does."""

    def change(arguments: Mapping[str, Any], x: Kept, results: Sequence[Kept]) -> dict[str, Any]:
        if arguments[name] == 1:
            return {}
        return {name: int(results[0].dims[channel].reshape(arguments[name], -1).any(axis=1).sum())}

    return change


SPLITS = (
    "chunk",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
)
CONVOLUTIONS = [f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)]
CHANGES: dict[str, Change] = {
    "unflatten": _unflatten,
    **dict.fromkeys(SPLITS, _split),
    **dict.fromkeys(("slice", "select", "narrow"), _slice),
    **dict.fromkeys(("layer_norm", "rms_norm", "native_layer_norm"), _normalized),
    "group_norm": _groups("num_groups", 1),
    **{name: _groups("groups", -int(name[-2]) - 1) for name in CONVOLUTIONS},
}
