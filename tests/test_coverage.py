"""Every interval that a report states holds what it is of in 93 to 97% of simulated studies, from its smallest n on."""

import runpy
from pathlib import Path
from typing import Any

import pytest

SIMULATION = runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "coverage.py"))
CASES: list[Any] = SIMULATION["cases"]()
FEWEST = {case.interval: case.n for case in reversed(CASES)}


def quick(case: Any) -> bool:
    return FEWEST[case.interval] == case.n and not case.interval.startswith(SIMULATION["SLOW"])


@pytest.mark.parametrize(
    ("case", "setting"),
    [
        pytest.param(
            case,
            setting,
            id=f"{case.interval} {case.n} {setting}",
            marks=() if quick(case) else pytest.mark.slow,
        )
        for case in CASES
        for setting in case.settings
    ],
)
def test_intervals_hold_the_truth_in_95_of_100_studies(case: Any, setting: str) -> None:
    held, stated = SIMULATION["coverage"](case.settings[setting], studies=4000)
    assert 93 < held < 97
    assert stated > 70
