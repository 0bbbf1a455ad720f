"""A kind of rows that no part of the report knows is shown all the same: a table of its own, and one of its column."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console
from support.made_results import made_results, measured_results

from permask.report.analyses import analyses
from permask.report.measures import columns, other_kinds, table
from permask.report.page import page
from permask.report.statistics import summarise, t_interval
from permask.report.table import Table
from permask.report.terminal import summary
from permask.report.write import write_report, write_tables
from permask.study.results import Results
from permask.study.rows import PairRow, Row
from permask.study.steps.trained import Trained


@dataclass(frozen=True, kw_only=True)
class Sharpness(PairRow):
    """How sharp the minimum is that a network ended in.

    More is not to be read in a caption.
    """

    table: ClassVar[str] = "sharpness"
    column: ClassVar[str] = "largest_eigenvalue"

    method: str
    sparsity: float
    rewind: int | None
    largest_eigenvalue: float
    trace: float | None
    converged: bool
    step: str


@dataclass(frozen=True, kw_only=True)
class Spread(Row):
    """What all pairs have in common."""

    table: ClassVar[str] = "spreads"

    step: str
    distance: float


def sharp(row: Trained, converged: bool = True, **changes: float | None) -> Sharpness:
    measured = {"largest_eigenvalue": 200 - 2 * row.accuracy, "trace": row.loss} | changes
    seeds = {name: getattr(row, name) for name in ("pair", "seed_a", "seed_b")}
    condition = {"method": row.method, "sparsity": row.sparsity, "rewind": row.rewind}
    return Sharpness(**seeds, **condition, **measured, converged=converged, step=row.step)


@pytest.fixture
def results() -> Results:
    made = made_results(sparsities=(0.9, 0.98), rewinds=(5, 20))
    return replace(made, rows=[*made.rows, *map(sharp, made.of(Trained))])


def texts(of: Table) -> dict[tuple[str, ...], list[str]]:
    """Labels to the numbers of a row."""
    lines = [(row.name, *(cell.text for cell in row.cells)) for row in of.rows]
    return {line[:4]: list(line[4:]) for line in lines}


def values(results: Results, method: str, sparsity: float, rewind: int | None) -> list[float]:
    rows = results.of(Sharpness)
    return [r.largest_eigenvalue for r in rows if (r.method, r.sparsity, r.rewind) == (method, sparsity, rewind)]


def printed(results: Results) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(summary(results))
    return capture.get()


def test_a_row_per_condition_has_the_mean_of_every_number(results: Results) -> None:
    found = table(results.of(Sharpness))
    assert found.caption == "How sharp the minimum is that a network ended in: mean ± standard deviation over n steps."
    assert found.headings == [
        *("method", "sparsity", "rewind", "converged", "largest eigenvalue", "trace", "n"),
    ]
    rows = texts(found)
    assert list(rows)[:3] == [
        ("dense", "0%", "–", "True"),
        ("lth", "90%", "5", "True"),
        ("lth", "90%", "20", "True"),
    ]
    assert len(rows) == 1 + 4 * 2 * 2
    expected = summarise(values(results, "permuted", 0.98, 20))
    largest, _, n = rows["permuted", "98%", "20", "True"]
    assert (largest, n) == (f"{expected.mean:.2f} ± {expected.std:.2f}", "5")
    assert rows["dense", "0%", "–", "True"][-1] == "10"


def test_its_column_stands_below_the_accuracies_in_their_layout(results: Results) -> None:
    (below,) = columns(results, 20)
    assert below.caption.startswith("Largest eigenvalue at rewind epoch 20 by sparsity of the pruned layers: mean ± ")
    assert [row.name for row in below.rows] == [
        *("dense (0%)", "lth", "permuted", "naive", "random", "permuted − naive"),
    ]
    assert below.headings == ["method", "90%", "98%", "n"]
    naive = {row.name: row.cells for row in below.rows}["naive"]
    assert [cell.value for cell in naive[:-1]] == [summarise(values(results, "naive", s, 20)) for s in (0.9, 0.98)]
    differences = [
        a - b for a, b in zip(values(results, "permuted", 0.9, 20), values(results, "naive", 0.9, 20), strict=True)
    ]
    assert below.rows[-1].cells[0].value == t_interval(differences)
    assert not any(cell.runs for row in below.rows for cell in row.cells)


def test_of_tokens_the_loss_is_told_in_nats_with_the_differences() -> None:
    made = made_results(pairs=3)
    rows = [replace(row, perplexity=exp(row.loss)) for row in made.of(Trained)]
    perplexity, loss = columns(replace(made, rows=rows), 5)
    assert perplexity.caption.startswith("Perplexity at rewind epoch 5")
    assert loss.caption.startswith("Test loss in nats per token at rewind epoch 5")
    by_method = {
        method: [row.loss for row in rows if (row.method, row.sparsity, row.rewind) == (method, 0.9, 5)]
        for method in ("permuted", "naive")
    }
    shown = t_interval([a - b for a, b in zip(*by_method.values(), strict=True)])
    assert shown.low is not None and shown.high is not None
    expected = f"{shown.mean:+.3f} [{shown.low:.3f}, {shown.high:.3f}]".replace("-", "−")
    assert loss.rows[-1].cells[0].text == expected
    assert columns(made, 5) == []


def test_of_many_classes_the_top_five_have_a_table_of_their_own() -> None:
    made = made_results(pairs=2)
    rows = [replace(row, accuracy_top5=row.accuracy + 1) for row in made.of(Trained)]
    (top5,) = columns(replace(made, rows=rows), 5)
    assert top5.caption.startswith("Top-5 test accuracy in % at rewind epoch 5 by sparsity")
    (lth,) = (row for row in top5.rows if row.name == "lth")
    values = [row.accuracy_top5 or 0 for row in rows if (row.method, row.sparsity, row.rewind) == ("lth", 0.98, 5)]
    assert lth.cells[2].value == summarise(values)
    assert columns(made, 5) == []


def test_it_is_on_the_page_in_the_terminal_and_in_files(results: Results, tmp_path: Path) -> None:
    (analysis,) = analyses(results)
    (below,) = columns(results, 5)
    written = {file.name for file in [*write_report(results, tmp_path), *write_tables(results, tmp_path)]}
    assert {"sharpness.csv", "sharpness.md", "sharpness.tex", "sharpness_table.csv"} <= written
    html = page(results, [], [analysis])
    assert "<h2>Sharpness</h2>" in html
    for cell in [cell for shown in (below, *analysis.tables) for row in shown.rows for cell in row.cells]:
        assert (f"<td><strong>{cell.number}" if cell.is_emphasised else f"<td>{cell.number}") in html
    assert html.index("Largest eigenvalue at rewind epoch 5") < html.index("Rewind epoch 20</summary>")
    markdown = (tmp_path / "accuracy.md").read_text()
    accuracies, eigenvalues = (markdown.index(f"{what} at rewind") for what in ("accuracy in %", "Largest eigenvalue"))
    assert accuracies < eigenvalues
    assert "Largest eigenvalue at rewind epoch 20" in printed(results)
    with (tmp_path / "sharpness_table.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["column"] == "trace"]
    assert len(lines) == len(analysis.tables[0].rows)


def test_numbers_that_are_missing_and_steps_that_say_more_than_one_thing() -> None:
    (dense, other, *_) = made_results(methods=(), pairs=1).of(Trained)
    rows = [
        sharp(dense, trace=None, largest_eigenvalue=0.01),
        sharp(dense, trace=4.0, largest_eigenvalue=0.03),
        sharp(other, trace=None, largest_eigenvalue=0.04),
        sharp(other, converged=False, trace=None, largest_eigenvalue=0.0),
    ]
    found = texts(table(rows))
    assert found["dense", "0%", "–", "True"] == ["0.0300 ± 0.0141", "4.00 (n = 1)", "2"]
    assert found["dense", "0%", "–", "False"] == ["0.0000", "–", "1"]


def test_rows_without_pair_and_condition_are_one_row_and_no_column() -> None:
    made = made_results(pairs=1)
    rows: Sequence[Row] = [Spread(step="a", distance=1500.0), Spread(step="b", distance=1700.0)]
    results = replace(made, rows=[*made.rows, *rows])
    found = table(results.of(Spread))
    assert found.lines == [["", "distance", "n"], ["all", "1600 ± 141", "2"]]
    assert columns(results, 5) == []
    assert '<th scope="col">step</th>' in page(results, [], analyses(results))


def test_what_the_report_knows_is_shown_once() -> None:
    assert other_kinds(measured_results()) == []
