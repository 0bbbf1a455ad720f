"""Ensembles of a study: what they score, how much their members differ, and permuted against lth."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from permask.report.dots import lay_out_dots
from permask.report.outcomes import Cell as Place
from permask.report.outcomes import in_order
from permask.report.panels import CONTROL
from permask.report.plot import Marks, Plot, Rows
from permask.report.sheet import Cell, Sheet
from permask.report.statistics import Difference, Summary, summarise, t_interval
from permask.report.style import Style, styles
from permask.report.tables import format_difference, percent
from permask.study.steps.ensemble import MeasuredEnsemble

FIRST, SECOND = "permuted", "lth"
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
    Measure("kl", "KL divergence (nats)", 1, 3),
    Measure("js", "JS divergence (nats)", 1, 4),
)


@dataclass(frozen=True)
class Ensembles:
    """A study's ensembles at one sparsity and rewind epoch, with the dense ones for reference.

    Attributes:
        sparsity: Of the pruned scope.
        rewind: Epochs of dense training before sparse training.
        found: Method to the pair around whose A an ensemble is built to what was measured of it.
    """

    sparsity: float
    rewind: int
    found: dict[str, dict[int, MeasuredEnsemble]]

    @property
    def members(self) -> int:
        """Networks per ensemble."""
        return next(row.members for rows in self.found.values() for row in rows.values())

    @property
    def overlap(self) -> bool:
        """Whether ensembles of one method share pairs of seeds."""
        pairs = [pair for row in next(iter(self.found.values())).values() for pair in row.pairs]
        return len(set(pairs)) < len(pairs)

    def summary(self, method: str, measure: Measure, prefix: str = "") -> Summary | None:
        """Mean and spread over the ensembles of a method, in the measure's unit."""
        rows = self.found.get(method)
        key = prefix + measure.key
        return summarise([measure.factor * getattr(row, key) for row in rows.values()]) if rows else None

    def difference(self, measure: Measure) -> Difference | None:
        """permuted − lth within ensembles around the same A."""
        first, second = (self.found.get(method, {}) for method in (FIRST, SECOND))
        both = ([getattr(found[pair], measure.key) for found in (first, second)] for pair in first if pair in second)
        values = [measure.factor * (a - b) for a, b in both]
        return t_interval(values) if values else None

    @property
    def caption(self) -> str:
        """What the numbers are."""
        n = max(map(len, self.found.values()))
        if n == 1:
            return f"one ensemble of {self.members} networks."
        said = [
            f"ensembles of {self.members} networks, mean ± standard deviation over n = {n} ensembles; disagreement "
            "and divergences are between two members."
        ]
        if self.compared:
            said.append(f"{FIRST} − {SECOND}: mean difference around the same network A, Student's 95% interval.")
        if self.overlap:
            said.append("Ensembles share networks B, which intervals do not allow for.")
        return " ".join(said)

    @property
    def compared(self) -> bool:
        """Whether there is permuted and lth to compare."""
        return {FIRST, SECOND} <= self.found.keys()


def ensembles_of(rows: Sequence[MeasuredEnsemble]) -> list[Ensembles]:
    """The ensembles of a study, by sparsity and rewind epoch."""
    places: defaultdict[Place, dict[int, MeasuredEnsemble]] = defaultdict(dict)
    for row in rows:
        places[row.method, row.sparsity, row.rewind][row.pair] = row
    sparse = sorted({(sparsity, rewind) for _, sparsity, rewind in places if rewind is not None})
    return [
        Ensembles(
            sparsity,
            rewind,
            {
                method: at
                for method in in_order(method for method, _, _ in places)
                if (at := places.get(("dense", 0.0, None) if method == "dense" else (method, sparsity, rewind)))
            },
        )
        for sparsity, rewind in sparse
    ]


def sheet(ensembles: Ensembles) -> Sheet:
    """Measures down, methods but the control across, permuted − lth last."""
    methods = [method for method in ensembles.found if method != CONTROL]
    rows: dict[str, tuple[Cell, ...]] = {}
    for measure in MEASURES:
        digits = measure.digits
        cells = [Cell.of(ensembles.summary(method, measure), digits) for method in methods]
        between = [Cell.between(ensembles.difference(measure), digits)] if ensembles.compared else []
        rows[measure.name] = (*cells, *between)
        if measure.of_members:
            own = [Cell.of(ensembles.summary(method, measure, MEMBER), digits) for method in methods]
            rows[f"{measure.name}, one member"] = (*own, *([Cell("")] if between else []))
    title = f"Sparsity {percent(ensembles.sparsity)}, rewind epoch {ensembles.rewind}"
    last = (f"{FIRST} − {SECOND}",) if ensembles.compared else ()
    return Sheet(title, ensembles.caption, ("measure", *methods, *last), rows)


def plot(ensembles: Ensembles) -> Plot:
    """A panel per measure: what ensembles of every method but the control score, and permuted − lth in words."""
    methods = tuple(method for method in ensembles.found if method != CONTROL)
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
        panels.append(Rows(measure.name, methods, shown, note))
    n = max(map(len, ensembles.found.values()))
    bars = f"Bars: ± one standard deviation over n = {n} ensembles of {ensembles.members}." if n > 1 else ""
    notes = f"Filled: the ensemble; hollow: its members on average. {bars}".strip()
    figure = lay_out_dots(panels, notes)
    at = f"at sparsity {percent(ensembles.sparsity)} and rewind epoch {ensembles.rewind}"
    return Plot("ensembles", f"Ensembles {at}: {ensembles.caption} {notes}", figure, panels)
