"""The barrier along the rounds of pruning: which comparison stands first, and its numbers by a hand calculation."""

from dataclasses import replace
from html import unescape

import pytest
from support.made_results import made_results

from permask.report.page import page
from permask.report.rounds import barriers_of_pairs, growth_finding, growth_sentence, plot, table
from permask.study.steps.connect_round import RoundPoint

# barriers in points by statistics: of pair 0 and of pair 1, with dense A and at 90%
BARRIERS = {
    "keep": {0: (20, 21), 0.9: (30, 33)},
    "reset": {0: (5, 6), 0.9: (9, 12)},  # grows by 4 and by 6
    "repair": {0: (4, 6), 0.9: (7, 9)},  # grows by 3 and by 3
}


def points_of(barriers=BARRIERS):
    """Paths of three points whose ends have 60%."""
    return [
        RoundPoint(
            pair=pair,
            seed_a=2 * pair,
            seed_b=2 * pair + 1,
            round=int(sparsity > 0),
            sparsity=sparsity,
            statistics=statistics,
            alpha=alpha,
            accuracy=60 - barrier * (alpha == 0.5),
            loss=1.0,
            step=f"{pair}{sparsity}",
        )
        for statistics, by_sparsity in barriers.items()
        for sparsity, of_pairs in by_sparsity.items()
        for pair, barrier in enumerate(of_pairs)
        for alpha in (0, 0.5, 1)
    ]


# differences 1 and 3: mean 2, standard deviation √2, t of one degree of freedom 12.706
SAID = (
    "From sparsity 0% to 90%, growth of the barrier with BatchNorm reset − growth with REPAIR, in points: "
    "+2.00 [−10.71, 14.71] (n = 2 pairs, Student's 95% interval)."
)


def test_repair_is_compared_with_the_reset_first():
    shown = table(points_of())
    assert shown.headings == ["sparsity", "BatchNorm reset", "REPAIR", "BatchNorm reset − REPAIR", "nothing reset"]
    dense, sparse = shown.lines[1:]
    assert dense[:3] == ["0%", "5.50 ± 0.71", "5.00 ± 1.41"]
    assert dense[3] == "+0.50 [−5.85, 6.85]"  # 1 and 0
    assert sparse == ["90%", "10.50 ± 2.12", "8.00 ± 1.41", "+2.50 [−3.85, 8.85]", "31.50 ± 2.12"]
    assert shown.note == SAID


def test_the_figure_names_its_lines_in_that_order_and_says_what_they_show():
    drawn = plot(points_of())
    (legend,) = drawn.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["BatchNorm reset", "REPAIR", "nothing reset"]
    assert SAID in drawn.caption


@pytest.mark.parametrize(
    "barriers",
    [
        {name: {0: by_sparsity[0]} for name, by_sparsity in BARRIERS.items()},  # only dense A so far
        {"repair": BARRIERS["repair"]},
        {"reset": {0: (5, 6), 0.9: ()}, "repair": BARRIERS["repair"]},
    ],
)
def test_no_growth_is_told_of_what_was_not_measured(barriers):
    points = points_of(barriers)
    assert growth_sentence(barriers_of_pairs(points)) == table(points).note == ""


def test_one_pair_has_no_interval():
    one = {name: {s: of_pairs[:1] for s, of_pairs in found.items()} for name, found in BARRIERS.items()}
    assert growth_sentence(barriers_of_pairs(points_of(one))).endswith("+1.00 no interval (one pair).")


@pytest.mark.parametrize(
    ("reset", "said"),
    [
        (
            (9, 12),
            "No difference between BatchNorm reset and REPAIR in the barrier's growth can be told up to 90%: "
            "+2.00 points [−10.71, 14.71], n = 2",
        ),
        ((9, 10), "The barrier grows 1.00 points more with BatchNorm reset than with REPAIR up to 90%, n = 2"),
        ((7, 8), "The barrier grows 1.00 points less with BatchNorm reset than with REPAIR up to 90%, n = 2"),
    ],
)
def test_where_nothing_else_is_compared_the_title_is_how_the_barrier_grows(reset, said):
    points = points_of(BARRIERS | {"reset": {0: (5, 6), 0.9: reset}})
    assert growth_finding(barriers_of_pairs(points)) == said
    trained = made_results(methods=("permuted",), sparsities=(0.9,), rewinds=(5,), alphas=0)
    html = unescape(page(replace(trained, rows=[*trained.rows, *points]), []))
    assert f"<h1>{said}</h1>" in html
    assert html.count(growth_sentence(barriers_of_pairs(points))) == 1
