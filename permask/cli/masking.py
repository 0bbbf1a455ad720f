"""What `permask mask make` prunes, and the data that tell it what to keep."""

from dataclasses import replace

from permask.batches import Batch, Needs
from permask.cli.arguments import Examples, Pruned
from permask.cli.data import read, read_for
from permask.cli.network import example_inputs, load_network
from permask.errors import PermaskError
from permask.masks.formats import load_weights, plain_state, read_state
from permask.masks.scores import Prunable


def load_pruned(
    by: str, needs: Needs, pruned: Pruned, examples: Examples, device: str = "cpu"
) -> tuple[Prunable, list[Batch]]:
    """The network to prune, in training mode, or a `state_dict` where that will do, and the batches that are needed.

    Args:
        by: Name of the mask source.
        needs: What it needs.
        pruned: What to prune, as it was given.
        examples: What to run it on, as it was given.
        device: Where to put it.

    Raises:
        PermaskError: Something that the mask source needs was not given, or is not what it should be.
    """
    if pruned.weights is None and pruned.model is None:
        raise PermaskError("expected a checkpoint, or --model to prune as it is made")
    if pruned.model is None:
        if needs != "nothing":
            raise PermaskError(f"--by {by} runs the network: it needs --model")
        assert pruned.weights is not None
        state = plain_state(read_state(pruned.weights))
        for name, x in state.items():
            if x.ndim > 1 and name.endswith("weight") and not x.is_floating_point():
                raise PermaskError(f"{pruned.weights}: {name}: expected floating-point weights, got {x.dtype}")
        return {name: x for name, x in state.items() if x.is_floating_point()}, []
    network = load_network(pruned.model, pruned.arguments or [], device)
    if pruned.weights is not None:
        load_weights(network, pruned.weights)
    batches = []
    if needs == "example" and examples.data is None:
        if not examples.inputs:
            raise PermaskError(f"--by {by} runs the network: it needs --input or --data")
        example = example_inputs(network, examples.inputs)
        batches = [Batch(example.args, keywords=example.kwargs)]
    elif needs == "example":
        batches = read(replace(examples, batches=1), network)
    elif needs != "nothing":
        batches = read_for(by, needs, examples, network)
    return network.train(), batches
