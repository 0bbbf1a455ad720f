"""The line that says what a study finds."""

from dataclasses import replace

import pytest
from support.made_results import made_network, made_results

from permask.report.figures import plots
from permask.report.finding import finding, finding_explained
from permask.report.outcomes import Outcomes
from permask.report.page import page


def outcomes_of(naive: list[float], permuted: list[float], sparsities: tuple[float, ...] = (0.95,)) -> Outcomes:
    return Outcomes.of(
        made_network(method, sparsity, 5, pair, accuracy=accuracy - (0 if sparsity == sparsities[-1] else 30 * pair))
        for method, values in {"naive": naive, "permuted": permuted}.items()
        for sparsity in sparsities
        for pair, accuracy in enumerate(values)
    )


@pytest.mark.parametrize(
    ("naive", "permuted", "said"),
    [
        ([90.0, 91.0, 92.0], [92.6, 93.7, 94.8], "permuted +2.70 points over naive at 95%, n = 3"),
        ([92.6, 93.7, 94.8], [90.0, 91.0, 92.0], "permuted −2.70 points against naive at 95%, n = 3"),
        (
            [90.0, 91.0, 92.0],
            [90.0, 92.0, 91.0],
            "No difference between permuted and naive can be told at 95%: +0.00 points [−2.48, 2.48], n = 3",
        ),
        ([90.0], [92.0], "permuted +2.00 points over naive at 95%, n = 1"),
    ],
)
def test_a_finding_says_the_difference_and_whether_it_can_be_told(
    naive: list[float], permuted: list[float], said: str
) -> None:
    assert finding(outcomes_of(naive, permuted), 5) == said


def test_the_place_of_a_finding_is_the_highest_sparsity_and_not_the_largest_difference() -> None:
    outcomes = outcomes_of([90.0, 91.0, 92.0], [91.0, 92.1, 92.9], (0.9, 0.98))
    assert "at 98%" in finding(outcomes, 5)
    explained = finding_explained(outcomes, 5)
    assert "the highest of 2 sparsities, rewind epoch 5; Student's 95% interval [0.75, 1.25]" in explained


def test_without_a_comparison_there_is_no_finding() -> None:
    outcomes = outcomes_of([90.0, 91.0], [92.0, 93.0])
    for other in (replace(outcomes, comparisons=[]), Outcomes.of([])):
        assert (finding(other, 5), finding_explained(other, 5)) == ("", "")


def test_the_finding_is_the_title_of_the_page_and_opens_the_caption_of_the_figure() -> None:
    results = made_results(rewinds=(5,), pairs=3, alphas=0)
    said = finding(Outcomes.of_study(results), 5)
    html = page(results, [])
    assert f"<title>{said} – study made</title>" in html
    assert f"<h1>{said}</h1>" in html
    assert plots(results)[0].caption.startswith(f"{said}. Test accuracy")
    nothing = page(made_results(methods=(), alphas=0, pairs=1), [])
    assert "<h1>Study made</h1>" in nothing
