import re

import pytest
from rich.console import Console, RenderableType
from support.made_results import made_results, three_pairs, without

from permask.errors import PermaskError
from permask.report.accuracy import accuracy_table
from permask.report.markdown import markdown
from permask.report.numbers import percent
from permask.report.outcomes import Outcomes
from permask.report.table import Table
from permask.report.terminal import summary
from permask.study.results import Results
from permask.study.steps.trained import Trained


def table_of(results: Results, rewind: int | None) -> Table:
    return accuracy_table(Outcomes.of(results.of(Trained)), rewind)


def printed(renderable: RenderableType, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_markdown_states_mean_std_n_and_the_paired_interval() -> None:
    # naive 90, 92, 94; permuted 92, 93, 97: differences 2, 1, 3 have mean 2, std 1,
    # so that Student's interval is 2 ± 4.303 / √3
    assert markdown(accuracy_table(Outcomes.of(three_pairs()), 5)) == (
        "Test accuracy in % at rewind epoch 5 by sparsity of the pruned layers: "
        "mean ± standard deviation over n training runs.\n\n"
        "| method | 90% | n |\n"
        "| --- | ---: | ---: |\n"
        "| all weights | 82.9% |  |\n"
        "| permuted | 94.00 ± 2.65 | 3 |\n"
        "| naive | 92.00 ± 2.00 | 3 |\n"
        "| permuted − naive | +2.00 [−0.48, 4.48] | 3 |\n\n"
        "permuted − naive: mean difference in points over n pairs of seeds with Student's 95% interval.\n"
    )


def test_missing_cells_and_cells_with_fewer_runs_say_so() -> None:
    gap, single = ("lth", 0.95), ("naive", 0.98)
    kept = without(
        made_results(rewinds=(5,)),
        lambda row: (row.method, row.sparsity) == gap or ((row.method, row.sparsity) == single and row.pair > 0),
    )
    cells = {
        line.split(" | ")[0].strip("| "): line.split(" | ")
        for line in markdown(accuracy_table(Outcomes.of(kept.of(Trained)), 5)).splitlines()
    }
    assert cells["lth"][2] == "–"
    assert re.fullmatch(r"\d+\.\d\d \(n = 1\)", cells["naive"][3])
    assert re.fullmatch(r"\+\d+\.\d\d no interval \(n = 1\)", cells["permuted − naive"][3])


@pytest.mark.parametrize("sparsities", [(0.9, 0.95, 0.98, 0.99), (0.8, 0.9, 0.925, 0.95, 0.98, 0.99, 0.995)])
def test_the_terminal_shows_every_number_whatever_its_width(sparsities: tuple[float, ...]) -> None:
    results = made_results(sparsities=sparsities, alphas=0)
    stated = re.findall(r"\d+\.\d\d", markdown(table_of(results, 5)))
    assert len(stated) == 2 * 4 * len(sparsities) + 2 + 3 * len(sparsities)
    text = printed(summary(results))
    assert sorted(re.findall(r"\d+\.\d\d", text)) == sorted(stated)
    assert max(map(len, text.splitlines())) <= 80


def test_a_study_of_dense_networks_has_a_table() -> None:
    results = made_results(methods=(), pairs=1)
    assert re.search(r"\| dense \(0%\) \| 98\.\d\d ± 0\.\d\d \| 2 \|", markdown(table_of(results, None)))
    assert "accuracy" in printed(summary(results))


def test_the_difference_needs_both_methods() -> None:
    assert "permuted − naive" not in markdown(table_of(made_results(methods=("lth", "permuted")), 5))


def test_the_terminal_table_shows_the_middle_rewind_unless_told() -> None:
    results = made_results()
    text = printed(summary(results))
    assert "at rewind epoch 5 by" in text
    assert "rewind epoch 0, 20" in text
    assert "points before permuting (n = 5)" in " ".join(text.split())
    assert "at rewind epoch 20 by" in printed(summary(results, rewind=20))


def test_the_terminal_table_rejects_a_rewind_that_was_not_trained() -> None:
    with pytest.raises(PermaskError, match="rewind epoch 7: this study has 0, 5, 20"):
        summary(made_results(), rewind=7)


def test_percentages_keep_what_they_need() -> None:
    assert [percent(s) for s in (0.9, 0.58, 0.975, 0.9995)] == ["90%", "58%", "97.5%", "99.95%"]
