"""Networks of other people's code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from permask.errors import NetworkError
from permask.training.imported import call


def import_network(factory: str, arguments: Mapping[str, Any], folder: str | Path = "") -> nn.Module:
    """Make a network.

    Args:
        factory: `package.module:name` or `path/to/file.py:name`; the name is of something that returns
            a network when it is called.
        arguments: What to call it with.
        folder: Where a file is looked for before the working directory.

    Raises:
        PermaskError: A reference that leads nowhere.
        NetworkError: What was called failed, or returned no network.
    """
    network = call(factory, arguments, NetworkError, folder)
    if not isinstance(network, nn.Module):
        raise NetworkError(f"{factory} returned a {type(network).__name__}, expected a torch.nn.Module")
    return network
