"""Running a program on images whose channels lie last in memory, which convolutions on a CPU read faster.

What a network computes does not depend on how its inputs lie in memory, unless it looks at memory itself: by a view,
or by writing into what is a view of another value in one order, and a copy in another.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from permask.discovery.program import Node, Program
from permask.inputs import Inputs

# views where that is possible, and copies where it is not
VIEWS = {"reshape", "reshape_as", "flatten", "ravel", "contiguous"}
# that are nothing but a view, and a copy would do
ONLY_VIEWS = {"view": torch.ops.aten.reshape.default, "view_as": torch.ops.aten.reshape_as.default}
# ops whose result is another one when memory is in another order
LOOK_AT_MEMORY = {"as_strided", "as_strided_", "set_", "resize_", "resize_as_", "view_as_complex", "_reshape_alias"}


def with_channels_last(program: Program) -> Program | None:
    """A program that computes the same, and takes inputs that `channels_last` gives; None if there is no such program.

    There is none for networks without convolutions of images, in float64, or with an op that is not torch's own.
    """
    calls = [node for node in program.nodes if node.kind == "call"]
    if program.dtype is torch.float64 or all(node.function != "conv2d" for node in calls):
        return None
    if any("::" in node.function or node.function in LOOK_AT_MEMORY for node in calls):
        return None
    views = [node for node in calls if node.function in VIEWS | ONLY_VIEWS.keys()]
    if any(node.overload == "dtype" for node in views) or set(views) & set(_shared(program)):
        return None
    copies = {n.name: replace(program.calls[n.name], target=t) for n in views if (t := ONLY_VIEWS.get(n.function))}
    return Program(program.nodes, {**program.calls, **copies}, program.constants, program.example)


def channels_last(inputs: Inputs) -> Inputs:
    """The same inputs, images `[N, C, H, W]` with their channels last in memory."""
    return inputs.map(lambda x: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x)


def _shared(program: Program) -> Iterator[Node]:
    """Nodes whose value, or what it is computed from, is written into later on."""
    by_name = {node.name: node for node in program.nodes}
    written: set[int] = set()
    for node in reversed(program.nodes):
        memory = set().union(node.storages, *(by_name[name].storages for name in node.inputs))
        if memory & written:
            yield node
        written |= set().union(*(by_name[name].storages for name in node.writes))
