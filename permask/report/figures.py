"""Figures of a study for print: accuracy against sparsity and rewind epoch, and along paths between networks.

They are made without pyplot, which keeps global state.
"""

from matplotlib import rc_context

from permask.report import connectivity, matching
from permask.report.differences import difference_plot, gap_plot
from permask.report.finding import finding
from permask.report.numbers import percent
from permask.report.outcomes import Outcomes
from permask.report.panels import MULTIPLE_INCHES, Line, draw_lines, sparsity_label, sparsity_ticks
from permask.report.plot import Plot
from permask.report.style import PRINT, styles
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.match import MatchedGroup

PANELS = 8


def plots(results: Results) -> list[Plot]:
    """Every figure that the results allow."""
    outcomes = Outcomes.of_study(results)
    made = []
    with rc_context(PRINT):
        if outcomes.sparsities:
            made.append(accuracy_against_sparsity(outcomes, outcomes.middle_rewind))
        if len(outcomes.rewinds) > 1:
            made.append(accuracy_against_rewind(outcomes))
        if results.study.get("compare") and (compared := difference_plot(outcomes, outcomes.middle_rewind)):
            made.append(compared)
        if closed := gap_plot(outcomes, outcomes.middle_rewind):
            made.append(closed)
        if points := results.of(PathPoint):
            made.append(connectivity.plot(points))
        if matches := results.of(MatchedGroup):
            made.append(matching.plot(matches))
    return made


def accuracy_against_sparsity(outcomes: Outcomes, rewind: int | None) -> Plot:
    """Accuracy of every method against sparsity at one rewind epoch."""
    lines: dict[str, Line] = {
        method: [outcomes.summary(method, sparsity, rewind) for sparsity in outcomes.sparsities]
        for method in outcomes.methods
    }
    ticks, label = sparsity_ticks(outcomes.sparsities), sparsity_label(outcomes.sparsities)
    looks, dense = styles(outcomes.methods), outcomes.summary("dense")
    figure, bands = draw_lines({f"rewind epoch {rewind}": lines}, looks, label, ticks, dense=dense)
    found = finding(outcomes, rewind)
    caption = f"{found and f'{found}. '}Test accuracy against sparsity at rewind epoch {rewind}. {bands}"
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
    ticks: dict[float, str] = {rewind: str(rewind) for rewind in outcomes.rewinds}
    label = "rewind epoch k (epochs of dense training before sparse training)"
    looks, dense = styles(outcomes.methods), outcomes.summary("dense")
    figure, bands = draw_lines(panels, looks, label, ticks, inches=MULTIPLE_INCHES, dense=dense)
    of = f"{len(shown)} of {len(outcomes.sparsities)} sparsities" if step > 1 else "every sparsity"
    caption = f"Test accuracy against the rewind epoch at {of}. {bands}"
    return Plot("accuracy_against_rewind", caption, figure)
