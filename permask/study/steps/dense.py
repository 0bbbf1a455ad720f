"""A dense network after a number of epochs; 0 is the initialisation."""

from safetensors.torch import load_file

from permask.study.steps.files import MOMENTUM, Run
from permask.study.steps.training import train_network
from permask.training.loop import State


def compute(run: Run) -> None:
    """Train from the initialisation, or go on from an earlier epoch to the very same result."""
    epoch = run.specification["epoch"]
    if run.goes_on_from is None:
        network, state = run.new_network(), State()
    else:
        done, before = run.goes_on_from
        network, state = run.network_in(before), State(done, momentum=load_file(before / MOMENTUM))
    if epoch:
        state = train_network(run, network, "dense", state=state, stop=epoch)
    else:
        run.write_trained(network)
    run.write_tensors(MOMENTUM, state.momentum)
