"""Reports state what their results were computed with, and warn where that differs."""

from dataclasses import replace
from pathlib import Path

import yaml
from rich.console import Console
from support.made_results import changed, made_results
from support.small_study import SMALL

from permask.report.origins import origins, sentences, warning
from permask.report.page import page
from permask.report.terminal import summary
from permask.report.write import write_tables
from permask.study.collect import collect
from permask.study.load import Prepared
from permask.study.plan import make_plan
from permask.study.provenance import provenance
from permask.study.results import Results
from permask.study.smoke import smallest
from permask.study.spec import Study
from permask.study.store import Store
from permask.study.worker import Worker

MIXED = {
    "torch": {"2.11.0": 3, "2.15.0": 40},
    "precision": {"bfloat16": 1, "float32": 30},
    "device": {"cpu": 31},
    "cpu": {"one": 1, "another": 42},
}


def mixed() -> Results:
    results = made_results(pairs=1)
    return replace(results, provenance={**results.provenance, "computed_with": MIXED})


def test_what_differs_is_warned_of_with_how_many_steps_there_are_of_each() -> None:
    assert warning(mixed()) == (
        "Warning: not all of these results were computed alike, and may differ for that reason. "
        "torch: 2.11.0 (3 steps), 2.15.0 (40 steps); precision: bfloat16 (1 step), float32 (30 steps); "
        "cpu: one (1 step), another (42 steps)."
    )
    alike = {name: MIXED[name] for name in ("device",)} | {"cpu": {"one": 43}}
    assert warning(replace(mixed(), provenance={"computed_with": alike})) == ""


def test_what_is_stale_is_warned_of() -> None:
    told = {"computed_with": {"commit": {"abc": 2}, "cpu": {"one": 2}, "torch": {"2.14.0": 1, "2.15.0": 1}}}
    results = replace(mixed(), provenance=told | {"commit": "", "cpu": "one", "torch": "2.15.1"})
    assert warning(results).endswith(
        "Warning: the store had these results, computed with another commit and torch than is here. commit: abc "
        "(2 steps), here unknown; torch: 2.14.0 (1 step), 2.15.0 (1 step), here 2.15.1."
    )


def test_every_form_of_the_report_states_it(tmp_path: Path) -> None:
    results = mixed()
    html = page(results, [])
    write_tables(results, tmp_path)
    console = Console(width=400)
    with console.capture() as capture:
        console.print(summary(results))
    assert f'<p class="warning" role="note">{warning(results)}</p>' in html
    for text in sentences(results).values():
        assert f"<dd>{text}</dd>" in html
        assert text in (tmp_path / "accuracy.md").read_text()
    for text in (capture.get(), (tmp_path / "accuracy.md").read_text(), (tmp_path / "accuracy.tex").read_text()):
        assert warning(results) in text
    assert 'class="warning"' not in page(made_results(pairs=1), [])


def test_a_smoke_run_says_that_its_numbers_mean_nothing_and_finds_nothing() -> None:
    results = made_results(pairs=3)
    smoke = replace(results, provenance={**results.provenance, "smoke": True})
    said = "Warning: this is a smoke run, the smallest form of the study. Its numbers mean nothing."
    html, console = page(smoke, []), Console(width=400)
    with console.capture() as capture:
        console.print(summary(smoke))
    assert said in capture.get()
    assert f'<p class="warning" role="note">{said}</p>' in html
    assert "<h1>Study made</h1>" in html
    assert "mean nothing" not in page(results, [])
    assert "<h1>Study made</h1>" not in page(results, [])


def test_results_of_the_smallest_form_know_that_they_are(tmp_path: Path) -> None:
    study, store = Study.model_validate(yaml.safe_load(SMALL)), Store(tmp_path / "store")
    whole, small = (collect(make_plan(Prepared(one)), store) for one in (study, smallest(study)))
    assert not whole.is_smoke
    assert small.is_smoke


def test_results_of_before_tell_it_of_their_networks() -> None:
    results = changed(made_results(pairs=1), torch=lambda row: "2.11.0" if row.method == "lth" else "2.15.0")
    assert set(origins(results)["torch"]) == {"2.11.0", "2.15.0"}
    assert "torch: " in warning(results)
    assert warning(made_results(pairs=1)) == ""


def test_steps_of_two_versions_in_one_store_are_told_apart(tmp_path: Path) -> None:
    changes = {"pairs": 1, "sparsities": [0.5], "rewinds": [0], "methods": ["naive"], "connect": None}
    plan, store = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | changes))), Store(tmp_path / "store")
    for number, step in enumerate(plan.steps.values()):
        made_with = provenance() if number else {**provenance(), "torch": "2.0.0"}
        Worker(store, made_with).compute(step.task)
    results = collect(plan, store)
    results.save(tmp_path)
    loaded = Results.load(tmp_path / "results.json")
    found = origins(loaded)
    torch = str(provenance()["torch"])
    assert found["torch"] == {"2.0.0": 1, torch: len(plan.steps) - 1}
    assert set(found) >= {"permask", "commit", "device", "precision", "compile", "deterministic"}
    assert found["device"] == {"cpu": sum(step.epochs > 0 for step in plan.steps.values())}
    assert f"torch: 2.0.0 (1 step), {torch} " in warning(loaded)
