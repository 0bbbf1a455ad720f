"""From `torch.fx` graphs to the nodes of a program."""

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from permask.discovery.program import Call, Node, Ref, substitute
from permask.errors import NetworkError

TORCH = Path(torch.__file__).parent
# ops that update running statistics without saying so in their schema, and the argument that makes them
UPDATES_STATISTICS = {"batch_norm": "training", "instance_norm": "use_input_stats"}


class Reader:
    """Turns the nodes of a graph into ours; the regions that `no_grad` and `autocast` make are read in line.

    Attributes:
        nodes: What was read.
        calls: How to execute the calls among them, by name.
        constants: Tensors that the graph holds itself, by the name of the node.
        references: What stands for the value of a node of the graph in the arguments of ours.
    """

    def __init__(self, owner: fx.GraphModule, prefix: str = "", autocast: Any = None):
        """Read the graph of `owner`; names of nodes start with `prefix`, calls run under `autocast`."""
        self.nodes: list[Node] = []
        self.calls: dict[str, Call] = {}
        self.constants: dict[str, Any] = {}
        self.references: dict[fx.Node, Any] = {}
        self._owner, self._prefix, self._autocast = owner, prefix, autocast

    def enter(self, given: fx.Node, node: Node) -> None:
        """Add a node that stands for one of the graph."""
        self.references[given] = Ref(node.name)
        self.nodes.append(node)

    def read(self, given: fx.Node) -> None:
        """Read a node of the graph that is neither an input nor the output."""
        name = self._prefix + given.name
        if given.op == "get_attr":
            value = operator.attrgetter(str(given.target))(self._owner)
            if isinstance(value, Tensor):
                self.constants[name] = value
                self.enter(given, Node(name, "constant", (value,)))
            else:
                self.references[given] = value  # the graph of a region, an argument of the op that runs it
            return
        args: Any = fx.map_arg(list(given.args), lambda source: self.references[source])
        kwargs: Any = fx.map_arg(dict(given.kwargs), lambda source: self.references[source])
        target: Any = given.target
        region = str(getattr(target, "_name", ""))
        if region == "wrap_with_set_grad_enabled":
            self.references[given] = self._region(args[1], args[2:], name + "/", self._autocast)
        elif region == "wrap_with_autocast":
            device, dtype, enabled, cache, graph, *rest = args
            self.references[given] = self._region(graph, rest, name + "/", (device, dtype, enabled, cache))
        elif target is torch.ops.aten._assert_tensor_metadata.default:
            pass  # types differ in a run of another floating-point type; no value depends on it
        elif target is operator.getitem and isinstance(args[0], list | tuple):
            self.references[given] = args[0][args[1]]
        else:
            self.calls[name] = Call(target, args, kwargs, self._autocast)
            self.enter(given, _call(given, name, args, kwargs))

    def _region(self, graph: fx.GraphModule, arguments: Sequence[Any], prefix: str, autocast: Any) -> Any:
        inner = Reader(graph, prefix, autocast)
        result = inner.read_all(arguments)
        self.nodes += inner.nodes
        self.calls |= inner.calls
        self.constants |= inner.constants
        return result

    def read_all(self, arguments: Sequence[Any]) -> Any:
        """Read the whole graph, with given references for its inputs; gives those for its output."""
        given_arguments = iter(arguments)
        for given in self._owner.graph.nodes:
            if given.op == "placeholder":
                self.references[given] = next(given_arguments)
            elif given.op == "output":
                return fx.map_arg(given.args[0], lambda source: self.references[source])
            else:
                self.read(given)
        raise NetworkError("a region of the captured graph has no output")


def _call(given: fx.Node, name: str, args: Any, kwargs: Any) -> Node:
    target: Any = given.target
    schema = getattr(target, "_schema", None)
    if schema is None:
        called = getattr(target, "__name__", str(target))
        function, overload = (called if target is operator.getitem else f"python::{called}"), ""
        arguments = {**{str(i): x for i, x in enumerate(args)}, **kwargs}
        writes: list[str] = []
    else:
        space, _, called = schema.name.partition("::")
        function, overload = (called if space == "aten" else schema.name), schema.overload_name or "default"
        defaults = {x.name: x.default_value for x in schema.arguments if x.has_default_value()}
        arguments = {
            **defaults,
            **dict(zip((x.name for x in schema.arguments), args, strict=False)),
            **kwargs,
        }
        written = [x.name for x in schema.arguments if x.alias_info is not None and x.alias_info.is_write]
        idle = called == "detach_" or (called.endswith("dropout_") and not arguments["train"])
        written = [] if idle else written  # as no entry changes
        if arguments.get(UPDATES_STATISTICS.get(called, "")):
            written += ["running_mean", "running_var"]
        writes = []
        substitute(
            [arguments[argument] for argument in written if argument in arguments], lambda ref: writes.append(ref.name)
        )
    stack = list((given.meta.get("nn_module_stack") or {}).values())
    return Node(
        name,
        "call",
        outputs_of(given),
        many=isinstance(given.meta.get("val"), list | tuple),
        function=function,
        overload=overload,
        arguments=arguments,
        writes=tuple(writes),
        module=stack[-1][0] if stack else "",
        line=_line(given.meta.get("stack_trace") or ""),
    )


def outputs_of(given: fx.Node) -> tuple[Tensor | None, ...]:
    """The fake tensors that a node of a graph gives; None for anything else."""
    value = given.meta.get("val")
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(x if isinstance(x, Tensor) else None for x in values)


def _line(stack_trace: str) -> str:
    """The innermost line of a stack trace that lies outside of torch, as `file:line`."""
    frames = [line.strip() for line in stack_trace.splitlines() if line.strip().startswith('File "')]
    for frame in reversed(frames):
        file, _, rest = frame.removeprefix('File "').partition('", line ')
        if not Path(file).is_relative_to(TORCH):
            return f"{file}:{rest.split(',')[0]}"
    return ""
