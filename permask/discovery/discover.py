"""From a network to its symmetry: capture, propagate, solve, name, certify."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from permask.discovery.capture import capture
from permask.discovery.decompose import decomposed
from permask.discovery.evidence import How, certificate_of, chosen
from permask.discovery.hierarchy import arrange
from permask.discovery.naming import named
from permask.discovery.outputs import Wanted
from permask.discovery.pins import movable, pins
from permask.discovery.program import Program
from permask.discovery.propagate import propagate
from permask.discovery.rules import RULES
from permask.discovery.solve import solve
from permask.discovery.weights import memory_of
from permask.errors import NetworkError
from permask.groups import moving
from permask.inputs import Described, Example, Inputs
from permask.progress import progress
from permask.symmetry import Symmetry
from permask.wrapped import readable


def discover(
    model: nn.Module,
    example_inputs: Example,
    strict: bool = False,
    *,
    outputs: Wanted = None,
    certify: How | None = None,
) -> Symmetry:
    """Find the permutations of hidden units that leave a network's function unchanged.

    The network runs in evaluation mode and is not changed. A language model is not asked for the keys and values that
    it would reuse for the next token.

    Args:
        model: Any network that `torch.export` can trace. It may be wrapped, for example by DDP, `torch.compile` or
            PEFT.
        example_inputs: Inputs for the network: a tensor, a tuple of positional arguments, a dict of keyword arguments
            (or a tokenizer's `BatchEncoding`), or a batch of a DataLoader. The labels of a batch are ignored.
        strict: Raise an error if an op has no rule. By default, such an op pins everything that it touches.
        outputs: Which of the returned tensors have to stay unchanged, by name (such as `"logits"`) or by position: one
            of them or several. By default, all of them. A pin names the output that causes it.
        certify: How the result is tested. `"full"` tests it on the network itself and holds one weight at a time in
            float64. `"narrow"` tests it on a copy with at most 8 units in every group, which suits large networks.
            `"off"` does not test it. The default is `"full"`, or `"narrow"` for a network on the meta device, which has
            no weights. `report["certificate"]` names the kind of test, or is `"none"` if a narrow copy cannot be made.

    Returns:
        The groups of units that can trade places, and the axes that cannot move, each with a reason.

    Raises:
        DataError: If the inputs have another form.
        NetworkError: If the network cannot be captured, does not run in float64 for the certificate, or has no output
            of a name or position in `outputs`; with `strict`, if an op has no rule.
        RuleError: If the rule of an op has a mistake.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        symmetry = permask.discover(model, torch.randn(2, 4))
        print(symmetry.groups[0].size)  # the 8 hidden units
        ```
    """
    model = readable(model)
    with progress("discover"):
        how = chosen(certify, model)
        return find(captured(model, example_inputs, outputs), model, strict, how)


@dataclass(frozen=True, eq=False)
class Captured:
    """A network as discovery reads it.

    Attributes:
        program: What was captured.
        readable: The same with composite ops decomposed.
        aliases: All names of every tensor in the `state_dict`, by the first of them.
        inputs: What it was captured with, as `Inputs.described` has it.
        seconds: What it took.
    """

    program: Program
    readable: Program
    aliases: Mapping[str, Sequence[str]]
    inputs: Described | None
    seconds: float


def captured(model: nn.Module, example: Example, outputs: Wanted = None) -> Captured:
    """Capture a network; the first step of `discover`, which raises what that does."""
    started = time.perf_counter()
    with progress("  capture"):
        program = capture(model, example, outputs=outputs)
    inputs = Inputs.of(model, example).described
    return Captured(program, decomposed(program, RULES), tied(model), inputs, time.perf_counter() - started)


def find(network: Captured, model: nn.Module, strict: bool, how: How = "full") -> Symmetry:
    """Find the symmetries of a network that was captured, and certify them; all further steps of `discover`."""
    started = time.perf_counter()
    aliases, names = network.aliases, {name: key for key, names in network.aliases.items() for name in names}
    with progress("  solve"):
        found = propagate(network.readable, names, network.readable.numbers(model.state_dict()))
        families = arrange(solve(found.constraints))
    groups, family = named(families, found, network.program, aliases)
    seconds = {"capture": network.seconds, "solve": time.perf_counter() - started}

    started = time.perf_counter()
    with progress("  certify"):
        certificate, kind = certificate_of(how, network.program, found.values, (groups, family), model)
    if certificate.failed:
        warnings.warn(
            "a rule must be wrong: these groups change the network's output and are left out; please report them: "
            + ", ".join(certificate.failed),
            stacklevel=3,
        )
        groups = tuple(group for group in groups if group.name not in certificate.failed)
    if certificate.error is None and kind in ("full", "narrow"):
        warnings.warn(
            "there is no evidence for the symmetry that was found: no output varies; give other inputs",
            stacklevel=3,
        )
    seconds["certify"] = time.perf_counter() - started

    moved = moving(groups)
    pinned = pins(found.constraints, moved, aliases)
    unsupported = dict.fromkeys(f"{pin.op}: {pin.reason}" for pin in pinned if pin.kind == "unsupported op")
    if strict and unsupported:
        raise NetworkError(f"ops without a rule pin parts of the network: {'; '.join(unsupported)}")
    sizes = {names[name]: p.numel() for name, p in model.named_parameters(remove_duplicate=False)}
    used = {name: size for name, size in sizes.items() if name in found.states}
    return Symmetry(
        groups=groups,
        pinned=pinned,
        movable=movable(found.constraints, moved, used),
        shapes={name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
        report={
            "seconds": seconds,
            "certificate": kind,
            "error": certificate.error,
            "failed": list(certificate.failed),
            "float32": certificate.float32,
            "idle": list(certificate.idle),
            "unseen": list(certificate.unseen),
            "unused": sorted(set(sizes) - set(used)),
            "outputs": network.program.returned,
            "inputs": network.inputs,
        },
    )


def tied(model: nn.Module) -> dict[str, Sequence[str]]:
    """All names of every tensor in a network's `state_dict`, by the first of them."""
    by_memory: dict[object, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        by_memory.setdefault(memory_of(name, tensor), []).append(name)
    return {names[0]: names for names in by_memory.values()}
