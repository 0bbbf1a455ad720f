"""The time that a run still takes."""

import pytest
from support.small_study import write_study

from permask.cli.pace import Pace
from permask.study.load import open_study
from permask.study.plan import make_plan


@pytest.fixture
def steps(tmp_path):
    return list(make_plan(open_study(write_study(tmp_path), [])).steps.values())


def of(steps, kind):
    return [step for step in steps if step.kind == kind and step.epochs]


def test_an_epoch_of_an_unknown_kind_counts_as_one_of_the_others(steps):
    trained = [step for step in steps if step.epochs]
    pace = Pace(trained)
    assert pace.left(0) is None
    first, *others = trained
    pace.start(first, 10)
    pace.done(first, 10 + 2 * first.epochs, computed=True)
    assert pace.left(100) == 2 * sum(step.epochs for step in others)


def test_every_kind_has_a_pace_of_its_own(steps):
    dense, sparse = of(steps, "dense"), of(steps, "sparse")
    pace = Pace([*dense, *sparse])
    for step, seconds in ((dense[0], 3), (sparse[0], 7)):
        pace.start(step, 0)
        pace.done(step, seconds * step.epochs, computed=True)
    expected = 3 * sum(step.epochs for step in dense[1:]) + 7 * sum(step.epochs for step in sparse[1:])
    assert pace.left(0) == expected


def test_steps_side_by_side_take_half_as_long_and_what_is_begun_counts(steps):
    first, second, *others = of(steps, "sparse")
    pace = Pace([first, second, *others])
    pace.start(first, 0)
    pace.start(second, 0)
    pace.done(first, 4 * first.epochs, computed=True)
    left = 4 * (second.epochs + sum(step.epochs for step in others)) - second.epochs
    assert pace.left(second.epochs) == left / 2


def test_what_was_there_says_nothing_about_pace(steps):
    pace = Pace(steps)
    for step in steps[:-1]:
        pace.done(step, 0, computed=False)
    assert pace.left(0) is None
