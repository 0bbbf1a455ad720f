"""How well the units of two networks agree, group by group: of units at equal position, and as they were matched."""

from collections.abc import Sequence

from permask.report.plot import Dots, Marks, Plot
from permask.report.rows import plot_rows
from permask.report.statistics import Summary, summarise_known
from permask.report.style import METHOD_STYLES
from permask.report.table import Cell, Table, TableRow
from permask.study.steps.match import ACTIVATIONS, MatchedGroup

MATCHED, IDENTITY = "matched", "at equal position"


def table(matches: Sequence[MatchedGroup]) -> Table:
    """A row per group and matcher."""
    rows = [
        TableRow(name, [Cell(str(found[0].size)), *map(Cell.of, _correlations(found).values()), Cell(str(len(found)))])
        for name, found in _by_group(matches).items()
    ]
    caption = f"{_measure(matches)} of paired units: mean ± standard deviation over n pairs of networks."
    return Table(caption, ["group", "units", MATCHED, IDENTITY, "n"], [rows])


def plot(matches: Sequence[MatchedGroup]) -> Plot:
    """A row per group and matcher."""
    groups, unseen = _by_group(matches), []
    for name, found in list(groups.items()):
        if not any(_correlations(found).values()) and len(groups) > 1:
            unseen.append(name)
            del groups[name]
    looks = {IDENTITY: METHOD_STYLES["naive"], MATCHED: METHOD_STYLES["permuted"]}
    correlations = list(map(_correlations, groups.values()))
    marks = [Marks(name, [found[name] for found in correlations], [look] * len(groups)) for name, look in looks.items()]
    dots = Dots("correlation of paired units, by group", list(groups), marks)
    caption = "How well units of the dense networks A and B agree, in every group of the symmetry."
    if len(set(map(_matcher, matches))) > 1:
        caption += f" {_measure(matches)}."
    if unseen:
        matched = "Not shown are groups whose units, such as heads, are matched by the units inside them"
        caption += f" {matched}: {', '.join(unseen)}."
    return plot_rows("matching", caption, dots)


def _by_group(matches: Sequence[MatchedGroup]) -> dict[str, list[MatchedGroup]]:
    """The matches by group, and by matcher within a group if there are several."""
    matchers = sorted(set(map(_matcher, matches)))
    found: dict[str, list[MatchedGroup]] = {}
    for group in dict.fromkeys(match.group for match in matches):
        for matcher in matchers:
            name = called(group) if len(matchers) == 1 else f"{called(group)}, {matcher}"
            found[name] = [match for match in matches if (match.group, _matcher(match)) == (group, matcher)]
    return {name: of_name for name, of_name in found.items() if of_name}


def called(group: str) -> str:
    """A group as readers meet it: one that is named after a numbered layer of a network is told from a number."""
    return f"layer {group}" if group.isdecimal() else group


def _matcher(match: MatchedGroup) -> str:
    """By what it was matched, and in what that differs from the usual."""
    parts = {" t=": match.at, ", A at t=": match.of, ", inputs=": match.images}
    return match.by + "".join(f"{what}{value}" for what, value in parts.items() if value is not None)


def _measure(matches: Sequence[MatchedGroup]) -> str:
    """What is told of paired units."""
    by = {match.by == ACTIVATIONS for match in matches}
    what = {True: "correlation of the activations", False: "cosine similarity of the weights"}
    said = what[by.pop()] if len(by) == 1 else f"{what[True]} (by activations) or {what[False]} (by other matchers)"
    return said.capitalize()


def _correlations(matches: Sequence[MatchedGroup]) -> dict[str, Summary | None]:
    """Mean and spread over pairs; None for a group that was not observed."""
    return {
        MATCHED: summarise_known(match.correlation for match in matches),
        IDENTITY: summarise_known(match.correlation_identity for match in matches),
    }
