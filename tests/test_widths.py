from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.made_results import made_results

from permask.cli.report import report
from permask.errors import PermaskError
from permask.report.connectivity import curve
from permask.report.outcomes import Outcomes
from permask.report.statistics import summarise
from permask.report.widths import plots_against_width, width_of
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.trained import Trained


def of_width(width: int, **made: object) -> Results:
    results = made_results(**made)  # type: ignore[arg-type]
    return replace(results, study=results.study | {"network": {"name": "mlp", "widths": [width, width]}})


def test_the_width_is_the_factor_of_channels_or_the_units_of_a_layer() -> None:
    results = made_results()
    resnet = replace(results, study=results.study | {"network": {"name": "resnet20", "width": 4}})
    assert width_of(resnet) == 4
    assert width_of(of_width(128)) == 128
    uneven = replace(results, study=results.study | {"network": {"name": "mlp", "widths": [128, 64]}})
    with pytest.raises(PermaskError, match=r"differ in width \(\[64, 128\]\)"):
        width_of(uneven)


def test_the_lines_are_the_gaps_within_pairs_and_the_barriers() -> None:
    studies = [of_width(256), of_width(64, pairs=3), of_width(1024, sparsities=(0.95, 0.98))]
    gap, barrier = plots_against_width(studies)
    by_width = [studies[1], studies[0], studies[2]]
    assert [axes.get_title() for axes in gap.figure.axes] == ["sparsity 95%", "sparsity 98%"]
    drawn = [np.asarray(line.get_ydata(), float) for line in gap.figure.axes[1].lines]
    for method in ("permuted", "naive"):
        differences = [Outcomes.of(r.of(Trained)).differences("lth", method, 0.98, 5) for r in by_width]
        assert any(np.array_equal(y, [summarise(d).mean for d in differences]) for y in drawn)
    assert "n = 3–5 pairs" in gap.caption
    before = [found.barriers.mean for r in by_width if (found := curve(r.of(PathPoint), permuted=False))]
    assert any(np.array_equal(np.asarray(line.get_ydata(), float), before) for line in barrier.figure.axes[0].lines)


def test_studies_without_paths_have_no_barrier() -> None:
    assert [p.name for p in plots_against_width([of_width(64, alphas=0), of_width(128)])] == ["gap_against_width"]


def test_equal_widths_and_studies_with_nothing_in_common_are_rejected() -> None:
    with pytest.raises(PermaskError, match="different widths, got 64, 64"):
        plots_against_width([of_width(64), of_width(64)])
    with pytest.raises(PermaskError, match="to share lth, permuted or naive, a sparsity"):
        plots_against_width([of_width(64, sparsities=(0.9,)), of_width(128, sparsities=(0.8,))])
    with pytest.raises(PermaskError, match="to share lth"):
        plots_against_width([of_width(64), of_width(128, methods=("permuted", "naive"))])


def test_the_report_takes_results_of_other_widths(tmp_path: Path) -> None:
    folders = [tmp_path / "narrow", tmp_path / "wide"]
    for folder, width in zip(folders, (64, 256), strict=True):
        folder.mkdir()
        of_width(width).save(folder)
    report(folders[0], width=[folders[1]], out=tmp_path / "out")
    assert {"gap_against_width.pdf", "barrier_against_width.svg"} <= {
        file.name for file in (tmp_path / "out").iterdir()
    }
