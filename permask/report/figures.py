"""Figures of a study for print: accuracy against sparsity and rewind epoch, and along paths between networks.

They are made without pyplot, which keeps global state.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import log

from matplotlib import rc_context
from matplotlib.figure import Figure

from permask.report.outcomes import Outcomes, curve
from permask.report.panels import Line, Scale, annotate, describe_bands, lay_out
from permask.report.plot import Marks, Plot, Rows
from permask.report.rows import lay_out_rows
from permask.report.statistics import summarise
from permask.report.style import METHOD_STYLES, PRINT, styles
from permask.report.tables import barrier_sentence, percent
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained

SINGLE_INCHES = (2.9, 2.1)
PANELS = 8
MULTIPLE_INCHES = (1.5, 2.1)


def plots(results: Results) -> list[Plot]:
    """Every figure that the results allow."""
    outcomes = Outcomes.of(results.of(Trained))
    made = []
    with rc_context(PRINT):
        if outcomes.sparsities:
            made.append(accuracy_against_sparsity(outcomes, outcomes.middle_rewind))
        if len(outcomes.rewinds) > 1:
            made.append(accuracy_against_rewind(outcomes))
        if results.of(PathPoint):
            made.append(connectivity(results))
        if results.of(MatchedGroup):
            made.append(matching(results))
    return made


def accuracy_against_sparsity(outcomes: Outcomes, rewind: int | None) -> Plot:
    """Accuracy of every method against sparsity at one rewind epoch."""
    lines: dict[str, Line] = {
        method: [outcomes.summary(method, sparsity, rewind) for sparsity in outcomes.sparsities]
        for method in outcomes.methods
    }
    positions = [-log(1 - sparsity) for sparsity in outcomes.sparsities]
    ticks = [percent(sparsity) for sparsity in outcomes.sparsities]
    label = "sparsity of the pruned layers (log scale of density)"
    figure, bands = _by_method({f"rewind epoch {rewind}": lines}, SINGLE_INCHES, positions, ticks, label, outcomes)
    caption = f"Test accuracy against sparsity at rewind epoch {rewind}. {bands}"
    return Plot("accuracy_against_sparsity", caption, figure)


def accuracy_against_rewind(outcomes: Outcomes) -> Plot:
    """Accuracy of every method against the rewind epoch, one panel per sparsity, for eight of them at most."""
    step = max(1, (len(outcomes.sparsities) - 1) / (PANELS - 1))
    shown = [outcomes.sparsities[round(i * step)] for i in range(min(PANELS, len(outcomes.sparsities)))]
    panels: dict[str, dict[str, Line]] = {
        f"sparsity {percent(sparsity)}": {
            method: [outcomes.summary(method, sparsity, rewind) for rewind in outcomes.rewinds]
            for method in outcomes.methods
        }
        for sparsity in shown
    }
    ticks = [str(rewind) for rewind in outcomes.rewinds]
    label = "rewind epoch k (epochs of dense training before sparse training)"
    figure, bands = _by_method(panels, MULTIPLE_INCHES, outcomes.rewinds, ticks, label, outcomes)
    of = f"{len(shown)} of {len(outcomes.sparsities)} sparsities" if step > 1 else "every sparsity"
    caption = f"Test accuracy against the rewind epoch at {of}. {bands}"
    return Plot("accuracy_against_rewind", caption, figure)


def _by_method(
    panels: dict[str, dict[str, Line]],
    inches: tuple[float, float],
    positions: Sequence[float],
    ticks: Sequence[str],
    label: str,
    outcomes: Outcomes,
) -> tuple[Figure, str]:
    """Panels by title with a line per method, the dense networks for reference; and what the bands are."""
    dense = outcomes.summary("dense")
    figure, drawn = lay_out(list(panels), inches, Scale.of(list(panels.values()), dense))
    looks = styles(outcomes.methods)
    for panel, lines in zip(drawn, panels.values(), strict=True):
        for method, line in lines.items():
            panel.draw(positions, line, looks[method])
        if dense:
            panel.reference(dense)
        panel.x_axis(positions, ticks, inches[0])
    bands = describe_bands([line for lines in panels.values() for line in lines.values()])
    annotate(figure, ({"dense": METHOD_STYLES["dense"]} if dense else {}) | looks, label, bands)
    return figure, bands


def connectivity(results: Results) -> Plot:
    """Accuracy along the straight path between the dense networks, before and after permuting."""
    looks = {"before permuting": METHOD_STYLES["naive"], "after permuting": METHOD_STYLES["permuted"]}
    measured = (curve(results.of(PathPoint), permuted) for permuted in (False, True))
    curves = {name: found for name, found in zip(looks, measured, strict=True) if found}
    lines: dict[str, Line] = {name: found.accuracies for name, found in curves.items()}
    figure, (panel,) = lay_out([""], SINGLE_INCHES, Scale.of([lines], None))
    for name, found in curves.items():
        panel.draw(found.alphas, found.accuracies, looks[name])
    panel.x_axis([0, 0.25, 0.5, 0.75, 1], ["0 (A)", "0.25", "0.5", "0.75", "1 (B)"], SINGLE_INCHES[0])
    bands = describe_bands(lines.values(), "pair")
    annotate(figure, {name: looks[name] for name in curves}, "α in (1 − α) · A + α · B", bands)
    path = "Test accuracy along the straight path between the dense networks A and B."
    caption = f"{path} {barrier_sentence(results)} {bands}"
    return Plot("connectivity", caption, figure)


def matching(results: Results) -> Plot:
    """Correlation of paired units, group by group: of units at equal position, and as they were matched."""
    keys = {"at equal position": "correlation_identity", "matched": "correlation"}
    looks = {"at equal position": METHOD_STYLES["naive"], "matched": METHOD_STYLES["permuted"]}
    groups: defaultdict[str, list[MatchedGroup]] = defaultdict(list)
    for match in results.of(MatchedGroup):
        groups[match.group].append(match)
    marks = [
        Marks(
            name,
            [summarise([getattr(match, key) for match in matches]) for matches in groups.values()],
            [looks[name]] * len(groups),
        )
        for name, key in keys.items()
    ]
    n = max(map(len, groups.values()))
    bars = f"Marks: mean; bars: ± one standard deviation over n = {n} pairs." if n > 1 else "One pair of networks."
    rows = Rows("correlation of paired units, by group", list(groups), marks)
    caption = f"How well units of the dense networks A and B agree, in every group of the symmetry. {bars}"
    return Plot("matching", caption, lay_out_rows(rows, bars), [rows])
