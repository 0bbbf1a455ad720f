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

    The network is looked at in evaluation mode and left as it is. The keys and values that a language model would reuse
    for the next token are not asked for.

    Args:
        model: Any network that `torch.export` can trace, also inside of DDP, `torch.compile`, PEFT and the like.
        example_inputs: What it takes: a tensor, a tuple of positional arguments, a dict or a tokenizer's
            `BatchEncoding` of keyword arguments, or a batch of a DataLoader, whose labels are left out.
        strict: Raise if an op has no rule, rather than pin what it touches.
        outputs: Which of the tensors that the network returns have to stay as they are, by name (`"logits"`) or place:
            one, or several. All by default; a pin names the output that causes it.
        certify: `"full"` tries what was found on the network itself, with one of its weights in float64 at a time;
            `"narrow"` on a copy with at most 8 units in every group, for large networks; `"off"` not at all. Full by
            default, and narrow for a network on the meta device, which has no weights. `report["certificate"]` says
            which it was, or `"none"` if there can be no such copy.

    Raises:
        DataError: Inputs of another form.
        NetworkError: The network cannot be captured, or cannot be run in float64 for the certificate, or
            `strict` and an op without a rule. It has no such output.
        RuleError: A rule for an op has a mistake.

    Example:
        ```python
        symmetry = permask.discover(model, tokenizer(["two", "sentences"], return_tensors="pt", padding=True))
        symmetry = permask.discover(clip, inputs, outputs=["image_embeds", "text_embeds"])
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
