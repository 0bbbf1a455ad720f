"""Results come back from their file as they were, and a file of other tables or keys is told from one of ours."""

import csv
import json
from dataclasses import fields
from pathlib import Path

import pytest
from support.made_results import made_results, measured_results

from permask.errors import PermaskError
from permask.study.results import Results
from permask.study.rows import Row
from permask.study.steps.connect import PathPoint
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained
from permask.study.throughput import MeasuredThroughput

OLD = Path(__file__).parent.parent / "docs" / "results"
SPEED = MeasuredThroughput(
    **{"kind": "dense", "step": "abc", "images_per_second": 200.0, "share_of_peak": 0.1, "device": "cpu"},
    **{"precision": "float32", "compile": False, "deterministic": False},
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    made_results(pairs=1).save(tmp_path)
    return tmp_path / "results.json"


def edited(path: Path, table: str, **keys: object) -> Path:
    """The file with other keys in the first row of a table; None takes a key away."""
    content = json.loads(path.read_text(encoding="utf-8"))
    row = content[table][0] | keys
    content[table][0] = {name: value for name, value in row.items() if name not in keys or value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_every_kind_of_row_comes_back(tmp_path: Path) -> None:
    made = measured_results()
    results = Results(made.study, made.provenance, [SPEED, *made.rows])
    files = {file.name: file for file in results.save(tmp_path)}
    assert Results.load(files["results.json"]) == results
    assert results.of(MeasuredThroughput) == [SPEED]
    assert {kind for kind in results.kinds if kind.columns()} == set(results.kinds) - {MeasuredThroughput}
    assert len(files) == len(results.kinds)  # throughput stands in results.json alone
    for kind in set(results.kinds) - {MeasuredThroughput}:
        with files["results.csv" if kind is Trained else f"{kind.table}.csv"].open() as file:
            lines = list(csv.DictReader(file))
        assert list(lines[0]) == kind.columns()
        assert len(lines) == sum(len(row.lines()) for row in results.of(kind))


def test_rows_of_one_kind_keep_their_order_and_their_type(saved: Path) -> None:
    results = Results.load(saved)
    assert [type(row) for row in results.of(PathPoint)] == [PathPoint] * 22
    assert [row.alpha for row in results.of(PathPoint)][:11] == [i / 10 for i in range(11)]
    assert [row.group for row in results.of(MatchedGroup)] == ["hidden.0", "hidden.1"]
    assert results.of(Row) == list(results.rows)


def test_the_file_has_every_table_and_saves_nothing_in_the_place_of_what_is_not_known(saved: Path) -> None:
    content = json.loads(saved.read_text(encoding="utf-8"))
    tables = {"rows", "connectivity", "matching", "rounds", "ensembles", "masks", "throughput"}
    assert list(content) == sorted({"schema", "study", "provenance"} | tables)
    assert content["ensembles"] == []
    assert content["rows"][0]["seconds_total"] is None
    assert {file.name for file in saved.parent.iterdir()} == {
        *("results.json", "results.csv", "connectivity.csv", "matching.csv")
    }


@pytest.mark.parametrize("path", sorted(OLD.glob("*.json")), ids=lambda path: path.stem)
def test_results_files_of_before_load(path: Path) -> None:
    results = Results.load(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    for kind in results.kinds:
        assert len(results.of(kind)) == len(content[kind.table])
    for row, keys in zip(results.of(Trained), content["rows"], strict=True):
        unknown = {column.name: None for column in fields(Trained) if column.default is None}
        swept = {option: keys[option] for option in content["study"].get("sweep") or {}}
        assert row.swept == swept
        assert vars(row) | swept == {"swept": swept} | unknown | keys


def test_results_from_before_costs_were_kept_load(saved: Path) -> None:
    gone = dict.fromkeys(("seconds", "seconds_total", "seconds_ticket", "epochs_total", "epochs_ticket"))
    assert Results.load(edited(saved, "rows", **gone)) == made_results(pairs=1)


def test_what_is_in_no_table_of_ours_is_one_message(saved: Path) -> None:
    with pytest.raises(PermaskError, match=r"results\.json: table 'rows': unknown key 'colour'; expected study, "):
        Results.load(edited(saved, "rows", colour="red"))
    with pytest.raises(PermaskError, match=r"results\.json: table 'rows': a row without the key 'accuracy'"):
        Results.load(edited(saved, "rows", colour=None, accuracy=None))
    saved.write_text(json.dumps(json.loads(saved.read_text(encoding="utf-8")) | {"sharpness": []}), encoding="utf-8")
    with pytest.raises(
        PermaskError, match=r"results\.json: table 'sharpness': expected one of rows, matching, connectivity"
    ):
        Results.load(saved)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 1, "study": {}, "provenance": {}, "rows": 3}']
)
def test_what_is_no_results_file_is_one_message(saved: Path, text: str) -> None:
    saved.write_text(text, encoding="utf-8")
    with pytest.raises(PermaskError, match=r"results\.json: expected results saved by permask"):
        Results.load(saved)
    saved.write_text('{"schema": 2}', encoding="utf-8")
    with pytest.raises(PermaskError, match="schema version 2, this permask reads version 1"):
        Results.load(saved)
