"""What reports say of ensembles, rounds of pruning, masks and costs, against the results and against scipy."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.made_results import changed, made_results, measured_results

from permask.report.analyses import analyses
from permask.report.costs import tables as cost_tables
from permask.report.ensembles import MEASURES, ensembles_of
from permask.report.ensembles import table as ensemble_table
from permask.report.masks import layer_tables, size_table
from permask.report.page import page
from permask.report.rounds import STATISTICS, barriers_by_round
from permask.report.table import Cell, Table
from permask.report.write import write_report, write_tables
from permask.study.results import Results
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.mask import MeasuredMask
from permask.study.steps.trained import Trained


def cells(table: Table, name: str) -> Sequence[Cell]:
    (row,) = (row for row in table.rows if row.name == name)
    return row.cells


def values(results: Results, method: str, sparsity: float, key: str) -> list[float]:
    return [
        getattr(row, key) for row in results.of(MeasuredEnsemble) if (row.method, row.sparsity) == (method, sparsity)
    ]


def test_permuted_against_lth_is_paired_with_the_interval_of_scipy() -> None:
    results = measured_results(pairs=12)
    for ensembles in ensembles_of(results.of(MeasuredEnsemble)):
        for measure in MEASURES:
            permuted, lth = (values(results, m, ensembles.sparsity, measure.key) for m in ("permuted", "lth"))
            differences = measure.factor * (np.asarray(permuted) - np.asarray(lth))
            found = ensembles.difference(measure)
            assert found is not None
            assert (found.n, found.mean) == (4, pytest.approx(differences.mean()))
            expected = stats.ttest_rel(np.asarray(permuted), np.asarray(lth)).confidence_interval(0.95)
            if differences.std() > 1e-9:
                assert (found.low, found.high) == pytest.approx(tuple(measure.factor * end for end in expected))


def test_the_table_of_ensembles_has_measures_down_and_methods_across() -> None:
    results = measured_results(pairs=9)
    (*_, last) = ensembles_of(results.of(MeasuredEnsemble))
    table = ensemble_table(last)
    assert table.title == "Sparsity 99%, rewind epoch 5"
    methods = ("dense", "lth", "imp", "permuted", "naive")
    assert table.headings == ["measure", *methods, "permuted − lth"]
    disagreement = [100 * value for value in values(results, "permuted", 0.99, "disagreement")]
    spread = f"{np.mean(disagreement):.2f} ± {np.std(disagreement, ddof=1):.2f}"
    assert cells(table, "disagreement (%)")[3].text == spread
    assert cells(table, "disagreement (%)")[-1].text.startswith("+")
    assert cells(table, "accuracy (%), one member")[-1].text == ""
    assert "mean ± standard deviation over n = 3 ensembles" in table.caption
    assert "Student's 95% interval" in table.caption
    assert "share networks" not in table.caption


def test_disagreement_is_told_as_a_share_of_the_error() -> None:
    results = measured_results(pairs=9)
    (*_, last) = ensembles_of(results.of(MeasuredEnsemble))
    apart, right = (np.array(values(results, "imp", 0.99, key)) for key in ("disagreement", "member_accuracy"))
    shares = apart / (1 - right / 100)
    text = f"{shares.mean():.3f} ± {shares.std(ddof=1):.3f}"
    assert cells(ensemble_table(last), "disagreement / error")[2].text == text


def test_members_without_error_have_no_share_of_it() -> None:
    results = changed(measured_results(pairs=9), MeasuredEnsemble, member_accuracy=lambda row: 100.0)
    (*_, last) = ensembles_of(results.of(MeasuredEnsemble))
    assert {cell.text for cell in cells(ensemble_table(last), "disagreement / error")} == {"–"}


def test_two_ensembles_have_neither_spread_nor_interval() -> None:
    (*_, two) = ensembles_of(measured_results().of(MeasuredEnsemble))
    table = ensemble_table(two)
    assert "mean over n = 2 ensembles" in table.caption
    assert "Two ensembles allow neither a spread nor an interval." in table.caption
    assert not any("±" in cell.text or "[" in cell.text for row in table.rows for cell in row.cells)
    assert cells(table, "disagreement (%)")[-1].text.endswith("no interval")


def test_ensembles_that_share_networks_say_so_and_one_has_no_interval() -> None:
    (*_, shared) = ensembles_of(measured_results(every=1).of(MeasuredEnsemble))
    assert "Ensembles share networks B, so that no interval can be told." in shared.caption
    assert cells(ensemble_table(shared), "disagreement (%)")[-1].text.endswith("no interval")
    (*_, one) = ensembles_of(measured_results(pairs=3).of(MeasuredEnsemble))
    assert one.caption == "one ensemble of 3 networks."
    assert cells(ensemble_table(one), "disagreement (%)")[-1].text.endswith("no interval")


def test_barriers_along_rounds_are_those_of_every_pair() -> None:
    results = measured_results(pairs=2)
    sparsities, lines = barriers_by_round(results.of(RoundPoint))
    assert sparsities == [0, 0.36, 0.59, 0.9, 0.95, 0.98, 0.99]
    for statistics, name in STATISTICS.items():
        for sparsity, cell in zip(sparsities, lines[name], strict=True):
            lowest = [
                row.accuracy
                for row in results.of(RoundPoint)
                if (row.statistics, row.sparsity, row.alpha) == (statistics, sparsity, 0.5)
            ]
            ends = [row.accuracy for row in results.of(RoundPoint) if row.alpha in (0, 1)]
            assert cell is not None
            assert (cell.n, cell.mean) == (2, pytest.approx(ends[0] - np.mean(lowest)))


def test_layers_show_their_sparsity_and_what_suits_b() -> None:
    results = measured_results(pairs=2)
    first, *_ = layer_tables(results.of(MeasuredMask))
    headings = ["layer", "weights", "sparsity (%)", "before permuting (%)", "after permuting (%)", "by chance (%)"]
    assert first.headings == headings
    layers = [mask.layers[0] for mask in results.of(MeasuredMask) if mask.sparsity == 0.9]
    after = [100 * layer["kept_by_both_permuted"] / layer["kept"] for layer in layers]
    assert [cell.text for cell in cells(first, "0.weight")] == [
        "4,000",
        "90.00 ± 0.00",
        "10.00 ± 0.00",
        f"{np.mean(after):.2f} ± {np.std(after, ddof=1):.2f}",
        "10.00 ± 0.00",
    ]


def test_studies_without_matching_leave_the_column_after_permuting_out() -> None:
    results = measured_results(pairs=2)
    for mask in results.of(MeasuredMask):
        for layer in mask.layers:
            del layer["kept_by_both_permuted"]
    assert "after permuting (%)" not in layer_tables(results.of(MeasuredMask))[0].headings
    assert {plot.name for analysis in analyses(results) for plot in analysis.plots} >= {"mask_overlap"}


def test_a_layer_that_keeps_nothing_has_no_overlap() -> None:
    results = measured_results(pairs=1)
    masks = results.of(MeasuredMask)
    masks[0].layers[0] |= {"kept": 0, "kept_by_both": 0, "kept_by_both_permuted": 0}
    assert [cell.text for cell in cells(layer_tables(masks)[0], "0.weight")] == ["4,000", "100.00", *"–––"]


def test_sizes_are_given_with_their_share_of_the_dense_network() -> None:
    table = size_table(measured_results(pairs=2).of(MeasuredMask), {0.9: 0.829})
    assert [cell.text for cell in cells(table, "dense")] == ["0.0%", "5.05 k", "20.2 k", "10.0 k"]
    assert [cell.text for cell in cells(table, "90%")] == ["82.9%", "505 (10.0%)", "2.02 k (10.0%)", "1.00 k (10.0%)"]
    assert cells(table, "95%")[0].text == "–"


def test_costs_are_told_from_nothing_and_for_one_more_network() -> None:
    (table, *_) = cost_tables(measured_results(pairs=2).of(Trained), 5)
    assert table.title == "Sparsity 90%, rewind epoch 5"
    shown = {name: [cell.text for cell in row] for name, row in ((row.name, row.cells) for row in table.rows)}
    headings = [name + scope for name in ("epochs", "FLOPs", "time") for scope in ("", ", in all", ", one more")]
    assert table.headings == ["method", *headings]
    assert shown["dense"] == ["60", "120", "120", "360 k", "720 k", "720 k", "0.5 s", "2.4 s", "2.4 s"]
    assert shown["lth"] == ["55", "190", "190", "330 k", "1.14 M", "1.14 M", "0.5 s", "3.8 s", "3.8 s"]
    assert shown["naive"] == ["55", "190", "60", "330 k", "1.14 M", "360 k", "0.5 s", "3.8 s", "1.2 s"]
    assert shown["permuted"] == ["55", "245", "115", "330 k", "1.47 M", "690 k", "0.5 s", "4.9 s", "2.3 s"]


def test_results_that_tell_no_operations_have_no_columns_for_them() -> None:
    kinds = ("flops", "flops_total", "flops_marginal", "epochs_marginal", "seconds_marginal")
    results = changed(measured_results(pairs=1), **{name: lambda row: None for name in kinds})
    (table, *_) = cost_tables(results.of(Trained), 5)
    assert table.headings == ["method", "epochs", "epochs, in all", "time", "time, in all"]


def test_a_run_whose_steps_are_gone_has_no_time() -> None:
    columns = ("seconds_total", "seconds_marginal")
    results = changed(
        measured_results(pairs=2),
        **{name: lambda row, name=name: None if row.method == "lth" else getattr(row, name) for name in columns},
    )
    (table, *_) = cost_tables(results.of(Trained), 5)
    assert [cell.text for cell in cells(table, "lth")] == [
        "55",
        "190",
        "190",
        "330 k",
        "1.14 M",
        "1.14 M",
        "0.5 s",
        "–",
        "–",
    ]


def test_results_of_before_have_none_of_it(tmp_path: Path) -> None:
    assert analyses(made_results()) == []
    names = {file.name for file in write_report(made_results(pairs=1), tmp_path)}
    assert not names & {"ensembles.csv", "rounds.csv", "masks.csv", "ensembles.png"}


def test_every_table_is_written_in_three_formats_and_every_figure_is_on_the_page(tmp_path: Path) -> None:
    results = measured_results(pairs=9)
    written = {file.name for file in [*write_report(results, tmp_path), *write_tables(results, tmp_path)]}
    assert written == {file.name for file in tmp_path.iterdir()}
    html = (tmp_path / "report.html").read_text()
    for analysis in analyses(results):
        assert {f"{analysis.name}{end}" for end in (".md", ".tex", "_table.csv")} <= written
        for plot in analysis.plots:
            assert f'<figure id="{plot.name}">' in html
        for table in analysis.tables:
            for cell in [cell for row in table.rows for cell in row.cells]:
                text = cell.text.replace(" [", " <small>[").replace("]", "]</small>")
                assert (f"<td><strong>{text}</strong></td>" if cell.is_emphasised else f"<td>{text}</td>") in html
        for source in analysis.sources:
            assert f"<code>{source.step}</code>" in html
    with (tmp_path / "ensembles_table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["table"].startswith("Sparsity 99%")]
    (js,) = [row for row in rows if (row["row"], row["column"]) == ("JS divergence (nats)", "imp")]
    assert float(js["mean"]) == pytest.approx(np.mean(values(results, "imp", 0.99, "js")))
    (difference,) = [row for row in rows if (row["row"], row["column"]) == ("disagreement (%)", "permuted − lth")]
    assert float(difference["low"]) < float(difference["mean"]) < float(difference["high"])


def test_text_of_layers_cannot_become_markup() -> None:
    results = measured_results(pairs=1)
    results.of(MeasuredMask)[0].layers[0]["layer"] = "<script>alert(1)</script>"
    assert "<script>alert" not in page(results, [], analyses(results))
