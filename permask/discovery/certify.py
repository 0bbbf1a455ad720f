"""The numerical certificate at the end of discovery: what the rules claim, tried on the network itself.

The weights are randomised first, since fresh ones hide errors: heads that start at zero, scales and statistics
that are all alike. Everything runs in float64.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from permask.discovery.program import Program
from permask.groups import Axis, Group
from permask.permutation import Permutation

TOLERANCE = 1e-8
RESPONSE = 1e-12  # relative to the largest
UNITS = 16  # of each group, for the negative control

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Certificate:
    """What the trial showed.

    Attributes:
        error: max |f(πw)(x) − f(w)(x)| / max(1, max |f(w)(x)|) over random permutations π of all groups that hold.
        failed: Names of the groups that change the function, and of what lies inside them.
        idle: `group: parameter dim` of the axes that have no influence on the outputs of their own, so that the
            trial could not have noticed if they were wrong; all of them if an op has no derivative to tell by.
    """

    error: float
    failed: tuple[str, ...]
    idle: tuple[str, ...]


def certify(
    program: Program, groups: tuple[Group, ...], model: nn.Module, inputs: Sequence[Tensor], seed: int = 0
) -> Certificate:
    """Permute every group at random and compare outputs; find the groups that fail by bisection.

    Args:
        program: The network.
        groups: What is claimed.
        model: The network itself, for its weights.
        inputs: Example inputs.
        seed: For the random weights and permutations.
    """
    state = {name: x for name, x in model.state_dict().items() if isinstance(x, Tensor)}
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    trial = _Trial(
        program,
        groups,
        state=randomised(state, parameters, seed),
        inputs=inputs,
        parameters=parameters,
        seed=seed,
    )
    if not all(torch.isfinite(y).all() for y in trial.expected):
        plain = {name: x.double() if x.is_floating_point() else x for name, x in state.items()}
        trial = _Trial(program, groups, state=plain, inputs=inputs, parameters=parameters, seed=seed)
    error, failed = trial.error([group.name for group in groups]), set()
    if not error <= TOLERANCE:
        failed = set(trial.failing([group.name for group in groups]))
        for group in groups:  # parents come before children
            if group.parent in failed:
                failed.add(group.name)
        error = trial.error([group.name for group in groups if group.name not in failed])
    names = tuple(group.name for group in groups if group.name in failed)
    idle = (f"{group.name}: {axis.parameter} {axis.dim}" for group, axis in trial.idle if group.name not in failed)
    return Certificate(error, names, tuple(idle))


def randomised(state: State, parameters: Set[str], seed: int) -> dict[str, Tensor]:
    """Other float64 weights of about the same scale, and running statistics; positive scales stay positive.

    Of other buffers every entry is scaled, so that zeros and signs, which masks are made of, remain. Tensors
    that share memory get the same numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    made: dict[Any, Tensor] = {}
    result = {}
    for name, old in state.items():
        memory = (old.untyped_storage().data_ptr(), old.storage_offset(), old.shape, old.stride())
        if memory not in made:
            free = name in parameters or name.endswith("running_mean")
            made[memory] = _redrawn(old.detach(), free, generator) if old.is_floating_point() else old
        result[name] = made[memory]
    return result


def _redrawn(old: Tensor, free: bool, generator: torch.Generator) -> Tensor:
    """A tensor plus noise, or times 1 + noise; made in place, since a large network has little memory to spare."""
    noise = torch.empty(old.shape, dtype=torch.float64).uniform_(-0.5, 0.5, generator=generator).to(old.device)
    if not free:
        return noise.add_(1).mul_(old)
    if not torch.isfinite(old.sum()):
        old = old.nan_to_num(0.0, 0.0, 0.0)  # memory that nobody has initialised
    if old.ndim < 2:
        return noise.mul_(old).add_(old) if (old > 0).all() else noise.add_(old)
    return noise.mul_(2 / max(1, old.shape[1:].numel()) ** 0.5).add_(old)


def relative_error(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """max |a − b| / max(1, max |b|) over pairs of tensors; infinite where one is not finite and the other is."""
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        x, y = x.detach().double(), y.detach().double()
        finite = torch.isfinite(y)
        if not torch.equal(finite, torch.isfinite(x)):
            return float("inf")
        if finite.any():
            worst = max(worst, float((x - y)[finite].abs().max() / y[finite].abs().max().clamp(min=1.0)))
    return worst


def tensors(output: Any) -> list[Tensor]:
    """The tensors inside whatever a network returns."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        return tensors(list(output.values()))
    return [x for item in output for x in tensors(item)] if isinstance(output, list | tuple) else []


class _Trial:
    """A network with given weights, and its outputs.

    Attributes:
        expected: The outputs.
        idle: The negative control: axes that could be left out of their group without changing the outputs.
    """

    def __init__(
        self,
        program: Program,
        groups: tuple[Group, ...],
        *,
        state: State,
        inputs: Sequence[Tensor],
        parameters: Set[str],
        seed: int,
    ):
        self.program = program
        self.groups = groups
        self.state = state
        self.inputs = [x.double() if x.is_floating_point() else x for x in inputs]
        self.rng = np.random.default_rng(seed)
        leaves = {id(x): x.detach().requires_grad_() for name, x in state.items() if name in parameters}
        tied = {name: leaves.get(id(x), x) for name, x in state.items()}
        with torch.enable_grad():
            outputs = tensors(program.run([tied], self.inputs)[0])
            generator = torch.Generator().manual_seed(seed)
            parts = [(y * torch.randn(y.shape, generator=generator).to(y)).sum() for y in outputs if y.requires_grad]
            derivatives = bool(parts)
            try:
                if derivatives:
                    torch.stack(parts).sum().backward()
            except RuntimeError:  # an op has no derivative
                derivatives = False
        self.expected = [y.detach() for y in outputs]
        self.idle = self._idle({name: tied[name].grad if derivatives else None for name in parameters})

    def index(self, group: Group) -> np.ndarray:
        units = np.broadcast_to(np.arange(group.size), group.index_shape)
        return self.rng.permuted(units, axis=-1)

    @torch.no_grad()
    def error(self, names: Sequence[str]) -> float:
        """How much a random permutation of some groups changes the outputs."""
        if not names:
            return 0.0
        permutation = Permutation(self.groups, {g.name: self.index(g) for g in self.groups if g.name in names})
        outputs = self.program.run([permutation.apply(self.state)], self.inputs)
        return relative_error(tensors(outputs[0]), self.expected)

    def failing(self, names: list[str]) -> list[str]:
        """The groups that change the outputs, by bisection; all of them where only their combination does."""
        if self.error(names) <= TOLERANCE:
            return []
        if len(names) == 1:
            return names
        middle = len(names) // 2
        return self.failing(names[:middle]) + self.failing(names[middle:]) or names

    def _idle(self, gradients: Mapping[str, Tensor | None]) -> list[tuple[Group, Axis]]:
        """Axes without influence of their own, from the derivatives of the outputs along all parameters.

        Leaving one axis out of its group changes the weights by some Δ. The outputs change if their derivative
        along Δ is not zero, which takes one backward pass for the axes of all parameters together.
        """
        axes = [(group, axis) for group in self.groups for axis in group.axes if axis.parameter in gradients]
        responses = [
            _response(group, axis, self.state[axis.parameter], gradients[axis.parameter]) for group, axis in axes
        ]
        least = RESPONSE * max(responses, default=0.0)
        return [place for place, response in zip(axes, responses, strict=True) if response <= least]


def _response(group: Group, axis: Axis, weights: Tensor, gradient: Tensor | None) -> float:
    """How much, to first order, trading some units along this axis alone changes the outputs."""
    if gradient is None:
        return 0.0
    few = slice(min(group.size, UNITS))
    table = axis.table[..., few, :]
    source = np.arange(axis.length)
    source[table] = np.roll(table, 1, axis=-2)
    if axis.convolution_groups == 1:
        there, here = (torch.as_tensor(x.ravel(), device=weights.device) for x in (source[table], table))
        change = weights.index_select(axis.dim, there) - weights.index_select(axis.dim, here)
        gradient = gradient.index_select(axis.dim, here)
    else:
        alone = Group("alone", axis.length, (replace(axis, table=np.arange(axis.length)[:, None]),))
        moved = Permutation((alone,), {"alone": source}).apply({axis.parameter: weights})
        change = moved[axis.parameter] - weights
    return float((gradient * change).sum().abs())
