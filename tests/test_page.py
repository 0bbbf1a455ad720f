import csv
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_results import made_results

from permask.report.figures import plots
from permask.report.outcomes import Outcomes
from permask.report.page import page
from permask.report.tables import format_summary
from permask.report.write import write_report
from permask.study.results import Results

VOID = {"meta", "img", "br", "link", "input"}


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


def test_the_folder_holds_the_report_the_results_and_the_figures(tmp_path: Path) -> None:
    results = made_results()
    files = write_report(results, tmp_path)
    assert {file.name for file in files} == {file.name for file in tmp_path.iterdir()}
    assert files[0].name == "report.html"
    assert {"results.csv", "results.json", "connectivity.png", "connectivity.pdf"} <= {file.name for file in files}
    assert Results.load(tmp_path / "results.json") == results
    with (tmp_path / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(results.rows)


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
    sources = [attrs["src"] or "" for tag, attrs in found if tag == "img"]
    assert len(sources) == len(pictures)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(attrs["alt"] for tag, attrs in found if tag == "img")
    assert not [
        attrs for tag, attrs in found if tag in {"script", "link", "iframe"} and (attrs.get("src") or "href" in attrs)
    ]
    assert "url(" not in html
    assert "@import" not in html


def test_every_cell_of_every_rewind_is_on_the_page() -> None:
    results = made_results()
    outcomes = Outcomes.of(results.rows)
    html = page(results, [])
    for method, sparsity, rewind in outcomes.cells:
        assert format_summary(outcomes.summary(method, sparsity, rewind)) in html


def test_every_run_is_on_the_page_with_its_step_and_seeds() -> None:
    results = made_results()
    html = page(results, [])
    for row in results.rows:
        assert re.search(
            rf"<td>{row['pair']}</td><td>{row['trained']}</td><td>{row['seed_a']}</td><td>{row['seed_b']}</td>"
            rf"<td>{row['accuracy']:.2f}</td><td>{row['loss']:.4f}</td><td><code>{row['step'][:12]}</code>",
            html,
        )


def test_provenance_and_specification_are_on_the_page() -> None:
    results = made_results()
    html = page(results, [])
    for value in results.provenance.values():
        assert value in html
    assert "sparsities:\n- 0.9\n" in html


def test_text_from_the_study_cannot_become_markup() -> None:
    results = made_results(pairs=1, rewinds=(0,))
    for row in results.rows:
        row["network"] = "<script>alert(1)</script>"
    html = page(Results({"name": "a <b> & c"}, results.provenance, results.rows), [])
    assert "<script>alert" not in html
    assert "<h1>Study a &lt;b&gt; &amp; c</h1>" in html
    elements(html)
