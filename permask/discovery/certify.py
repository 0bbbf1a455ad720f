"""The numerical certificate at the end of discovery: what the rules claim, tried on the network itself.

The weights are randomised first, since fresh ones hide errors: heads that start at zero, scales and statistics
that are all alike. Everything runs in float64. Where nothing could have been noticed, nothing is certified.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from permask.discovery.influence import Gradients, derivatives, idle_axes
from permask.discovery.program import Program
from permask.discovery.redraw import State, in_float64, moves, randomised
from permask.discovery.trial import TOLERANCE, Trial, tensors
from permask.errors import NetworkError
from permask.groups import Group
from permask.inputs import Inputs


@dataclass(frozen=True)
class Certificate:
    """What the trial showed.

    Attributes:
        error: The largest change of an output by permutations of all groups that hold, relative to its spread (see
            `trial`); None if no output varies, so that nothing is certified.
        failed: Names of the groups that change the function, and of what lies inside them.
        idle: `group: parameter dim` of the axes that have no influence on the outputs of their own, so that the
            trial could not have noticed if they were wrong; all of them if an op has no derivative to tell by.
        unseen: Names of the groups that have no influence on the outputs, however their units move; of them, nothing
            is certified either.
        float32: What `error` is in float32, if it exceeds `TOLERANCE` as rounding that the network amplifies.
    """

    error: float | None
    failed: tuple[str, ...]
    idle: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    float32: float | None = None


def certify(
    program: Program, groups: tuple[Group, ...], model: nn.Module, inputs: Sequence[Tensor], seed: int = 0
) -> Certificate:
    """Permute all groups and compare outputs; find the groups that fail by bisection.

    Other weights are tried where outputs are not finite, or show nothing of any group: others drawn at random, then the
    network's own.

    Args:
        program: The network.
        groups: What is claimed.
        model: The network itself, for its weights.
        inputs: Example inputs.
        seed: For the random weights and permutations.
    """
    state = {name: x for name, x in model.state_dict().items() if isinstance(x, Tensor)}
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    given = Inputs(tuple(inputs)).double()
    failed: set[str] = set()
    found = None
    for attempt in range(3):
        weights = randomised(state, parameters, seed + attempt) if attempt < 2 else in_float64(state)
        held = tuple(group for group in groups if group.name not in failed)
        claim = _Claim(program, held, weights, given, parameters=parameters, seed=seed)
        if claim.trial.finite or (found is None and attempt == 2):
            found = claim.certificate()
            failed.update(found.failed)
            left = len(held) - len(found.failed)
            if not left or len(found.unseen) < left:
                break
    assert found is not None
    return replace(found, failed=tuple(group.name for group in groups if group.name in failed))


class _Claim:
    """Groups, and a trial of them with given weights."""

    def __init__(
        self,
        program: Program,
        groups: tuple[Group, ...],
        state: State,
        inputs: Inputs,
        *,
        parameters: Set[str],
        seed: int,
    ):
        self.program = program
        self.groups = groups
        self.moves = moves(groups, seed)
        leaves = {id(x): x.detach().requires_grad_() for name, x in state.items() if name in parameters}
        tied = {name: leaves.get(id(x), x) for name, x in state.items()}
        outputs: list[Tensor] = []

        def expected() -> list[Tensor]:
            try:
                with torch.enable_grad():
                    outputs.extend(tensors(program.run([tied], inputs.tensors)[0]))
            except NetworkError:  # an op that runs without derivatives only
                outputs.extend(self._run(state, inputs))
            return [y.detach() for y in outputs]

        self.trial = Trial(self._run, state, inputs, groups, expected=expected, seed=seed)
        scales = {k: self.trial.scales[k] for k in self.trial.telling}
        found = derivatives({name: tied[name] for name in parameters}, outputs, scales)
        self.derivable = bool(found)
        self.gradients: Gradients = found or dict.fromkeys(parameters)

    @torch.no_grad()
    def _run(self, state: State, inputs: Inputs) -> list[Tensor]:
        return tensors(self.program.run([state], inputs.tensors)[0])

    def certificate(self) -> Certificate:
        """What holds of the claim, and how much of that could be noticed."""
        names = [group.name for group in self.groups]
        error, wrong = self._change(names)
        failed = set(self._failing(names)) if wrong else set()
        for group in self.groups:  # parents come before children
            if group.parent in failed:
                failed.add(group.name)
        held = [group for group in self.groups if group.name not in failed]
        if failed:
            error, _ = self._change([group.name for group in held])
        idle = idle_axes(held, self.trial.state, self.gradients, max(TOLERANCE, error))
        unseen = self._unseen(held, {id(axis) for _, axis in idle}, error)
        return Certificate(
            error=error if self.trial.telling or not held else None,
            failed=tuple(name for name in names if name in failed),
            idle=tuple(f"{group.name}: {axis.parameter} {axis.dim}" for group, axis in idle),
            unseen=tuple(unseen),
            float32=self.trial.float32 if error > TOLERANCE else None,
        )

    def _change(self, names: Sequence[str]) -> tuple[float, bool]:
        """How much moving some groups changes the outputs, and whether that is more than rounding."""
        worst = 0.0
        for index in ({name: index[name] for name in names if name in index} for index in self.moves):
            change, wrong = self.trial.change(index) if index else (0.0, False)
            worst = max(worst, change)
            if wrong:
                return worst, True
        return worst, False

    def _failing(self, names: list[str]) -> list[str]:
        """The groups that change the outputs, by bisection; all of them where only their combination does."""
        if not self._change(names)[1]:
            return []
        if len(names) == 1:
            return names
        middle = len(names) // 2
        return self._failing(names[:middle]) + self._failing(names[middle:]) or names

    def _unseen(self, held: Sequence[Group], idle: Set[int], error: float) -> list[str]:
        """The groups without influence, as derivatives tell, or without them a wrong move of all groups at once."""
        names = [group.name for group in held]
        if not self.trial.telling:
            return names
        if not self.derivable:
            index = {name: self.moves[0][name] for name in names}
            return [] if self.trial.notices(index, error) else names
        told = {g.name: {id(axis) for axis in g.axes if axis.parameter in self.gradients} for g in held}
        return [name for name in names if told[name] and told[name] <= idle]
