"""The search for an order of columns under which a pattern keeps most of their scores.

With one column taken out of a set, what the set keeps of a row once another column d is in its place is the sum of the
N − 1 largest that remain, plus max(v, d), where v is the N-th largest that remains. And max(v, d) is
(v + d + |v − d|) / 2. So where at most one column is taken out of every set, the best way to deal them out again has
the largest sum of the distances |v − d|: an assignment, which is solved exactly (as Zhang et al. 2024 do in
"Plug-and-Play: An Efficient Post-training Pruning Method for Large Language Models"). Here every round takes out other
columns, and none loses. A swap of two columns (Pool & Yu 2021) is such an assignment of two.

Shapes: N units, C columns (units, then those that stay), R rows, S sets of M columns, P places of one pool.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from permask.patterns.columns import Columns
from permask.patterns.kept import largest
from permask.patterns.pattern import Pattern

POOL = 128  # columns that are dealt out at once: twice as many take twice as long
ROWS = 2048  # that are compared at once, for the processor's cache
PATIENCE = 15  # rounds in a row that moved nothing: no other is waited for
KICK = 3  # swaps at random that lead away from there
KICKS = 40  # in a row that led to nothing better end the search
ROUNDS = 8  # that are made however much work they are
WORK = 5 * 10**9  # numbers that are compared for a whole network; then no further round is made: a few seconds
CALL = 4 * 10**5  # what a pool costs besides, as so many numbers
LEAST = 1e-9  # of what is kept: a smaller gain is rounding


def best_order(
    columns: Sequence[Columns],
    pattern: Pattern,
    units: int,
    rng: np.random.Generator,
    *,
    work: float,
    deadline: float | None = None,
) -> Int[np.ndarray, "units"]:
    """An order of units under which the pattern keeps more, or that in which they are.

    Args:
        columns: What the units carry, as `columns_of` gives it.
        pattern: N:M.
        units: How many there are.
        rng: Of the columns that are dealt out together, and of swaps that lead away from local optima.
        work: How many numbers to compare, so that the result depends on nothing but the arguments.
        deadline: When to end instead, by `time.monotonic`.

    Returns:
        The unit for each place.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        search = _Search([_Part(part, pattern, units) for part in columns], rng, deadline, work, threads)
        search.improve()
        order, kept, in_vain = search.order.copy(), None, 0
        while in_vain < KICKS and not search.over:
            kept = search.kept() if kept is None else kept
            search.kick()
            search.improve()
            if (now := search.kept()) > kept * (1 + LEAST):
                order, kept, in_vain = search.order.copy(), now, 0
            else:
                search.order, in_vain = order.copy(), in_vain + 1
    return order


class _Search:
    """Units in places, and what moves them.

    Attributes:
        order: The unit in each place.
    """

    def __init__(
        self,
        parts: Sequence["_Part"],
        rng: np.random.Generator,
        deadline: float | None,
        work: float,
        threads: Executor,
    ):
        self.order = np.arange(len(parts[0].set_of))
        self._parts, self._rng, self._deadline, self._work, self._threads = parts, rng, deadline, work, threads
        self._rows = sum(part.rows for part in parts)
        self._rounds, self._compared = 0, 0

    @property
    def over(self) -> bool:
        """Whether the time, or else the work, is spent."""
        spent = self._deadline is None and self._rounds >= ROUNDS and self._compared >= self._work
        return spent or self._late

    @property
    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def kept(self) -> float:
        """The sum of all scores that are kept."""
        return sum(part.kept(self.order) for part in self._parts)

    def improve(self) -> None:
        """Rounds of assignments, until they move nothing any more."""
        in_vain = 0
        while in_vain < PATIENCE and not self.over:
            places = self._apart()
            pools = np.array_split(places, -(-len(places) // POOL))
            moved = list(self._threads.map(self._deal, pools))  # no pool touches the sets of another
            in_vain = 0 if any(moved) else in_vain + 1
            self._rounds += 1
            self._compared += sum(CALL + len(pool) ** 2 * self._rows for pool in pools)

    def kick(self) -> None:
        """Swap some units at random."""
        places = self._rng.choice(len(self.order), size=min(2 * KICK, len(self.order) // 2 * 2), replace=False)
        self.order[places] = self.order[np.roll(places, len(places) // 2)]

    def _apart(self) -> Int[np.ndarray, "places"]:
        """Places in a random order, none of which shares a set with another."""
        places = self._rng.permutation(len(self.order))
        for part in self._parts:
            _, first = np.unique(part.set_of[places], return_index=True)
            places = places[np.sort(first)]
        return places

    def _deal(self, places: Int[np.ndarray, "places"]) -> bool:
        """Assign the units in some places to these places in the best way; whether this moves any."""
        if self._late:
            return False
        distances = np.sum([part.distances(places, self.order) for part in self._parts], axis=0)
        at, unit = linear_sum_assignment(distances, maximize=True)
        as_it_is = np.trace(distances)
        if distances[at, unit].sum() - as_it_is <= LEAST * as_it_is:
            return False
        self.order[places[at]] = self.order[places[unit]]
        return True


class _Part:
    """Columns with the same neighbours.

    Attributes:
        rows: How many rows they have.
        set_of: The set of each unit's place.
    """

    def __init__(self, columns: Columns, pattern: Pattern, units: int):
        self._scores, self._sets, self._whole = columns.scores.numpy(), columns.sets, columns.whole
        self._kept, self.rows = pattern.kept, columns.scores.shape[1]
        self._staying = np.arange(units, len(columns.scores))
        self.set_of = np.zeros(units, dtype=np.int64)
        for number, places in enumerate(self._sets):
            self.set_of[places[places < units]] = number

    def kept(self, order: Int[np.ndarray, "units"]) -> float:
        """What is kept of all sets."""
        return sum(
            float(column.sum(dtype=np.float64))
            for whole, kept in ((True, self._kept), (False, self._sets.shape[1]))
            for column in largest(self._scores[self._in_place(order)[self._sets[self._whole == whole]].T], kept)
        )

    def distances(
        self, places: Int[np.ndarray, "places"], order: Int[np.ndarray, "units"]
    ) -> Float[np.ndarray, "places places"]:
        """Of every place from every column in them: Σ |v − d| over rows, with v = 0 where all of a set is kept."""
        column, sets = self._in_place(order), self.set_of[places]
        others = self._sets[sets]
        others = others[others != places[:, None]].reshape(len(places), -1).T
        whole = self._whole[sets][:, None]
        found = np.zeros((len(places), len(places)))
        for start in range(0, self.rows, ROWS):
            rows = slice(start, start + ROWS)
            scores = self._scores[:, rows]
            threshold = largest(scores[column[others]], self._kept)[-1] * whole
            found += cdist(threshold, scores[column[places]], "cityblock")
        return found

    def _in_place(self, order: Int[np.ndarray, "units"]) -> Int[np.ndarray, "columns"]:
        """The column in each place."""
        return np.concatenate([order, self._staying])
