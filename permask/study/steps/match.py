"""Find the permutation that lines network A up with network B."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from permask.matching.matchers import MATCHERS
from permask.study.composition import Carry, Network, is_own
from permask.study.rows import Number, PairRow
from permask.study.step import Reported, Step
from permask.study.steps.outcome import ALIGNMENT, Outcome
from permask.study.steps.symmetry import find_symmetry

if TYPE_CHECKING:
    from permask.study.collect import Found
    from permask.study.plan import Planner, Ticket
    from permask.study.steps.run import Run

VERSION = 2  # the symmetry is a step of its own
BATCH_SIZE = 512

ACTIVATIONS = "activations"
USUAL = Carry(by=ACTIVATIONS)


@dataclass(frozen=True, kw_only=True)
class MatchedGroup(PairRow):
    """How well one group of units of A was matched to that of B.

    Attributes:
        group: Its name.
        size: Units.
        correlation: Mean over matched units; None for a group that was not observed.
        correlation_identity: Mean over units at equal positions.
        dead_source: Units of A that do not vary; None in results of before they were counted.
        dead_target: Units of B that do not vary.
        by: The matcher, with `to new` where A was matched to a third network.
            `correlation` is that of activations for `activations`, and the cosine similarity of weights
            for the others.
        of: Epoch of A that was matched; None for its last.
        at: Epoch of B that it was matched to; None for its last.
        images: Training inputs that it was found with; None for all, and where none are read.
    """

    table: ClassVar[str] = "matching"

    group: str
    size: Number
    correlation: float | None
    correlation_identity: float | None
    dead_source: Number | None = None
    dead_target: Number | None = None
    step: str
    by: str = ACTIVATIONS
    of: int | None = None
    at: int | None = None
    images: int | None = None


ROW = MatchedGroup


def match(planner: "Planner", a: "Ticket", b: "Ticket", carry: Carry = USUAL, target: Network = "B") -> Step:
    """The alignment of one pair's dense A to a dense network of one pair, after their last epochs or earlier ones."""
    last = planner.study.epochs
    networks = {
        "source": a.dense_a[last if carry.of is None else carry.of],
        "target": b.dense[target][carry.at if isinstance(carry.at, int) else last],
    }
    how: dict[str, Any] = {} if carry.images is None else {"images": carry.images}
    if carry.by != ACTIVATIONS:
        how |= {"by": carry.by, "seed": b.seeds[target]}
    if is_own(carry.by):
        how["source"] = planner.files[carry.by].content
    elif MATCHERS[carry.by].version > 1:  # version 1 was not said
        how["matcher_version"] = MATCHERS[carry.by].version
    return planner.step("match", how, networks | {"symmetry": find_symmetry(planner)})


def matches(planner: "Planner") -> bool:
    """Whether the pairs of a study are matched."""
    study = planner.study
    return bool(study.connect or study.connect_rounds or study.has("permuted"))


def plan(planner: "Planner") -> Iterator[Reported]:
    """All that anything needs: of every pair the usual one, and those by which methods carry masks."""
    pairs = {}
    for ticket in planner.tickets:
        pairs[ticket.labels["seed_a"]] = ticket.labels
        if matches(planner):
            match(planner, ticket, ticket)
    last = planner.study.epochs
    for step in planner.planned("match"):
        source, target = (step.parents[role].specification for role in ("source", "target"))
        epochs = {"of": source["epoch"], "at": target["epoch"]}
        labels, by = pairs[source["seed"]], step.specification.get("by", ACTIVATIONS)
        how = {
            "by": by if target["seed"] == labels["seed_b"] else f"{by} to new",
            "images": step.specification.get("images"),
        }
        early = {name: epoch if epoch != last else None for name, epoch in epochs.items()}
        yield Reported({**labels, **how, **early}, step)


def compute(run: "Run") -> Outcome:
    """Match on training inputs, by activations in one pass unless another matcher is asked for."""
    from permask.matching.activations import match_activations
    from permask.matching.matchers import MatchOptions
    from permask.study.steps.own import own_alignment

    source, target, symmetry = run.network_of("source"), run.network_of("target"), run.symmetry_of("symmetry")
    inputs, by = run.data.train.spread(run.specification.get("images")), run.specification.get("by", ACTIVATIONS)
    batches = inputs.labelled(BATCH_SIZE)
    if is_own(by):
        arguments = {"source": source.eval(), "target": target.eval(), "batches": batches}
        alignment = own_alignment(run, symmetry, arguments)
    elif by == ACTIVATIONS:
        alignment = match_activations(symmetry, source, target, inputs.inputs(BATCH_SIZE))
    else:
        options = MatchOptions(seed=run.specification["seed"])
        alignment = MATCHERS[by](symmetry, source, target, batches, options)
    measures = ("group", "size", "correlation", "correlation_identity", "dead_source", "dead_target")
    groups = [{name: getattr(group, name) for name in measures} for group in alignment.groups]
    return Outcome(
        {"groups": groups},
        documents={ALIGNMENT: replace(alignment, seconds=0.0)},
        measured={"matching": alignment.seconds},
    )


def rows(found: "Found") -> list[MatchedGroup]:
    """One per group."""
    return [MatchedGroup(**found.labelled, **group) for group in found.metrics["groups"]]
