from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from support.made_results import changed, made_results, measured_results, without

from permask.report import connectivity, matching
from permask.report.connectivity import curve
from permask.report.figures import accuracy_against_sparsity, plots
from permask.report.ground import LINE, TEXT, lightened, luminance
from permask.report.masks import layer_tables
from permask.report.masks import plots as plots_of_masks
from permask.report.outcomes import Outcomes
from permask.report.panels import Scale, draw_lines
from permask.report.statistics import Summary, summarise, t_interval
from permask.report.style import METHOD_STYLES, PRINT, styles
from permask.study.steps.connect import PathPoint
from permask.study.steps.mask import MeasuredMask
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained

BOTH = ["accuracy_against_sparsity", "accuracy_against_rewind"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, [*BOTH, "gap_closed", "connectivity", "matching"]),
        ({"rewinds": (5,), "alphas": 0}, ["accuracy_against_sparsity", "gap_closed"]),
        ({"methods": ("lth",), "sparsities": (0.9,), "pairs": 1, "alphas": 0}, BOTH),
        ({"methods": ("random",), "alphas": 0}, BOTH),
        ({"methods": ()}, ["connectivity", "matching"]),
        ({"methods": (), "alphas": 0}, []),
    ],
)
def test_a_study_gets_the_figures_that_it_allows(tmp_path: Path, made: dict[str, Any], expected: list[str]) -> None:
    made_plots = plots(made_results(**made))
    assert [plot.name for plot in made_plots] == expected
    files = [file for plot in made_plots for file in plot.save(tmp_path)]
    assert [file.name for file in files] == [f"{name}.{end}" for name in expected for end in ("png", "pdf")]
    for file in files:
        assert file.read_bytes().startswith(b"\x89PNG" if file.suffix == ".png" else b"%PDF")


def test_the_lines_pass_through_the_means() -> None:
    outcomes = Outcomes.of(made_results().of(Trained))
    figure = accuracy_against_sparsity(outcomes, 5).figure
    drawn = [np.asarray(line.get_ydata(), float) for line in figure.axes[0].lines]
    for method in outcomes.methods:
        summaries = [outcomes.summary(method, sparsity, 5) for sparsity in outcomes.sparsities]
        means = [summary.mean for summary in summaries if summary]
        assert any(len(y) == len(means) and np.array_equal(y, means) for y in drawn), method


def test_captions_say_what_the_bands_are_and_over_how_many_runs() -> None:
    assert "± one standard deviation over n = 5 runs" in plots(made_results())[0].caption
    assert "One run per point." in plots(made_results(pairs=1))[0].caption
    uneven = without(made_results(), lambda row: row.method == "lth" and row.pair >= 2)
    assert "over n = 2–5 runs" in plots(uneven)[0].caption


def test_one_sparsity_is_drawn_with_bars() -> None:
    outcomes = Outcomes.of(made_results(sparsities=(0.9,)).of(Trained))
    plot = accuracy_against_sparsity(outcomes, 5)
    assert "Marks: mean; bars: ± one standard deviation over n = 5 runs." in plot.caption
    bars = [c.get_segments()[0] for c in plot.figure.axes[0].collections if isinstance(c, LineCollection)]
    summaries = [outcomes.summary(method, 0.9, 5) for method in outcomes.methods]
    spreads = [2 * summary.std for summary in summaries if summary and summary.std]
    assert [top[1] - bottom[1] for bottom, top in bars] == pytest.approx(spreads)


def test_at_one_sparsity_the_methods_stand_side_by_side() -> None:
    outcomes = Outcomes.of_study(made_results(sparsities=(0.9,)))
    axes = accuracy_against_sparsity(outcomes, 5).figure.axes
    markers = {look.marker for look in styles(outcomes.methods).values()}
    at = [line.get_xdata()[0] for line in axes[0].lines if str(line.get_marker()) in markers]
    assert len(set(at)) == len(outcomes.methods)


def test_the_connectivity_figure_states_the_barriers() -> None:
    results = made_results()
    before = curve(results.of(PathPoint), permuted=False)
    assert before is not None
    assert (
        f"{before.barriers.mean:.2f} ± {before.barriers.std:.2f} points before"
        in connectivity.plot(results.of(PathPoint)).caption
    )


def test_the_matching_figure_has_a_row_per_group() -> None:
    results = made_results()
    axes = matching.plot(results.of(MatchedGroup)).figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hidden.0", "hidden.1"]
    drawn = [[float(x) for x in line.get_xdata()] for line in axes.lines]
    for key in ("correlation", "correlation_identity"):
        means = [
            summarise([getattr(match, key) for match in results.of(MatchedGroup) if match.group == group]).mean
            for group in ("hidden.0", "hidden.1")
        ]
        assert means in drawn


def test_a_group_that_was_not_observed_has_no_correlation() -> None:
    unseen = {"correlation": lambda row: None if row.group == "hidden.1" else row.correlation}
    matches = changed(made_results(), MatchedGroup, **unseen).of(MatchedGroup)
    seen, unseen_row = matching.table(matches).rows
    assert [cell.text for cell in unseen_row.cells[:2]] == ["256", "–"]
    assert "±" in seen.cells[1].text
    assert matching.plot(matches).panels[0].marks[1].summaries[1] is None


def test_alignments_by_several_matchers_stand_side_by_side() -> None:
    matches = made_results(pairs=2).of(MatchedGroup)
    by_weights = [replace(match, by="weights", correlation=0.25, step=f"w{match.step}") for match in matches]
    early = [replace(match, at=1, step=f"e{match.step}") for match in matches]
    several = matching.table([*matches, *by_weights, *early])
    names = [f"hidden.{i}, {matcher}" for i in (0, 1) for matcher in ("activations", "activations t=1", "weights")]
    assert [row.name for row in several.rows] == names
    assert [row.cells[-1].text for row in several.rows] == ["2"] * 6
    assert several.rows[2].cells[1].text == "0.25 ± 0.00"
    assert "cosine similarity of the weights (by other matchers)" in several.caption
    assert matching.plot([*matches, *by_weights]).panels[0].names == [name for name in names if "t=1" not in name]
    assert matching.table(by_weights).caption.startswith("Cosine similarity of the weights of paired units")


def test_a_control_far_below_the_methods_does_not_flatten_them() -> None:
    methods = {"permuted": [Summary(96, 0.5, 5)], "naive": [Summary(93, 0.5, 5)]}
    scale = Scale.of([methods | {"random": [Summary(70, 2, 5)]}], Summary(98, 0.2, 5))
    assert 92 < scale.low < 92.5
    assert scale.bottom is not None
    assert scale.bottom < 68


def test_an_axis_without_a_far_control_is_not_broken() -> None:
    methods = {"permuted": [Summary(96, 0.5, 5), None], "naive": [Summary(93, None, 1), None]}
    assert Scale.of([methods], None).bottom is None
    scale = Scale.of([methods | {"random": [Summary(92, 0.1, 5)]}], None)
    assert scale.bottom is None
    assert scale.low < 91.9 < 96.5 < scale.high


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        connectivity.plot(made_results().of(PathPoint)).save(folder, ("png", "pdf", "svg"))
    first, second = ([file.read_bytes() for file in sorted(folder.iterdir())] for folder in folders)
    assert len(first) == 3
    assert first == second


def test_a_figure_of_differences_shows_where_there_is_none() -> None:
    for value, there in ((t_interval([1.0, 2.0]), True), (summarise([1.0, 2.0]), False)):
        figure, _ = draw_lines({"": {"a − b": [value]}}, styles(("a − b",)), "sparsity", {0.0: "90%"})
        assert any(list(line.get_ydata()) == [0, 0] for line in figure.axes[0].lines) == there


def test_every_method_keeps_its_look_and_no_two_share_one() -> None:
    looks = styles(("lth", "naive", "early", "late"))
    assert looks["lth"] == METHOD_STYLES["lth"]
    assert len(set(looks.values())) == 4
    assert len({(style.marker, style.line) for style in METHOD_STYLES.values()}) == len(METHOD_STYLES)


def test_labels_of_an_axis_never_overlap() -> None:
    results = made_results(
        sparsities=tuple(0.5 + 0.01 * i for i in range(50)), rewinds=(*range(0, 60, 5), 100), pairs=2
    )
    for plot in plots(results)[:3]:
        width = plot.figure.get_figwidth()
        FigureCanvasAgg(plot.figure).draw()
        for axes in plot.figure.axes:
            boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
            assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
            assert all(box.x0 >= 0 and box.x1 <= width * plot.figure.dpi for box in boxes)


@pytest.mark.parametrize("count", range(1, len(METHOD_STYLES) + 1))
def test_a_legend_stays_within_the_figure(count: int) -> None:
    names = list(METHOD_STYLES)[-count:]
    lines = {name: [Summary(50.0, 1.0, 3)] for name in names}
    with rc_context(PRINT):
        figure, _ = draw_lines({"": lines}, styles(names), "x", {0.0: "0"})
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    drawn = legend.get_window_extent()
    assert drawn.x0 >= 0 and drawn.x1 <= figure.bbox.x1
    assert all(drawn.y0 >= axes.get_window_extent().y1 for axes in figure.axes)


def test_of_many_sparsities_the_rewind_figure_shows_eight() -> None:
    plot = plots(made_results(sparsities=tuple(0.5 + 0.02 * i for i in range(25)), pairs=2, alphas=0))[1]
    assert "at 8 of 25 sparsities" in plot.caption
    titles = [axes.get_title() for axes in plot.figure.axes if axes.get_title()]
    assert len(titles) == 8
    assert titles[0] == "sparsity 50%"
    assert titles[-1] == "sparsity 98%"


def test_no_mean_leaves_a_figure_whose_bands_are_cut_off() -> None:
    lines = {"a": [Summary(50, 400, 5)], "b": [Summary(-90, 5, 5)], "c": [Summary(-800, 5, 5)]}
    scale = Scale.of([lines], None, (-100, 200))
    assert -120 < scale.low < -90 and 200 <= scale.high < 250
    assert scale.bottom is not None and scale.bottom < -800
    assert Scale.of([lines], None).low < -800  # without limits there is one axis, down to the lowest


def test_a_control_is_also_found_in_differences() -> None:
    lines = {"permuted − naive": [t_interval([2.0, 3.0])], "random − naive": [t_interval([-40.0, -41.0])]}
    scale = Scale.of([lines], None)
    assert scale.low > -20
    assert scale.bottom is not None and scale.bottom < -40


@pytest.mark.parametrize("colour", sorted({"#000000", *(look.colour for look in METHOD_STYLES.values())}))
def test_lightened_colours_are_seen_on_dark_and_on_white(colour: str) -> None:
    dark = luminance("#1e2129")
    for least, contrast in ((TEXT, 3.8), (LINE, 3.0)):
        shown = luminance(lightened(colour, least))
        assert shown >= least - 0.01
        assert (shown + 0.05) / (dark + 0.05) >= contrast - 0.1
    assert luminance(lightened(colour, LINE)) == pytest.approx(max(LINE, luminance(colour)), abs=0.01)
    assert 1.05 / (TEXT + 0.05) > 4.1


def test_a_figure_on_any_ground_has_none_of_its_own_and_no_black() -> None:
    plot = accuracy_against_sparsity(Outcomes.of_study(made_results()), 5)
    before = plot.png
    shown = pixels(plot.on_any_ground())
    drawn = shown[..., 3] > 0.9
    assert (shown[0, 0, 3], shown[-1, -1, 3]) == (0, 0)
    assert drawn.mean() < 0.3
    assert shown[drawn][:, :3].max(axis=1).min() > 0.4
    assert plot.render("png") == before  # the figure itself is as it was
    assert pixels(before)[..., :3].min() == 0


def test_a_figure_for_a_dark_page_is_light_before_it_was_ever_drawn() -> None:
    plot = accuracy_against_sparsity(Outcomes.of_study(made_results()), 5)
    shown = pixels(b64decode(plot.address_on_dark.partition(",")[2]))
    assert shown[shown[..., 3] > 0.9][:, :3].max(axis=1).min() > 0.4


def pixels(png: bytes) -> np.ndarray:
    return image.imread(BytesIO(png), format="png")


def test_the_bands_of_many_methods_are_fainter() -> None:
    def opacity(count: int) -> float:
        names = list(METHOD_STYLES)[2 : 2 + count]
        lines = {name: [Summary(50.0, 1.0, 3), Summary(51.0, 1.0, 3)] for name in names}
        figure, _ = draw_lines({"": lines}, styles(names), "x", {0.0: "0", 1.0: "1"})
        return figure.axes[0].collections[0].get_alpha()

    assert opacity(12) == pytest.approx(opacity(3) / 3)


def test_groups_that_were_not_observed_are_named_below_the_figure_and_numbered_ones_are_layers() -> None:
    rename = {"hidden.0": "4", "hidden.1": "14"}
    unseen = {"group": lambda row: rename[row.group], "correlation": lambda row: 0.5}
    matches = changed(made_results(), MatchedGroup, **unseen).of(MatchedGroup)
    assert [row.name for row in matching.table(matches).rows] == ["layer 4", "layer 14"]
    blind = [replace(m, correlation=None, correlation_identity=None) if m.group == "14" else m for m in matches]
    plot = matching.plot(blind)
    assert plot.panels[0].names == ["layer 4"]
    assert (
        "Not shown are groups whose units, such as heads, are matched by the units inside them: layer 14."
        in plot.caption
    )
    assert "Not shown" not in matching.plot(matches).caption


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        (("0.weight", "14.weight", "4.weight"), ["0.weight", "4.weight", "14.weight"]),
        (("query.weight", "key.weight", "10.weight"), ["query.weight", "key.weight", "10.weight"]),
    ],
)
def test_layers_stand_in_the_networks_order_also_where_older_results_have_them_by_name(
    names: tuple[str, ...], drawn: list[str]
) -> None:
    masks = measured_results(pairs=2).of(MeasuredMask)
    named = [replace(m, layers=[{**m.layers[0], "layer": name} for name in names]) for m in masks]
    assert [plot.panels[0].names for plot in plots_of_masks(named)] == [drawn, drawn]
    assert [row.name for row in layer_tables(named)[0].rows] == drawn
