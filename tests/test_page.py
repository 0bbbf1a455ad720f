import csv
import json
import math
import random
import zlib
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.made_results import PROVENANCE, changed, made_results

from permask.report.figures import plots
from permask.report.numbers import format_summary
from permask.report.outcomes import Outcomes
from permask.report.page import page
from permask.report.write import write_report
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained

VOID = {"meta", "img", "br", "link", "input", "source"}


class Elements(HTMLParser):
    """The elements of a page, and whether every one that opens closes in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(html)
    assert parser.open == []
    return parser.found


def embedded_study(html: str) -> dict[str, Any]:
    return json.loads(zlib.decompress(b64decode(html.split('id="study">')[1].split("</script>")[0])))


def test_the_folder_holds_the_report_the_results_and_the_figures(tmp_path: Path) -> None:
    results = made_results()
    files = write_report(results, tmp_path)
    assert {file.name for file in files} == {file.name for file in tmp_path.iterdir()}
    assert files[0].name == "report.html"
    assert {"results.csv", "results.json", "connectivity.png", "connectivity.pdf"} <= {file.name for file in files}
    assert Results.load(tmp_path / "results.json") == results
    with (tmp_path / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(results.of(Trained))


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"methods": ("lth",), "sparsities": (0.9,), "rewinds": (0,), "pairs": 1, "alphas": 0},
        {"methods": ("permuted", "naive"), "pairs": 2, "alphas": 0},
        {"methods": (), "alphas": 0},
        {"pairs": 0},
    ],
)
def test_the_page_is_whole_and_loads_nothing(made: dict[str, Any]) -> None:
    results = made_results(**made)
    pictures = plots(results)
    html = page(results, pictures)
    found = elements(html)
    images = [attrs for tag, attrs in found if tag == "img"]
    assert len(images) == len(pictures)
    assert all(attrs["alt"] for attrs in images)
    keys = ("src", "srcset", "href", "data", "action")
    addresses = [attrs[key] or "" for _, attrs in found for key in keys if key in attrs]
    assert all(address.startswith("data:") for address in addresses)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_every_cell_of_every_rewind_is_on_the_page() -> None:
    results = made_results()
    outcomes = Outcomes.of(results.of(Trained))
    html = page(results, [])
    study = embedded_study(html)
    for method, sparsity, rewind in outcomes.conditions:
        summary = outcomes.summary(method, sparsity, rewind)
        assert summary is not None
        assert f">{format_summary(summary)}</td>" in html
        cell = (
            study["dense"]
            if method == "dense"
            else study["cells"][method][study["rewinds"].index(rewind)][study["sparsities"].index(sparsity)]
        )
        assert cell == [summary.mean, summary.std, summary.n, format_summary(summary)]


def test_every_run_is_on_the_page_with_its_seeds_step_and_versions() -> None:
    results = made_results()
    study = embedded_study(page(results, []))
    runs = study["runs"]
    assert {len(column) for column in runs.values()} == {len(results.of(Trained))}
    for i, row in enumerate(results.of(Trained)):
        assert study["methods"][runs["method"][i]] == row.method
        if row.method == "dense":
            assert (runs["sparsity"][i], runs["rewind"][i]) == (-1, -1)
        else:
            assert study["sparsities"][runs["sparsity"][i]] == row.sparsity
            assert study["rewinds"][runs["rewind"][i]] == row.rewind
        assert study["seeds"][str(row.pair)] == [row.seed_a, row.seed_b]
        for key in ("trained", "accuracy", "loss", "epochs"):
            assert runs[key][i] == getattr(row, key)
        assert row.step.startswith(runs["step"][i])
        assert study["origins"][runs["origin"][i]] == {key: getattr(row, key) for key in ("permask", "commit", "torch")}


def test_the_steps_of_paths_and_alignments_are_on_the_page() -> None:
    results = made_results()
    html = page(results, [])
    for point in [*results.of(PathPoint), *results.of(MatchedGroup)]:
        assert f"<code>{point.step}</code>" in html


def test_a_run_that_diverged_leaves_the_page_readable() -> None:
    made = made_results(pairs=2)
    diverged = made.of(Trained)[7]
    results = changed(made, loss=lambda row: math.nan if row is diverged else row.loss)
    assert embedded_study(page(results, []))["runs"]["loss"][7] is None


def test_what_steps_share_with_where_they_were_gathered_is_told_once() -> None:
    results = made_results(pairs=1, rewinds=(0,), alphas=0)
    same, other = ({"torch": {value: 7}} for value in (PROVENANCE["torch"], "2.14.0"))
    for computed, said in ((same, "<dt>torch</dt><dd>2.15.0 (7 steps)</dd>"), (other, "<dt>torch</dt><dd>2.15.0</dd>")):
        html = page(replace(results, provenance={**PROVENANCE, "computed_with": computed}), [])
        assert said in html
        assert ("<dt>torch of the steps</dt>" in html) == (computed is other)


def test_provenance_and_specification_are_on_the_page() -> None:
    results = made_results()
    html = page(results, [])
    for value in results.provenance.values():
        assert str(value) in html
    assert "sparsities:\n- 0.9\n" in html


def test_numbers_of_the_provenance_are_rounded() -> None:
    results = made_results(methods=(), alphas=0)
    html = page(replace(results, provenance={**PROVENANCE, "core_hours": 6.528409444444449}), [])
    assert "<dt>core hours</dt><dd>6.53</dd>" in html


def test_the_study_says_what_it_is_about() -> None:
    results = made_results(pairs=1, alphas=0)
    results.study["description"] = "Tickets & masks"
    assert "<p>Tickets &amp; masks</p>" in page(results, [])


def test_text_from_the_study_cannot_become_markup() -> None:
    results = changed(
        made_results(pairs=1, rewinds=(0,)),
        network=lambda _: "<script>alert(1)</script>",
        commit=lambda _: "</script><script>alert(2)",
    )
    for kind in (PathPoint, MatchedGroup):
        results = changed(results, kind, step=lambda _: "<script>alert(3)</script>")
    html = page(Results({"name": "a <b> & c"}, results.provenance, results.rows), [])
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(3)") == 2
    assert '<p class="caption">Study a &lt;b&gt; &amp; c</p>' in html
    assert "– study a &lt;b&gt; &amp; c</title>" in html
    assert embedded_study(html)["origins"][0]["commit"] == "</script><script>alert(2)"
    elements(html)


@pytest.mark.slow
def test_the_page_of_50000_runs_stays_below_6_megabytes() -> None:
    sparsities = tuple(round(0.5 + 0.02 * i, 4) for i in range(25))
    generator = random.Random(0)
    results = changed(  # accuracies and losses with all their digits, which compress badly
        made_results(sparsities=sparsities, rewinds=tuple(range(0, 100, 5)), pairs=25),
        accuracy=lambda _: generator.randrange(400, 1158) / 1157 * 100,
        loss=lambda _: generator.random(),
    )
    assert len(results.of(Trained)) == 50050
    assert len(page(results, plots(results)).encode()) < 6e6
