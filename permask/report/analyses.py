"""What a report says besides accuracies, as far as the results have it: tables, figures and where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib import rc_context

from permask.report import costs, ensembles, masks, rounds
from permask.report.outcomes import Outcomes
from permask.report.plot import Plot
from permask.report.sheet import Sheet
from permask.report.style import PRINT
from permask.study.results import Results


@dataclass(frozen=True)
class Analysis:
    """One kind of measurement.

    Attributes:
        name: Of the files of its tables.
        title: Over it on the page.
        sheets: Its tables.
        plots: Its figures.
        sources: What was measured, with the steps of the store that it comes from; empty for what the runs tell.
    """

    name: str
    title: str
    sheets: list[Sheet]
    plots: list[Plot] = field(default_factory=list)
    sources: Sequence[dict[str, Any]] = ()


def analyses(results: Results) -> list[Analysis]:
    """All that the results allow; results of older versions allow less."""
    outcomes = Outcomes.of(results.rows)
    made = []
    with rc_context(PRINT):
        if found := ensembles.ensembles_of(results.ensembles):
            shown = max(found, key=lambda one: (one.rewind == outcomes.middle_rewind, one.sparsity))
            sheets = [ensembles.sheet(one) for one in found]
            plots = [ensembles.plot(shown)]
            made.append(Analysis("ensembles", "Ensembles", sheets, plots, results.ensembles))
        if results.rounds:
            sheet, plot = rounds.sheet(results.rounds), rounds.plot(results.rounds)
            made.append(Analysis("barrier_along_rounds", "Rounds of pruning", [sheet], [plot], results.rounds))
        if results.masks:
            sheets, plots = masks.layer_sheets(results.masks), masks.plots(results.masks)
            made.append(Analysis("layers", "Layers", sheets, plots, results.masks))
            size = masks.size_sheet(results.masks, outcomes.network_sparsity)
            made.append(Analysis("size", "Size of the networks", [size], [], results.masks))
        if sheets := costs.sheets(results.rows, outcomes.middle_rewind):
            made.append(Analysis("cost", "Cost of training", sheets))
    return made
