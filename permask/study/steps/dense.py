"""A dense network after a number of epochs; 0 is the initialisation."""

from safetensors.torch import load_file
from torch import Tensor

from permask.study.steps.files import MOMENTUM, Run
from permask.study.steps.training import train_network


def compute(run: Run) -> None:
    """Train from the initialisation, or go on from an earlier epoch to the very same result."""
    epoch = run.specification["epoch"]
    momentum: dict[str, Tensor] = {}
    if run.goes_on_from is None:
        done, network = 0, run.new_network()
    else:
        done, before = run.goes_on_from
        network, momentum = run.network_in(before), load_file(before / MOMENTUM)
    if epoch:
        momentum = train_network(run, network, "dense", start=(done, momentum), stop=epoch)
    else:
        run.write_trained(network)
    run.write_tensors(MOMENTUM, momentum)
