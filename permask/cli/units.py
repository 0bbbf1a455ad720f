"""Which units of a network may move, for the commands that move them."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from permask.batches import Batch
from permask.cli.arguments import Examples
from permask.cli.data import example_of
from permask.cli.devices import exactly
from permask.cli.network import check_symmetry, example_inputs
from permask.discovery.cached import discover_cached
from permask.errors import PermaskError
from permask.inputs import Inputs
from permask.symmetry import Symmetry


def example_from(network: nn.Module, batches: Sequence[Batch], examples: Examples) -> Inputs | None:
    """What to run a network on: the first batch, or inputs of the shapes that were given; None without either."""
    if batches:
        return example_of(batches)
    return example_inputs(network, examples.inputs) if examples.inputs else None


def units_of(network: nn.Module, example: Inputs | None, saved: Path | None) -> Symmetry:
    """The symmetry of a network: one that was saved and holds, or what discovery finds.

    Raises:
        PermaskError: There is nothing to run the network on, or the symmetry is another network's.
    """
    if saved:
        units = Symmetry.load(saved)
        check_symmetry(units, network, example, str(saved))
        return units
    if example is None:
        raise PermaskError("to find out what may move, give --data, --input or --symmetry")
    network, example = exactly(network, example)
    return discover_cached(network, example)
