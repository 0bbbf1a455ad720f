"""Does a symmetry leave a network's function unchanged? Asked of the network itself, not of its graph."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from permask.discovery.capture import capture
from permask.discovery.evidence import with_entries
from permask.discovery.outputs import named_tensors
from permask.discovery.program import tensors_in
from permask.discovery.redraw import State, in_float64, moves, randomised, real
from permask.discovery.trial import Trial
from permask.discovery.weights import Weights
from permask.errors import NetworkError
from permask.inputs import Example, Inputs
from permask.permutation import Permutation, overwrite
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


def verify(symmetry: Symmetry, model: nn.Module, example_inputs: Example, draws: int = 3, seed: int = 0) -> float:
    """Permute all groups of a symmetry at random, and measure how much a network's outputs change.

    The function works on copies in evaluation mode and float64; the network itself is not changed. The copies have
    random weights, because the weights of a new network can hide errors. If the outputs are not finite with random
    weights, the copies have the network's own weights. If the network's code does not run in float64, or the network is
    on the meta device, the captured graph runs instead.

    Args:
        symmetry: The symmetry of this network, or of another network of the same architecture.
        model: The network.
        example_inputs: Inputs for the network, in any form that `discover` takes.
        draws: The number of random permutations π, and of random weights w.
        seed: The seed of the first weights. Every further draw adds 1 to it.

    Returns:
        The largest max |f(πw)(x) − f(w)(x)| of all draws, divided by the spread of the output, which is how much the
        output differs between these inputs and others. For a true symmetry, the result is at most 1e-9, unless the
        network amplifies rounding errors.

    Raises:
        DataError: If the inputs have a form that `discover` does not take.
        NetworkError: If the symmetry does not fit the network, or neither the network nor its graph runs in float64; or
            if the outputs cannot show an error, because they do not vary or do not depend on the units.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        model, inputs = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(2, 4)
        symmetry = permask.discover(model, inputs)
        print(permask.verify(symmetry, model, inputs))  # near 0: the function is unchanged
        ```
    """
    model = readable(model)
    symmetry.check(model)
    if not symmetry.groups:
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    example = Inputs.of(model, example_inputs).map(lambda x: real(x, generator))
    state = {name: x for name, x in model.state_dict().items() if isinstance(x, Tensor)}
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    network = _Network(model, state, example, symmetry.report.get("outputs"))
    worst, seen = 0.0, False
    for draw in range(seed, seed + draws):
        for weights in (randomised(state, parameters, draw), in_float64(state)):
            trial = Trial(network.outputs, weights, example.double(), symmetry.groups, seed=draw)
            if trial.finite:
                break
        permutations = moves(symmetry.groups, draw)
        changes = [trial.change(index) for index in permutations]
        error = max(change for change, _ in changes)
        worst = max(worst, error)
        seen = seen or any(wrong for _, wrong in changes) or trial.notices(permutations[0], error)
    if not seen:
        raise NetworkError(
            "the symmetry cannot be tested: even a wrong permutation of its units changes no output, whatever the "
            "weights; give inputs for which the outputs depend on these units"
        )
    return worst


def changed_by(permutation: Permutation, model: nn.Module, example_inputs: Example) -> float:
    """What one permutation changes of a network's outputs, with its own weights, in evaluation mode and float64.

    Args:
        permutation: Of the network's units.
        model: The network; it stays as it is.
        example_inputs: What it takes, as in `discover`.

    Returns:
        The largest change of an output, relative to its spread, as of `verify`.

    Raises:
        DataError: Inputs of another form than `discover` takes.
        NetworkError: Outputs are not finite, or neither the network nor its graph runs in float64.
    """
    model = readable(model)
    if not permutation.groups:
        return 0.0
    example = Inputs.of(model, example_inputs)
    state = {name: x for name, x in model.state_dict().items() if isinstance(x, Tensor)}
    network = _Network(model, state, example, None)
    trial = Trial(network.outputs, in_float64(state), example.double(), permutation.groups, seed=0)
    if not trial.finite:
        raise NetworkError("the network's outputs are not finite: nothing can be compared")
    return trial.change(permutation.index)[0]


class _Network:
    """A copy of a network, in float64 or in float32, that runs with given weights; or its graph."""

    def __init__(self, model: nn.Module, state: State, example: Inputs, wanted: Sequence[str] | None):
        self.wanted = wanted
        self.copy = copy.deepcopy(model).eval()
        self.program = None
        try:
            if any(x.is_meta for x in state.values()):
                raise NetworkError("there are no weights that its code could run with")
            self._own_outputs(in_float64(state), example.double())
        except Exception:  # an op of its code refuses float64
            self.program = with_entries(capture(model, example, outputs=wanted))

    @torch.no_grad()
    def outputs(self, weights: Weights, inputs: Inputs) -> list[Tensor]:
        """What it returns; all of it or the outputs that count."""
        if self.program is None:
            return self._own_outputs(weights, inputs)
        return tensors_in(self.program.run([weights], inputs.tensors)[0])

    @torch.no_grad()
    def _own_outputs(self, weights: Weights, inputs: Inputs) -> list[Tensor]:
        double = weights.like.dtype == torch.float64
        network = self.copy.double() if double else self.copy.float()
        overwrite(network, weights)
        with Float64() if double else nullcontext():
            found = named_tensors(inputs.call(network))
        return [y.clone() for name, y in found.items() if self.wanted is None or name in self.wanted]
