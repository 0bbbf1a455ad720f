"""Run networks of one architecture over the same data, once, and pool the moments of their units in pairs."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from permask.discovery.capture import capture
from permask.discovery.program import Program
from permask.errors import PermaskError
from permask.groups import Site
from permask.inputs import Example, Inputs
from permask.matching.moments import Moments
from permask.progress import progress
from permask.symmetry import Symmetry
from permask.wrapped import readable

# just below the largest block that glibc keeps for reuse
LARGE = 2**25 - 2**13

Pair = tuple[int, int]


def observe(
    symmetry: Symmetry,
    networks: Sequence[nn.Module],
    batches: Iterable[Example],
    pairs: Sequence[Pair] = ((0, 1),),
    at: Mapping[str, Site] | None = None,
) -> tuple[dict[Pair, dict[str, Moments]], dict[str, int]]:
    """Pool, for pairs of networks, the moments of every group that an activation shows.

    A group that holds an observed one is judged by that, and not observed itself.

    All networks run once per batch, in lockstep, in evaluation mode and without gradients. What is kept is
    U² numbers per group and pair, however much data there is.

    Args:
        symmetry: Of the networks' architecture.
        networks: The networks.
        batches: Inputs, each as `discover` takes them: a DataLoader as it is.
        pairs: Numbers of source and target network.
        at: Group name to where to look, in place of the group's own site.

    Returns:
        Pair to group name to moments, and how many batches and samples there were.

    Raises:
        NetworkError: A network that does not fit the symmetry, or cannot be captured.
        PermaskError: No batches, or a group that does not exist.
    """
    networks = [readable(network) for network in networks]
    for network in networks:
        symmetry.check(network)
    shown = {g.name for g in symmetry.groups if g.site is not None}
    inside = {g.parent for g in symmetry.groups if g.name in shown}
    # a block is as good as what is matched inside it
    where = {g.name: g.site for g in symmetry.groups if g.site and g.name not in inside}
    unknown = set(at or ()) - {group.name for group in symmetry.groups}
    if unknown:
        raise PermaskError(f"no such group to look at: {', '.join(sorted(unknown))}")
    where |= at or {}
    moments = {pair: {name: Moments(site) for name, site in where.items()} for pair in pairs}
    watch = frozenset(site.node for site in where.values())

    def visit(node: str, values: list[Tensor]) -> None:
        for (source, target), by_group in moments.items():
            for seen in by_group.values():
                if seen.site.node == node:
                    seen.add(values[source], values[target])

    device = next((p.device for p in networks[0].parameters()), torch.device("cpu"))
    states = [{name: x.to(device) for name, x in network.state_dict().items()} for network in networks]
    # once a large block was freed, glibc keeps up to twice its size; giving activations back to the system after every
    # op and faulting them in again takes a fifth of a pass
    torch.empty(LARGE, dtype=torch.uint8)
    captures: dict[str, Program] = {}
    used = {"batches": 0, "samples": 0}
    with torch.no_grad(), progress("run on batches") as counted:
        for batch in counted(batches):
            inputs = Inputs.of(networks[0], batch).to(device)
            form = inputs.form
            if form not in captures:
                captures[form] = capture(networks[0], inputs)
            captures[form].run(states, inputs.tensors, visit, watch)
            used["batches"] += 1
            used["samples"] += len(inputs.tensors[0])
    if not used["batches"]:
        raise PermaskError("there is no data to match on: expected at least one batch of inputs, got none")
    return moments, used
