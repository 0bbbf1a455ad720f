"""What a running study tells where its output is no terminal."""

from io import StringIO

import pytest
from rich.console import Console
from support.small_study import write_study

from permask.cli import live
from permask.study.load import open_study
from permask.study.messages import Progress
from permask.study.plan import make_plan


@pytest.fixture
def plan(tmp_path):
    return make_plan(open_study(write_study(tmp_path), []))


def told(plan, terminal=False):
    out = StringIO()
    first, second, *_ = plan.steps.values()
    with live.LiveProgress(Console(file=out, force_terminal=terminal, width=120), plan, "run again to go on") as shown:
        shown.listen("present", first, None)
        shown.listen("started", second, None)
        shown.listen("progress", second, Progress(1, 4))
    return out.getvalue().splitlines(), second.title


def test_a_log_has_a_line_now_and_then(plan, monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", 0)
    lines, title = told(plan)
    assert f"1 of {len(plan.steps)} steps; {title} 1/4" in lines


@pytest.mark.parametrize(
    ("computed", "said"),
    [(0, "0 steps computed, 1 was in the store"), (1, "1 step computed, 1 was in"), (2, "2 steps computed, 1 was in")],
)
def test_in_the_end_it_counts_what_was_computed(plan, computed, said):
    out, (first, *others) = StringIO(), plan.steps.values()
    with live.LiveProgress(Console(file=out, width=120), plan, "run again to go on") as shown:
        shown.listen("present", first, None)
        for step in others[:computed]:
            shown.listen("computed", step, None)
    assert said in out.getvalue()


def test_a_log_has_no_more_lines_than_that(plan):
    lines, _ = told(plan)
    assert not [line for line in lines if " steps; " in line]


def test_a_terminal_has_its_bars_alone(plan, monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", 0)
    lines, title = told(plan, terminal=True)
    assert not [line for line in lines if f"steps; {title}" in line]
