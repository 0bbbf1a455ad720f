"""Tables that help to decide, between marks in pages of docs/ that are written by hand.

They are made of the results kept in docs/results; `python benchmarks/decisions.py` writes them into the pages again.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matchers_page import brief as matchers
from study_page import DOCS, RESULTS

from permask.report.numbers import MISSING, format_difference, format_mean, percent
from permask.report.outcomes import Outcomes
from permask.report.statistics import error_barrier, t_interval
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.trained import Trained

END = "<!-- end of the table -->"
BLOCK = re.compile(rf"(<!-- table of benchmarks/decisions\.py: (\w+) -->\n\n).*?(?=\n{END})", re.DOTALL)

# results file to what was trained on what, with the width where that differs
STUDIES = {
    "digits": "MLP {width}-{width}, digits",
    "digits-width": "MLP {width}-{width}, digits",
    "digits-width-sparser": "MLP {width}-{width}, digits",
    "cifar10-resnet8": "ResNet8, CIFAR-10",
    "gpt-text": "GPT, text",
}
LARGEST = ("digits", "cifar10-resnet8", "gpt-text")  # those that measured barriers, and more methods
REFERENCE = "permuted"
METHODS = ("lth", "own-ticket", "naive", "random", "snip", "rigl")


@dataclass(frozen=True)
class Setting:
    """What was trained on what.

    Attributes:
        name: How tables call it.
        results: Of the study, or of one combination of what it sweeps.
        outcomes: Its accuracies.
        rewind: The rewind epoch.
    """

    name: str
    results: Results
    outcomes: Outcomes
    rewind: int | None

    @classmethod
    def of(cls, name: str, results: Results) -> "Setting":
        """The setting of a study's results."""
        outcomes = Outcomes.of_study(results)
        return cls(name, results, outcomes, outcomes.middle_rewind)

    def against(self, first: str, second: str, sparsity: float) -> str:
        """first − second in points, with its interval."""
        return format_difference(self.outcomes.difference(first, second, sparsity, self.rewind))


def settings(folder: Path, studies: Iterable[str]) -> Iterator[Setting]:
    """The settings of studies: several of one that sweeps its widths."""
    for name in studies:
        results = Results.load(folder / f"{name}.json")
        for one in results.combinations.values() or [results]:
            network: Any = one.study["network"]
            yield Setting.of(STUDIES[name].format(width=network.get("widths", [None])[0]), one)


def barriers(folder: Path) -> str:
    """What lining A's units up with B's does to the barrier between the two."""
    lines = ["| networks | pairs | units as they are | A permuted |", "|---|--:|--:|--:|"]
    for setting in settings(folder, LARGEST):
        points = setting.results.of(PathPoint)
        found = " | ".join(_barrier(points, permuted) for permuted in (False, True))
        lines.append(f"| {setting.name} | {setting.results.study['pairs']} | {found} |")
    return "\n".join(lines) + "\n"


def _barrier(points: Iterable[PathPoint], permuted: bool) -> str:
    paths: defaultdict[int, dict[float, float]] = defaultdict(dict)
    for point in points:
        if point.permuted == permuted:
            paths[point.pair][point.alpha] = point.accuracy
    return format_mean(t_interval([error_barrier(list(path), list(path.values())) for path in paths.values()]), 1)


def gains(folder: Path) -> str:
    """What permuting A's mask changes for B, network by network."""
    found = {
        (percent(s), setting.name): f"{setting.results.study['pairs']} | {setting.against(REFERENCE, 'naive', s)}"
        for setting in settings(folder, STUDIES)
        for s in setting.outcomes.sparsities
    }
    rows = [f"| {name} | {sparsity} | {cells} |" for (sparsity, name), cells in found.items()]
    return "\n".join(["| networks | sparsity | pairs | permuted − naive |", "|---|--:|--:|--:|", *rows]) + "\n"


def methods(folder: Path) -> str:
    """How other masks compare with A's, permuted, and how many epochs one more network costs with each."""
    found = list(settings(folder, LARGEST))
    epochs = {row.method: f"{row.epochs_marginal:.0f}" for row in found[0].results.of(Trained)}
    lines = [f"| networks | {' | '.join(f'`{method}`' for method in METHODS)} |", f"|---|{'--:|' * len(METHODS)}"]
    for setting in found:
        for sparsity in setting.outcomes.sparsities:
            name = f"{setting.name}, {percent(sparsity)} (n = {setting.results.study['pairs']})"
            cells = [setting.against(method, REFERENCE, sparsity) for method in METHODS]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    costs = " | ".join(epochs.get(method, MISSING) for method in METHODS)
    lines.append(f"| epochs, digits (`{REFERENCE}`: {epochs[REFERENCE]}) | {costs} |")
    return "\n".join(lines) + "\n"


CAPTION = "\nIn brackets: Student's 95% interval of the mean.\n"
TABLES = {"matchers": matchers, "barriers": barriers, "gains": gains, "methods": methods}


def with_tables(page: str, folder: Path) -> str:
    """A page with the tables that its marks name, of the results files in a folder."""
    return BLOCK.sub(lambda found: found[1] + TABLES[found[2]](folder) + CAPTION, page)


def main() -> None:
    for file in DOCS.glob("*.md"):
        page = file.read_text(encoding="utf-8")
        if (new := with_tables(page, RESULTS)) != page:
            file.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
