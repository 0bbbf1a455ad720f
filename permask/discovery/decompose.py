"""Composite ops without a rule, written as the ops that they are composed of: one node at a time.

Torch knows for many ops how to compute them by others: ops with a CompositeImplicitAutograd kernel, and those in its
tables of decompositions. A node is decomposed only if all ops that come out have rules, so that an op that remains
unknown is reported by the name that the network's author knows.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table
from torch._guards import detect_fake_mode
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from permask.discovery.capture import quiet
from permask.discovery.program import Call, Node, Program, Ref, substitute
from permask.discovery.reader import Reader


def decomposed(program: Program, known: Collection[str]) -> Program:
    """The program with its composite ops decomposed that are not among the `known` ones; itself if there are none.

    The parts of a node `n` are called `n/...`. Where it was, a node of kind `result` has its name and refers to what
    its parts give.
    """
    if not any(node.kind == "call" and node.function not in known for node in program.nodes):
        return program
    parts = _Parts(known)
    nodes = [part for node in program.nodes for part in parts.of(node, program.calls.get(node.name))]
    calls, constants = {**program.calls, **parts.calls}, {**program.constants, **parts.constants}
    return Program(tuple(nodes), calls, constants, program.example)


class _Parts:
    """Decomposes node after node.

    Attributes:
        calls: How to execute the parts, by name.
        constants: The tensors among them.
    """

    def __init__(self, known: Collection[str]):
        self.calls: dict[str, Call] = {}
        self.constants: dict[str, Any] = {}
        self._known = known
        self._outputs: dict[str, Sequence[Tensor | None]] = {}

    def of(self, node: Node, call: Call | None, inside: frozenset[str] = frozenset()) -> list[Node]:
        """The nodes to take in place of one: its parts and its result, or itself."""
        self._outputs[node.name] = node.outputs
        if node.kind != "call" or call is None or node.function in self._known:
            return [node]
        compute = _composition(call.target)
        if compute is None or node.function in inside:
            return [node]
        try:
            reader, results = self._trace(node, call, compute)
        except Exception:  # its shapes depend on the data, or its decomposition does not know this way of calling it
            return [node]
        parts = [
            part
            for inner in reader.nodes
            for part in self.of(
                replace(inner, module=node.module, line=node.line),
                reader.calls.get(inner.name),
                inside | {node.function},
            )
        ]
        if any(part.kind == "call" and part.function not in self._known for part in parts):
            return [node]
        self.calls |= reader.calls
        self.constants |= reader.constants
        result = replace(node, kind="result", arguments={"results": results}, writes=())
        return [*parts, result]

    def _trace(self, node: Node, call: Call, compute: Callable[..., Any]) -> tuple[Reader, Any]:
        """The graph of what computes a node, and references to its results."""
        refs = list(dict.fromkeys(_refs((call.args, call.kwargs))))
        given = [self._outputs[ref.name][0] for ref in refs]
        mode = detect_fake_mode(given) or FakeTensorMode()
        fakes = [x.detach() if isinstance(x, FakeTensor) else mode.from_tensor(x) for x in given if x is not None]

        def run(*tensors: Tensor) -> Any:
            by_ref = dict(zip(refs, tensors, strict=True))
            args, kwargs = (substitute(x, by_ref.__getitem__) for x in (call.args, call.kwargs))
            return compute(*args, **kwargs)

        with torch.no_grad(), quiet():
            reader = Reader(make_fx(run)(*fakes), node.name + "/", call.autocast)
        results = reader.read_all(refs)
        if any(isinstance(x, FakeTensor) for x in reader.constants.values()) or not _refs(results):
            raise NotImplementedError("the decomposition makes tensors whose entries are not known")
        return reader, results


def _composition(target: Any) -> Callable[..., Any] | None:
    """What computes an op by others, if anything does; an op that draws at random is left alone."""
    if not isinstance(target, OpOverload) or torch.Tag.nondeterministic_seeded in target.tags:
        return None
    return target.decompose if target._can_decompose() else decomposition_table.get(target)


def _refs(arguments: Any) -> list[Ref]:
    found: list[Ref] = []
    substitute(arguments, found.append)
    return found
