import csv
import html
from pathlib import Path

import pytest
from support.made_results import made_results
from support.small_study import write_study

from permask.cli.report import report
from permask.errors import PermaskError
from permask.report.outcomes import Outcomes
from permask.report.pooled import pooled
from permask.report.statistics import bootstrap_interval, holm, t_interval
from permask.study.steps.trained import Trained
from permask.study.store import Store

FIGURES = ("accuracy_against_sparsity", "accuracy_against_rewind", "gap_closed", "connectivity", "matching")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made_results(pairs=8).save(tmp_path)
    return tmp_path


def test_a_results_file_becomes_every_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "results.csv").read_bytes()
    report(folder, rewind=20)
    tables = {"accuracy.md", "accuracy.tex", "accuracy.csv", "accuracy_differences.csv", "accuracy_pooled.csv"}
    figures = {f"{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png", "svg")}
    saved = {"results.csv", "connectivity.csv", "matching.csv", "results.json"}
    assert {file.name for file in folder.iterdir()} == saved | {"report.html"} | tables | figures
    assert (folder / "results.csv").read_bytes() == before
    printed = capsys.readouterr().out
    assert "at rewind epoch 20" in printed
    assert "accuracy_differences.csv" in printed


def test_the_tables_in_csv_hold_every_cell_and_both_intervals(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    report(folder / "results.json", out=out)
    outcomes = Outcomes.of(made_results(pairs=8).of(Trained))
    with (out / "accuracy.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == len(outcomes.conditions)
    for cell in cells:
        rewind = int(cell["rewind"]) if cell["rewind"] else None
        summary = outcomes.summary(cell["method"], float(cell["sparsity"]), rewind)
        assert summary is not None
        assert (float(cell["mean"]), float(cell["std"]), int(cell["n"])) == (summary.mean, summary.std, summary.n)
    with (out / "accuracy_differences.csv").open() as file:
        differences = list(csv.DictReader(file))
    assert len(differences) == 2 * len(outcomes.rewinds) * len(outcomes.sparsities)
    for row in differences:
        values = outcomes.differences(row["first"], row["second"], float(row["sparsity"]), int(row["rewind"]))
        t, bootstrap = t_interval(values), bootstrap_interval(values)
        assert [float(row[key]) for key in ("mean", "t_low", "t_high")] == [t.mean, t.low, t.high]
        assert [float(row[key]) for key in ("bootstrap_low", "bootstrap_high")] == [bootstrap.low, bootstrap.high]
        assert float(row["p"]) == t.p
    with (out / "accuracy_pooled.csv").open() as file:
        lines = {(row["first"], row["second"]): row for row in csv.DictReader(file)}
    for (first, second), row in lines.items():
        found, cells, left = pooled(outcomes, first, second)
        assert found is not None
        assert [float(row[key]) for key in ("mean", "low", "high", "p")] == [found.mean, found.low, found.high, found.p]
        assert (int(row["cells"]), int(row["left_out"]), int(row["n"])) == (cells, left, found.n) == (12, 0, 8)
    assert lines.keys() == {("permuted", "naive"), ("lth", "permuted")}


def test_holms_p_values_are_of_the_differences_that_tables_show(folder: Path) -> None:
    report(folder)
    outcomes = Outcomes.of(made_results(pairs=8).of(Trained))
    with (folder / "accuracy_differences.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["rewind"] == "5"]
    p_values = [outcomes.difference("permuted", "naive", s, 5) for s in outcomes.sparsities]
    expected = holm([found.p for found in p_values if found is not None and found.p is not None])
    shown = [row for row in rows if row["first"] == "permuted"]
    assert [float(row["p_holm"]) for row in shown] == expected
    assert [row["p_holm"] for row in rows if row["first"] == "lth"] == [""] * 4


@pytest.mark.parametrize("corrected", [True, False])
def test_the_command_says_whether_bold_is_corrected_for_all_cells(
    folder: Path, corrected: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    report(folder, holm=corrected)
    how = "after Holm's correction for the 4 differences" if corrected else "not corrected for the 4 differences"
    for text in (
        capsys.readouterr().out,
        *((folder / name).read_text() for name in ("accuracy.md", "accuracy.tex", "report.html")),
    ):
        assert how in html.unescape(" ".join(text.split()))


def test_a_study_of_one_pair_gets_its_tables(tmp_path: Path) -> None:
    made_results(pairs=1, alphas=0).save(tmp_path)
    report(tmp_path)
    with (tmp_path / "accuracy_differences.csv").open() as file:
        assert {row["t_low"] for row in csv.DictReader(file)} == {""}


def test_a_study_file_is_reported_from_the_store_and_to_the_folder_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study = write_study(tmp_path)
    with pytest.raises(PermaskError, match="store: "):
        report(study)
    Store(tmp_path / "store")
    before = set(tmp_path.iterdir())
    report(study)
    assert set(tmp_path.iterdir()) - before == {tmp_path / "results"}
    assert (tmp_path / "results" / "small" / "report.html").exists()
    assert "wrote results/small/report.html" in capsys.readouterr().out


def test_bad_input_is_one_message(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PermaskError, match="missing"):
        report(tmp_path / "missing" / "results.json")
    with pytest.raises(PermaskError, match="cannot read the study"):
        report(tmp_path / "study.yaml", store=Store(tmp_path / "store").root)
    with pytest.raises(PermaskError, match="belong to a study file"):
        report(folder, store=tmp_path)
    with pytest.raises(PermaskError, match="rewind epoch 3: this study has 0, 5, 20"):
        report(folder, rewind=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(PermaskError, match="choose another folder with --out"):
        report(folder, out=tmp_path / "file")
