"""The script of a network's page at work. Needs Chromium: pytest -m browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.chromium import Chromium, Tab
from torch import nn

import permask
from permask.discovery.capture import capture
from permask.report.network_page import network_page

pytestmark = pytest.mark.browser

STATE = """
const boxes = [...document.querySelectorAll(".box")];
return {
  pressed: buttons.map((button) => button.getAttribute("aria-pressed") === "true"),
  lit: boxes.filter((box) => getComputedStyle(box).opacity === "1").map((box) => box.querySelector("b").textContent),
};
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))
    inputs = (torch.zeros(2, 6),)
    path = tmp_path_factory.mktemp("page") / "network.html"
    path.write_text(
        network_page(capture(network, inputs), permask.discover(network, inputs), "three layers", "two groups")
    )
    return path


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    """A browser whose page neither complains nor asks for anything but itself."""
    with Chromium(tmp_path) as browser:
        yield browser
        assert browser.complaints == []
        assert [url for url in browser.requests if not url.startswith("file:")] == []


def test_a_click_shows_where_a_group_lives_and_another_one_shows_all(page: Path, browser: Chromium) -> None:
    tab = Tab(browser, page)
    every = ["input 2×6", "linear", "linear", "linear", "output"]
    assert tab.run(STATE) == {"pressed": [False, False], "lit": every}
    tab.run("buttons[0].click()")
    assert tab.run(STATE) == {"pressed": [True, False], "lit": ["linear", "linear"]}
    tab.run("buttons[1].click()")
    assert tab.run(STATE)["pressed"] == [False, True]
    tab.run("buttons[1].click()")
    assert tab.run(STATE) == {"pressed": [False, False], "lit": every}


def test_groups_are_chosen_by_keys_too(page: Path, browser: Chromium) -> None:
    tab = Tab(browser, page)
    tab.press("Tab", "Tab", "Enter")
    assert tab.run(STATE)["pressed"] == [False, True]


@pytest.mark.parametrize("width", [1200, 390])
def test_the_graph_and_the_groups_are_side_by_side_or_one_above_the_other(
    page: Path, browser: Chromium, width: int
) -> None:
    script = """
    const box = (name) => document.querySelector(name).getBoundingClientRect();
    return [box("nav").right <= box("main").left + 1, box("nav").bottom <= box("main").top + 1,
            document.documentElement.scrollWidth];
    """
    beside, above, content = Tab(browser, page, width=width).run(script)
    assert (beside, above) == (width == 1200, width == 390)
    assert content <= width


def test_dark_if_the_reader_wants_it(page: Path, browser: Chromium) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert Tab(browser, page).run(ground) == "rgb(255, 255, 255)"
    assert Tab(browser, page, dark=True).run(ground) == "rgb(23, 25, 27)"
