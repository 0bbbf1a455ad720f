"""A network as a list of ops: the only file that knows `torch.export`.

`capture` traces a network once with static shapes and without decomposition, so that high-level ops survive
(`conv2d`, `layer_norm`, `scaled_dot_product_attention`): the fewer kinds of ops, the fewer rules.
"""

import io
import logging
import operator
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from permask.discovery.program import Call, Capture, Op, Ref, substitute
from permask.errors import NetworkError

__all__ = ["Capture", "capture"]

TORCH = Path(torch.__file__).parent
# ops that update running statistics without saying so in their schema, and the argument that makes them
UPDATES_STATISTICS = {"batch_norm": "training", "instance_norm": "use_input_stats"}


def capture(model: nn.Module, inputs: tuple[Tensor, ...], training: bool = False) -> Capture:
    """Trace a network into its ops, without changing it.

    Args:
        model: Any network that `torch.export` can trace.
        inputs: Example inputs; the shapes are fixed to theirs.
        training: Capture what the network does in training mode rather than in evaluation mode.

    Raises:
        NetworkError: The graph depends on the data, or cannot be traced for another reason; the message
            names the line of the network's code.
    """
    with _mode(model, training), _readable_attention(), torch.no_grad(), _quiet():
        try:
            program = torch.export.export(model, tuple(inputs), strict=False)
        except Exception as error:
            raise NetworkError(_explain(error)) from error
    captured = _Reader(program).read(inputs)
    for op in captured.ops:
        if not all(isinstance(size, int) for x in op.outputs if x is not None for size in x.shape):
            raise NetworkError(
                f"the network cannot be captured at {op.line}: its graph depends on the data: the shape of what "
                f"{op.function} returns is not known before it runs"
            )
    return captured


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put every module of a network in training or evaluation mode, and back as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextmanager
def _readable_attention() -> Iterator[None]:
    """Keep transformer layers from running as one opaque op, as they do in evaluation mode."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from warning of its own ways, and from writing pages about an error explained in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    written = io.StringIO()
    try:
        with redirect_stderr(written), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
        sys.stderr.write(written.getvalue())
    finally:
        logging.disable(before)


class _Reader:
    """Turns an exported program into ops; the regions that `no_grad` and `autocast` make are read in line."""

    def __init__(self, program: torch.export.ExportedProgram):
        self.program = program
        self.ops: list[Op] = []
        self.calls: dict[str, Call] = {}
        self.constants: dict[str, Any] = {}

    def read(self, inputs: Sequence[Tensor]) -> Capture:
        signature = self.program.graph_signature
        keys = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        aside = {**signature.inputs_to_lifted_tensor_constants}
        aside |= {name: key for name, key in keys.items() if key in signature.non_persistent_buffers}
        references: dict[fx.Node, Any] = {}
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                references[node] = Ref(node.name)
                if node.name in aside:
                    self.constants[node.name] = self.program.constants[aside[node.name]]
                kind = "constant" if node.name in aside else "state" if node.name in keys else "input"
                self.ops.append(Op(node.name, kind, _outputs(node), key=keys.get(node.name, "")))
            elif node.op == "output":
                wanted = [spec.arg.name for spec in signature.output_specs if spec.kind.name == "USER_OUTPUT"]
                by_name = {source.name: references[source] for source in node.all_input_nodes}
                values = [by_name[name] for name in wanted if name in by_name]
                self.ops.append(Op(node.name, "output", (), arguments={"values": values}))
            else:
                self._step(node, self.program.graph_module, references, "", None)
        return Capture(tuple(self.ops), self.calls, self.constants, inputs)

    def _step(
        self, node: fx.Node, owner: nn.Module, references: dict[fx.Node, Any], prefix: str, autocast: Any
    ) -> None:
        if node.op == "get_attr":
            value = operator.attrgetter(str(node.target))(owner)
            if isinstance(value, Tensor):
                references[node] = Ref(prefix + node.name)
                self.constants[prefix + node.name] = value
                self.ops.append(Op(prefix + node.name, "constant", (value,)))
            else:
                references[node] = value  # the graph of a region, an argument of the op that runs it
            return
        args: Any = fx.map_arg(list(node.args), lambda source: references[source])
        kwargs: Any = fx.map_arg(dict(node.kwargs), lambda source: references[source])
        target: Any = node.target
        region = str(getattr(target, "_name", ""))
        if region == "wrap_with_set_grad_enabled":
            references[node] = self._region(args[1], args[2:], prefix + node.name + "/", autocast)
        elif region == "wrap_with_autocast":
            device, dtype, enabled, cache, graph, *rest = args
            references[node] = self._region(graph, rest, prefix + node.name + "/", (device, dtype, enabled, cache))
        elif target is torch.ops.aten._assert_tensor_metadata.default:
            pass  # types differ in a run of another floating-point type; no value depends on it
        elif target is operator.getitem and isinstance(args[0], list | tuple):
            references[node] = args[0][args[1]]
        else:
            references[node] = Ref(prefix + node.name)
            self.calls[prefix + node.name] = Call(target, args, kwargs, autocast)
            self.ops.append(_call(node, prefix, args, kwargs))

    def _region(self, graph: fx.GraphModule, arguments: Sequence[Any], prefix: str, autocast: Any) -> Any:
        references: dict[fx.Node, Any] = {}
        given = iter(arguments)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                references[node] = next(given)
            elif node.op == "output":
                return fx.map_arg(node.args[0], lambda source: references[source])
            else:
                self._step(node, graph, references, prefix, autocast)
        raise NetworkError("a region of the captured graph has no output")


def _call(node: fx.Node, prefix: str, args: Any, kwargs: Any) -> Op:
    target: Any = node.target
    schema = getattr(target, "_schema", None)
    if schema is None:
        name = getattr(target, "__name__", str(target))
        function, overload = (name if target is operator.getitem else f"python::{name}"), ""
        arguments = {**{str(i): x for i, x in enumerate(args)}, **kwargs}
        writes: list[str] = []
    else:
        space, _, name = schema.name.partition("::")
        function, overload = (name if space == "aten" else schema.name), schema.overload_name or "default"
        defaults = {x.name: x.default_value for x in schema.arguments if x.has_default_value()}
        arguments = {
            **defaults,
            **dict(zip((x.name for x in schema.arguments), args, strict=False)),
            **kwargs,
        }
        written = [x.name for x in schema.arguments if x.alias_info is not None and x.alias_info.is_write]
        written = [] if name == "detach_" else written  # which changes no entry
        if arguments.get(UPDATES_STATISTICS.get(name, "")):
            written += ["running_mean", "running_var"]
        writes = []
        substitute([arguments[name] for name in written if name in arguments], lambda ref: writes.append(ref.name))
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return Op(
        prefix + node.name,
        "call",
        _outputs(node),
        many=isinstance(node.meta.get("val"), list | tuple),
        function=function,
        overload=overload,
        arguments=arguments,
        writes=tuple(writes),
        module=stack[-1][0] if stack else "",
        line=_line(node.meta.get("stack_trace") or ""),
    )


def _outputs(node: fx.Node) -> tuple[Tensor | None, ...]:
    value = node.meta.get("val")
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


def _explain(error: BaseException) -> str:
    """What went wrong in a trace, and on which line of the network's code."""
    own = Path(__file__)
    where = ""
    cause: BaseException | None = error
    while cause is not None and not where:
        frames = traceback.extract_tb(cause.__traceback__)
        users = [f for f in frames if not Path(f.filename).is_relative_to(TORCH) and Path(f.filename) != own]
        if users:
            where = f' at {users[-1].filename}:{users[-1].lineno}: "{users[-1].line}"'
        cause = cause.__cause__ or cause.__context__
    names = {type(x).__name__ for x in (error, error.__cause__, error.__context__) if x is not None}
    depends = any("DataDependent" in name for name in names) or "data-dependent" in str(error)
    why = (
        "its graph depends on the data" if depends else f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    )
    return f"the network cannot be captured{where}: {why}"
