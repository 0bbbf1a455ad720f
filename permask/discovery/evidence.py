"""How a symmetry is tried: on the network as it is, on a narrow copy of it, or not at all."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from permask.discovery.certify import Certificate, parameters_of, state_of, tried
from permask.discovery.hierarchy import Family
from permask.discovery.narrow import narrowed
from permask.discovery.program import Program
from permask.discovery.redraw import randomised, real, real_constant
from permask.discovery.resize import check_shapes
from permask.errors import NetworkError
from permask.groups import Group

How = Literal["full", "narrow", "off"]
CHOICES = ("full", "narrow", "off")

Groups = tuple[tuple[Group, ...], Mapping[str, Family]]


def chosen(certify: How | None, model: nn.Module) -> How:
    """What kind of certificate is meant: by default a full one, or a narrow one if the network has no weights."""
    if certify not in (None, *CHOICES):
        raise NetworkError(f"certify: expected one of {', '.join(CHOICES)}, got {certify!r}")
    return certify or ("narrow" if any(x.is_meta for x in state_of(model).values()) else "full")


def certificate_of(
    how: How, program: Program, values: Mapping[str, Any], claimed: Groups, model: nn.Module
) -> tuple[Certificate, str]:
    """Try the groups; where nothing can be tried, warn, and certify nothing.

    Args:
        how: The kind of certificate.
        program: The network.
        values: What is known of the value of every node.
        claimed: The groups, and the family of each by its name.
        model: The network itself, for its weights.

    Returns:
        What the trial showed, and its kind: `full`, `narrow`, `off`, or `none` if it cannot be made.

    Raises:
        NetworkError: The network does not run in float64.
    """
    groups, families = claimed
    nothing = Certificate(None, failed=(), idle=(), unseen=tuple(group.name for group in groups))
    if how == "off":
        warnings.warn("nothing is certified, as certify='off' asks for: a wrong rule goes unnoticed", stacklevel=4)
        return nothing, "off"
    program, state, parameters = with_entries(program), state_of(model), parameters_of(model)
    if how == "full":
        try:
            return tried(program, groups, state, parameters, program.example), "full"
        except NetworkError as error:
            raise NetworkError(
                f"the network does not run in float64, so that nothing can be certified: {error}"
            ) from error
    try:
        narrow = narrowed(program, values, families, groups, state)
        check_shapes(narrow.program, narrow.sizes, randomised(narrow.state, parameters, 0), _double(program.example))
        return tried(narrow.program, narrow.groups, narrow.state, parameters, program.example), "narrow"
    except NetworkError as error:
        warnings.warn(
            f"nothing is certified, since there is no narrow copy of this network: {error}; certify='full' "
            "tries the network itself",
            stacklevel=4,
        )
        return nothing, "none"


def with_entries(program: Program) -> Program:
    """A program whose inputs and constants are all on a device with memory."""
    generator = torch.Generator().manual_seed(0)
    constants = {name: real_constant(x, k) for k, (name, x) in enumerate(program.constants.items())}
    return Program(program.nodes, program.calls, constants, [real(x, generator) for x in program.example])


def _double(inputs: Any) -> list[Tensor]:
    return [x.double() if x.is_floating_point() else x for x in inputs]
