"""The commands as a user meets them: help at once, clear errors, results in files that others read."""

import csv
import json
import subprocess
import sys

import pytest
import typer
from support.small_study import SMALL, TINY, run, write_study

from permask.cli.plan import plan
from permask.cli.run import run_study
from permask.report.origins import warning
from permask.study.engines.choice import Choice
from permask.study.engines.schedule import Report


@pytest.mark.parametrize("verb", [[], ["demo"], ["run"], ["plan"], ["studies"]], ids=" ".join)
def test_help_explains_and_imports_no_torch(verb):
    code = "import sys; from permask.cli.main import app; app(sys.argv[1:], standalone_mode=False)"
    code += "; print('torch' in sys.modules, 'scipy' in sys.modules, 'matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code, *verb, "--help"], capture_output=True, text=True, check=True)
    *_, imported = found.stdout.splitlines()
    assert imported == "False False False"
    assert "Usage" in found.stdout
    if verb:
        assert "Example" in found.stdout


def test_import_permask_imports_no_torch():
    subprocess.run([sys.executable, "-c", "import permask, sys; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (("pairs: 2", "pear: 2"), [], "pear: expected one of the keys"),
        (("[0.5, 0.8]", "[0.5, 1.3]"), [], "sparsities.1: expected less than 1; got 1.3"),
        (("name: mlp", "name: mpl"), [], "did you mean mlp?"),
        (("", ""), ["sparsities=[1.3]"], "sparsities.0: expected less than 1; got 1.3"),
        (("", ""), ["prune.epoch=2"], "did you mean epochs?"),
        (("", ""), ["--store", "/proc/store"], "cannot write to the store"),
        (("", ""), ["--jobs", "0"], "greater than or equal to 1"),
        (("", ""), ["--engine", "cluster"], "'cluster'"),
        (("", ""), ["--cluster", "cluster.yaml"], "--cluster is for slurm and ray"),
        (("", ""), ["--detach"], "--detach is for slurm; with local"),
        (("", ""), ["--engine", "ray", "--detach"], "--detach is for slurm; with ray"),
    ],
)
def test_bad_input_is_one_clear_message_and_leaves_nothing(tmp_path, change, arguments, message):
    study = write_study(tmp_path, SMALL.replace(*change) if change[0] else SMALL)
    out, store = tmp_path / "out", tmp_path / "store"
    options = ["--store", store] if "--store" not in arguments else []
    found = run("run", study, *arguments, *options, "--out", out, code=2)
    said = " ".join(found.stderr.replace("│", " ").split())
    assert message in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize("verb", ["run", "demo"])
def test_results_that_cannot_be_written(tmp_path, verb):
    study = write_study(tmp_path)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", "/proc/sys"):
        arguments = [verb, *([study] if verb == "run" else []), "--store", tmp_path / "store", "--out", out]
        found = run(*arguments, code=2)
        assert f"{out}: cannot write results" in found.stderr.replace("\n", " ") and "--out" in found.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "small.yaml"]


def test_a_missing_study(tmp_path):
    found = run("run", tmp_path / "missing.yaml", "--store", tmp_path / "store", code=2)
    assert found.stderr == f"error: {tmp_path}/missing.yaml: cannot read the study: No such file or directory\n"
    assert not list(tmp_path.iterdir())


def test_a_study_from_file_to_results(tmp_path):
    study = write_study(tmp_path)
    arguments = ["run", study, "--store", tmp_path / "store", "--out", tmp_path / "out", "--jobs", 2]
    first = run(*arguments)
    assert "0 were in the store" in first.stdout
    assert "naive" in first.stdout and "95%" in first.stdout
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    # per pair: 2 dense, A pruned to 2 sparsities, and 4 methods at 2 sparsities and 2 rewind epochs
    assert len(rows) == 2 * (2 + 2 + 4 * 2 * 2)
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["accuracy"] for row in content["rows"]] == [float(row["accuracy"]) for row in rows]
    assert {row["method"] for row in rows} == {"dense", "pruned", "lth", "naive", "permuted", "random"}
    for row in rows:
        assert 0 <= float(row["accuracy"]) <= 100
        assert row["torch"] and row["permask"] and len(row["step"]) == 64
        assert (row["rewind"] == "") == (row["method"] in ("dense", "pruned"))
        assert (row["trained"] == "A") == (row["method"] in ("lth", "pruned")) or row["method"] == "dense"
        assert 0 <= float(row["train_accuracy"]) <= 100 and int(row["flops"]) > 0
    kinds = {"dense", "prune", "sparse"}
    assert {measured["kind"] for measured in content["throughput"]} == kinds
    assert all(measured["images_per_second"] > 0 < measured["share_of_peak"] for measured in content["throughput"])
    assert {measured["precision"] for measured in content["throughput"]} == {"float32"}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"results.csv", "results.json", "report.html"} <= names
    assert {"accuracy_against_sparsity.pdf", "accuracy_against_sparsity.png", "connectivity.png"} <= names

    before = (tmp_path / "out" / "results.csv").read_bytes()
    again = run(*arguments)
    assert "0 steps computed" in again.stdout
    assert (tmp_path / "out" / "results.csv").read_bytes() == before


def test_plan_counts_without_computing(tmp_path):
    found = run("plan", write_study(tmp_path), "--store", tmp_path / "store")
    assert "sparse" in found.stdout and "32" in found.stdout
    assert not (tmp_path / "store").exists()


def test_a_study_without_description_has_its_name_for_a_title(tmp_path, capsys):
    plan(write_study(tmp_path, TINY))
    assert "tiny" in (title := capsys.readouterr().out.splitlines()[0])
    assert ":" not in title


def test_studies_are_listed():
    assert "digits" in run("studies").stdout


class Emptied:
    """An engine that has computed a plan into a store that somebody empties by hand."""

    devices = "on nothing"

    def run(self, plan, store, listen):
        return Report(computed=set(plan.steps))


def test_results_that_are_missing_in_the_end_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Choice, "make", lambda choice, plan, store: Emptied())
    monkeypatch.setattr("permask.report.terminal.summary", warning)
    monkeypatch.setattr("permask.report.write.write_report", lambda results, folder: results.save(folder))
    study, changes = write_study(tmp_path), ["pairs=1", "sparsities=[0.5]", "rewinds=[0]", "methods=[lth]"]
    with pytest.raises(typer.Exit) as ended:
        run_study(study, [*changes, "connect=null"], tmp_path / "store", tmp_path / "out", Choice())
    assert ended.value.exit_code == 1
    said = " ".join(capsys.readouterr().out.split())
    missing = json.loads((tmp_path / "out" / "results.json").read_text())["provenance"]["missing"]
    assert missing.startswith("5 of 5 (dense: 2, ")
    assert f"Warning: results are missing here, as the store lacks {missing}." in said
    assert "Somebody has removed results from the store during the run" in said
