"""Run networks of one architecture over the same data, once, and pool the moments of their units in pairs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from permask.discovery.capture import capture
from permask.discovery.channels_last import channels_last, with_channels_last
from permask.discovery.lineage import lineages
from permask.discovery.program import Program
from permask.discovery.sites import located
from permask.errors import NetworkError, PermaskError
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

    All networks run once per batch, in turn, in evaluation mode and without gradients. What is kept is
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
        NetworkError: A network that does not fit the symmetry, or cannot be captured. Inputs of a shape for which the
            network computes the units of a group in another way than where they were found.
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
    device = next((p.device for p in networks[0].parameters()), torch.device("cpu"))
    states = [{name: x.to(device) for name, x in network.state_dict().items()} for network in networks]
    # once a large block was freed, glibc keeps up to twice its size; giving activations back to the system after every
    # op and faulting them in again takes a fifth of a pass
    torch.empty(LARGE, dtype=torch.uint8)
    captures: dict[str, _Observed] = {}
    used = {"batches": 0, "samples": 0}
    with torch.no_grad(), progress("run on batches") as counted:
        for batch in counted(batches):
            inputs = Inputs.of(networks[0], batch).to(device)
            form = inputs.form
            if form not in captures:
                captures[form] = _Observed.of(capture(networks[0], inputs), where, inputs)
            captures[form].run(states, inputs, moments)
            used["batches"] += 1
            used["samples"] += len(inputs.tensors[0])
    if not used["batches"]:
        raise PermaskError("there is no data to match on: expected at least one batch of inputs, got none")
    return moments, used


@dataclass(frozen=True)
class _Observed:
    """A network captured with inputs of one form.

    Attributes:
        program: What it computes.
        channels_last: Whether it takes images with their channels last in memory.
        groups: Which groups each of its nodes shows.
    """

    program: Program
    channels_last: bool
    groups: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, program: Program, where: Mapping[str, Site], inputs: Inputs) -> Self:
        """Find the site of every group, and refuse to look elsewhere."""
        groups: dict[str, list[str]] = {}
        lineage = lineages(program.nodes)
        for name, site in where.items():
            node = located(site, program.nodes, lineage)
            if node is None:
                place = site.function and f" ({site.function} in {site.module or 'the network itself'})"
                raise NetworkError(
                    f"with inputs {inputs}, the network does not compute the units of {name} as it did at the node "
                    f"{site.node}{place} where they were found, so that they cannot be matched there; discover the "
                    "symmetry with inputs of that shape, or leave such inputs out"
                )
            groups.setdefault(node.name, []).append(name)
        faster = with_channels_last(program)
        return cls(faster or program, faster is not None, groups)

    def run(
        self,
        states: Sequence[Mapping[str, Tensor]],
        inputs: Inputs,
        moments: Mapping[Pair, Mapping[str, Moments]],
    ) -> None:
        """Add what the units of some networks do on some inputs to the moments of all pairs."""

        def visit(node: str, values: list[Tensor]) -> None:
            for (source, target), by_group in moments.items():
                for name in self.groups[node]:
                    by_group[name].add(values[source], values[target])

        given = channels_last(inputs) if self.channels_last else inputs
        self.program.run(states, given.tensors, visit, frozenset(self.groups))
