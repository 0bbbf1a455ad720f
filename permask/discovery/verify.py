"""Does a symmetry leave a network's function unchanged? Asked of the network itself, not of its graph."""

import copy

import torch
from torch import Tensor, nn

from permask.discovery.certify import relative_error, tensors
from permask.permutation import overwrite
from permask.symmetry import Symmetry


@torch.no_grad()
def verify(
    symmetry: Symmetry, model: nn.Module, example_inputs: tuple[Tensor, ...], draws: int = 3, seed: int = 0
) -> float:
    """Permute all groups at random and compare outputs, in evaluation mode and float64.

    Works on copies: the network stays as it is.

    Args:
        symmetry: What was found for this network, or for another of the same architecture.
        model: The network.
        example_inputs: What it takes.
        draws: Number of random permutations π.
        seed: For the first of them; the next ones count up.

    Returns:
        The largest max |f(πw)(x) − f(w)(x)| / max(1, max |f(w)(x)|) of all draws.

    Raises:
        NetworkError: The symmetry does not fit the network.
    """
    symmetry.check(model)
    network = copy.deepcopy(model).double().eval()
    inputs = [x.double() if x.is_floating_point() else x for x in example_inputs]
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}
    expected = [y.clone() for y in tensors(network(*inputs))]
    worst = 0.0
    for draw in range(draws):
        overwrite(network, symmetry.random(seed + draw).apply(weights))
        worst = max(worst, relative_error(tensors(network(*inputs)), expected))
    return worst
