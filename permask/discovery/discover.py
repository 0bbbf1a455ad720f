"""From a network to its symmetry: capture, propagate, solve, name, certify."""

import time
import warnings
from collections.abc import Sequence

from torch import Tensor, nn

from permask.discovery.capture import capture
from permask.discovery.certify import certify
from permask.discovery.decompose import decomposed
from permask.discovery.hierarchy import arrange
from permask.discovery.naming import named
from permask.discovery.pins import movable, moving, pins
from permask.discovery.propagate import propagate
from permask.discovery.rules import RULES
from permask.discovery.solve import solve
from permask.errors import NetworkError
from permask.symmetry import Symmetry


def discover(model: nn.Module, example_inputs: tuple[Tensor, ...], strict: bool = False) -> Symmetry:
    """Find the permutations of hidden units that leave a network's function unchanged.

    The network is looked at in evaluation mode and left as it is.

    Args:
        model: Any network that `torch.export` can trace.
        example_inputs: What it takes, a tuple of tensors.
        strict: Raise if an op has no rule, rather than pin what it touches.

    Raises:
        NetworkError: The network cannot be captured, or cannot be run in float64 for the certificate, or
            `strict` and an op without a rule.
    """
    started = time.perf_counter()
    program = capture(model, example_inputs)
    seconds = {"capture": time.perf_counter() - started}
    aliases = tied(model)
    names = {name: key for key, names in aliases.items() for name in names}

    started = time.perf_counter()
    readable = decomposed(program, RULES)
    found = propagate(readable, names, readable.numbers(model.state_dict()))
    families = arrange(solve(found.constraints))
    groups = named(families, found, program, aliases)
    seconds["solve"] = time.perf_counter() - started

    started = time.perf_counter()
    try:
        certificate = certify(program, groups, model, example_inputs)
    except NetworkError as error:
        raise NetworkError(f"the network does not run in float64, so that nothing can be certified: {error}") from error
    if certificate.failed:
        warnings.warn(
            "a rule must be wrong: these groups change the network's output and are left out; please report them: "
            + ", ".join(certificate.failed),
            stacklevel=2,
        )
        groups = tuple(group for group in groups if group.name not in certificate.failed)
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
            "error": certificate.error,
            "failed": list(certificate.failed),
            "idle": list(certificate.idle),
            "unused": sorted(set(sizes) - set(used)),
        },
    )


def tied(model: nn.Module) -> dict[str, Sequence[str]]:
    """All names of every tensor in a network's `state_dict`, by the first of them."""
    by_memory: dict[object, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        memory = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
        by_memory.setdefault(memory if tensor.numel() else name, []).append(name)
    return {names[0]: names for names in by_memory.values()}
