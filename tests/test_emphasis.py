"""Bold differences: by Holm's correction over a table or by bare p-values, in every format."""

from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from rich.console import Console
from support.made_results import made_network, made_results

from permask.report.accuracy import accuracy_in_print, accuracy_table
from permask.report.intervals import FEWEST_ON_INPUTS
from permask.report.latex import latex
from permask.report.markdown import markdown
from permask.report.outcomes import Outcomes
from permask.report.statistics import Difference
from permask.report.table import Cell, Table, TableRow, emphasised
from permask.report.templates import template
from permask.report.terminal import terminal
from permask.study.per_input import pack_right

P_VALUES = (0.004, 0.02, 0.04, 0.7)  # by Holm's method 0.016, 0.06, 0.08 and 0.7
RAW, HOLM = [True, True, True, False], [True, False, False, False]


def made(*p_values: float | None) -> Table:
    cells = [Cell("", value=Difference(1.0, 0.1, 1.9, 5, p)) for p in p_values]
    return Table("Some differences.", ["method", *map(str, range(len(cells)))], [[TableRow("one", cells)]])


def bold(table: Table) -> list[bool]:
    return [cell.is_emphasised for row in table.rows for cell in row.cells]


@pytest.mark.parametrize(("corrected", "expected"), [(True, HOLM), (False, RAW)])
def test_bold_is_what_the_p_values_say(corrected: bool, expected: list[bool]) -> None:
    table = emphasised(made(*P_VALUES), corrected)
    assert bold(table) == expected
    assert ("after Holm's correction for the 4 differences" in table.bold) == corrected
    assert ("not corrected for the 4 differences of this table" in table.bold) == (not corrected)
    assert bold(emphasised(table, not corrected)) != expected
    assert emphasised(emphasised(table, not corrected), corrected) == table


def test_one_difference_needs_no_correction() -> None:
    table = emphasised(made(0.02))
    assert bold(table) == [True]
    assert table.bold == "Bold: significant at 5% by the t-test."


def test_differences_without_a_test_are_not_counted() -> None:
    assert bold(emphasised(made(0.02, None))) == [True, False]
    single = made(None)
    assert emphasised(single) == single


def test_every_format_sets_bold_and_says_what_it_means() -> None:
    table = emphasised(made(*P_VALUES))
    table = replace(
        table,
        sections=[
            [replace(row, cells=[replace(c, number=f"v{i}") for i, c in enumerate(row.cells)]) for row in table.rows]
        ],
    )
    assert "| **v0** | v1 |" in markdown(table)
    assert r"\textbf{v0} & v1 &" in latex(table, "label")
    html = unescape(str(template("tables.html").module.html(table)))  # pyright: ignore[reportAttributeAccessIssue]
    assert "<td><strong>v0</strong></td><td>v1</td>" in html
    console = Console(width=200, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(terminal(table))
    assert "\x1b[1mv0" in capture.get() and "\x1b[1mv1" not in capture.get()
    for text in (markdown(table), html, latex(table, "label").replace(r"\%", "%"), capture.get()):
        assert table.bold in text


def test_accuracies_are_corrected_over_all_differences_and_sparsities_of_their_table() -> None:
    results = made_results(alphas=0)
    results.study["compare"] = [["permuted", "naive"], ["lth", "permuted"]]
    for corrected in (True, False):
        outcomes = Outcomes.of_study(results, corrected)
        for table in (accuracy_table(outcomes, 5), accuracy_in_print(outcomes, 5, "made")):
            assert f"correct{'ion' if corrected else 'ed'} for the 8 differences" in table.bold
            assert any(bold(table))


def with_right(shares: dict[str, float], pairs: int = 5, inputs: int = 400) -> Outcomes:
    """Networks of two methods that get test inputs right independently."""
    generator, rows = np.random.default_rng(0), []
    for method, share in shares.items():
        for pair in range(pairs):
            right = generator.random(inputs) < share
            accuracy = 100 * float(right.mean())
            rows.append(made_network(method, 0.9, 5, pair, accuracy=accuracy, right=pack_right(right)))
    return Outcomes.of(rows)


def test_the_interval_on_new_inputs_has_a_row_below_and_is_never_bold() -> None:
    outcomes = with_right({"permuted": 0.9, "naive": 0.6})
    table = accuracy_table(outcomes, 5)
    first, second = table.sections[-1]
    assert [first.name, second.name] == ["permuted − naive", "permuted − naive (new inputs too)"]
    student, on_inputs = first.cells[0].value, second.cells[0].value
    assert student == outcomes.difference("permuted", "naive", 0.9, 5)
    assert on_inputs is not None and student is not None
    assert on_inputs.mean == pytest.approx(student.mean)
    assert (first.cells[0].is_emphasised, second.cells[0].is_emphasised) == (True, False)
    assert "New inputs too: this interval allows for other test inputs as well as other pairs." in table.note
    assert "naive (new inputs too)" in accuracy_in_print(outcomes, 5, "made").headings[-1]


def test_below_the_pairs_that_it_needs_the_interval_on_new_inputs_has_no_row() -> None:
    few = with_right({"permuted": 0.9, "naive": 0.6}, pairs=FEWEST_ON_INPUTS - 1)
    table = accuracy_table(few, 5)
    assert [row.name for row in table.sections[-1]] == ["permuted − naive"]
    assert "ew inputs too" not in table.note
    assert few.difference_on_inputs("permuted", "naive", 0.9, 5) is not None  # its mean is known, and no interval


def test_runs_that_do_not_all_tell_which_inputs_are_right_have_no_second_interval() -> None:
    outcomes = with_right({"permuted": 0.9, "naive": 0.6})
    right = {condition: dict(pairs) for condition, pairs in outcomes.right.items()}
    del right["naive", 0.9, 5][3]
    assert outcomes.difference_on_inputs("permuted", "naive", 0.9, 5) is not None
    lacking = replace(outcomes, right=right)
    assert lacking.difference_on_inputs("permuted", "naive", 0.9, 5) is None
    assert len(accuracy_table(lacking, 5).sections[-1]) == 1
