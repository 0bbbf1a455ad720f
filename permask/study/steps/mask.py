"""What A's mask keeps, layer by layer, what the network costs under it, and how far it suits B's large weights."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    ClassVar,
    NotRequired,  # of typing, pydantic takes them from Python 3.12 on
)

from pydantic import Field
from typing_extensions import TypedDict

from permask.study.rows import Line, Number, PairRow, Part
from permask.study.step import Reported
from permask.study.steps.match import match, matches
from permask.study.steps.outcome import Outcome

if TYPE_CHECKING:
    from torch import Tensor

    from permask.study.collect import Found
    from permask.study.plan import Planner
    from permask.study.steps.run import Run

VERSION = 2

Count = Annotated[int, Field(gt=0, lt=2**63)]


class Layer(TypedDict):
    """What masks keep of one layer: see `MeasuredMask`."""

    layer: str
    shape: list[Number]
    size: Count
    kept: Number
    kept_by_both: Number
    kept_by_both_permuted: NotRequired[Number]


class Cost(TypedDict):
    """What a network costs: the fields of `permask.masks.cost.Cost`."""

    parameters: Number
    bytes: Number
    flops: Number


@dataclass(frozen=True, kw_only=True)
class MeasuredMask(PairRow):
    """A's mask at one sparsity.

    Attributes:
        layers: One per layer: `layer, shape, size`, the weights that A's mask keeps (`kept`), those that it and the
            magnitudes of dense B keep (`kept_by_both`), and the same of the transported mask (`kept_by_both_permuted`).
        dense: What the network costs without the mask: `parameters, bytes, flops`.
        sparse: What it costs under it.
    """

    table: ClassVar[str] = "masks"

    sparsity: Part
    layers: list[Layer]
    dense: Cost
    sparse: Cost
    step: str

    @classmethod
    def columns(cls) -> list[str]:
        """Those of the mask and of its layers."""
        return ["pair", "seed_a", "seed_b", "sparsity", *Layer.__annotations__, "step"]

    def lines(self) -> list[Line]:
        """One line per layer."""
        own = {name: getattr(self, name) for name in ("pair", "seed_a", "seed_b", "sparsity", "step")}
        return [{**own, **layer, "shape": "x".join(map(str, layer["shape"]))} for layer in self.layers]


ROW = MeasuredMask


def plan(planner: "Planner") -> Iterator[Reported]:
    """A's mask for every pair and sparsity, transported where the pair is matched."""
    study = planner.study
    for ticket in planner.tickets:
        aligned = {"alignment": match(planner, ticket, ticket)} if matches(planner) else {}
        for sparsity in study.sparsities:
            parents = {"mask": ticket.masks[sparsity], "network": ticket.dense_b[study.epochs]} | aligned
            yield Reported({**ticket.labels, "sparsity": sparsity}, planner.step("mask", {}, parents))


def compute(run: "Run") -> Outcome:
    """Count, and compare with the weights of dense B that are largest, as many in each layer as the mask keeps.

    `kept_by_both` is for A's mask as it is, `kept_by_both_permuted` for the transported one; kept²/size of them are
    to be expected by chance.
    """
    from permask.mask import parameters_by_name
    from permask.masks.cost import cost_of
    from permask.masks.transport import transport

    network, mask = run.network_of("network"), run.mask_of("mask")
    assert mask is not None
    masks = {"kept_by_both": mask}
    if "alignment" in run.parents:
        masks["kept_by_both_permuted"] = transport(mask, run.alignment_of("alignment"))
    weights = parameters_by_name(network)
    in_order = {name: mask[name] for name in weights if name in mask}
    own = {name: _largest(weights[name], kept) for name, kept in in_order.items()}
    layers = [
        {"layer": name, "shape": list(kept.shape), "size": kept.numel(), "kept": int(kept.sum())}
        | {key: int((moved[name] & own[name]).sum()) for key, moved in masks.items()}
        for name, kept in in_order.items()
    ]
    example, _ = run.data.test.batch([0])
    costs = {"dense": asdict(cost_of(network, [example])), "sparse": asdict(cost_of(network, [example], mask))}
    return Outcome({"layers": layers, **costs})


def rows(found: "Found") -> list[MeasuredMask]:
    """The mask."""
    return [MeasuredMask(**found.labelled, **found.metrics)]


def _largest(weight: "Tensor", kept: "Tensor") -> "Tensor":
    """The weights of a layer that are largest in absolute value, as many as are kept."""
    from permask.masks.scores import keep_largest

    count = int(kept.sum())
    scores = {"": weight.detach().abs()}
    return keep_largest(scores, 1 - count / kept.numel())[""] if count else kept
