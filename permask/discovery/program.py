"""A captured network: its nodes in order of execution, and how to run several networks through them at once."""

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from permask.discovery.parts import cuts, expiring_in
from permask.discovery.precision import in_float64
from permask.discovery.weights import Weights
from permask.errors import NetworkError, PermaskError

INTEGERS = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
FAR = 8  # nodes after its use, a weight is made again rather than held
Kind = Literal["state", "constant", "input", "call", "result", "output"]


@dataclass(frozen=True)
class Ref:
    """Stands for the value of another node inside a node's arguments."""

    name: str


@dataclass(frozen=True, eq=False)
class Node:
    """One node of the captured graph: a tensor that the network has or is given, or the call of an op.

    Attributes:
        name: Unique, and the same whenever the same code is captured at the same input shapes.
        kind: `state` (a parameter or buffer), `constant`, `input`, `call`, `result` (of a call that was decomposed) or
            `output`.
        function: Of a call, the op's name: `conv2d`, or `namespace::name` outside ATen.
        overload: Of a call, the op's overload: `default`, `dim`, `Tensor`.
        arguments: Of a call, by the names of the op's schema and with its defaults; values are `Ref`s.
            Of the output, `values`: everything that the network returns, and `names` of it. Of a result, `results`:
            what gives it.
        outputs: The (fake) tensors that it gives, for shape and dtype; None stands for anything else.
        many: Whether the op returns a sequence.
        writes: Names of the nodes whose value this one modifies in place.
        key: Of a state, its key in the `state_dict`.
        module: Path of the module whose `forward` made the call, as in `named_modules`.
        line: Where in the user's code, `file:line`.
    """

    name: str
    kind: Kind
    outputs: tuple[Tensor | None, ...]
    many: bool = False
    function: str = ""
    overload: str = ""
    arguments: Mapping[str, Any] | None = None
    writes: tuple[str, ...] = ()
    key: str = ""
    module: str = ""
    line: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the only, or first, tensor that the node gives."""
        first = self.outputs[0] if self.outputs else None
        return () if first is None else tuple(first.shape)

    @property
    def label(self) -> str:
        """How the node is named in the reasons of pins."""
        return f"{self.name} ({self.function})" if self.function else self.kind

    @property
    def storages(self) -> set[int]:
        """Identities of the memory that the node's tensors live in; values that share one alias each other."""
        return {x.untyped_storage()._cdata for x in self.outputs if x is not None}

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the nodes whose values are used."""
        names: list[str] = []
        substitute(self.arguments, lambda ref: names.append(ref.name))
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, eq=False)
class Call:
    """How to execute a node: what the graph calls, with what, under which autocast."""

    target: Callable[..., Any]
    args: Any
    kwargs: Any
    autocast: tuple[Any, ...] | None


class Program:
    """A network's nodes in the order of execution.

    Attributes:
        nodes: Every node; each uses only values of earlier ones.
        calls: How to execute the calls among them, by name.
        constants: The network's own tensors that are in no `state_dict`, by name.
        example: What the network was captured with.
        returned: The names of what it returns.
        device: Where the network was when it was captured.
        dtype: Its floating-point type then.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        calls: Mapping[str, Call],
        constants: Mapping[str, Any],
        example: Sequence[Tensor],
    ):
        self.nodes = nodes
        self.calls = calls
        self.constants = constants
        self.example = example
        self.returned = [name for node in nodes if node.kind == "output" for name in (node.arguments or {})["names"]]
        parameters = [x for node in nodes if node.kind == "state" for x in node.outputs if x is not None]
        floating = next((x for x in [*parameters, *example] if x.is_floating_point()), torch.empty(0))
        self.device, self.dtype = floating.device, floating.dtype
        written = {name for node in nodes for name in node.writes}
        storages = set().union(*(node.storages for node in nodes if node.name in written))
        self._modified = {node.name for node in nodes if node.kind != "call" and node.storages & storages}

    def run(
        self,
        states: Sequence[Mapping[str, Tensor]],
        inputs: Sequence[Tensor],
        visit: Callable[[str, list[Tensor]], None] | None = None,
        watch: frozenset[str] | None = None,
    ) -> list[Any]:
        """Run networks over the same inputs, in turn up to each node to visit. Values go after their last use.

        Neither the states nor the inputs are modified. In float64, or in another floating-point
        type than at capture, casts inside the network go to that type too.

        Args:
            states: One `state_dict` per network (K in all), of the architecture that was captured.
            inputs: What the networks take, of the shapes that were captured.
            visit: Called as `visit(name, values)` right after node `name`, with its K values.
            watch: Names of the nodes to visit (all calls by default); execution stops after the last of them.

        Returns:
            K outputs, each a tensor or the tuple of all that the network returns; none if `watch` is given.

        Raises:
            NetworkError: A state that lacks a tensor, or inputs of other shapes.
            PermaskError: A watched node that does not exist.
        """
        self._check(inputs, watch)
        count = (
            1 + max((i for i, node in enumerate(self.nodes) if node.name in watch), default=-1)
            if watch is not None
            else None
        )
        nodes = self._in_order if count is None else self._late(self.nodes[:count], watch)
        expiring = expiring_in(nodes)
        adapt, given = self._adaptation(states, inputs), self._given(inputs)
        visited = watch if watch is not None else {node.name for node in nodes if node.kind == "call"}
        stops = {i for i, node in enumerate(nodes, 1) if visit is not None and node.name in visited}
        environments: list[dict[str, Any]] = [{} for _ in states]
        results = []
        for begin, end in pairwise(sorted({0, len(nodes)} | stops)):
            for state, environment in zip(states, environments, strict=True):
                for i, node in enumerate(nodes[begin:end], begin):
                    for name in expiring.get(i - 1, ()):
                        del environment[name]
                    if node.kind == "output":
                        values = (node.arguments or {})["values"]
                        values = substitute(values, lambda ref, env=environment: env[ref.name])
                        results.append(values[0] if len(values) == 1 else tuple(values))
                    else:
                        environment[node.name] = self._evaluate(node, state, environment, given, adapt)
            if visit is not None and end in stops:
                visit(nodes[end - 1].name, [environment[nodes[end - 1].name] for environment in environments])
        return results

    def run_in_parts(self, state: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> Any:
        """Run one network, and keep for a backward pass only what lies between parts of it.

        The backward pass computes every part again before it goes through it (Chen et al. 2016).

        Args:
            state: As in `run`, which raises the same errors.
            inputs: Likewise.
        """
        self._check(inputs, None)
        adapt, given = self._adaptation([state], inputs), self._given(inputs)
        expiring = expiring_in(self._in_order)

        def run_part(begin: int, end: int, known: Mapping[str, Any]) -> dict[str, Any]:
            environment = dict(known)
            for i, node in enumerate(self._in_order[begin:end], begin):
                if node.kind == "output":
                    values = (node.arguments or {})["values"]
                    environment[node.name] = substitute(values, lambda ref: environment[ref.name])
                else:
                    environment[node.name] = self._evaluate(node, state, environment, given, adapt)
                    for name in expiring.get(i, ()):
                        del environment[name]
            return environment

        known: dict[str, Any] = {}
        parts = list(pairwise(cuts(self._in_order)))
        if len(parts) == 1:
            return run_part(*parts[0], known)[self.nodes[-1].name]
        with set_checkpoint_early_stop(False):  # which it does by an exception that is taken for one of an op
            for begin, end in parts:
                known = checkpoint(run_part, begin, end, known, use_reentrant=False, preserve_rng_state=False)
        return known[self.nodes[-1].name]

    def numbers(self, state: Mapping[str, Tensor], limit: int = 2**20) -> dict[str, np.ndarray]:
        """The integers that the network computes from constants alone, by node.

        Args:
            state: Its `state_dict`, for the integer buffers.
            limit: The largest number of entries to know.
        """
        written = {name for node in self.nodes for name in node.writes}
        modified = set().union(*(node.storages for node in self.nodes if node.name in written))
        known: dict[str, Any] = {}
        here = torch.device("cpu") if self.device.type == "meta" else self.device
        for node in self.nodes:
            (first, *rest) = node.outputs or (None,)
            if first is None or rest or node.many or first.numel() > limit or node.storages & modified:
                continue
            exact = first.dtype in INTEGERS
            if node.kind == "constant" or (node.kind == "state" and exact and node.key in state):
                value = self.constants.get(node.name, state.get(node.key))
                known |= {} if value is None or value.is_meta else {node.name: value}
            elif node.kind == "result" and exact and known.keys() >= set(node.inputs):
                known[node.name] = known[node.inputs[0]]
            elif node.kind == "call" and exact and not node.writes and known.keys() >= set(node.inputs):
                call = self.calls[node.name]
                if (
                    torch.Tag.nondeterministic_seeded not in getattr(call.target, "tags", ())
                    and "empty" not in node.function
                ):
                    known[node.name] = self._evaluate(
                        node, {}, known, {}, lambda x: here if isinstance(x, torch.device) else x
                    )
        return {name: x.numpy(force=True) for name, x in known.items() if x.dtype in INTEGERS}

    @cached_property
    def _in_order(self) -> tuple[Node, ...]:
        return self._late(self.nodes)

    def _late(self, nodes: Sequence[Node], wanted: Set[str] | None = None) -> tuple[Node, ...]:
        """The nodes, with every parameter and buffer right before it is used.

        It stands there again where it is used again long after, so that it need not be held, unless it is modified.
        One that is not used stands there only if it is wanted.
        """
        place = {node.name: k for k, node in enumerate(nodes)}
        aside = {node.name: node for node in nodes if node.kind == "state"}
        order: list[Node] = []
        last: dict[str, int] = {}
        for node in nodes:
            for name in sorted(set(node.inputs) & aside.keys(), key=place.__getitem__):
                if name not in last or (len(order) - last[name] > FAR and name not in self._modified):
                    order.append(aside[name])
                last[name] = len(order)
            order += [node] if node.kind != "state" else []
        return (*(aside[name] for name in wanted or () if name in aside and name not in last), *order)

    def _given(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        names = (node.name for node in self.nodes if node.kind == "input")
        return dict(zip(names, inputs, strict=True))

    def _check(self, inputs: Sequence[Tensor], watch: frozenset[str] | None) -> None:
        expected = [node.shape for node in self.nodes if node.kind == "input"]
        got = [tuple(x.shape) for x in inputs]
        if expected != got:
            raise NetworkError(f"the network was captured with inputs of shapes {expected}, got {got}")
        unknown = (watch or frozenset()) - {node.name for node in self.nodes}
        if unknown:
            raise PermaskError(f"the captured network has no node named {', '.join(sorted(unknown))}")

    def _evaluate(
        self,
        node: Node,
        state: Mapping[str, Tensor],
        environment: Mapping[str, Any],
        given: Mapping[str, Tensor],
        adapt: Callable[[Any], Any],
    ) -> Any:
        if node.kind == "call":
            call = self.calls[node.name]
            args, kwargs = (substitute(x, lambda ref: environment[ref.name], adapt) for x in (call.args, call.kwargs))
            try:
                with nullcontext() if call.autocast is None else torch.autocast(*call.autocast):
                    result = in_float64(call.target, args)(*args, **kwargs)
            except Exception as error:
                first = next(iter(str(error).strip().splitlines()), "")
                where = f" at {node.line}" if node.line else ""
                raise NetworkError(f"{node.function} cannot be run{where}: {type(error).__name__}: {first}") from error
            # what an op makes from integers has the default type, whatever the type of this run
            return substitute(result, lambda ref: ref, adapt)
        if node.kind == "input":
            value = given[node.name]
        elif node.name in self.constants:
            value = adapt(self.constants[node.name])
        elif node.key in state:
            value = state[node.key]
        else:
            raise NetworkError(
                f"{node.key}: the network was captured with this tensor, the state has none of that name"
            )
        return value.clone() if node.name in self._modified else value

    def _adaptation(self, states: Sequence[Mapping[str, Tensor]], inputs: Sequence[Tensor]) -> Callable[[Any], Any]:
        """What turns the constants, devices and types of the capture into those of this run."""
        weights = [x for s in states[:1] for x in ([s.like] if isinstance(s, Weights) else s.values())]
        tensors = [*weights, *inputs]
        floating = next((x for x in tensors if x.is_floating_point()), None)
        device = tensors[0].device if tensors else self.device
        dtype = self.dtype if floating is None else floating.dtype
        as_captured = dtype == self.dtype != torch.float64  # a float64 run is for precision: nothing is rounded
        if device == self.device and as_captured:
            return lambda x: x

        def adapted_type(x: torch.dtype) -> torch.dtype:
            if as_captured or not (x.is_floating_point or x.is_complex):
                return x
            return dtype if x.is_floating_point else dtype.to_complex()

        def adapt(x: Any) -> Any:
            if isinstance(x, Tensor):
                return x.to(device, adapted_type(x.dtype))
            if isinstance(x, torch.dtype):
                return adapted_type(x)
            return device if isinstance(x, torch.device) else x

        return adapt


def substitute(x: Any, value_of: Callable[[Ref], Any], adapt: Callable[[Any], Any] = lambda x: x) -> Any:
    """Replace every `Ref` inside nested arguments by its value, and everything else by `adapt` of it."""
    if isinstance(x, Ref):
        return value_of(x)
    if isinstance(x, list | tuple):
        return type(x)([substitute(item, value_of, adapt) for item in x])
    if isinstance(x, Mapping):
        return {key: substitute(item, value_of, adapt) for key, item in x.items()}
    return adapt(x)


def tensors_in(output: Any) -> list[Tensor]:
    """The tensors inside whatever a captured network, or a node of it, returns."""
    if isinstance(output, Tensor):
        return [output]
    return [x for item in output for x in tensors_in(item)] if isinstance(output, list | tuple) else []
