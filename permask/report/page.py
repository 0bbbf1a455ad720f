"""One self-contained HTML page of a study: tables, figures, every run and where the numbers come from.

Without scripts the page shows every table and the figures as pictures. Its script (page.js, on plotly.js) adds charts
with values under the pointer, filters, and the runs behind every number.
"""

from collections.abc import Mapping, Sequence

import yaml

from permask import __version__
from permask.report import connectivity, matching, rounds
from permask.report.accuracy import accuracy_table
from permask.report.analyses import Analysis
from permask.report.combinations import accuracies, rewinds_of
from permask.report.differences import gap_table
from permask.report.embedded import embedded
from permask.report.finding import finding, finding_explained
from permask.report.measures import columns, words
from permask.report.numbers import MISSING
from permask.report.origins import origins, sentences, warning
from permask.report.outcomes import Outcomes
from permask.report.plot import Plot
from permask.report.pooled import sentences_below
from permask.report.table import Cell, Table, TableRow
from permask.report.templates import template
from permask.report.vocabulary import meanings
from permask.study.results import COMPUTED_WITH, IN_KEYS, LACKING, SMOKE, Results
from permask.study.rows import Row
from permask.study.steps.connect import PathPoint
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained


def page(results: Results, plots: Sequence[Plot], further: Sequence[Analysis] = (), *, corrected: bool = True) -> str:
    """The whole page, which loads nothing from elsewhere.

    Args:
        results: Of the study.
        plots: Figures of accuracies and of what lies between the dense networks.
        further: What else was measured.
        corrected: Whether bold is corrected for the number of differences in a table, by Holm's method.
    """
    trained, points, groups = results.of(Trained), results.of(PathPoint), results.of(MatchedGroup)
    outcomes = Outcomes.of_study(results, corrected)
    barriers = rounds.barriers_of_pairs(results.of(RoundPoint))
    found, explained = finding(outcomes, outcomes.middle_rewind), finding_explained(outcomes, outcomes.middle_rewind)
    grown = rounds.growth_sentence(barriers)
    if not outcomes.compared and not outcomes.is_smoke:
        found, explained, grown = rounds.growth_finding(barriers), grown, ""
    return template("page.html").render(
        results=results,
        warning=warning(results),
        finding=found,
        explained=explained,
        summary=" ".join([_summary(results), connectivity.barrier_sentence(points), grown]),
        accuracies={
            k: [accuracy_table(outcomes, k), *columns(results, k, corrected=corrected)]
            for k in outcomes.rewinds or (None,)
        },
        pooled=sentences_below(outcomes),
        meanings=meanings(results, outcomes),
        middle=outcomes.middle_rewind,
        figures=plots,
        gap=gap_table(outcomes, outcomes.middle_rewind),
        connectivity=connectivity.table(points) if points else None,
        paths=_sources(points, "the paths"),
        matching=matching.table(groups) if groups else None,
        alignments=_sources(groups, "the alignments"),
        further=[(analysis, _sources(analysis.sources, "what was measured")) for analysis in further],
        count=len(trained),
        provenance=_provenance(results),
        specification=yaml.safe_dump(results.study, sort_keys=False, allow_unicode=True),
        version=__version__,
        data=embedded(results, outcomes, [*plots, *(plot for analysis in further for plot in analysis.plots)]),
    )


def overview(results: Results, folders: Mapping[str, str], plots: Sequence[Plot], *, corrected: bool = True) -> str:
    """The page of a study that sweeps options: what compares its combinations.

    Args:
        results: Of the study.
        folders: Combination to the folder beside the page that has its own report.
        plots: Figures to show.
        corrected: As of `page`.
    """
    parts = results.combinations
    rewinds = rewinds_of(parts)
    outcomes = {name: Outcomes.of_study(part) for name, part in parts.items()}
    return template("combinations.html").render(
        results=results,
        warning=warning(results),
        finding="",
        explained="",
        summary=_summary(results),
        folders=folders,
        findings={name: finding(found, found.middle_rewind) for name, found in outcomes.items()},
        accuracies={k: accuracies(parts, k, corrected) for k in rewinds},
        middle=rewinds[len(rewinds) // 2],
        figures=plots,
        provenance=_provenance(results),
        specification=yaml.safe_dump(results.study, sort_keys=False, allow_unicode=True),
        version=__version__,
    )


def _summary(results: Results) -> str:
    trained, own = results.of(Trained), {}
    for name in ("network", "data"):  # what others made goes by the name of what made it
        section = results.study.get(name)
        own[name] = section.get("factory") if isinstance(section, dict) else None
    networks = sorted({f"{own['network'] or row.network} on {own['data'] or row.dataset}" for row in trained})
    pairs = len({row.pair for row in trained})
    seeds = f"{pairs} pair{'s' * (pairs != 1)} of seeds"
    return f"{', '.join(networks) or 'Nothing'}: {len(trained)} trained networks from {seeds}."


def _sources(rows: Sequence[Row], what: str) -> Table | None:
    """The steps of the store that measurements come from; by pair, if they are of pairs."""
    if not rows:
        return None
    labels = {"pair": "pair", "seed_a": "seed of A", "seed_b": "seed of B", "step": "step"}
    shown = [name for name in labels if hasattr(rows[0], name)]
    steps = dict.fromkeys(tuple(str(getattr(row, name)) for name in shown) for row in rows)
    lines = [TableRow(words[0], [Cell(word, is_key=word is words[-1]) for word in words[1:]]) for words in steps]
    return Table(f"Folders of the store that hold {what}.", [labels[name] for name in shown], [lines])


def _provenance(results: Results) -> dict[str, str]:
    """What the numbers were computed with, in words; one line for what was the same where they were gathered."""
    seeds = sorted({(row.pair, row.seed_a, row.seed_b) for row in results.of(Trained)})
    said = {
        words(name): _said(value)
        for name, value in results.provenance.items()
        if name not in (COMPUTED_WITH, IN_KEYS, LACKING, SMOKE)
    }
    of_steps = {
        f"{name} of the steps" if name in said and list(origins(results)[name]) != [said[name]] else name: text
        for name, text in sentences(results).items()
    }
    return said | of_steps | {"seeds": "; ".join(f"pair {pair}: A {a}, B {b}" for pair, a, b in seeds)}


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return f"{value:.2f}" if isinstance(value, float) else str(value) or MISSING
