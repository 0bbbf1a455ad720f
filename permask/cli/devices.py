"""Where a command computes: its option, and torch's settings while it runs."""

import copy
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import typer

from permask.cli.arguments import one_of

if TYPE_CHECKING:
    from torch import nn

    from permask.inputs import Inputs

DEVICE = one_of(
    ("auto", "cpu", "cuda", "mps"),
    "--device",
    help="Where to compute: auto is the GPU if there is one, mps is the GPU of a Mac.",
)
ON_GPU = {"cuda": "on a GPU of this machine; --device cpu takes its processor", "mps": "on the GPU of this Mac"}


def computes(command: Callable[..., None]) -> Callable[..., None]:
    """A command with an option `device`, refused at once where there is none such; on a GPU it says so.

    Meanwhile float32 means float32.
    """

    @wraps(command)
    def run(**given: Any) -> None:
        from permask.training.execution import find_device
        from permask.training.settings import in_force

        device = find_device(given["device"])
        if said := ON_GPU.get(device.type):
            typer.echo(said, err=True)  # what a command prints may be JSON
        with in_force(device):
            command(**given)

    return run


def exactly(network: "nn.Module", example: "Inputs") -> "tuple[nn.Module, Inputs]":
    """A network and what it takes where float64 is to be had: they themselves, or on Apple's GPUs copies on the CPU."""
    import torch

    from permask.cli.network import device_of

    if device_of(network).type != "mps":
        return network, example
    cpu = torch.device("cpu")
    return copy.deepcopy(network).to(cpu), example.to(cpu)
