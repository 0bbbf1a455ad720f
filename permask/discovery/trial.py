"""Trying a symmetry: how much the outputs change, in units of what they vary by, and whether that tells anything.

The *spread* of an output is how much it differs between the example inputs and others: the largest
|f(w)(x) − f(w)(x′)| over its entries, where every entry of x′ is one of those of x, drawn at random. So a change counts
alike at every scale of the outputs, and no constant that is added to them hides it, not even one of each entry. The
spread of an output that does not depend on the inputs is what it changes by if units move in a wrong way.

A change of more than `TOLERANCE` may be a wrong rule, or rounding that the network amplifies. The trial is repeated in
float32, where numbers have 29 bits fewer: rounding errors grow by about 2^29, the change of a wrong rule stays.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from permask.discovery.redraw import Moves, in_float32, moves, resampled
from permask.discovery.weights import Weights
from permask.groups import Group
from permask.inputs import Inputs
from permask.permutation import Permutation

TOLERANCE = 1e-9
# half-way, in bits, between what a wrong rule's change grows by in float32 and what rounding does
GROWTH = 2.0**14.5
# rounding above it hides too much to tell anything
AMPLIFIED = 1e-6
# an entry that varies by less, relative to its size, is rounded by more than that
CONSTANT = torch.finfo(torch.float64).eps / AMPLIFIED

Run = Callable[[Weights, Inputs], list[Tensor]]


class Trial:
    """A network with given weights: what it computes, and what moving its units does to that.

    Args:
        run: Gives the outputs of the network for weights and inputs, in the precision that these have.
        weights: In float64.
        inputs: Float64 inputs.
        groups: The groups of units.
        expected: Gives the outputs for both; `run` by default.
        seed: For other inputs.

    Attributes:
        expected: The outputs.
        spreads: Of every output; 0 if it does not vary.
        telling: Numbers of the outputs that vary, and not by rounding alone.
        float32: The largest change in float32 of those that were taken for rounding; None if there were none.
    """

    def __init__(
        self,
        run: Run,
        weights: Weights,
        inputs: Inputs,
        groups: tuple[Group, ...],
        *,
        seed: int,
        expected: Callable[[], list[Tensor]] | None = None,
    ):
        self.run, self.weights, self.inputs, self.groups = run, weights, inputs, groups
        generator = torch.Generator().manual_seed(seed)
        elsewhere = _attempted(run, weights, inputs.map(lambda x: resampled(x, generator)))
        self.expected = expected() if expected else run(weights, inputs)
        self.spreads = [0.0] * len(self.expected)
        self._widen(elsewhere)
        if not all(self.spreads):
            for outputs in self._wrongly(moves(groups, seed)[0]):
                self._widen(outputs)
        self.telling = {k for k, spread in enumerate(self.spreads) if spread}
        self.float32: float | None = None
        self._blind: set[int] = set()

    def _widen(self, outputs: Sequence[Tensor] | None) -> None:
        """Take the spread of outputs that had none yet from what they are elsewhere."""
        for k, y in enumerate(outputs or ()):
            self.spreads[k] = self.spreads[k] or _spread(self.expected[k], y)

    @property
    def scales(self) -> list[float]:
        """Of every output, what changes of it are relative to: its spread, or its largest entry if it does not vary."""
        return [x or distance(y, torch.zeros_like(y)) for x, y in zip(self.spreads, self.expected, strict=True)]

    @property
    def finite(self) -> bool:
        """Whether all outputs are finite."""
        return all(bool(torch.isfinite(y).all()) for y in self.expected)

    def change(self, index: Moves) -> tuple[float, bool]:
        """The largest change of an output relative to its scale, and whether it is more than rounding.

        An output that rounding alone changes by more than `AMPLIFIED` is left out from here on, and is telling no more.
        """
        moved = self.weights.map(Permutation(self.groups, index).permute_tensor)
        changes = list(map(distance, self.run(moved, self.inputs), self.expected))
        relative = list(map(_ratio, changes, self.scales))
        large = [k for k, x in enumerate(relative) if not x <= TOLERANCE and k not in self._blind]
        wrong = False
        rounding = self._rounding(moved) if large else []
        for k in large:
            if not GROWTH * changes[k] <= rounding[k] < float("inf"):
                wrong = True
            elif relative[k] <= AMPLIFIED:
                self.float32 = max(self.float32 or 0.0, _ratio(rounding[k], self.scales[k]))
            else:
                self._blind.add(k)
        self.telling -= self._blind
        return max((x for k, x in enumerate(relative) if k not in self._blind), default=0.0), wrong

    def _rounding(self, moved: Weights) -> list[float]:
        """How far every output in float32 is from what it should be, with units moved or not: the larger of both."""
        worst = [0.0] * len(self.expected)
        for weights in (moved, self.weights):
            outputs = _attempted(self.run, in_float32(weights), self.inputs.float())
            errors = map(distance, outputs, self.expected) if outputs else [float("inf")] * len(worst)
            worst = list(map(max, worst, errors))
        return worst

    def notices(self, index: Moves, error: float) -> bool:
        """Whether an output shows it if units move in a wrong way.

        A group with a single axis cannot; if all are of that kind, whether outputs vary.

        Args:
            index: How units of some groups move.
            error: What outputs change by if they move along all of their axes.
        """
        if not self.telling or all(len(group.axes) == 1 for group in self.groups if group.name in index):
            return bool(self.telling)
        least = max(TOLERANCE, error)
        return any(
            not _ratio(distance(outputs[k], self.expected[k]), self.scales[k]) <= least
            for outputs in self._wrongly(index)
            for k in self.telling
        )

    def _wrongly(self, index: Moves) -> Iterator[list[Tensor]]:
        """The outputs if units move along the first of their axes alone, and if along the last.

        One of two names of a tensor alone may be without effect.
        """
        several = {group.name for group in self.groups if group.name in index and len(group.axes) > 1}
        for part in (slice(1), slice(-1, None)) if several else ():
            partial = tuple(replace(g, axes=g.axes[part]) if g.name in several else g for g in self.groups)
            permutation = Permutation(partial, {name: index[name] for name in several})
            yield self.run(self.weights.map(permutation.permute_tensor), self.inputs)


def distance(a: Tensor, b: Tensor) -> float:
    """max |a − b|; infinite where one is finite and the other is not."""
    if not torch.equal(torch.isfinite(a), torch.isfinite(b)):
        return float("inf")
    difference = _difference(a, b)
    return _largest(difference[torch.isfinite(difference)])


def _spread(a: Tensor, b: Tensor) -> float:
    """max |a − b| over the entries that differ by more than rounding, and are finite in both."""
    difference = _difference(a, b)
    return _largest(difference[torch.isfinite(difference) & (difference > CONSTANT * a.abs())])


def _difference(a: Tensor, b: Tensor) -> Tensor:
    wide = torch.complex128 if a.is_complex() else torch.float64
    return (a.to(wide) - b.to(wide)).abs()


def _largest(x: Tensor) -> float:
    return float(x.max()) if x.numel() else 0.0


def _ratio(change: float, scale: float) -> float:
    return change / scale if scale else float("inf") if change else 0.0


def _attempted(run: Run, weights: Weights, inputs: Inputs) -> list[Tensor] | None:
    """The outputs for weights or inputs that a network need not be made for; None if it cannot be run with them."""
    try:
        return run(weights, inputs)
    except Exception:  # whatever the network's own code raises
        return None
