"""How well the units of two networks agree, group by group: of units at equal position, and as they were matched."""

from collections import defaultdict
from collections.abc import Sequence

from permask.report.plot import Dots, Marks, Plot
from permask.report.rows import plot_rows
from permask.report.statistics import Summary, summarise_known
from permask.report.style import METHOD_STYLES
from permask.report.table import Cell, Table, TableRow
from permask.study.steps.match import MatchedGroup

MATCHED, IDENTITY = "matched", "at equal position"


def table(matches: Sequence[MatchedGroup]) -> Table:
    """A row per group."""
    rows = [
        TableRow(name, [Cell(str(found[0].size)), *map(Cell.of, _correlations(found).values()), Cell(str(len(found)))])
        for name, found in _by_group(matches).items()
    ]
    caption = "Correlation of the activations of paired units: mean ± standard deviation over n pairs of networks."
    return Table(caption, ["group", "units", MATCHED, IDENTITY, "n"], [rows])


def plot(matches: Sequence[MatchedGroup]) -> Plot:
    """A row per group."""
    groups = _by_group(matches)
    looks = {IDENTITY: METHOD_STYLES["naive"], MATCHED: METHOD_STYLES["permuted"]}
    correlations = list(map(_correlations, groups.values()))
    marks = [Marks(name, [found[name] for found in correlations], [look] * len(groups)) for name, look in looks.items()]
    dots = Dots("correlation of paired units, by group", list(groups), marks)
    caption = "How well units of the dense networks A and B agree, in every group of the symmetry."
    return plot_rows("matching", caption, dots)


def _by_group(matches: Sequence[MatchedGroup]) -> dict[str, list[MatchedGroup]]:
    groups: defaultdict[str, list[MatchedGroup]] = defaultdict(list)
    for match in matches:
        groups[match.group].append(match)
    return groups


def _correlations(matches: Sequence[MatchedGroup]) -> dict[str, Summary | None]:
    """Mean and spread over pairs; None for a group that was not observed."""
    return {
        MATCHED: summarise_known(match.correlation for match in matches),
        IDENTITY: summarise_known(match.correlation_identity for match in matches),
    }
