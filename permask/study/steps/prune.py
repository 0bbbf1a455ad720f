"""One round of iterative magnitude pruning: remove the smallest surviving weights, then train the rest.

The three policies differ in what a round trains. `fine_tune` goes on from the surviving weights with a recipe of its
own. `rewind_weights` (Frankle et al. 2020) sets the survivors back to an early epoch of dense training, and
`rewind_learning_rate` (Renda et al. 2020) keeps them, and both then replay the dense recipe from that epoch on.
"""

from permask.masks.scores import magnitude_mask
from permask.study.steps.files import Run
from permask.study.steps.training import train_network
from permask.training.loop import State


def compute(run: Run) -> None:
    """Prune the parent's network to the specified sparsity and train it."""
    pruned = run.network_of("network")
    mask = magnitude_mask(
        pruned,
        run.specification["sparsity"],
        exclude=run.specification["exclude"],
        mask=run.mask_of("network"),
    )
    network = run.network_of("rewind") if "rewind" in run.parents else pruned
    state = State(run.specification["first_epoch"])
    train_network(run, network, f"prune round {run.specification['round']}", state=state, mask=mask)
