"""Running a program on images whose channels lie last in memory, which convolutions on a CPU read faster.

What a network computes does not depend on how its inputs lie in memory, unless it looks at memory itself: by a view,
or by writing into what is a view of another value in one order, and a copy in another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from permask.discovery.program import Node, Program
from permask.discovery.rules.registry import names
from permask.inputs import Inputs

Memory = Mapping[str, set[int]]  # name of a node to the storages that its tensors lie in

# views where that is possible, and copies where it is not
VIEWS = {"reshape", "reshape_as", "flatten", "ravel", "contiguous", "to"}
# that are nothing but a view, and a copy would do
ONLY_VIEWS = {
    "view": torch.ops.aten.reshape.default,
    "_unsafe_view": torch.ops.aten.reshape.default,
    "view_as": torch.ops.aten.reshape_as.default,
}
# ops whose result is another one when memory is in another order, or that fail then
LOOK_AT_MEMORY = names("""
_reshape_alias as_strided as_strided_ as_strided_copy as_strided_scatter resize resize_ resize_as resize_as_ set_
view_as_complex view_as_complex_copy isin kron linalg_matrix_exp matrix_exp take_along_dim
_scaled_dot_product_flash_attention_for_cpu
""")


def with_channels_last(program: Program) -> Program | None:
    """A program that computes the same, but takes inputs that `channels_last` gives; None if it cannot be had.

    It cannot where a network looks at memory, writes into what may be a view, or has an op that is not torch's own. It
    is not worth its while for a network without convolutions of images, in float64, or away from the CPU.
    """
    calls = [node for node in program.nodes if node.kind == "call"]
    convolves = any(node.function == "conv2d" for node in calls)
    if not convolves or program.dtype is torch.float64 or program.device.type != "cpu":
        return None
    if any("::" in node.function or node.function in LOOK_AT_MEMORY for node in calls):
        return None
    views = [node for node in calls if node.function in VIEWS | ONLY_VIEWS.keys()]
    if any(node.function == "view" and node.overload == "dtype" for node in views):
        return None
    memory = {node.name: node.storages for node in program.nodes}
    if set(views) & set(_written_later(program.nodes, memory)) or any(_reads_what_it_writes(n, memory) for n in calls):
        return None
    copies = {n.name: replace(program.calls[n.name], target=t) for n in views if (t := ONLY_VIEWS.get(n.function))}
    return Program(program.nodes, {**program.calls, **copies}, program.constants, program.example)


def channels_last(inputs: Inputs) -> Inputs:
    """The same inputs, images `[N, C, H, W]` with their channels last in memory."""
    return inputs.map(lambda x: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x)


def _written_later(nodes: Sequence[Node], memory: Memory) -> Iterator[Node]:
    """Nodes whose value, or what it is computed from, is written into later on."""
    written: set[int] = set()
    for node in reversed(nodes):
        if written & set().union(*(memory[name] for name in (node.name, *node.inputs))):
            yield node
        written.update(*(memory[name] for name in node.writes))


def _reads_what_it_writes(node: Node, memory: Memory) -> bool:
    """Whether a node writes into memory that another of its arguments lies in, so that the order of entries matters."""
    written = set().union(*(memory[name] for name in node.writes))
    return any(written & memory[name] for name in node.inputs if name not in node.writes)
