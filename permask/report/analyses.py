"""What a report says besides accuracies, as far as the results have it: tables, figures and where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from matplotlib import rc_context

from permask.report import costs, ensembles, masks, measures, rounds
from permask.report.outcomes import Outcomes
from permask.report.plot import Plot
from permask.report.style import PRINT
from permask.report.table import Table, emphasised
from permask.study.results import Results
from permask.study.rows import Row
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.mask import MeasuredMask
from permask.study.steps.trained import Trained


@dataclass(frozen=True)
class Analysis:
    """One kind of measurement.

    Attributes:
        name: Of the files of its tables.
        title: Over it on the page.
        tables: Its tables, one or more.
        plots: Its figures.
        sources: The rows that it is made from; empty for those of the trained networks.
    """

    name: str
    title: str
    tables: list[Table]
    plots: list[Plot] = field(default_factory=list)
    sources: Sequence[Row] = ()


def analyses(results: Results, corrected: bool = True) -> list[Analysis]:
    """All that the results allow; results of older versions allow less.

    Args:
        results: Of the study.
        corrected: As of `permask.report.emphasis`.
    """
    trained, points = results.of(Trained), results.of(RoundPoint)
    measured, kept = results.of(MeasuredEnsemble), results.of(MeasuredMask)
    outcomes = Outcomes.of_study(results)
    made = []
    with rc_context(PRINT):
        if found := ensembles.ensembles_of(measured):
            shown = max(found, key=lambda one: (one.rewind == outcomes.middle_rewind, one.sparsity))
            tables = [ensembles.table(one) for one in found]
            made.append(Analysis("ensembles", "Ensembles", tables, [ensembles.plot(shown)], measured))
        if points:
            tables, plots = [rounds.table(points)], [rounds.plot(points)]
            made.append(Analysis("barrier_along_rounds", "Rounds of pruning", tables, plots, points))
        if kept:
            made.append(Analysis("layers", "Layers", masks.layer_tables(kept), masks.plots(kept), kept))
            size = masks.size_table(kept, outcomes.network_sparsity)
            made.append(Analysis("size", "Size of the networks", [size], [], kept))
        if tables := costs.tables(trained, outcomes.middle_rewind):
            made.append(Analysis("cost", "Cost of training", tables))
    for kind in measures.other_kinds(results):
        rows = results.of(kind)
        made.append(Analysis(kind.table, measures.words(kind.table).capitalize(), [measures.table(rows)], [], rows))
    return [replace(one, tables=[emphasised(table, corrected) for table in one.tables]) for one in made]
