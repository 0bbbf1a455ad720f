"""From a network to its program: the only file that knows `torch.export`.

`capture` traces a network once with static shapes and without decomposition, so that high-level ops survive
(`conv2d`, `layer_norm`, `scaled_dot_product_attention`): the fewer kinds of ops, the fewer rules.
"""

import io
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path

import torch
from torch import nn
from torch.export.graph_signature import ConstantArgument

from permask.discovery.outputs import Wanted, named_leaves, needed, wanted_names
from permask.discovery.program import Node, Program
from permask.discovery.reader import TORCH, Reader, outputs_of
from permask.errors import NetworkError
from permask.inputs import Example, Inputs, in_mode

META = torch.device("meta")


def capture(model: nn.Module, example: Example, training: bool = False, *, outputs: Wanted = None) -> Program:
    """Trace a network into its nodes, without changing it.

    Args:
        model: Any network that `torch.export` can trace.
        example: What it takes, as `Inputs.of` does; the shapes are fixed to theirs.
        training: Capture what the network does in training mode rather than in evaluation mode.
        outputs: Which of the returned tensors to keep, with what they depend on; all by default.

    Raises:
        DataError: Inputs that are no inputs.
        NetworkError: The graph depends on the data, or cannot be traced for another reason; the message
            names the line of the network's code. No such output.
    """
    inputs = Inputs.of(model, example)
    meta = any(x.is_meta for x in (*model.parameters(), *model.buffers()))
    traced = inputs.to(META) if meta else inputs
    with (
        in_mode(model, training),
        readable_attention(),
        _without_caches(model),
        torch.no_grad(),
        quiet(),
        ExitStack() as on,
    ):
        if meta:
            on.enter_context(META)  # what the network makes itself goes there, too
        try:
            exported = torch.export.export(model, traced.args, dict(traced.kwargs), strict=False)
        except Exception as error:
            raise NetworkError(_explain(error, model)) from error
    program = _program(exported, inputs, outputs)
    for node in program.nodes:
        if not all(isinstance(size, int) for x in node.outputs if x is not None for size in x.shape):
            raise NetworkError(
                f"the network cannot be captured at {node.line}: its graph depends on the data: the shape of what "
                f"{node.function} returns is not known before it runs"
            )
    return program


@contextmanager
def readable_attention() -> Iterator[None]:
    """Keep transformer layers from running as one opaque op, as they do in evaluation mode."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _without_caches(model: nn.Module) -> Iterator[None]:
    """Keep language models from returning the keys and values that they would reuse for the next token."""
    configurations = {id(x): x for m in model.modules() if (x := getattr(m, "config", None)) is not None}
    caching = [x for x in configurations.values() if getattr(x, "use_cache", None) is True]
    for configuration in caching:
        configuration.use_cache = False
    try:
        yield
    finally:
        for configuration in caching:
            configuration.use_cache = True


@contextmanager
def quiet() -> Iterator[None]:
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


def _program(exported: torch.export.ExportedProgram, inputs: Inputs, outputs: Wanted) -> Program:
    """The nodes of an exported program, by name, with what they are: parameters, inputs, calls."""
    signature = exported.graph_signature
    fixed = {spec.arg.name: spec.arg.value for spec in signature.input_specs if isinstance(spec.arg, ConstantArgument)}
    keys = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    aside = {**signature.inputs_to_lifted_tensor_constants}
    aside |= {name: key for name, key in keys.items() if key in signature.non_persistent_buffers}
    reader = Reader(exported.graph_module)
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in fixed:
            reader.references[node] = fixed[node.name]  # such as None, or a flag
        elif node.op == "placeholder":
            if node.name in aside:
                reader.constants[node.name] = exported.constants[aside[node.name]]
            kind = "constant" if node.name in aside else "state" if node.name in keys else "input"
            reader.enter(node, Node(node.name, kind, outputs_of(node), key=keys.get(node.name, "")))
        elif node.op == "output":
            returned = [spec.arg for spec in signature.output_specs if spec.kind.name == "USER_OUTPUT"]
            by_name = {source.name: reader.references[source] for source in node.all_input_nodes}
            form = exported.call_spec.out_spec
            assert form is not None
            found = zip(named_leaves(form), returned, strict=True)
            leaves = {name: by_name[leaf.name] for name, leaf in found if leaf.name in by_name}
            names = wanted_names(leaves, outputs)
            arguments = {"values": [leaves[name] for name in names], "names": names}
            reader.nodes.append(Node(node.name, "output", (), arguments=arguments))
        else:
            reader.read(node)
    return Program(needed(reader.nodes), reader.calls, reader.constants, inputs.tensors)


def _explain(error: BaseException, model: nn.Module) -> str:
    """What went wrong in a trace, on which line of the network's code, and what to do if that is known."""
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
    remedy = "; call it with use_cache=False" if "Cache" in why else ""
    if depends and _loops_over_experts(model):
        remedy = (
            ", as experts are called one by one: call "
            'model.set_experts_implementation("grouped_mm"), or load it with experts_implementation="grouped_mm"'
        )
    return f"the network cannot be captured{where}: {why}{remedy}"


def _loops_over_experts(model: nn.Module) -> bool:
    """Whether a network of transformers calls its experts one by one, and can do otherwise."""
    return any(
        getattr(getattr(m, "config", None), "_experts_implementation", None) == "eager"
        and getattr(m, "_can_set_experts_implementation", bool)()
        for m in model.modules()
    )
