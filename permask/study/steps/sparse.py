"""Train a sparse network: a dense network's early weights under a mask, as it is, permuted or shuffled.

The methods of a study differ in the parents alone: `lth` has A's weights and A's mask, `naive` B's weights and A's
mask, `permuted` has the alignment of A to B besides, `random` a seed to shuffle the mask within each layer.
"""

from permask.masks.rescale import rescale_fan_in
from permask.masks.scores import random_mask_like
from permask.masks.transport import transport
from permask.matching.alignment import Alignment
from permask.study.steps.files import ALIGNMENT, Run
from permask.study.steps.training import train_network
from permask.training.loop import State


def compute(run: Run) -> None:
    """Train the survivors; the order of the images depends on the seed alone, not on the method."""
    network = run.network_of("weights")
    mask = run.mask_of("mask")
    assert mask is not None
    if "alignment" in run.parents:
        mask = transport(mask, Alignment.load(run.parents["alignment"] / ALIGNMENT))
    if "shuffle" in run.specification:
        mask = random_mask_like(mask, run.specification["shuffle"])
    if "rescale" in run.specification:
        rescale_fan_in(network, mask, run.specification["rescale"])
    train_network(run, network, "sparse", state=State(), mask=mask)
