"""Networks and inputs as they are named on the command line."""

import ast
import re
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from permask.cli.arguments import Ends
from permask.cli.devices import exactly
from permask.discovery.verify import verify
from permask.errors import DataError, NetworkError, PermaskError, place_of, summary
from permask.inputs import Inputs, random_tensor
from permask.masks.formats import load_weights
from permask.symmetry import Symmetry
from permask.training.execution import find_device
from permask.training.networks.imported import import_network

BATCH = 2
BELOW = 10
FEW = 6
ROUNDING = 1e-6  # what a symmetry changes of outputs in float64 at most, where a network amplifies rounding
INPUT = re.compile(
    r"((?P<name>[A-Za-z_]\w*)=)?(?P<sizes>\d{1,18}(x\d{1,18})*)(:(?P<dtype>[a-z]+\d*)(:(?P<below>[1-9]\d{0,18}))?)?"
)


def device_of(network: nn.Module) -> torch.device:
    """Where a network is."""
    return next((x.device for x in (*network.parameters(), *network.buffers())), torch.device("cpu"))


def load_network(reference: str, arguments: Sequence[str], device: str = "cpu") -> nn.Module:
    """Make the network that a reference names, in evaluation mode.

    Args:
        reference: `package.module:name` or `path/to/file.py:name`; the name is of something that returns
            a network when it is called.
        arguments: What to call it with, as `key=value`; values are Python literals, or else text.
        device: Where to put it; what it is run on goes there, too.

    Raises:
        PermaskError: A reference that leads nowhere, an argument that is not `key=value`.
        NetworkError: What was called failed, or returned no network.
    """
    return import_network(reference, dict(map(_argument, arguments))).eval().to(find_device(device))


def load_ends(ends: Ends, device: str = "cpu") -> tuple[nn.Module, nn.Module]:
    """The networks of two checkpoints, in evaluation mode.

    Raises:
        PermaskError: As for `load_network`, or a file that holds no weights.
        NetworkError: Weights of another network.
    """
    source, target = (load_network(ends.model, ends.arguments or [], device) for _ in range(2))
    return load_weights(source, ends.source), load_weights(target, ends.target)


def example_inputs(network: nn.Module, specifications: Sequence[str]) -> Inputs:
    """Random inputs that a network takes, the same every time.

    A batch dim of 2 is put in front, unless the network only takes the sizes as they are.

    Args:
        network: What the inputs are for.
        specifications: `[NAME=]SIZES[:DTYPE[:BELOW]]`, such as `3x32x32` or `input_ids=16:int64:50`. Floating-point
            numbers are standard normal, integers are below `BELOW` (10 if not given).

    Raises:
        PermaskError: A specification that cannot be read.
        NetworkError: The network takes none of them.
    """
    failures = []
    names = [_name(text) for text in specifications]
    drawn = list(map(_input, specifications))
    # with every one of few with a batch dim and without, of many with all of them or none
    for tensors in product(*drawn) if len(drawn) <= FEW else zip(*drawn, strict=True):
        named = list(zip(names, tensors, strict=True))
        inputs = Inputs(tuple(x for name, x in named if not name), {name: x for name, x in named if name})
        try:
            inputs = inputs.to(device_of(network))
            with torch.no_grad():
                inputs.call(network)
            return inputs
        except (Exception, SystemExit) as error:
            failures.append(f"  inputs {inputs}: {summary(error)}{place_of(error)}")
    # with all batch dims, and with none
    wrong, missing = "the network does not take what --input says", "say with --input or --data what the network takes"
    says = wrong if names else missing
    raise NetworkError("\n".join([says, failures[0], *failures[1:][-1:]]))


@torch.no_grad()
def check_takes(network: nn.Module, inputs: Inputs, origin: str) -> None:
    """Run a network in evaluation mode on a few samples, to tell what is wrong before any work starts.

    Raises:
        NetworkError: The network fails on them.
    """
    training = network.training
    try:
        inputs.call(network.eval())
    except (Exception, SystemExit) as error:  # it is not our code that runs
        raise NetworkError(
            f"{origin}: the network does not take its inputs, {inputs}: {summary(error)}{place_of(error)}"
        ) from error
    finally:
        network.train(training)


def check_symmetry(symmetry: Symmetry, network: nn.Module, example: Inputs | None, origin: str) -> None:
    """See that a symmetry that somebody saved is one of a network: move its units at random, and compare outputs.

    Args:
        symmetry: The symmetry.
        network: The network.
        example: What the network takes; None for inputs such as those that the symmetry was found with.
        origin: Where the symmetry comes from.

    Raises:
        PermaskError: There are no inputs.
        NetworkError: The symmetry changes what the network computes, or does not fit it, or it cannot be told.
    """
    if example is None:
        if not (described := symmetry.report.get("inputs")):
            raise PermaskError(
                f"{origin}: does not say what the network takes; give --input or --data to verify it with"
            )
        example = Inputs.drawn(described).to(device_of(network))
    check_takes(network, example, origin)
    if not (change := verify(symmetry, *exactly(network, example))) <= ROUNDING:
        raise NetworkError(
            f"{origin}: not a symmetry of this network: moving its units changes the outputs by {change:.2g} of their "
            "spread; find it anew with permask inspect --save, or leave --symmetry out"
        )


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key.isidentifier() and equals):
        raise PermaskError(f"{text}: expected key=value, such as num_classes=10")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return key, value


def _name(text: str) -> str:
    """The keyword of an input; empty without one."""
    match = INPUT.fullmatch(text)
    return match["name"] or "" if match else ""


def _input(text: str) -> list[Tensor]:
    """The input with a batch dim in front, and without."""
    match = INPUT.fullmatch(text)
    dtype = getattr(torch, match["dtype"] or "float32", None) if match else None
    if match is None or not isinstance(dtype, torch.dtype):
        raise PermaskError(
            f"--input {text}: expected [NAME=]SIZES[:DTYPE[:BELOW]], such as 3x32x32, 16:int64 or input_ids=16:int64:50"
        )
    sizes = [BATCH, *map(int, match["sizes"].split("x"))]
    below = None if dtype.is_floating_point or dtype.is_complex else int(match["below"] or BELOW)
    try:
        batch = random_tensor(sizes, str(dtype).removeprefix("torch."), below, torch.Generator().manual_seed(0))
    except DataError as error:
        raise PermaskError(f"--input {text}: {error}") from error
    return [batch, batch[0]]
