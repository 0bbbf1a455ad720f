import re

import pytest
from rich.console import Console, RenderableType
from support.made_results import changed, made_network, made_results, three_pairs, with_pruned, without

from permask.errors import PermaskError
from permask.report.accuracy import accuracy_in_print, accuracy_table
from permask.report.markdown import markdown
from permask.report.measures import columns
from permask.report.numbers import percent
from permask.report.outcomes import Outcomes
from permask.report.pooled import pooled_sentence
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
        "mean ± standard deviation over n training runs. The row all weights states "
        "the sparsity of the whole network.\n\n"
        "| method | 90% | n |\n"
        "| --- | ---: | ---: |\n"
        "| all weights | 82.9% |  |\n"
        "| permuted | 94.00 ± 2.65 | 3 |\n"
        "| naive | 92.00 ± 2.00 | 3 |\n"
        "| permuted − naive | +2.00 [−0.48, 4.48] | 3 |\n\n"
        "permuted − naive: mean difference in points over n pairs of seeds with Student's 95% interval. "
        "Bold: significant at 5% by the t-test.\n"
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
    below = re.findall(r"\d+\.\d\d", pooled_sentence(Outcomes.of_study(results)))
    assert len(below) == 3
    stated += below
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


def compared(results: Results, *pairs: tuple[str, str]) -> Outcomes:
    results.study["compare"] = [list(pair) for pair in pairs]
    return Outcomes.of_study(results)


def test_the_study_chooses_what_is_compared() -> None:
    results = made_results(rewinds=(5,), alphas=0)
    outcomes = compared(results, ("lth", "permuted"), ("permuted", "random"))
    table = accuracy_table(outcomes, 5)
    assert [row.name for row in table.sections[-1]] == ["lth − permuted", "permuted − random"]
    assert table.note.startswith("lth − permuted and permuted − random: mean difference in points")
    assert table.sections[-1][0].cells[0].value == outcomes.difference("lth", "permuted", 0.9, 5)
    assert "permuted\n− random" in printed(summary(results)).replace(" ", "\n").replace("−\n", "− ")
    assert accuracy_in_print(outcomes, 5, "made").headings[-2:] == ["lth − permuted", "permuted − random"]
    assert accuracy_table(compared(results), 5).note == ""


def test_what_was_not_trained_yet_is_not_compared() -> None:
    results = made_results(methods=("lth", "random"), rewinds=(5,), alphas=0)
    assert compared(results, ("lth", "random"), ("lth", "naive")).compared == [("lth", "random")]


@pytest.mark.parametrize("methods", [("random",), ("lth", "random"), ("naive", "random")])
def test_any_methods_have_a_table(methods: tuple[str, ...]) -> None:
    results = made_results(methods=methods, rewinds=(5,), alphas=0)
    table = table_of(results, 5)
    assert [row.name for row in table.rows] == ["all weights", "dense (0%)", *methods]
    assert table.note == ""
    assert accuracy_in_print(Outcomes.of_study(results), 5, "made").headings == ["sparsity", "all weights", *methods]


def test_pruned_networks_are_a_row_of_their_own() -> None:
    results = with_pruned(made_results(pairs=2, rewinds=(0, 5), alphas=0), "AB")
    for rewind in (0, 5):
        (row,) = (row for row in table_of(results, rewind).rows if row.name == "pruned")
        assert [cell.text for cell in row.cells] == [*["97.05 ± 0.06"] * 4, "4"]
        assert row.cells[0].runs == (("pruned", 0.9, None),)
    assert Outcomes.of_study(results).methods == ("lth", "permuted", "naive", "random")
    in_print = accuracy_in_print(Outcomes.of_study(results), 5, "made")
    assert "over n = 2 training runs" in in_print.caption
    (at,) = (i for i, name in enumerate(in_print.headings[1:]) if name == "pruned")
    assert in_print.rows[0].cells[at].text == "97.05 ± 0.06 (n = 4)"
    assert not in_print.rows[0].cells[at + 1].remark


def test_many_methods_are_printed_one_below_the_other() -> None:
    rows = [made_network(f"m{i}", 0.9, 5, pair, accuracy=90 + i + pair) for i in range(12) for pair in range(2)]
    table = accuracy_in_print(Outcomes.of(rows), 5, "made")
    assert table.headings == ["method", "90%"]
    assert [row.name for row in table.rows] == ["all weights", *sorted(f"m{i}" for i in range(12))]


def test_perplexities_are_compared_as_the_accuracies_are() -> None:
    results = changed(made_results(rewinds=(5,), alphas=0), perplexity=lambda row: 100 - row.accuracy)
    compared(results, ("lth", "random"))
    table, _ = columns(results, 5)
    assert table.caption.startswith("Perplexity at rewind epoch 5")
    assert [row.name for row in table.sections[-1]] == ["lth − random"]
    assert "points" not in table.note


def test_how_well_networks_fit_their_training_inputs_is_told() -> None:
    results = changed(made_results(rewinds=(5,), alphas=0), train_accuracy=lambda row: 100.0)
    (table,) = columns(results, 5)
    assert table.caption.startswith("Training accuracy in %, inputs not augmented, at rewind epoch 5")
    assert "100.0 ± 0.0" in table.rows[1].cells[0].text
    assert "Training accuracy in %" in printed(summary(results))
