"""Does a symmetry leave a network's function unchanged? Asked of the network itself, not of its graph."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from permask.discovery.capture import capture
from permask.discovery.certify import relative_error, tensors
from permask.discovery.outputs import named_tensors
from permask.inputs import Example, Inputs
from permask.permutation import overwrite
from permask.symmetry import Symmetry
from permask.wrapped import readable


class Float64(TorchFunctionMode):
    """Whatever a network rounds to fewer digits inside is computed in float64 all the same.

    Language models compute their norms in float32, even if all their weights are float64: such rounding differs
    between two orders of the same sum, and would hide a change of the function as small as it is.
    """

    CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in self.CASTS:
            return args[0].double()
        return func(*map(_double, args), **{key: _double(x) for key, x in (kwargs or {}).items()})


def _double(x: Any) -> Any:
    return torch.float64 if isinstance(x, torch.dtype) and x.is_floating_point else x


@torch.no_grad()
def verify(symmetry: Symmetry, model: nn.Module, example_inputs: Example, draws: int = 3, seed: int = 0) -> float:
    """Permute all groups at random and compare outputs, in evaluation mode and float64.

    Works on copies: the network stays as it is. If its own code does not run in float64, its captured graph may.

    Args:
        symmetry: What was found for this network, or for another of the same architecture.
        model: The network.
        example_inputs: What it takes, as in `discover`.
        draws: Number of random permutations π.
        seed: For the first of them; the next ones count up.

    Returns:
        The largest max |f(πw)(x) − f(w)(x)| / max(1, max |f(w)(x)|) of all draws.

    Raises:
        DataError: Inputs of another form than `discover` takes.
        NetworkError: The symmetry does not fit the network, or neither the network nor its graph runs in float64.
    """
    model = readable(model)
    symmetry.check(model)
    network = copy.deepcopy(model).double().eval()
    example = Inputs.of(model, example_inputs)
    inputs, wanted = example.double(), symmetry.report.get("outputs")
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}

    def outputs(state: Mapping[str, Tensor]) -> list[Tensor]:
        overwrite(network, state)
        with Float64():
            found = named_tensors(inputs.call(network))
            return [y.clone() for name, y in found.items() if wanted is None or name in wanted]

    try:
        expected = outputs(weights)
    except Exception:  # an op of its code refuses float64
        captured = capture(model, example, outputs=wanted)

        def outputs(state: Mapping[str, Tensor]) -> list[Tensor]:
            return tensors(captured.run([state], inputs.tensors)[0])

        expected = outputs(weights)
    return max(relative_error(outputs(symmetry.random(seed + k).apply(weights)), expected) for k in range(draws))
