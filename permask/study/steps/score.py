"""A mask that needs no pruning rounds: weights scored once, or drawn at random, by one of the mask sources."""

from typing import TYPE_CHECKING

from permask.study.method import MaskFrom
from permask.study.step import Step
from permask.study.steps.outcome import Outcome

if TYPE_CHECKING:
    from permask.study.plan import Planner, Ticket
    from permask.study.steps.run import Run

VERSION = 1
ROW = None  # what is trained under it is reported
BATCH_SIZE = 512

AFTER_TRAINING = ("magnitude", "layer-magnitude")  # scored at the weights after the last epoch of dense training
DRAWN = ("random", "uniform", "erk")  # from the network's seed


def score(planner: "Planner", ticket: "Ticket", mask: MaskFrom, sparsity: float, rewind: int) -> Step:
    """A mask of one network of a pair, from its weights after the rewind epoch, or after the last one."""
    dense = ticket.dense_a if mask.of == "A" else ticket.dense_b
    specification = {"by": mask.by, "sparsity": sparsity, **planner.study.prune.scope}
    if mask.by in DRAWN:
        specification["seed"] = ticket.labels["seed_a" if mask.of == "A" else "seed_b"]
    at = planner.study.epochs if mask.by in AFTER_TRAINING else rewind
    return planner.step("score", specification, {"network": dense[at]})


def compute(run: "Run") -> Outcome:
    """Score the parent's weights on all training images, where the source reads any.

    Raises:
        PermaskError: A mask that misses its sparsity: it is refused, not rounded.
    """
    from permask.batches import Batch
    from permask.errors import PermaskError
    from permask.masks.scores import kept_count
    from permask.masks.sources import SOURCES, MaskOptions

    by, sparsity = run.specification["by"], run.specification["sparsity"]
    source, network, train = SOURCES[by], run.network_of("network").train(), run.data.train
    batches = [Batch((images,), labels) for images, labels in train.batches(BATCH_SIZE)]
    read = {"nothing": [], "example": [Batch((batches[0].inputs[0][:1],))]}.get(source.needs, batches)
    scope = {name: run.specification.get(name, ()) for name in ("exclude", "include")}
    options = MaskOptions(**scope, seed=run.specification.get("seed", 0))
    mask = source(network, read, sparsity, options)
    if mask.count != kept_count(mask.size, sparsity):
        wanted = kept_count(mask.size, sparsity)
        raise PermaskError(f"mask by {by}: expected {wanted} of {mask.size} weights to be kept, got {mask.count}")
    metrics = {"sparsity": mask.sparsity, "kept": mask.count, "size": mask.size}
    return Outcome(metrics, mask=mask)
