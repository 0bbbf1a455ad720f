"""Everything that a study leaves behind for its readers, in one folder."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from permask.report.accuracy import accuracy_in_print, accuracy_table
from permask.report.analyses import Analysis, analyses
from permask.report.combinations import accuracies, accuracy_by_combination, joined, rewinds_of
from permask.report.csvfile import COLUMNS, csv_lines, write_lines
from permask.report.differences import gap_table
from permask.report.figures import plots
from permask.report.latex import latex_file
from permask.report.markdown import markdown
from permask.report.measures import columns
from permask.report.origins import origin_sentences
from permask.report.outcomes import Comparisons, Outcomes, asked
from permask.report.page import overview, page
from permask.report.plot import Plot
from permask.report.pooled import pooled, sentences_below
from permask.report.statistics import bootstrap_interval, holm, t_interval
from permask.report.table import Table
from permask.study.results import Results, slug_of
from permask.study.rows import as_cell, column_of
from permask.study.sweep import products

# differences that accuracy_differences.csv tells unless a study asks for others: what the permutation gains, and what a
# ticket's own network has left
DIFFERENCES: Comparisons = (("permuted", "naive"), ("lth", "permuted"))


def write_report(
    results: Results,
    folder: Path,
    formats: tuple[str, ...] = ("png", "pdf"),
    more: Sequence[Plot] = (),
    *,
    corrected: bool = True,
) -> list[Path]:
    """Write the results, report.html and the figures.

    Args:
        results: Of the study.
        folder: Where to; it must exist. Files of the same names are replaced.
        formats: Of the figures: png, pdf, svg.
        more: Figures to show besides those of the results.
        corrected: Whether bold is corrected for the number of differences in a table, by Holm's method.

    Returns:
        The files, report.html first.
    """
    saved = results.save(folder)
    if results.combinations:
        return [*_write_combinations(results, folder, formats, more, corrected=corrected), *saved]
    pictures, further = [*plots(results), *more], analyses(results, corrected)
    drawn = [*pictures, *(plot for analysis in further for plot in analysis.plots)]
    figures = [file for plot in drawn for file in plot.save(folder, formats)]
    report = folder / "report.html"
    report.write_text(page(results, pictures, further, corrected=corrected), encoding="utf-8")
    return [report, *saved, *figures]


def write_tables(results: Results, folder: Path, *, corrected: bool = True) -> list[Path]:
    """Write all tables as Markdown, LaTeX and CSV, and paired differences with both kinds of interval.

    Args:
        results: Of the study.
        folder: Where to; it must exist. Files of the same names are replaced.
        corrected: As of `write_report`.

    Returns:
        The files.
    """
    if results.combinations:
        return _write_combination_tables(results, folder, corrected)
    outcomes, study, compared = Outcomes.of_study(results, corrected), results.name, asked(results, DIFFERENCES)
    rewinds = outcomes.rewinds or (None,)
    shown = [
        table
        for k in rewinds
        for table in (accuracy_table(outcomes, k), *columns(results, k, corrected=corrected), gap_table(outcomes, k))
        if table is not None
    ]
    printed = {f"{study}-rewind-{k}": accuracy_in_print(outcomes, k, study) for k in outcomes.rewinds}
    return [
        *_write(folder, "accuracy", shown, printed, origin=origin_sentences(results), below=sentences_below(outcomes)),
        _write_means(outcomes, folder / "accuracy.csv"),
        _write_differences(outcomes, compared, folder / "accuracy_differences.csv"),
        _write_pooled(outcomes, compared, folder / "accuracy_pooled.csv"),
        *(file for analysis in analyses(results, corrected) for file in _write_analysis(analysis, study, folder)),
    ]


def _write_combinations(
    results: Results, folder: Path, formats: tuple[str, ...], more: Sequence[Plot], *, corrected: bool
) -> list[Path]:
    """A report of what compares the combinations of a study, and one of each in a folder of its own."""
    parts = results.combinations
    folders = {name: folder / slug_of(results, part) for name, part in parts.items()}
    for name, part in parts.items():
        folders[name].mkdir(exist_ok=True)
        write_report(part, folders[name], formats, corrected=corrected)
    compared = accuracy_by_combination(parts, list(cast(Any, results.study["sweep"])))
    pictures = [*([compared] if compared else []), *more]
    report = folder / "report.html"
    names = {name: place.name for name, place in folders.items()}
    report.write_text(overview(results, names, pictures, corrected=corrected), encoding="utf-8")
    return [report, *(file for plot in pictures for file in plot.save(folder, formats))]


def _write_combination_tables(results: Results, folder: Path, corrected: bool) -> list[Path]:
    """Tables that compare the combinations of a study, and those of each in a folder of its own."""
    parts, study = results.combinations, results.name
    written: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, part in parts.items():
        place = folder / slug_of(results, part)
        place.mkdir(exist_ok=True)
        for file in write_tables(part, place, corrected=corrected):
            if file.suffix == ".csv":
                written[file.name][name] = file.read_text(encoding="utf-8")
    tables = {k: accuracies(parts, k, corrected) for k in rewinds_of(parts)}
    printed = {
        f"{study}-rewind-{k}-{number}": replace(table, caption=f"Study {study}. {table.caption}")
        for k, shown in tables.items()
        for number, table in enumerate(shown, 1)
    }
    swept = dict(zip(parts, products(cast(Any, results.study["sweep"])), strict=True))
    options = list(next(iter(swept.values())))
    files = []
    for file, texts in written.items():
        values = {column_of(option): [as_cell(swept[name][option]) for name in texts] for option in options}
        files.append(folder / file)
        files[-1].write_text(joined(values, texts), encoding="utf-8")
    return [
        *_write(
            folder,
            "accuracy",
            [table for shown in tables.values() for table in shown],
            printed,
            origin=origin_sentences(results),
        ),
        *files,
    ]


def _write(
    folder: Path,
    name: str,
    shown: Sequence[Table],
    printed: Mapping[str, Table],
    *,
    origin: Sequence[str] = (),
    below: Sequence[str] = (),
) -> list[Path]:
    """Write tables as Markdown, and by label as LaTeX, below sentences on where they come from.

    In Markdown, more sentences may stand below the tables.
    """
    before, after = ([f"{sentence}\n" for sentence in sentences] for sentences in (origin, below))
    contents = {
        ".md": "\n".join([*before, *map(markdown, shown), *after]),
        ".tex": "".join(f"% {' '.join(sentence.split())}\n" for sentence in origin) + latex_file(printed),
    }
    for end, content in contents.items():
        (folder / f"{name}{end}").write_text(content, encoding="utf-8")
    return [folder / f"{name}{end}" for end in contents]


def _write_analysis(analysis: Analysis, study: str, folder: Path) -> list[Path]:
    tables, name = analysis.tables, analysis.name
    printed = {
        f"{study}-{name}-{number}": replace(table, title="", caption=f"Study {study}. {table.said}")
        for number, table in enumerate(tables, 1)
    }
    table = write_lines(folder / f"{name}_table.csv", COLUMNS, csv_lines(tables))
    return [*_write(folder, name, tables, printed), table]


def _write_means(outcomes: Outcomes, path: Path) -> Path:
    found = [(condition, summary) for condition in outcomes.conditions if (summary := outcomes.summary(*condition))]
    lines = [(*condition, summary.mean, summary.std, summary.n) for condition, summary in found]
    return write_lines(path, ("method", "sparsity", "rewind", "mean", "std", "n"), lines)


def _write_differences(outcomes: Outcomes, comparisons: Comparisons, path: Path) -> Path:
    """Every difference with its intervals and p-values; p_holm is over those that the table of a rewind epoch shows."""
    lines = []
    for rewind in outcomes.rewinds:
        found = {
            (first, second, sparsity): values
            for first, second in comparisons
            for sparsity in outcomes.sparsities
            if (values := outcomes.differences(first, second, sparsity, rewind))
        }
        tested = {cell: t.p for cell, values in found.items() if (t := t_interval(values)).p is not None}
        shown = [cell for cell in tested if cell[:2] in map(tuple, outcomes.compared)]
        p_holm = dict(zip(shown, holm([tested[cell] for cell in shown]), strict=True))
        for cell, values in found.items():
            t, bootstrap = t_interval(values), bootstrap_interval(values)
            on_inputs = outcomes.difference_on_inputs(*cell, rewind)
            ends = (t.low, t.high, bootstrap.low, bootstrap.high)
            further = (t.p, p_holm.get(cell), *((on_inputs.low, on_inputs.high) if on_inputs else (None, None)))
            lines.append((*cell, rewind, t.mean, *ends, t.n, *further))
    bounds = ("t_low", "t_high", "bootstrap_low", "bootstrap_high")
    further = ("p", "p_holm", "inputs_low", "inputs_high")
    return write_lines(path, ("first", "second", "sparsity", "rewind", "mean", *bounds, "n", *further), lines)


def _write_pooled(outcomes: Outcomes, comparisons: Comparisons, path: Path) -> Path:
    """The differences over all sparsities and rewind epochs."""
    lines = []
    for first, second in comparisons:
        found, cells, left = pooled(outcomes, first, second)
        if found:
            lines.append((first, second, cells, left, found.mean, found.low, found.high, found.n, found.p))
    return write_lines(path, ("first", "second", "cells", "left_out", "mean", "low", "high", "n", "p"), lines)
