import subprocess
from pathlib import Path

import pytest
from support.made_results import made_results, measured_results, three_pairs, without

from permask.report.accuracy import accuracy_in_print
from permask.report.latex import escape_latex, latex
from permask.report.outcomes import Outcomes
from permask.report.write import write_tables


def test_a_table_has_sparsities_down_and_methods_across() -> None:
    text = latex(accuracy_in_print(Outcomes.of(three_pairs()), 5, "my_study"), "my_study-rewind-5")
    lines = [line.strip() for line in text.splitlines()]
    assert r"sparsity & all weights & permuted & naive & permuted $-$ naive \\" in lines
    assert r"90\% & 82.9\% & 94.00 $\pm$ 2.65 & 92.00 $\pm$ 2.00 & +2.00 [$-$0.48, 4.48] \\" in lines
    assert r"\label{tab:my_study-rewind-5}" in lines
    assert r"Study my\_study: test accuracy in \% at rewind epoch 5" in text
    assert "over n = 3 training runs" in text


def test_a_study_of_dense_networks_has_no_latex_table(tmp_path: Path) -> None:
    write_tables(made_results(methods=()), tmp_path)
    assert "tabular" not in (tmp_path / "accuracy.tex").read_text()


def test_what_latex_takes_for_commands_is_escaped() -> None:
    assert escape_latex(r"50% of $5 & a_b#{c}~^\\") == (
        r"50\% of \$5 \& a\_b\#\{c\}\textasciitilde{}\textasciicircum{}" + 2 * r"\textbackslash{}"
    )


@pytest.mark.latex
def test_the_tables_compile(tmp_path: Path) -> None:
    results = made_results()
    results.study["name"] = "made_study"
    gap, single = ("lth", 0.95), ("naive", 0.98)
    kept = without(
        results,
        lambda row: (row.method, row.sparsity) == gap or ((row.method, row.sparsity) == single and row.pair > 0),
    )
    write_tables(kept, tmp_path)
    preamble = r"\documentclass{article}\usepackage[margin=2cm]{geometry}\usepackage{booktabs}"
    document = preamble + r"\begin{document}\input{accuracy.tex}\end{document}"
    (tmp_path / "document.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "Output written on document.pdf (1 page" in done.stdout


@pytest.mark.latex
def test_the_tables_of_all_that_is_measured_compile(tmp_path: Path) -> None:
    write_tables(measured_results(), tmp_path)
    preamble = r"\documentclass{article}\usepackage[margin=2cm]{geometry}\usepackage{booktabs}"
    inputs = "".join(
        rf"\input{{{name}.tex}}" for name in ("ensembles", "barrier_along_rounds", "layers", "size", "cost")
    )
    (tmp_path / "document.tex").write_text(preamble + rf"\begin{{document}}{inputs}\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "Output written on document.pdf" in done.stdout
