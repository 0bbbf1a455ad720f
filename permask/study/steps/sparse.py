"""Train a sparse network: a dense network's early weights under a mask, as it is, permuted or shuffled.

The methods of a study differ in the parents: `lth` has A's weights and A's mask, `naive` B's weights and A's mask,
`permuted` has the alignment of A to B besides, `snip` the mask that was scored at B's weights. Where positions or units
are drawn, a seed in the specification says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from permask.study.composition import IMP, Carry
from permask.study.method import BUILT_IN, Method
from permask.study.step import Reported, Step
from permask.study.steps.match import match as match_networks
from permask.study.steps.outcome import Outcome
from permask.study.steps.score import score
from permask.study.steps.symmetry import find_symmetry
from permask.study.steps.trained import Trained, trained_row

if TYPE_CHECKING:
    from torch import nn

    from permask.mask import Mask
    from permask.study.collect import Found
    from permask.study.plan import Planner, Ticket
    from permask.study.steps.run import Run
    from permask.training.updates import Updates

VERSION = 3  # scores on the training inputs, which test inputs are right
ROW = Trained


def train_sparse(
    planner: "Planner",
    method: Method,
    a: "Ticket",
    b: "Ticket",
    *,
    sparsity: float,
    rewind: int,
) -> Step:
    """Sparse training by a method; B's seed gives the order of the data, the same for every method."""
    study, options = planner.study, method.training(planner.study.sparse)
    epochs, tickets = study.epochs - rewind, {"A": a, "B": b, "new": b}
    specification: dict[str, Any] = {"seed": b.seeds["B"], "recipe": planner.recipe(epochs, options)}
    specification |= options.model_dump(include={"rescale", "reset_batchnorm"}, exclude_defaults=True)
    specification |= method.train.updates if method.train else {}
    pruned = tickets[method.mask.of]
    if method.mask.by == IMP:
        mask = pruned.pruned[method.mask.of][sparsity]
    else:
        mask = score(planner, pruned, method.mask, sparsity, rewind)
    parents = {"weights": tickets[method.start].dense[method.start][rewind], "mask": mask}
    match method.carry:
        case None:
            pass
        case Carry(by="shuffle"):
            specification["shuffle"] = b.seeds[method.start]
        case Carry(by="random"):
            specification["element"] = b.seeds[method.start]
            parents["symmetry"] = find_symmetry(planner)
        case carry:
            parents["alignment"] = match_networks(planner, a, b, carry, method.start)
    return planner.step("sparse", specification, parents, epochs=epochs)


def plan(planner: "Planner") -> Iterator[Reported]:
    """For every pair, sparsity and rewind epoch one network by each method, and one by each early match."""
    study = planner.study
    for ticket in planner.tickets:
        for sparsity in study.sparsities:
            for rewind in study.rewinds:
                label = {**ticket.labels, "sparsity": sparsity, "rewind": rewind}
                for method in (*study.compositions, *_early(planner)):
                    step = train_sparse(planner, method, ticket, ticket, sparsity=sparsity, rewind=rewind)
                    yield Reported(label | {"method": method.name, "trained": method.start}, step)


def _early(planner: "Planner") -> list[Method]:
    """The method `permuted` with a match at each of the epochs `match_epochs` of B."""
    return [BUILT_IN["permuted"].matched_at(t) for t in planner.match_epochs]


def compute(run: "Run") -> Outcome:
    """Train the survivors; the order of the images depends on the seed alone, not on the method."""
    from permask.study.steps.training import train_network

    begun = start(run)
    outcome, _ = train_network(run, begun.network, "sparse", mask=begun.mask, updates=begun.updates)
    return outcome


@dataclass(frozen=True)
class Start:
    """What a sparse training begins with.

    Attributes:
        network: Its weights; the pruned ones are not zero yet.
        mask: What is to be kept of every layer, at the beginning or in the end.
        updates: How the mask changes; None if it does not.
    """

    network: "nn.Module"
    mask: "Mask"
    updates: "Updates | None"

    @property
    def first_mask(self) -> "Mask":
        """The mask at the beginning."""
        return self.updates.begin(self.mask) if self.updates else self.mask


def start(run: "Run") -> Start:
    """What a step's parents and its specification say of how it begins."""
    from permask.masks.rescale import rescale_fan_in
    from permask.masks.scores import random_mask_like
    from permask.masks.transport import transport
    from permask.training.updates import Updates

    network, mask = run.network_of("weights"), run.mask_of("mask")
    assert mask is not None
    if "alignment" in run.parents:
        mask = transport(mask, run.alignment_of("alignment"))
    if "element" in run.specification:
        mask = mask.permuted(run.symmetry_of("symmetry").random(run.specification["element"]))
    if "shuffle" in run.specification:
        mask = random_mask_like(mask, run.specification["shuffle"])
    updates = Updates(**run.specification["update"]) if "update" in run.specification else None
    begun = Start(network, mask, updates)
    if "rescale" in run.specification:
        rescale_fan_in(network, begun.first_mask, run.specification["rescale"])
    return begun


def rows(found: "Found") -> list[Trained]:
    """The network."""
    return [trained_row(found)]
