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

from permask.discovery.program import Capture
from permask.groups import Axis, Group
from permask.permutation import Permutation

TOLERANCE = 1e-8
RESPONSE = 1e-10

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Certificate:
    """What the trial showed.

    Attributes:
        error: max |f(πw)(x) − f(w)(x)| / max(1, max |f(w)(x)|) over random permutations π of all groups that hold.
        failed: Names of the groups that change the function, and of what lies inside them.
        idle: `group: parameter dim` of the axes that have no influence on the outputs of their own, so that the
            trial could not have noticed if they were wrong.
    """

    error: float
    failed: tuple[str, ...]
    idle: tuple[str, ...]


def certify(
    capture: Capture, groups: tuple[Group, ...], model: nn.Module, inputs: Sequence[Tensor], seed: int = 0
) -> Certificate:
    """Permute every group at random and compare outputs; find the groups that fail by bisection.

    Args:
        capture: The network.
        groups: What is claimed.
        model: The network itself, for its weights.
        inputs: Example inputs.
        seed: For the random weights and permutations.
    """
    state = model.state_dict()
    trial = _Trial(capture, groups, randomised(state, groups, seed), inputs, seed)
    if not all(torch.isfinite(y).all() for y in trial.expected):
        trial = _Trial(capture, groups, randomised(state, (), seed), inputs, seed)
    failed = set(trial.failing([group.name for group in groups]))
    for group in groups:  # parents come before children
        if group.parent in failed:
            failed.add(group.name)
    kept = [group for group in groups if group.name not in failed]
    return Certificate(
        error=trial.error([group.name for group in kept]),
        failed=tuple(group.name for group in groups if group.name in failed),
        idle=tuple(trial.idle(kept, {name for name, _ in model.named_parameters(remove_duplicate=False)})),
    )


def randomised(state: State, groups: Sequence[Group], seed: int) -> dict[str, Tensor]:
    """Other float64 weights of about the same scale; buffers that move keep the sign they have.

    Tensors that share memory get the same numbers.
    """
    moving = {axis.parameter for group in groups for axis in group.axes}
    generator = torch.Generator().manual_seed(seed)
    made: dict[Any, Tensor] = {}
    result = {}
    for name, old in state.items():
        memory = (old.untyped_storage().data_ptr(), old.storage_offset(), old.shape, old.stride())
        if not old.is_floating_point() or name not in moving:
            result[name] = old.double() if old.is_floating_point() else old
            continue
        if memory not in made:
            x = old.detach().to("cpu", torch.float64)
            factor = 0.5 + torch.rand(x.shape, generator=generator, dtype=torch.float64)
            noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
            scale = 0.2 if x.ndim < 2 else 0.5 / max(1, x[0].numel()) ** 0.5
            positive = x.ndim < 2 and bool((x > 0).all())
            made[memory] = (x * factor + (0 if positive else scale) * noise).to(old.device)
        result[name] = made[memory]
    return result


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
    def __init__(self, capture: Capture, groups: tuple[Group, ...], state: State, inputs: Sequence[Tensor], seed: int):
        self.capture = capture
        self.groups = groups
        self.state = state
        self.inputs = [x.double() if x.is_floating_point() else x for x in inputs]
        self.rng = np.random.default_rng(seed)
        with torch.no_grad():
            self.expected = tensors(capture.run([state], self.inputs)[0])

    def index(self, group: Group) -> np.ndarray:
        units = np.broadcast_to(np.arange(group.size), group.index_shape)
        return self.rng.permuted(units, axis=-1)

    @torch.no_grad()
    def error(self, names: Sequence[str]) -> float:
        """How much a random permutation of some groups changes the outputs."""
        if not names:
            return 0.0
        permutation = Permutation(self.groups, {g.name: self.index(g) for g in self.groups if g.name in names})
        outputs = self.capture.run([permutation.apply(self.state)], self.inputs)
        return relative_error(tensors(outputs[0]), self.expected)

    def failing(self, names: list[str]) -> list[str]:
        """The groups that change the outputs, by bisection; all of them where only their combination does."""
        if self.error(names) <= TOLERANCE:
            return []
        if len(names) == 1:
            return names
        middle = len(names) // 2
        return self.failing(names[:middle]) + self.failing(names[middle:]) or names

    def idle(self, groups: Sequence[Group], parameters: Set[str]) -> list[str]:
        """The negative control: axes that could be left out of their group without changing the outputs.

        Leaving one axis out changes the weights by some Δ. The outputs change if their derivative along Δ is not
        zero, which takes one backward pass for the axes of all parameters together.
        """
        leaves = {id(x): x.clone().requires_grad_() for name, x in self.state.items() if name in parameters}
        state = {name: leaves.get(id(x), x) for name, x in self.state.items()}  # tied tensors stay tied
        with torch.enable_grad():
            outputs = tensors(self.capture.run([state], self.inputs)[0])
            generator = torch.Generator().manual_seed(0)
            weights = [torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.device) for y in outputs]
            objective = sum((y * w).sum() for y, w in zip(outputs, weights, strict=True) if y.requires_grad)
            if isinstance(objective, Tensor):
                objective.backward()
        idle = []
        for group in groups:
            for axis in (axis for axis in group.axes if axis.parameter in parameters):
                gradient = state[axis.parameter].grad
                if gradient is None or not self._responds(group, axis, gradient):
                    idle.append(f"{group.name}: {axis.parameter} {axis.dim}")
        return idle

    def _responds(self, group: Group, axis: Axis, gradient: Tensor) -> bool:
        index = self.index(group)
        flat = index + group.size * np.arange(group.blocks)[:, None] if group.parent else index
        alone = replace(axis, table=axis.table.reshape(-1, axis.table.shape[-1]))
        before = self.state[axis.parameter]
        permutation = Permutation((Group("alone", flat.size, (alone,)),), {"alone": flat.ravel()})
        change = permutation.apply({axis.parameter: before})[axis.parameter] - before
        return float((gradient * change).sum().abs()) > RESPONSE * float(gradient.norm() * change.norm())
