"""The trained networks of a study by condition: a method at a sparsity and a rewind epoch."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from permask.report.intervals import interval_on_inputs
from permask.report.statistics import Difference, Summary, summarise_known, t_interval
from permask.study.per_input import unpack_right
from permask.study.results import Results
from permask.study.steps.trained import Trained

REFERENCES = ("dense", "pruned")  # networks that methods rest on; they have no rewind epoch
# tables and figures show methods in this order; others follow by name
METHODS = (*REFERENCES, "lth", "imp", "permuted", "naive", "random")

Condition = tuple[str, float, int | None]  # method, sparsity, rewind epoch
Comparisons = Sequence[tuple[str, str]]  # of methods: the first minus the second

COMPARED: Comparisons = (("permuted", "naive"),)  # unless a study says otherwise


def in_order(methods: Iterable[str]) -> tuple[str, ...]:
    """Methods in the order in which every table and figure shows them, each once."""
    return tuple(sorted(set(methods), key=lambda m: (METHODS.index(m) if m in METHODS else len(METHODS), m)))


def asked(results: Results, otherwise: Comparisons = COMPARED) -> Comparisons:
    """The comparisons that a study asks for, or others where it leaves the choice to the report."""
    pairs: Any = results.study.get("compare")
    return otherwise if pairs is None else [(first, second) for first, second in pairs]


@dataclass(frozen=True)
class Outcomes:
    """Test accuracies of a study's networks, or another measure of them.

    Attributes:
        conditions: Condition to pair to step to accuracy in percent.
        network_sparsity: Sparsity of the pruned scope to that of the whole network.
        comparisons: Which methods to compare, as far as there are networks of both.
        corrected: Whether what is bold is corrected for the number of differences in its table, by Holm's method.
        right: Condition to pair to step to which test inputs are right, packed, of the networks that tell.
        is_smoke: Whether they are of a smoke run, from which nothing can be found.
    """

    conditions: dict[Condition, dict[int, dict[str, float]]]
    network_sparsity: dict[float, float]
    comparisons: Comparisons = COMPARED
    corrected: bool = True
    right: Mapping[Condition, Mapping[int, Mapping[str, str]]] = field(default_factory=dict)
    is_smoke: bool = False

    @classmethod
    def of_study(cls, results: Results, corrected: bool = True) -> "Outcomes":
        """The networks of a study, with the comparisons that it asks for."""
        found = cls.of(results.of(Trained))
        return replace(found, comparisons=asked(results), corrected=corrected, is_smoke=results.is_smoke)

    @classmethod
    def of(cls, rows: Iterable[Trained]) -> "Outcomes":
        """Sort networks by condition."""
        found: defaultdict[Condition, defaultdict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        right: defaultdict[Condition, defaultdict[int, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
        network_sparsity = {}
        for row in rows:
            if row.right is not None:
                right[row.method, row.sparsity, row.rewind][row.pair][row.step] = row.right
            found[row.method, row.sparsity, row.rewind][row.pair][row.step] = row.accuracy
            network_sparsity[row.sparsity] = row.sparsity_network
        return cls({condition: dict(pairs) for condition, pairs in found.items()}, network_sparsity, right=right)

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Sparse methods that have at least one row, in the order of `METHODS`."""
        return in_order(method for method, _, _ in self.conditions if method not in REFERENCES)

    @cached_property
    def sparsities(self) -> tuple[float, ...]:
        """Sparsities of the sparse methods, ascending."""
        return tuple(sorted({sparsity for method, sparsity, _ in self.conditions if method not in REFERENCES}))

    @cached_property
    def compared(self) -> Comparisons:
        """The comparisons that there are networks for."""
        return [pair for pair in self.comparisons if set(pair) <= set(self.methods)]

    @cached_property
    def rewinds(self) -> tuple[int, ...]:
        """Rewind epochs of the sparse methods, ascending."""
        return tuple(sorted({rewind for _, _, rewind in self.conditions if rewind is not None}))

    @property
    def middle_rewind(self) -> int | None:
        """The rewind epoch that a report shows first: the middle one, the later of two; None without any."""
        return self.rewinds[len(self.rewinds) // 2] if self.rewinds else None

    def summary(self, method: str, sparsity: float = 0, rewind: int | None = None) -> Summary | None:
        """Mean and spread of a condition over its distinct training runs; None without any.

        A run that several pairs share (a dense network, the lottery ticket of a shared A) counts once.
        """
        pairs = self.conditions.get((method, sparsity, rewind), {})
        runs = {step: accuracy for of_pair in pairs.values() for step, accuracy in of_pair.items()}
        return summarise_known(runs.values())

    def by_pair(self, method: str, sparsity: float, rewind: int | None) -> dict[int, float]:
        """Mean accuracy of a condition for each pair of seeds that has one."""
        pairs = self.conditions.get((method, sparsity, rewind), {})
        return {pair: sum(runs.values()) / len(runs) for pair, runs in pairs.items()}

    def paired(self, first: str, second: str, sparsity: float, rewind: int | None) -> dict[int, float]:
        """first − second for every pair of seeds that has both."""
        minuend, subtrahend = self.by_pair(first, sparsity, rewind), self.by_pair(second, sparsity, rewind)
        return {pair: minuend[pair] - subtrahend[pair] for pair in minuend if pair in subtrahend}

    def differences(self, first: str, second: str, sparsity: float, rewind: int | None) -> list[float]:
        """first − second within every pair of seeds that has both."""
        return list(self.paired(first, second, sparsity, rewind).values())

    def difference(self, first: str, second: str, sparsity: float, rewind: int | None) -> Difference | None:
        """Paired difference first − second with its 95% interval; None where no pair has both."""
        differences = self.differences(first, second, sparsity, rewind)
        return t_interval(differences) if differences else None

    def difference_on_inputs(self, first: str, second: str, sparsity: float, rewind: int | None) -> Difference | None:
        """The same difference with its 95% interval for new pairs and new test inputs.

        None unless all runs of both tell which inputs are right.
        """
        pairs = self.paired(first, second, sparsity, rewind)
        shares = [
            (self._right(first, sparsity, rewind, pair), self._right(second, sparsity, rewind, pair)) for pair in pairs
        ]
        known = [100 * (a - b) for a, b in shares if a is not None and b is not None]
        return interval_on_inputs(np.stack(known)) if known and len(known) == len(pairs) else None

    def _right(self, method: str, sparsity: float, rewind: int | None, pair: int) -> Float[np.ndarray, "inputs"] | None:
        """In what share of a pair's runs every test input is right; None unless all of them tell."""
        condition = method, sparsity, rewind
        packed = self.right.get(condition, {}).get(pair, {})
        if packed.keys() != self.conditions[condition][pair].keys():
            return None
        return np.mean([unpack_right(bits) for bits in packed.values()], axis=0)
