"""A dense network after a number of epochs; 0 is the initialisation."""

from safetensors.torch import load_file
from torch import Tensor

from permask.study.steps.files import MOMENTUM, Run
from permask.training.loop import train


def compute(run: Run) -> None:
    """Train from the initialisation, or go on from an earlier epoch to the very same result."""
    epoch = run.specification["epoch"]
    momentum: dict[str, Tensor] = {}
    history: list[dict[str, float]] = []
    if run.goes_on_from is None:
        done, network = 0, run.new_network()
    else:
        done, before = run.goes_on_from
        network, momentum = run.network_in(before), load_file(before / MOMENTUM)
    if epoch:
        momentum = train(
            network,
            run.data.train,
            run.recipe,
            run.order("dense"),
            start=(done, momentum),
            stop=epoch,
            after_epoch=run.report(done, epoch, history),
            augmentation=run.augmentation("dense"),
            execution=run.execution(network),
        )
    run.write_tensors(MOMENTUM, momentum)
    run.write_trained(network, history)
