"""Ensembles of a study: what they score, how much their members differ, and permuted against lth."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from permask.report.dots import lay_out_dots
from permask.report.numbers import format_difference, percent
from permask.report.outcomes import in_order
from permask.report.panels import CONTROL
from permask.report.plot import Dots, Marks, Plot
from permask.report.statistics import Difference, Summary, summarise_known, t_interval
from permask.report.style import Style, styles
from permask.report.table import Cell, Table, TableRow
from permask.study.steps.ensemble import MeasuredEnsemble

FIRST, SECOND = "permuted", "lth"
FEWEST = 3  # ensembles of which a spread or an interval is told
MEMBER = "member_"


@dataclass(frozen=True)
class Measure:
    """Something that is measured of an ensemble.

    Attributes:
        key: In the results.
        name: As tables say it.
        factor: From the results' unit to the table's.
        digits: Behind the point.
        of_members: Whether there is a mean over the members besides.
    """

    key: str
    name: str
    factor: float
    digits: int
    of_members: bool = False


MEASURES = (
    Measure("accuracy", "accuracy (%)", 1, 2, True),
    Measure("loss", "negative log-likelihood (nats)", 1, 3, True),
    Measure("calibration_error", "calibration error (%)", 100, 2, True),
    Measure("disagreement", "disagreement (%)", 100, 2),
    Measure("normalised_disagreement", "disagreement / error", 1, 3),
    Measure("kl", "KL divergence (nats)", 1, 3),
    Measure("js", "JS divergence (nats)", 1, 4),
)


@dataclass(frozen=True)
class Ensembles:
    """A study's ensembles at one sparsity and rewind epoch, with the dense ones for reference.

    Attributes:
        sparsity: Of the pruned scope.
        rewind: Epochs of dense training before sparse training.
        rows: What was measured of each.
    """

    sparsity: float
    rewind: int
    rows: Sequence[MeasuredEnsemble]

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that there are ensembles of."""
        return in_order(row.method for row in self.rows)

    @property
    def members(self) -> int:
        """Networks per ensemble."""
        return self.rows[0].members

    @property
    def count(self) -> int:
        """Ensembles of one method, at most."""
        return max(Counter(row.method for row in self.rows).values())

    @property
    def overlap(self) -> bool:
        """Whether ensembles of one method share pairs of seeds."""
        pairs = [pair for row in self.rows if row.method == self.methods[0] for pair in row.pairs]
        return len(set(pairs)) < len(pairs)

    @property
    def compared(self) -> bool:
        """Whether there is permuted and lth to compare."""
        return {FIRST, SECOND} <= set(self.methods)

    def summary(self, method: str, measure: Measure, prefix: str = "") -> Summary | None:
        """Mean and spread over the ensembles of a method, in the measure's unit; no spread of two."""
        values = self._values(method, prefix + measure.key).values()
        found = summarise_known(measure.factor * value for value in values)
        return replace(found, std=None) if found and found.n < FEWEST else found

    def difference(self, measure: Measure) -> Difference | None:
        """permuted − lth within ensembles around the same A.

        There is no interval of two, nor of ensembles that share networks, whose values are not independent.
        """
        first, second = (self._values(method, measure.key) for method in (FIRST, SECOND))
        values = [measure.factor * (first[pair] - second[pair]) for pair in first if pair in second]
        if not values:
            return None
        found = t_interval(values)
        return replace(found, low=None, high=None, p=None) if found.n < FEWEST or self.overlap else found

    def _values(self, method: str, key: str) -> dict[int, float]:
        """By the pair around whose A an ensemble is built; without those that a measure is not told of."""
        found = {row.pair: getattr(row, key) for row in self.rows if row.method == method}
        return {pair: value for pair, value in found.items() if value is not None}

    @property
    def caption(self) -> str:
        """What the numbers are."""
        if self.count == 1:
            return f"one ensemble of {self.members} networks."
        spread = " ± standard deviation" if self.count >= FEWEST else ""
        said = [
            f"ensembles of {self.members} networks, mean{spread} over n = {self.count} ensembles; "
            "disagreement and divergences are between two members, and error is that of a member."
        ]
        if self.overlap:
            said.append("Ensembles share networks B, so that no interval can be told.")
        elif self.count < FEWEST:
            said.append("Two ensembles allow neither a spread nor an interval.")
        elif self.compared:
            said.append(
                f"{FIRST} − {SECOND}: mean difference between two ensembles that have the mask of the same network A, "
                "with Student's 95% interval."
            )
        return " ".join(said)


def ensembles_of(rows: Sequence[MeasuredEnsemble]) -> list[Ensembles]:
    """The ensembles of a study, by sparsity and rewind epoch."""
    dense = [row for row in rows if row.rewind is None]
    sparse: defaultdict[tuple[float, int], list[MeasuredEnsemble]] = defaultdict(list)
    for row in rows:
        if row.rewind is not None:
            sparse[row.sparsity, row.rewind].append(row)
    return [Ensembles(*place, [*dense, *found]) for place, found in sorted(sparse.items())]


def table(ensembles: Ensembles) -> Table:
    """Measures down, methods but the control across, permuted − lth last."""
    methods = [method for method in ensembles.methods if method != CONTROL]
    rows = []
    for measure in MEASURES:
        digits = measure.digits
        cells = [Cell.of(ensembles.summary(method, measure), digits) for method in methods]
        between = [Cell.of(ensembles.difference(measure), digits)] if ensembles.compared else []
        rows.append(TableRow(measure.name, [*cells, *between]))
        if measure.of_members:
            own = [Cell.of(ensembles.summary(method, measure, MEMBER), digits) for method in methods]
            rows.append(TableRow(f"{measure.name}, one member", [*own, *[Cell("")] * len(between)]))
    title = f"Sparsity {percent(ensembles.sparsity)}, rewind epoch {ensembles.rewind}"
    last = [f"{FIRST} − {SECOND}"] if ensembles.compared else []
    return Table(ensembles.caption, ["measure", *methods, *last], [rows], title)


def plot(ensembles: Ensembles) -> Plot:
    """A panel per measure: what ensembles of every method but the control score, and permuted − lth in words."""
    methods = tuple(method for method in ensembles.methods if method != CONTROL)
    looks = styles(methods) | {"dense": Style("#000000", "D", ":")}
    shapes = [looks[method] for method in methods]

    def marks(name: str, measure: Measure, prefix: str = "") -> Marks:
        summaries = [ensembles.summary(method, measure, prefix) for method in methods]
        return Marks(name, summaries, shapes, measure.digits, hollow=bool(prefix))

    panels = []
    for measure in MEASURES:
        shown = [marks("ensemble", measure)] + ([marks("one member", measure, MEMBER)] if measure.of_members else [])
        difference = ensembles.difference(measure)
        note = f"{FIRST} − {SECOND}: {format_difference(difference, measure.digits)}" if difference else ""
        panels.append(Dots(measure.name, methods, shown, note))
    n = ensembles.count
    told = f"Bars: ± one standard deviation over n = {n} ensembles of {ensembles.members}."
    bars = told if n >= FEWEST else ""
    notes = f"Filled: the ensemble; hollow: its members on average. {bars}".strip()
    figure = lay_out_dots(panels, notes)
    at = f"at sparsity {percent(ensembles.sparsity)} and rewind epoch {ensembles.rewind}"
    return Plot("ensembles", f"Ensembles {at}: {ensembles.caption} {notes}", figure, panels)
