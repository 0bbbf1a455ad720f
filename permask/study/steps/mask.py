"""What A's mask keeps, layer by layer, what the network costs under it, and how far it suits B's large weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, NotRequired, TypedDict

from torch import Tensor

from permask.mask import parameters_by_name
from permask.masks.cost import cost_of
from permask.masks.scores import keep_largest
from permask.masks.transport import transport
from permask.matching.alignment import Alignment
from permask.study.rows import Line, Row
from permask.study.steps.files import ALIGNMENT, Run


class Layer(TypedDict):
    """What masks keep of one layer: see `MeasuredMask`."""

    layer: str
    shape: list[int]
    size: int
    kept: int
    kept_by_both: int
    kept_by_both_permuted: NotRequired[int]


@dataclass(frozen=True, kw_only=True)
class MeasuredMask(Row):
    """A's mask at one sparsity.

    Attributes:
        layers: One per layer: `layer, shape, size`, the weights that A's mask keeps (`kept`), those that it and the
            magnitudes of dense B keep (`kept_by_both`), and the same of the transported mask (`kept_by_both_permuted`).
        dense: What the network costs without the mask: `parameters, bytes, flops`.
        sparse: What it costs under it.
    """

    table: ClassVar[str] = "masks"

    pair: int
    seed_a: int
    seed_b: int
    sparsity: float
    layers: list[Layer]
    dense: Mapping[str, int]
    sparse: Mapping[str, int]
    step: str

    @classmethod
    def columns(cls) -> list[str]:
        """Those of the mask and of its layers."""
        return ["pair", "seed_a", "seed_b", "sparsity", *Layer.__annotations__, "step"]

    def lines(self) -> list[Line]:
        """One line per layer."""
        own = {name: getattr(self, name) for name in ("pair", "seed_a", "seed_b", "sparsity", "step")}
        return [{**own, **layer, "shape": "x".join(map(str, layer["shape"]))} for layer in self.layers]


def compute(run: Run) -> None:
    """Count, and compare with the weights of dense B that are largest, as many in each layer as the mask keeps.

    `kept_by_both` is for A's mask as it is, `kept_by_both_permuted` for the transported one; kept²/size of them are
    to be expected by chance.
    """
    network, mask = run.network_of("network"), run.mask_of("mask")
    assert mask is not None
    masks = {"kept_by_both": mask}
    if "alignment" in run.parents:
        masks["kept_by_both_permuted"] = transport(mask, Alignment.load(run.parents["alignment"] / ALIGNMENT))
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
    run.write_metrics({"layers": layers, **costs})


def _largest(weight: Tensor, kept: Tensor) -> Tensor:
    """The weights of a layer that are largest in absolute value, as many as are kept."""
    count = int(kept.sum())
    scores = {"": weight.detach().abs()}
    return keep_largest(scores, 1 - count / kept.numel())[""] if count else kept
