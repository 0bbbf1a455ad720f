"""The search for an order of columns under which a pattern keeps most of their scores.

Columns trade places, two at a time, wherever that raises what is kept. With c taken out of its set, what the set keeps
of a row once d is in c's place is the sum of the N − 1 largest that remain, plus max(v, d), where v is the N-th largest
that remains. And max(v, d) is (v + d + |v − d|) / 2: summed over rows, all pairs of a place and a column are distances
in L1 between two lists of vectors.

Shapes: N units, C columns (units, then those that stay), R rows, S sets of M columns.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from permask.patterns.columns import Columns
from permask.patterns.pattern import Pattern

KICK = 3  # swaps at random that lead away from a local optimum
PATIENCE = 10  # kicks in a row that led to nothing better
IN_ALL = 40  # the same where all units are in one small pool, and it costs little
LEAST = 1e-9  # of what is kept: a smaller gain is rounding
LARGE, SMALL = (
    512,
    64,
)  # units that are searched at once: more are dealt into pools, of the second size where kicks follow
PASSES = 3  # over pools of either size, where no time is given
IN_VAIN = 10  # passes in a row that moved nothing end a search that has time left
BYTES = 2**27  # of working memory for the neighbours of places


def best_order(
    columns: Sequence[Columns], pattern: Pattern, units: int, rng: np.random.Generator, deadline: float | None = None
) -> Int[np.ndarray, "units"]:
    """An order of units under which the pattern keeps more, or that in which they are.

    Args:
        columns: What the units carry, as `columns_of` gives it.
        pattern: N:M.
        units: How many there are.
        rng: Of pools, and of swaps that lead away from local optima.
        deadline: When to end, by `time.monotonic`; without it, after so much work that the result depends on nothing
            but the other arguments.

    Returns:
        The unit for each place.
    """
    order = np.arange(units)
    descents = 1 if units <= LARGE else PASSES
    done = in_vain = 0
    while in_vain < IN_VAIN and (done < descents + PASSES or deadline is not None):
        before, small = order.copy(), done >= descents
        for pool, places in _pools(columns, order, SMALL if small else LARGE, rng):
            if deadline is not None and time.monotonic() >= deadline:
                return order
            kicks = 0 if not small else IN_ALL if units <= SMALL else PATIENCE
            order[places] = order[places][_searched(pool, pattern, len(places), rng, kicks)]
        in_vain = in_vain + 1 if small and np.array_equal(order, before) else 0
        done += 1
    return order


def _searched(
    columns: Sequence[Columns], pattern: Pattern, units: int, rng: np.random.Generator, kicks: int
) -> Int[np.ndarray, "units"]:
    arrangement = Arrangement(columns, pattern, units)
    arrangement.improve()
    in_vain = 0
    while in_vain < kicks:
        in_vain = 0 if arrangement.escape(rng) else in_vain + 1
    return arrangement.order


def _pools(
    columns: Sequence[Columns], order: Int[np.ndarray, "units"], size: int, rng: np.random.Generator
) -> Iterator[tuple[Sequence[Columns], Int[np.ndarray, "places"]]]:
    """Units dealt into pools of whole sets: the columns that are there now, and the places of those that move.

    Units whose columns have other neighbours in one weight than in another stay in one pool.
    """
    if len(columns) > 1:
        yield [replace(part, scores=_now(part, order)) for part in columns], np.arange(len(order))
        return
    part = columns[0]
    for sets in np.array_split(rng.permutation(len(part.sets)), -(-len(order) // size)):
        inside = part.sets[sets]
        everywhere = np.unique(inside)
        pool = Columns(_now(part, order, everywhere), np.searchsorted(everywhere, inside), part.whole[sets])
        yield [pool], everywhere[everywhere < len(order)]


def _now(part: Columns, order: Int[np.ndarray, "units"], at: Int[np.ndarray, "places"] | None = None) -> Tensor:
    """The columns that are at some places in an order, or at all of them."""
    columns = np.concatenate([order, np.arange(len(order), len(part.scores))])
    return part.scores[torch.as_tensor(columns if at is None else columns[at])]


class Arrangement:
    """Units in places, what the pattern keeps there, and what every swap would change.

    Args:
        columns: What the units carry, in one or several parts.
        pattern: N:M.

    Attributes:
        order: The unit in each place.
    """

    def __init__(self, columns: Sequence[Columns], pattern: Pattern, units: int):
        self.order = np.arange(units)
        self._parts = [_Part(part, pattern, units) for part in columns]
        self._change = torch.zeros(units, units)
        self._update(np.arange(units))

    @property
    def kept(self) -> float:
        """The sum of all scores that are kept."""
        return sum(float(part.kept.sum()) for part in self._parts)

    def improve(self) -> None:
        """Swap units for as long as a swap raises what is kept."""
        while (swapped := self._swap_best()).size:
            self._update(self._beside(swapped))

    def escape(self, rng: np.random.Generator) -> bool:
        """Swap some units at random and improve from there; whether more is kept then, otherwise all is as before."""
        before, kept = self._saved(), self.kept
        units = rng.choice(len(self.order), size=min(2 * KICK, len(self.order) // 2 * 2), replace=False)
        for one, other in units.reshape(-1, 2):
            self._swap(one, other)
        self._update(self._beside(units))
        self.improve()
        if self.kept > kept * (1 + LEAST):
            return True
        self._restore(before)
        return False

    def _swap_best(self) -> Int[np.ndarray, "swapped"]:
        """Make the best swaps that have no set in common, and return the places where they were."""
        change = torch.triu(self._change + self._change.T, diagonal=1)
        gains, pairs = change.flatten().topk(min(change.numel(), 4 * len(self.order)))
        taken = [np.zeros(len(part.sets), dtype=bool) for part in self._parts]
        swapped: list[int] = []
        least = LEAST * self.kept
        for gain, pair in zip(gains.tolist(), pairs.tolist(), strict=True):
            if gain <= least:
                break
            one, other = divmod(pair, len(self.order))
            sets = [part.set_of[[one, other]] for part in self._parts]
            if any(t[s].any() for t, s in zip(taken, sets, strict=True)):
                continue
            for t, s in zip(taken, sets, strict=True):
                t[s] = True
            if self._swap_if_better(one, other):
                swapped += [one, other]
        return np.array(swapped, dtype=np.int64)

    def _swap_if_better(self, one: int, other: int) -> bool:
        before = self._kept_at(one, other)
        self._swap(one, other)
        if self._kept_at(one, other) > before * (1 + LEAST):
            return True
        self._swap(one, other)
        return False

    def _kept_at(self, one: int, other: int) -> float:
        return sum(float(part.kept_in(np.unique(part.set_of[[one, other]])).sum()) for part in self._parts)

    def _swap(self, one: int, other: int) -> None:
        both, swapped = [one, other], [other, one]
        self.order[both] = self.order[swapped]
        self._change[:, both] = self._change[:, swapped]
        for part in self._parts:
            part.scores[both] = part.scores[swapped]

    def _beside(self, units: Int[np.ndarray, "units"]) -> Int[np.ndarray, "places"]:
        """All places in a set with one of these."""
        places = [part.places_in(np.unique(part.set_of[units])) for part in self._parts]
        return np.unique(np.concatenate([units, *places]))

    def _update(self, places: Int[np.ndarray, "places"]) -> None:
        """Compute what becomes of the sets of these places when any column takes the place."""
        change = torch.zeros(len(places), len(self.order))
        for part in self._parts:
            change += part.change(places)
        self._change[torch.as_tensor(places)] = change

    def _saved(self) -> tuple:
        parts = [(part.scores.clone(), part.kept.clone()) for part in self._parts]
        return self.order.copy(), self._change.clone(), parts

    def _restore(self, saved: tuple) -> None:
        self.order, self._change, parts = saved
        for part, (scores, kept) in zip(self._parts, parts, strict=True):
            part.scores, part.kept = scores, kept


class _Part:
    """Columns with the same neighbours.

    Attributes:
        scores: The column in each place; those that stay come last.
        sets: The places of each set.
        set_of: The set of each unit's place.
        kept: What is kept in every set.
    """

    def __init__(self, columns: Columns, pattern: Pattern, units: int):
        self.scores, self.sets, self._whole = columns.scores.clone(), columns.sets, columns.whole
        self._pattern, self._units = pattern, units
        self.set_of = np.zeros(units, dtype=np.int64)
        for number, places in enumerate(self.sets):
            self.set_of[places[places < units]] = number
        self.kept = torch.zeros(len(self.sets), dtype=torch.float64)
        self.kept = self.kept_in(np.arange(len(self.sets)))

    def places_in(self, sets: Int[np.ndarray, "sets"]) -> Int[np.ndarray, "places"]:
        places = self.sets[sets].ravel()
        return places[places < self._units]

    def kept_in(self, sets: Int[np.ndarray, "sets"]) -> Float[Tensor, "sets"]:
        """What is kept of every one of these sets, in float64."""
        columns = self.scores[torch.as_tensor(self.sets[sets])]
        largest = columns.topk(self._pattern.kept, dim=1).values
        kept = largest.sum(dim=(1, 2), dtype=torch.float64)
        return torch.where(torch.as_tensor(self._whole[sets]), kept, columns.sum(dim=(1, 2), dtype=torch.float64))

    def change(self, places: Int[np.ndarray, "places"]) -> Float[Tensor, "places units"]:
        """How much more is kept in the set of each of these places when each of the columns comes there instead."""
        sets = self.set_of[places]
        touched = np.unique(sets)
        self.kept[torch.as_tensor(touched)] = self.kept_in(touched)
        units = self.scores[: self._units]
        at_once = max(1, BYTES // (4 * self._pattern.of * self.scores.shape[1]))
        changes = []
        for start in range(0, len(places), at_once):
            threshold, base = self._without(places[start : start + at_once], sets[start : start + at_once])
            # Σ max(v, d) over rows
            larger = (threshold.sum(1)[:, None] + units.sum(1)[None, :] + torch.cdist(threshold, units, p=1)) / 2
            changes.append(larger + base[:, None].float())
        change = torch.cat(changes) - self.kept[torch.as_tensor(sets)][:, None].float()
        change[torch.as_tensor(sets[:, None] == self.set_of[None, :])] = 0
        return change

    def _without(
        self, places: Int[np.ndarray, "places"], sets: Int[np.ndarray, "places"]
    ) -> tuple[Float[Tensor, "places rows"], Float[Tensor, "places"]]:
        """With one column taken out of its set: the N-th largest of the rest, and the sum of the N − 1 largest."""
        kept = self._pattern.kept
        columns = self.scores[torch.as_tensor(self.sets[sets])]
        own = self.scores[torch.as_tensor(places)]
        largest = columns.topk(kept + 1, dim=1).values
        among = own >= largest[:, kept - 1]
        threshold = torch.where(among, largest[:, kept], largest[:, kept - 1])
        base = largest[:, :kept].sum(1) - torch.where(among, own, largest[:, kept - 1])
        whole = torch.as_tensor(self._whole[sets])[:, None]
        threshold, base = threshold * whole, torch.where(whole, base, columns.sum(1) - own)
        return threshold, base.sum(1, dtype=torch.float64)
