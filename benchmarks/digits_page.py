"""What the pages of docs/ about the digits share: results files, how they were run, what settings were tried.

A page is made of the results files in docs/results alone, by the function `page` of its script.
"""

import csv
import shutil
from collections.abc import Iterable
from pathlib import Path

from study_page import RESULTS

from permask.study.results import Results

HOW = """\
Python {python}, torch {torch}, numpy {numpy}, scipy {scipy}, permask {permask} at commit
`{commit}`, on {processor}, in float32. `permask report` makes tables, figures and a page
from the results file, [`results/{name}.json`](results/{name}.json).
"""


def keep_results(*paths: Path) -> None:
    """Copy results files to docs/results, by the names of their studies."""
    RESULTS.mkdir(exist_ok=True)
    for path in paths:
        shutil.copy(path, RESULTS / f"{Results.load(path).name}.json")


def how_it_was_run(results: Results) -> str:
    """Versions, commit and hardware."""
    made = results.provenance
    cores = "one core" if made["cores"] == 1 else f"{made['cores']} cores"
    return HOW.format(name=results.name, processor=f"{cores} ({made['cpu']})", **made)


def listed(parts: Iterable[str], word: str = "and") -> str:
    """`a, b and c`, or another word before the last."""
    *first, last = parts
    return f"{', '.join(first)} {word} {last}" if first else last


def settings_table(path: Path) -> str:
    """What was tried to choose settings, and the little that was looked at, in Markdown."""
    head = "| setting | dense, held-out images (%) | least fit (%) | least fit of `random` (%) | steps of the study |"
    lines = [head, "|---|---:|---:|---:|---:|"]
    with path.open(encoding="utf-8", newline="") as file:
        lines += [f"| `{setting}` | {' | '.join(numbers)} |" for setting, *numbers in list(csv.reader(file))[1:]]
    return "\n".join(lines)
