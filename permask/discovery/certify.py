"""The numerical certificate at the end of discovery: what the rules claim, tried on the network itself.

The weights are randomised first, since fresh ones hide errors: heads that start at zero, scales and statistics
that are all alike. Everything runs in float64. Where nothing could have been noticed, nothing is certified.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from permask.discovery.influence import Influence
from permask.discovery.program import Program, tensors_in
from permask.discovery.redraw import in_float64, moves, randomised
from permask.discovery.trial import TOLERANCE, Trial
from permask.discovery.weights import SMALL, Weights
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

    def together(self, other: Self) -> Self:
        """What two trials of the same groups with different weights showed; the second of those that held in both."""
        failed = {*self.failed, *other.failed}
        return replace(
            self,
            error=_largest(self.error, other.error),
            failed=(*self.failed, *other.failed),
            idle=tuple(x for x in self.idle if x in other.idle),
            unseen=tuple(x for x in self.unseen if x in other.unseen and x not in failed),
            float32=_largest(self.float32, other.float32),
        )


def certify(
    program: Program, groups: tuple[Group, ...], model: nn.Module, inputs: Sequence[Tensor], seed: int = 0
) -> Certificate:
    """Permute all groups and compare outputs; find the groups that fail by bisection.

    Other weights are tried where outputs are not finite, or show nothing of some group: others drawn at random, then
    the network's own; until all groups were seen, or others than before were not.

    Args:
        program: The network.
        groups: What is claimed.
        model: The network itself, for its weights.
        inputs: Example inputs.
        seed: For the random weights and permutations.
    """
    return tried(program, groups, state_of(model), parameters_of(model), inputs, seed=seed)


def tried(
    program: Program,
    groups: tuple[Group, ...],
    state: Mapping[str, Tensor],
    parameters: Set[str],
    inputs: Sequence[Tensor],
    *,
    seed: int = 0,
) -> Certificate:
    """As `certify`, with the tensors of a network and the names of its parameters in place of the network."""
    given = Inputs(tuple(inputs)).double()
    draws = 3 if any(x.is_meta for x in state.values()) else 2
    held, found = groups, None
    for attempt in range(3):
        weights = randomised(state, parameters, seed + attempt) if attempt < draws else in_float64(state)
        if sum(x.numel() for x in state.values()) * 8 <= SMALL:
            weights = weights.held()
        claim = _Claim(program, held, weights, given, parameters=parameters, seed=seed)
        if claim.trial.finite or (found is None and attempt == 2):
            before, new = found, claim.certificate()
            found = before.together(new) if before else new
            held = tuple(group for group in held if group.name not in new.failed)
            stuck = before is not None and before.unseen == found.unseen
            if not found.unseen or (stuck and len(found.unseen) < len(held)):
                break
    assert found is not None
    return found


def _largest(*numbers: float | None) -> float | None:
    return max((x for x in numbers if x is not None), default=None)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network's `state_dict`."""
    return {name: x for name, x in model.state_dict().items() if isinstance(x, Tensor)}


def parameters_of(model: nn.Module) -> set[str]:
    """All names of a network's parameters."""
    return {name for name, _ in model.named_parameters(remove_duplicate=False)}


class _Claim:
    """Groups, and a trial of them with given weights."""

    def __init__(
        self,
        program: Program,
        groups: tuple[Group, ...],
        weights: Weights,
        inputs: Inputs,
        *,
        parameters: Set[str],
        seed: int,
    ):
        self.program = program
        self.groups = groups
        self.moves = moves(groups, seed)
        self.influence = Influence(groups, weights, parameters)
        outputs: list[Tensor] = []

        def expected() -> list[Tensor]:
            try:
                outputs.extend(self.influence.outputs(lambda w: tensors_in(program.run_in_parts(w, inputs.tensors))))
            except NetworkError:  # an op that runs without derivatives only
                outputs.extend(self._run(weights, inputs))
            return [y.detach() for y in outputs]

        self.trial = Trial(self._run, weights, inputs, groups, expected=expected, seed=seed)
        self.influence.follow(outputs, {k: self.trial.scales[k] for k in self.trial.telling})

    @torch.no_grad()
    def _run(self, weights: Weights, inputs: Inputs) -> list[Tensor]:
        return tensors_in(self.program.run([weights], inputs.tensors)[0])

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
        least = max(TOLERANCE, error)  # that a trial can notice
        responses = [(group, axis, self.influence.of(axis)) for group in held for axis in group.axes]
        idle = [(group, axis) for group, axis, response in responses if response is not None and response <= least]
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
        if not self.influence.known:
            index = {name: self.moves[0][name] for name in names}
            return [] if self.trial.notices(index, error) else names
        told = {g.name: {id(axis) for axis in g.axes if self.influence.of(axis) is not None} for g in held}
        return [name for name in names if told[name] and told[name] <= idle]
