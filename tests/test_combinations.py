"""The report of a study that sweeps options says of every number which combination it is of."""

import csv
from dataclasses import replace
from io import StringIO

import pytest
from support.made_results import made_results
from test_page import elements

from permask.cli.compare import _load
from permask.errors import PermaskError
from permask.report.combinations import accuracies, accuracy_by_combination, joined, rewinds_of
from permask.report.terminal import summary
from permask.report.write import write_report, write_tables
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.trained import Trained
from permask.study.sweep import LONGEST, slug

SWEEP = {"network.widths": [[16], [8, 8]], "sparse.rescale": [None, "neuron"]}


def swept_results(sweep=SWEEP, **options):
    """The made results, once for every combination: the n-th has n points less."""
    plain = made_results(pairs=2, sparsities=(0.9, 0.95), rewinds=(0, 5), alphas=3, **options)
    network = {"name": "mlp", "widths": [16]}
    study = plain.study | {"network": network, "sparse": {"rescale": None}, "sweep": sweep}
    rows, combinations = [], [dict(zip(sweep, values, strict=True)) for values in _product(*sweep.values())]
    for number, swept in enumerate(combinations):
        for row in plain.rows:
            lower = {"accuracy": row.accuracy - number} if isinstance(row, Trained | PathPoint) else {}
            rows.append(replace(row, swept=swept, **lower))
    return Results(study, plain.provenance, rows), plain


def _product(*lists):
    if not lists:
        return [[]]
    return [[value, *rest] for value in lists[0] for rest in _product(*lists[1:])]


def test_every_combination_is_a_study_of_its_own():
    results, plain = swept_results()
    parts = results.combinations
    assert list(parts) == [
        "network.widths = [16], sparse.rescale = null",
        "network.widths = [16], sparse.rescale = neuron",
        "network.widths = [8, 8], sparse.rescale = null",
        "network.widths = [8, 8], sparse.rescale = neuron",
    ]
    last = list(parts.values())[-1]
    assert last.study["network"] == {"name": "mlp", "widths": [8, 8]} and last.study["sparse"] == {"rescale": "neuron"}
    assert "sweep" not in last.study and last.combinations == {}
    assert last.name == f"{results.name}-4-network.widths-8-8-sparse.rescale-neuron"
    assert [row.accuracy for row in last.of(Trained)] == [row.accuracy - 3 for row in plain.of(Trained)]
    assert all(row.swept == {} for row in last.rows)
    assert len(last.rows) == len(plain.rows)
    assert plain.combinations == {}


def test_files_of_combinations_have_short_plain_names():
    long = slug(12, {"data": {"name": "digits", "train": 100}, "methods": ["lth", "permuted", "naive", "x" * 99]})
    assert long.startswith("12-data-name-digits-train-100-methods-lth-permuted") and len(long) == LONGEST
    assert slug(1, {"network.widths": [8]}) == "1-network.widths-8"


def test_the_tables_have_a_section_for_each_combination():
    parts = swept_results()[0].combinations
    assert rewinds_of(parts) == (0, 5)
    (table,) = accuracies(parts, 5)
    headings = [section[0].name for section in table.sections]
    assert headings == list(parts)
    means = [
        next(cell.value.mean for row in section if row.name == "permuted" for cell in row.cells[:1])
        for section in table.sections
    ]
    assert [means[0] - mean for mean in means] == pytest.approx([0, 1, 2, 3])


def test_combinations_of_other_sparsities_have_a_table_of_their_own():
    results, _ = swept_results({"sparsities": [[0.9, 0.95], [0.95]]})
    rows = [
        row for row in results.rows if not (row.swept["sparsities"] == [0.95] and getattr(row, "sparsity", 0) == 0.9)
    ]
    parts = replace(results, rows=rows).combinations
    first, second = accuracies(parts, 0)
    assert [list(table.headings) for table in (first, second)] == [
        ["method", "90%", "95%", "n"],
        ["method", "95%", "n"],
    ]
    assert [table.sections[0][0].name for table in (first, second)] == list(parts)


def test_a_figure_has_a_panel_for_each_combination():
    results, _ = swept_results()
    plot = accuracy_by_combination(results.combinations, list(SWEEP))
    assert plot is not None and "network.widths, sparse.rescale" in plot.caption
    titles = [axes.get_title() for axes in plot.figure.axes]
    assert [title for title in titles if title] == ["[16], null", "[16], neuron", "[8, 8], null", "[8, 8], neuron"]
    many, _ = swept_results({"first_seed": list(range(10)), "description": ["x" * 30]})
    plot = accuracy_by_combination(many.combinations, ["first_seed", "description"])
    assert plot is not None and "the first 8 of 10 combinations" in plot.caption
    assert "combination 8" in [axes.get_title() for axes in plot.figure.axes]


def test_the_page_leads_to_a_report_of_each(tmp_path):
    results, _ = swept_results()
    report, *files = write_report(results, tmp_path, ("png",))
    found = elements(report.read_text())
    links = [attributes["href"] for tag, attributes in found if tag == "a"]
    assert len(links) == 4
    for link, part in zip(links, results.combinations.values(), strict=True):
        page = tmp_path / link
        assert part.name in page.read_text()
        again = Results.load(page.parent / "results.json")
        assert (again.study, list(again.rows)) == (part.study, list(part.rows))
    assert [attributes["id"] for tag, attributes in found if tag == "figure"] == ["accuracy_by_combination"]
    text = report.read_text()
    assert all(label in text for label in results.combinations)
    assert {"results.json", "results.csv", "accuracy_by_combination.png"} <= {file.name for file in files}
    assert Results.load(tmp_path / "results.json").combinations.keys() == results.combinations.keys()


def test_tables_of_numbers_say_which_combination_each_is_of(tmp_path):
    results, plain = swept_results()
    files = write_tables(results, tmp_path)
    names = {file.name for file in files}
    assert {"accuracy.md", "accuracy.tex", "accuracy.csv", "accuracy_differences.csv"} <= names
    (tmp_path / "plain").mkdir()
    write_tables(plain, tmp_path / "plain")
    for file in files:
        if file.suffix == ".csv":
            with file.open(newline="") as lines, (tmp_path / "plain" / file.name).open(newline="") as others:
                found, expected = list(csv.reader(lines)), list(csv.reader(others))
            assert found[0] == [*expected[0], *SWEEP]
            assert [line[:-2] for line in found if line[-2:] == ["[16]", ""]] == expected[1:]
            assert len(found) == 1 + 4 * len(expected[1:])
    text = (tmp_path / "accuracy.md").read_text()
    assert all(text.count(label) == 2 for label in results.combinations)  # at either rewind epoch


def test_joined_tables_quote_what_csv_has_to():
    tables = {"a": "x,y\n1,2\n", "b": "x,y\n3,4\n5,6\n"}
    columns = {"p,q": ['say "no"', None]}
    assert joined(columns, tables) == 'x,y,"p,q"\n1,2,"say ""no"""\n3,4,\n5,6,\n'


def test_the_terminal_shows_every_combination():
    from rich.console import Console

    results, _ = swept_results()
    console = Console(width=200, file=StringIO())
    console.print(summary(results))
    text = console.file.getvalue()
    assert all(label in text for label in results.combinations) and "rewind epoch 5" in text
    with pytest.raises(PermaskError, match="rewind epoch 3: this study has 0, 5"):
        summary(results, 3)


def test_compare_asks_for_one_combination(tmp_path):
    results, _ = swept_results()
    results.save(tmp_path)
    with pytest.raises(PermaskError, match=r"expected results of one combination .* compare 1-network.widths-16-"):
        _load(tmp_path)
