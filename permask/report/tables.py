"""Tables of test accuracy, method by sparsity: for the terminal and as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from permask.errors import PermaskError
from permask.report.outcomes import Outcomes, curve
from permask.report.statistics import Difference, Summary
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.trained import Trained

MISSING = "–"
NETWORK = "all weights"
DENSE = "dense (0%)"
DIFFERENCE = "permuted − naive"


@dataclass(frozen=True)
class AccuracyTable:
    """Test accuracy in percent at one rewind epoch.

    Attributes:
        rewind: Epochs of dense training before sparse training.
        sparsities: The columns, by the sparsity of the pruned scope.
        network_sparsities: The sparsity of the whole network in each column.
        dense: The dense networks, for reference.
        methods: Method to its summaries, one per sparsity; None where nothing was trained.
        difference: Paired differences permuted − naive in points, by sparsity; empty unless both exist.
    """

    rewind: int | None
    sparsities: tuple[float, ...]
    network_sparsities: tuple[float, ...]
    dense: Summary | None
    methods: dict[str, tuple[Summary | None, ...]]
    difference: tuple[Difference | None, ...]

    @classmethod
    def of(cls, outcomes: Outcomes, rewind: int | None) -> "AccuracyTable":
        """The table of a study at one of its rewind epochs (None: of a study of dense networks only)."""
        sparsities = outcomes.sparsities
        compared = {"permuted", "naive"} <= set(outcomes.methods)
        return cls(
            rewind,
            sparsities,
            tuple(outcomes.network_sparsity[sparsity] for sparsity in sparsities),
            outcomes.summary("dense"),
            {m: tuple(outcomes.summary(m, s, rewind) for s in sparsities) for m in outcomes.methods},
            tuple(outcomes.difference("permuted", "naive", s, rewind) for s in sparsities) if compared else (),
        )

    @property
    def headings(self) -> tuple[str, ...]:
        """Of the columns of accuracies: the sparsities, or that of the dense networks alone."""
        return tuple(map(percent, self.sparsities)) or ("accuracy",)

    @property
    def of_network(self) -> tuple[str, ...]:
        """The sparsity of the whole network in each column, in words."""
        return tuple(f"{100 * sparsity:.1f}%" for sparsity in self.network_sparsities)

    @property
    def caption(self) -> str:
        """What the numbers are."""
        at = "" if self.rewind is None else f" at rewind epoch {self.rewind}"
        by = " by sparsity of the pruned layers" if self.sparsities else ""
        return f"Test accuracy in %{at}{by}: mean ± standard deviation over n training runs."

    @property
    def difference_caption(self) -> str:
        """What the differences are; empty if there are none."""
        return (
            f"{DIFFERENCE}: mean difference in points over n pairs of seeds with Student's 95% interval."
            if self.difference
            else ""
        )


def percent(share: float) -> str:
    """A share as a percentage: 0.975 is `97.5%`."""
    return f"{100 * share:g}%"


def format_summary(summary: Summary | None, digits: int = 2) -> str:
    """`97.22 ± 0.31`, or the mean alone if there is one value."""
    if summary is None:
        return MISSING
    spread = "" if summary.std is None else f" ± {summary.std:.{digits}f}"
    return f"{summary.mean:.{digits}f}".replace("-", "−") + spread


def format_interval(difference: Difference, digits: int = 2) -> str:
    """`[1.65, 3.55]`; that there is none if there is one pair."""
    if difference.low is None or difference.high is None:
        return "no interval"
    return f"[{difference.low:.{digits}f}, {difference.high:.{digits}f}]".replace("-", "−")


def format_difference(difference: Difference | None, digits: int = 2) -> str:
    """`+2.60 [1.65, 3.55]`."""
    if difference is None:
        return MISSING
    return f"{signed(difference.mean, digits)} {format_interval(difference, digits)}"


def signed(points: float, digits: int = 2) -> str:
    """A number with its sign, the minus as wide as the plus."""
    return f"{points:+.{digits}f}".replace("-", "−")


def row_n(cells: Sequence[Summary | Difference | None]) -> int:
    """How many values the cells of a row rest on, at most."""
    return max((cell.n for cell in cells if cell), default=0)


def fewer(cell: Summary | Difference | None, n: int) -> str:
    """The remark that a cell needs if it rests on fewer than its row's n values: ` (n = 3)`."""
    return f" (n = {cell.n})" if cell and cell.n < n else ""


def _terminal(table: AccuracyTable) -> RenderableType:
    """The table with its captions; 80 columns hold four sparsities."""
    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("method", overflow="fold")
    for heading in table.headings:
        grid.add_column(heading, justify="right", overflow="fold")
    grid.add_column("n", justify="right")
    if table.sparsities:
        grid.add_row(NETWORK, *table.of_network, end_section=True)
    if table.dense:
        grid.add_row(DENSE, *_in_first_column(table), str(table.dense.n), end_section=True)
    for method, cells in table.methods.items():
        n = row_n(cells)
        last = method == list(table.methods)[-1]
        grid.add_row(method, *(format_summary(c) + fewer(c, n) for c in cells), str(n), end_section=last)
    if table.difference:
        n = row_n(table.difference)
        grid.add_row(DIFFERENCE.replace(" −", "\n−"), *(_stacked(d, n) for d in table.difference), str(n))
    return Group(Text(f"{table.caption}\n", "bold"), grid, Text(f"\n{table.difference_caption}"))


def _in_first_column(table: AccuracyTable) -> list[str]:
    return [format_summary(table.dense), *[""] * (len(table.headings) - 1)]


def _stacked(difference: Difference | None, n: int) -> Text:
    if difference is None:
        return Text(MISSING)
    style = "bold" if difference.excludes_zero else ""
    return Text(f"{signed(difference.mean)}{fewer(difference, n)}\n{format_interval(difference)}", style)


def markdown_table(table: AccuracyTable) -> str:
    """The table with its captions as Markdown."""
    lines = [["method", *table.headings, "n"], ["---", *["---:"] * (len(table.headings) + 1)]]
    if table.sparsities:
        lines.append([NETWORK, *table.of_network, ""])
    if table.dense:
        lines.append([DENSE, *_in_first_column(table), str(table.dense.n)])
    for method, cells in table.methods.items():
        n = row_n(cells)
        lines.append([method, *(format_summary(c) + fewer(c, n) for c in cells), str(n)])
    if table.difference:
        n = row_n(table.difference)
        lines.append([DIFFERENCE, *(format_difference(d) + fewer(d, n) for d in table.difference), str(n)])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join(filter(None, [table.caption, text, table.difference_caption])) + "\n"


def barrier_sentence(results: Results) -> str:
    """The error barriers between the dense networks in words; empty if the study has no connectivity."""
    points = results.of(PathPoint)
    found = {"before": curve(points, permuted=False), "after": curve(points, permuted=True)}
    said = [
        f"{format_summary(c.barriers)} points {when} permuting (n = {c.barriers.n})" for when, c in found.items() if c
    ]
    return f"Error barrier between the dense networks of a pair: {', '.join(said)}." if said else ""


def terminal_table(results: Results, rewind: int | None = None) -> RenderableType:
    """What the terminal shows of a study: the table at a rewind epoch, the other epochs, and the barriers.

    Args:
        results: Of the study.
        rewind: Which epoch; the middle one unless given.

    Raises:
        PermaskError: A rewind epoch that the study does not have.
    """
    outcomes = Outcomes.of(results.of(Trained))
    if rewind is not None and rewind not in outcomes.rewinds:
        raise PermaskError(f"rewind epoch {rewind}: this study has {', '.join(map(str, outcomes.rewinds)) or 'none'}")
    shown = outcomes.middle_rewind if rewind is None else rewind
    others = [str(epoch) for epoch in outcomes.rewinds if epoch != shown]
    notes = [
        f"Also trained from rewind epoch {', '.join(others)}: see the report." if others else "",
        barrier_sentence(results),
    ]
    return Group(_terminal(AccuracyTable.of(outcomes, shown)), *(Text(f"\n{note}") for note in notes if note))
