"""The rows of a study, sorted into cells: what was measured for a method at a sparsity and a rewind epoch."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from permask.report.statistics import Difference, Summary, error_barrier, summarise, t_interval
from permask.study.steps.connect import PathPoint
from permask.study.steps.trained import Trained

# tables and figures show methods in this order; others follow by name
METHODS = ("dense", "lth", "imp", "permuted", "naive", "random")

Cell = tuple[str, float, int | None]  # method, sparsity, rewind


def in_order(methods: Iterable[str]) -> tuple[str, ...]:
    """Methods in the order in which every table and figure shows them, each once."""
    return tuple(sorted(set(methods), key=lambda m: (METHODS.index(m) if m in METHODS else len(METHODS), m)))


@dataclass(frozen=True)
class Outcomes:
    """Test accuracies of a study's networks.

    Attributes:
        cells: (method, sparsity, rewind) to pair to step to accuracy in percent.
        network_sparsity: Sparsity of the pruned scope to that of the whole network.
    """

    cells: dict[Cell, dict[int, dict[str, float]]]
    network_sparsity: dict[float, float]

    @classmethod
    def of(cls, rows: Iterable[Trained]) -> "Outcomes":
        """Sort networks into cells."""
        cells: defaultdict[Cell, defaultdict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        network_sparsity = {}
        for row in rows:
            cells[row.method, row.sparsity, row.rewind][row.pair][row.step] = row.accuracy
            network_sparsity[row.sparsity] = row.sparsity_network
        return cls({cell: dict(pairs) for cell, pairs in cells.items()}, network_sparsity)

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Sparse methods that have at least one row, in the order of `METHODS`."""
        return in_order(method for method, _, _ in self.cells if method != "dense")

    @cached_property
    def sparsities(self) -> tuple[float, ...]:
        """Sparsities of the sparse methods, ascending."""
        return tuple(sorted({sparsity for method, sparsity, _ in self.cells if method != "dense"}))

    @cached_property
    def rewinds(self) -> tuple[int, ...]:
        """Rewind epochs of the sparse methods, ascending."""
        return tuple(sorted({rewind for _, _, rewind in self.cells if rewind is not None}))

    @property
    def middle_rewind(self) -> int | None:
        """The rewind epoch that a report shows first: the middle one, the later of two; None without any."""
        return self.rewinds[len(self.rewinds) // 2] if self.rewinds else None

    def summary(self, method: str, sparsity: float = 0, rewind: int | None = None) -> Summary | None:
        """Mean and spread of a cell over its distinct training runs; None for a cell without any.

        A run that several pairs share (a dense network, the lottery ticket of a shared A) counts once.
        """
        pairs = self.cells.get((method, sparsity, rewind), {})
        runs = {step: accuracy for of_pair in pairs.values() for step, accuracy in of_pair.items()}
        return summarise(list(runs.values())) if runs else None

    def by_pair(self, method: str, sparsity: float, rewind: int | None) -> dict[int, float]:
        """Mean accuracy of a cell for each pair of seeds that has one."""
        pairs = self.cells.get((method, sparsity, rewind), {})
        return {pair: sum(runs.values()) / len(runs) for pair, runs in pairs.items()}

    def differences(self, first: str, second: str, sparsity: float, rewind: int | None) -> list[float]:
        """first − second within every pair of seeds that has both."""
        minuend, subtrahend = self.by_pair(first, sparsity, rewind), self.by_pair(second, sparsity, rewind)
        return [minuend[pair] - subtrahend[pair] for pair in minuend if pair in subtrahend]

    def difference(self, first: str, second: str, sparsity: float, rewind: int | None) -> Difference | None:
        """Paired difference first − second with its 95% interval; None where no pair has both."""
        differences = self.differences(first, second, sparsity, rewind)
        return t_interval(differences) if differences else None


@dataclass(frozen=True)
class Curve:
    """Accuracy along the paths between dense networks.

    Attributes:
        alphas: Positions, ascending.
        accuracies: Summary over pairs at every position.
        barriers: Summary of the pairs' error barriers, in points.
    """

    alphas: tuple[float, ...]
    accuracies: tuple[Summary, ...]
    barriers: Summary


def curve(points: Sequence[PathPoint], permuted: bool) -> Curve | None:
    """The connectivity of a study before or after permuting; None where it was not measured."""
    paths: defaultdict[int, dict[float, float]] = defaultdict(dict)
    for point in points:
        if point.permuted == permuted:
            paths[point.pair][point.alpha] = point.accuracy
    if not paths:
        return None
    at: defaultdict[float, list[float]] = defaultdict(list)
    for path in paths.values():
        for alpha, accuracy in path.items():
            at[alpha].append(accuracy)
    alphas = tuple(sorted(at))
    barriers = [error_barrier(list(path), list(path.values())) for path in paths.values()]
    return Curve(alphas, tuple(summarise(at[alpha]) for alpha in alphas), summarise(barriers))
