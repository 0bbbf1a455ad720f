"""The page's script at work. Needs Chromium: pytest -m browser."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.chromium import Chromium, Tab
from support.made_results import changed, made_results, measured_results

from permask.report.ensembles import MEASURES
from permask.report.finding import finding
from permask.report.ground import LINE, lightened
from permask.report.numbers import format_summary
from permask.report.outcomes import Outcomes
from permask.report.rounds import barriers_by_round
from permask.report.statistics import summarise
from permask.report.style import METHOD_STYLES
from permask.report.write import write_report
from permask.study.results import Results
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.mask import MeasuredMask
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained

pytestmark = pytest.mark.browser

CHART = "const chart = (id) => document.querySelector(`#${id} .chart`);"
CHOOSE = """
const choose = (id, value) => {
  const box = document.getElementById(id);
  box.value = value;
  box.dispatchEvent(new Event("change"));
};
"""


@pytest.fixture(scope="module")
def results() -> Results:
    return made_results()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    """A browser whose pages neither complain nor ask for anything but themselves."""
    yield chromium
    assert chromium.complaints == []
    assert [url for url in chromium.requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def report(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(results, tmp_path_factory.mktemp("report"))[0]


def test_the_charts_show_the_means(results: Results, report: Path, browser: Chromium) -> None:
    script = """
    return Object.fromEntries([...document.querySelectorAll(".chart")].map((box) => [
      box.closest("figure").id,
      Object.fromEntries(box.data.filter((t) => t.name).map((t) => [t.name, box.closest("#matching") ? t.x : t.y])),
    ]));
    """
    charts = Tab(browser, report).run(script)
    outcomes = Outcomes.of(results.of(Trained))
    assert set(charts) == {"accuracy_against_sparsity", "accuracy_against_rewind", "connectivity", "matching"}
    for method in outcomes.methods:
        by_sparsity = [outcomes.summary(method, sparsity, 5) for sparsity in outcomes.sparsities]
        assert charts["accuracy_against_sparsity"][method] == [summary.mean for summary in by_sparsity if summary]
        by_rewind = [outcomes.summary(method, 0.98, rewind) for rewind in outcomes.rewinds]
        assert charts["accuracy_against_rewind"][method] == [summary.mean for summary in by_rewind if summary]
    assert set(charts["connectivity"]) == {"before permuting", "after permuting"}
    groups = {match.group: [] for match in results.of(MatchedGroup)}
    for match in results.of(MatchedGroup):
        groups[match.group].append(match.correlation)
    assert charts["matching"]["matched"] == [summarise(values).mean for values in groups.values()]


def test_choosing_changes_the_table_and_the_charts(results: Results, report: Path, browser: Chromium) -> None:
    script = f"""{CHOOSE} {CHART}
    choose("rewind", "2");
    choose("sparsity", "3");
    const visible = [...document.querySelectorAll("details.rewind")].filter((part) => !part.hidden);
    return {{
      tables: visible.map((part) => part.querySelector("summary").textContent),
      lines: [...visible[0].querySelectorAll("tr[data-method=permuted] td")].map((cell) => cell.innerText),
      naive: chart("accuracy_against_sparsity").data.find((t) => t.name === "naive").y,
      captions: [...document.querySelectorAll("figcaption")].map((caption) => caption.textContent),
    }};
    """
    shown = Tab(browser, report).run(script)
    outcomes = Outcomes.of(results.of(Trained))
    assert shown["tables"] == ["Rewind epoch 20"]
    permuted = [format_summary(outcomes.summary("permuted", sparsity, 20)) for sparsity in outcomes.sparsities]
    assert shown["lines"] == [*permuted, "5"]
    naive = [outcomes.summary("naive", sparsity, 20) for sparsity in outcomes.sparsities]
    assert shown["naive"] == [summary.mean for summary in naive if summary]
    said = f"{finding(outcomes, 20)}. Test accuracy against sparsity at rewind epoch 20. "
    assert shown["captions"][0].startswith(said)
    assert shown["captions"][1].startswith("Test accuracy against the rewind epoch at sparsity 99%. ")


def test_a_method_can_be_left_out(report: Path, browser: Chromium) -> None:
    script = f"""{CHART}
    document.querySelector("input[value=random]").click();
    return {{
      rows: [...document.querySelectorAll("details.rewind[open] tbody tr")]
        .filter((row) => !row.hidden).map((row) => row.querySelector("th").textContent),
      lines: chart("accuracy_against_sparsity").data.map((t) => t.name).filter(Boolean),
      said: document.querySelector("#controls [role=status]").textContent,
    }};
    """
    shown = Tab(browser, report).run(script)
    assert shown["rows"] == ["all weights", "dense (0%)", "lth", "permuted", "naive", "permuted −\u00a0naive"]
    assert sorted(shown["lines"]) == ["dense", "lth", "naive", "permuted"]
    assert "random" not in shown["said"]


def test_the_axes_reach_down_to_the_control_on_request(report: Path, browser: Chromium) -> None:
    script = f"""{CHART}
    const low = () => chart("accuracy_against_sparsity").layout.yaxis.range[0];
    const before = low();
    document.getElementById("whole").click();
    return [before, low()];
    """
    before, after = Tab(browser, report).run(script)
    assert 80 < before < 90
    assert after < 60


def test_a_far_control_is_drawn_under_a_break_by_default(results: Results, report: Path, browser: Chromium) -> None:
    script = f"""{CHART}
    const drawn = (id) => {{
      const box = chart(id);
      const below = box.data.find((t) => t.name === "random" && t.yaxis === "y2");
      return [box.layout.yaxis2.range, below.y, box.layout.yaxis.range[0]];
    }};
    return [drawn("accuracy_against_sparsity"), drawn("accuracy_against_rewind")];
    """
    for (bottom, top), means, low in Tab(browser, report).run(script):
        assert top == low
        assert bottom < min(means) < top


def test_a_phones_first_screen_holds_the_finding_and_numbers_of_the_table(report: Path, browser: Chromium) -> None:
    script = """
    const end = (choice) => document.querySelector(choice).getBoundingClientRect().bottom;
    const shown = end("details.rewind[open] tr[data-method=permuted]");
    return [end("h1"), shown, document.querySelector("#controls details").open];
    """
    title, row, is_open = Tab(browser, report, width=390).run(script)
    assert title < 200
    assert row < 844
    assert not is_open


def test_the_runs_are_those_of_results_csv_to_the_digit(report: Path, browser: Chromium) -> None:
    script = """
    const rows = [];
    const next = [...document.querySelectorAll("#runs button")].find((button) => button.textContent === "Next");
    for (;;) {
      const page = [...document.querySelectorAll("#runs tbody tr")];
      rows.push(...page.map((row) => [...row.children].map((cell) => cell.innerText)));
      if (next.disabled) return rows;
      next.click();
    }
    """
    shown = Tab(browser, report).run(script)
    with (report.parent / "results.csv").open() as file:
        expected = [
            [
                row["method"],
                f"{100 * float(row['sparsity']):g}%" if row["rewind"] else "–",
                row["rewind"] or "–",
                row["pair"],
                row["trained"],
                row["accuracy"],
                row["loss"],
                row["step"][:16],
            ]
            for row in csv.DictReader(file)
        ]
    assert shown == expected


def test_runs_can_be_filtered_and_sorted(results: Results, report: Path, browser: Chromium) -> None:
    script = f"""{CHOOSE}
    const methods = [...document.getElementById("runs-method").options];
    choose("runs-method", methods.find((option) => option.text === "naive").value);
    choose("runs-sparsity", "2");
    const heading = [...document.querySelectorAll("#runs thead button")].find((b) => b.textContent === "accuracy (%)");
    heading.click();
    heading.click();
    return {{
      accuracies: [...document.querySelectorAll("#runs tbody tr")].map((row) => row.children[5].innerText),
      sorted: heading.closest("th").getAttribute("aria-sort"),
    }};
    """
    shown = Tab(browser, report).run(script)
    expected = [row.accuracy for row in results.of(Trained) if row.method == "naive" and row.sparsity == 0.98]
    assert shown == {"accuracies": [str(a) for a in sorted(expected, reverse=True)], "sorted": "descending"}


def test_every_number_leads_to_its_runs_by_one_press(results: Results, report: Path, browser: Chromium) -> None:
    script = """
    const cell = document.querySelector("details.rewind[open] tr[data-method=naive] td[data-sparsity='0.98'] button");
    cell.focus();
    const focused = document.activeElement === cell;
    cell.click();
    const dialog = document.getElementById("behind");
    const shown = {
      focused,
      open: dialog.open,
      title: dialog.querySelector("h2").textContent,
      accuracies: [...dialog.querySelectorAll("tbody tr")].map((row) => row.children[1].innerText),
      text: dialog.innerText,
    };
    dialog.querySelector("a").click();
    return { ...shown, closed: !dialog.open, specification: document.getElementById("specification").open };
    """
    shown = Tab(browser, report).run(script)
    cell = ("naive", 0.98, 5)
    expected = [str(row.accuracy) for row in results.of(Trained) if (row.method, row.sparsity, row.rewind) == cell]
    assert shown["focused"]
    assert shown["open"]
    assert shown["title"] == "naive, sparsity 98%, rewind epoch 5"
    assert shown["accuracies"] == expected
    assert results.of(Trained)[0].commit in shown["text"]
    assert shown["closed"]
    assert shown["specification"]


def test_a_difference_leads_to_the_pairs_that_it_is_taken_within(
    results: Results, report: Path, browser: Chromium
) -> None:
    script = """
    document.querySelector("details.rewind[open] td[data-runs='permuted|naive'][data-sparsity='0.99'] button").click();
    const dialog = document.getElementById("behind");
    return {
      title: dialog.querySelector("h2").textContent,
      rows: [...dialog.querySelectorAll("tbody tr")].map((row) =>
        [...row.children].slice(0, 4).map((cell) => cell.innerText)),
    };
    """
    shown = Tab(browser, report).run(script)
    outcomes = Outcomes.of(results.of(Trained))
    permuted, naive = (outcomes.by_pair(method, 0.99, 5) for method in ("permuted", "naive"))
    assert shown["title"] == "permuted − naive, sparsity 99%, rewind epoch 5"
    assert [(int(pair), float(a), float(b)) for pair, _, a, b in shown["rows"]] == [
        (pair, permuted[pair], naive[pair]) for pair in range(5)
    ]
    differences = [float(difference) for _, difference, _, _ in shown["rows"]]
    assert differences == pytest.approx(outcomes.differences("permuted", "naive", 0.99, 5), abs=1e-4)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_its_window(report: Path, browser: Chromium, width: int, dark: bool) -> None:
    script = """
    return {
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      unnamed: [...document.querySelectorAll("button, select, input, a, [role=img], [role=region], img")].filter((e) =>
        !(e.innerText || e.getAttribute("aria-label") || e.alt || (e.labels && e.labels.length))).length,
      ground: getComputedStyle(document.body).backgroundColor,
    };
    """
    shown = Tab(browser, report, width, dark).run(script)
    assert shown == {"overflow": 0, "unnamed": 0, "ground": "rgb(23, 25, 27)" if dark else "rgb(255, 255, 255)"}


@pytest.mark.parametrize(
    "made",
    [
        {"methods": ("lth",), "sparsities": (0.9,), "rewinds": (0,), "pairs": 1, "alphas": 0},
        {"methods": ("random",), "pairs": 1},
        {"methods": (), "alphas": 0},
        {"methods": ()},
        {"pairs": 0},
    ],
)
def test_small_studies_open_without_an_error(browser: Chromium, tmp_path: Path, made: dict[str, Any]) -> None:
    page = write_report(made_results(**made), tmp_path)[0]
    rows = Tab(browser, page).run('return document.querySelectorAll("#runs tbody tr").length;')
    assert rows == min(50, len(made_results(**made).of(Trained)))


def test_all_of_it_works_from_the_keyboard(report: Path, browser: Chromium) -> None:
    tab = Tab(browser, report)
    focused = "const e = document.activeElement; return e.id || e.value || e.innerText;"
    tab.press("Tab")
    assert tab.run(focused) == "Choose what is shown"
    tab.press("Tab", "ArrowDown")
    assert tab.run(focused) == "rewind"
    assert tab.run('return document.querySelector("details.rewind[open] summary").innerText;') == "Rewind epoch 20"
    tab.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab")
    assert tab.run(focused) == "random"
    tab.press(" ")
    assert "random" not in tab.run('return document.querySelector("#controls [role=status]").innerText;')
    for _ in range(4):  # the axes, the table's summary, the table, its first number
        tab.press("Tab")
    tab.press("Enter")
    assert tab.run('return document.getElementById("behind").open;')
    assert tab.run('return document.getElementById("behind-title").innerText;') == "dense"
    tab.press("Escape")
    assert not tab.run('return document.getElementById("behind").open;')


def test_a_screen_reader_is_told_what_everything_is(report: Path, browser: Chromium) -> None:
    nodes = Tab(browser, report).call("Accessibility.getFullAXTree")["nodes"]
    named: dict[str, list[str]] = {}
    for node in nodes:
        if not node["ignored"]:
            named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert "SvgRoot" not in named
    for role in ("image", "button", "combobox", "checkbox", "region", "table"):
        assert all(named[role]), role
    assert len([name for name in named["image"] if "The values are in the tables" in name]) == 4
    assert {"Rewind epoch", "Sparsity", "method", "sparsity", "rewind", "pair"} <= set(named["combobox"])


def test_the_barrier_along_rounds_is_a_chart_of_its_own(browser: Chromium, tmp_path: Path) -> None:
    results = measured_results()
    page = write_report(results, tmp_path)[0]
    script = f"""{CHART}
    const box = chart("barrier_along_rounds");
    return {{
      lines: Object.fromEntries(box.data.filter((t) => t.name).map((t) => [t.name, t.y])),
      axis: box.layout.yaxis.title.text,
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    }};
    """
    shown = Tab(browser, page, 390).run(script)
    _, lines = barriers_by_round(results.of(RoundPoint))
    assert shown["lines"] == {name: [cell.mean for cell in line if cell] for name, line in lines.items()}
    assert shown["axis"] == "error barrier (points)"
    assert shown["overflow"] == 0


def test_a_method_of_two_words_has_its_runs(browser: Chromium, tmp_path: Path) -> None:
    early = changed(made_results(), method=lambda row: "permuted t=2" if row.method == "naive" else row.method)
    script = """
    document.querySelector("details.rewind[open] tr[data-method='permuted t=2'] button").click();
    return [...document.querySelectorAll("#behind tbody tr")].length;
    """
    assert Tab(browser, write_report(early, tmp_path)[0]).run(script) == 5


@pytest.mark.parametrize("width", [390, 1200])
def test_ensembles_and_layers_have_their_values_under_the_pointer(
    browser: Chromium, tmp_path: Path, width: int
) -> None:
    results = measured_results()
    page = write_report(results, tmp_path)[0]
    script = """
    const boxes = (id) => [...document.querySelectorAll(`#${id} .chart`)];
    const naive = () => boxes("ensembles")[0].data[0].y.includes("naive");
    const before = naive();
    document.querySelector("input[value=naive]").click();
    return {
      panels: boxes("ensembles").map((box) => box.layout.xaxis.title.text),
      ensembles: boxes("ensembles").flatMap((box) => box.data[0].text),
      layers: boxes("layer_sparsity")[0].data[0].y,
      told: boxes("mask_overlap")[0].data[0].text,
      naive: [before, naive()],
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    };
    """
    shown = Tab(browser, page, width).run(script)
    assert [name.replace("<br>", " ") for name in shown["panels"]] == [measure.name for measure in MEASURES]
    assert all(" (n = " in text for text in shown["ensembles"] + shown["told"])
    assert shown["layers"] == [layer["layer"] for layer in results.of(MeasuredMask)[0].layers]
    assert shown["naive"] == [True, False]
    assert shown["overflow"] == 0


def test_one_sparsity_has_bars_and_the_dense_line(browser: Chromium, tmp_path: Path) -> None:
    page = write_report(made_results(sparsities=(0.9,)), tmp_path)[0]
    script = f"""{CHART}
    const box = chart("accuracy_against_sparsity");
    const dense = box.data.find((t) => t.name === "dense");
    return {{
      bars: box.data.filter((t) => t.name && t.name !== "dense").map((t) => t.error_y.array[0]),
      places: box.data.filter((t) => t.name && t.name !== "dense" && t.yaxis !== "y2").map((t) => t.x[0]),
      dense: dense.x,
      caption: document.querySelector("#accuracy_against_sparsity figcaption").textContent,
    }};
    """
    shown = Tab(browser, page).run(script)
    assert all(shown["bars"])
    assert len(set(shown["places"])) == 4
    assert shown["dense"][0] < min(shown["places"])
    assert max(shown["places"]) < shown["dense"][1]
    assert "Marks: mean; bars: ± one standard deviation over n = 5 runs." in shown["caption"]


def test_dark_colours_of_methods_are_lighter_on_a_dark_page(browser: Chromium, tmp_path: Path) -> None:
    page = write_report(made_results(methods=("lth", "naive", "own-ticket"), pairs=2), tmp_path)[0]
    script = f"""{CHART}
    const {{ color }} = chart("accuracy_against_sparsity").data.find((t) => t.name === "own-ticket").line;
    const picture = document.querySelector("#gap_closed img");
    return {{ color, dark: picture.currentSrc !== picture.src }};
    """
    own = METHOD_STYLES["own-ticket"].colour
    assert Tab(browser, page).run(script) == {"color": own, "dark": False}
    assert Tab(browser, page, dark=True).run(script) == {"color": lightened(own, LINE), "dark": True}
