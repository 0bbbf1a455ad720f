"""What A's mask keeps, layer by layer, what the network costs under it, and how far it suits B's large weights."""

from dataclasses import asdict

from torch import Tensor

from permask.mask import parameters_by_name
from permask.masks.cost import cost_of
from permask.masks.scores import keep_largest
from permask.masks.transport import transport
from permask.matching.alignment import Alignment
from permask.study.steps.files import ALIGNMENT, Run


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
