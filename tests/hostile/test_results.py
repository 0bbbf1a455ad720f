"""Results files that are none, or that nobody's study can have, under the commands that read them."""

import json
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import NO_FILES, NO_JSON, OTHER_JSON, Spoil, at, holding, truncated

FILE = "results/results.json"
COMMANDS = (
    "report results",
    "report results --out out",
    "report results/results.json --out out",
    "compare results results",
    "compare results paper --out out.csv",
    "report results results --out out",
    "report results --width results --out out",
)
Change = Callable[[dict[str, Any]], object]


def edit(change: Change) -> Spoil:
    """Other content of the results."""

    def prepare(folder: Path) -> None:
        content = json.loads((folder / FILE).read_text())
        change(content)
        (folder / FILE).write_text(json.dumps(content))

    return prepare


def in_row(**values: Any) -> Change:
    """Other values in the first row of the networks."""
    return lambda content: content["rows"][0].update(values)


def of(part: str, **values: Any) -> Change:
    """Other values in the study or in the provenance."""
    return lambda content: content[part].update(values)


def whole(**values: Any) -> Change:
    """Other values at the top."""
    return lambda content: content.update(values)


# what is changed, and what is said of it
CHANGES: dict[str, tuple[Change, str]] = {
    "schema 2": (whole(schema=2), "schema version 2, this permask reads version 1"),
    "schema as text": (whole(schema="1"), "schema version '1'"),
    "no schema": (lambda content: content.pop("schema"), "expected results saved by permask: schema"),
    "no study": (lambda content: content.pop("study"), "study: Field required"),
    "no provenance": (lambda content: content.pop("provenance"), "provenance: Field required"),
    "a study of null": (whole(study=None), "study: Input should be"),
    "a study that is a list": (whole(study=[]), "study: Input should be"),
    "a study without a name": (lambda content: content["study"].pop("name"), "study.name: Field required"),
    "a name that is a path": (of("study", name="../../x"), "study.name: String should match pattern"),
    "a name with markup": (of("study", name="[red]a[/blue]"), "study.name: String should match pattern"),
    "a number as a name": (of("study", name=1), "study.name: Input should be a valid string"),
    "a comparison of one": (of("study", compare=[["lth"]]), "study.compare.0"),
    "comparisons as text": (of("study", compare="lth"), "study.compare"),
    "a sweep that is a list": (of("study", sweep=[1]), "study.sweep: Input should be"),
    "a sweep of nothing": (of("study", sweep={"pairs": []}), "study.sweep.pairs: List should have at least 1 item"),
    "a sweep that multiplies": (of("study", sweep={str(n): list(range(10)) for n in range(12)}), "at most 1,000"),
    "a description with controls": (of("study", description="a\x1b[2Jb"), "without control characters"),
    "a provenance that is a list": (whole(provenance=[]), "provenance: Input should be"),
    "counts of text": (of("provenance", computed_with={"torch": {"2": "a"}}), "provenance.computed_with.torch.2"),
    "counts of nothing": (of("provenance", computed_with={"torch": None}), "provenance.computed_with.torch"),
    "keys of text": (of("provenance", in_keys={"torch": "a"}), "provenance.in_keys.torch"),
    "half a character": (of("provenance", cpu="\ud800"), "without control characters"),
    "another table": (whole(sharpness=[]), "table 'sharpness': expected one of"),
    "a table with markup": (whole(**{"[red]x[/blue]": []}), r"table '\[red\]x\[/blue\]': expected one of"),
    "a table with controls": (whole(**{"\x1b[2J": []}), "without control characters"),
    "a table that is a number": (whole(rows=3), "rows: Input should be a valid array"),
    "a table of numbers": (whole(rows=[1, 2]), "rows.0: Input should be"),
    "a table of lists": (whole(matching=[[]]), "matching.0: Input should be"),
    "a row of nothing": (whole(rows=[{}]), "table 'rows': a row without the key 'study'"),
    "a row with another key": (in_row(colour="red"), "table 'rows': unknown key 'colour'"),
    "a row without a key": (lambda content: content["rows"][0].pop("accuracy"), "a row without the key 'accuracy'"),
    "an accuracy of NaN": (in_row(accuracy=float("nan")), "row 1: accuracy: Input should be"),
    "an accuracy without end": (in_row(accuracy=float("inf")), "row 1: accuracy: Input should be less than or equal"),
    "an accuracy of null": (in_row(accuracy=None), "row 1: accuracy: Input should be a valid number"),
    "an accuracy in words": (in_row(accuracy="[red]high[/blue]"), "row 1: accuracy: Input should be a valid number"),
    "an accuracy above 100": (in_row(accuracy=101), "row 1: accuracy: Input should be less than or equal to 100"),
    "a loss in a list": (in_row(loss=[1]), "row 1: loss: Input should be a valid number"),
    "a sparsity of 2": (in_row(sparsity=2), "row 1: sparsity: Input should be less than or equal to 1"),
    "a sparsity of NaN": (in_row(sparsity=float("nan")), "row 1: sparsity"),
    "a rewind of text": (in_row(rewind="late"), "row 1: rewind: Input should be a valid integer"),
    "a rewind of half": (in_row(rewind=0.5), "row 1: rewind: Input should be a valid integer"),
    "a pair below 0": (in_row(pair=-1), "row 1: pair: Input should be greater than or equal to 0"),
    "a pair of null": (in_row(pair=None), "row 1: pair"),
    "a seed beyond": (in_row(seed_a=10**30), "row 1: seed_a"),
    "a method of a number": (in_row(method=1), "row 1: method: Input should be a valid string"),
    "a method of a list": (in_row(method=["lth"]), "row 1: method"),
    "epochs below 0": (in_row(epochs=-1), "row 1: epochs"),
    "a step of null": (in_row(step=None), "row 1: step"),
    "layers of nothing": (lambda content: content["masks"][0].update(layers=[{}]), "table 'masks': row 1: layers.0"),
    "a layer of no weights": (lambda content: content["masks"][0]["layers"][0].update(size=0), "layers.0.size"),
}
COMMAND = cycle(COMMANDS)
ROWS = {f"the file is {name}": Row(next(COMMAND), says, at(FILE, spoil)) for name, (spoil, says) in NO_FILES.items()}
ROWS |= {
    f"the file holds {name}": Row(next(COMMAND), "expected results saved by permask", at(FILE, holding(content)))
    for name, content in (NO_JSON | OTHER_JSON).items()
}
ROWS["the file is cut"] = Row("report results", "expected results saved by permask: expected JSON", at(FILE, truncated))
ROWS |= {name: Row(next(COMMAND), says, edit(change)) for name, (change, says) in CHANGES.items()}
WRITTEN = ("out", "out/*", "results/*", "out.csv")
ROWS |= {
    name: Row(command, says, edit(change), code=0, writes=WRITTEN)
    for name, command, says, change in (
        ("as it is", "report results", "wrote results/report.html", whole()),
        ("markup", "report results --out out", r"\[red\]a\[/blue\]", in_row(method="[red]a[/blue]", sparsity=0.5)),
        ("emoji", "compare results results", ":boom:", in_row(method=":boom:", sparsity=0.5, rewind=0)),
        ("HTML", "report results --out out", "<script>", in_row(method="<script>alert(1)</script>", rewind=0)),
        ("TeX", "report results --out out", "wrote", in_row(method=r"\input{/etc/passwd}", rewind=0)),
        ("a diverged loss", "report results --out out", "wrote", in_row(loss=float("nan"))),
        ("the paper", "compare results paper --out out.csv", "wrote out.csv", whole()),
        ("nothing measured", "report results --out out", "wrote", whole(rows=[], masks=[], throughput=[])),
    )
}


@pytest.mark.parametrize("row", sampled(ROWS, 5))
def test_a_row(row: Row, with_study, tmp_path) -> None:
    check(row, with_study, tmp_path)
