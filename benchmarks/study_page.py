"""What the pages of docs/ about one study share: where its results come from, its figures, and how it was run.

A page is made of the results files in docs/results alone, by the function `page` of its script, so that tests can make
it again and compare. What only the store knows of how a study was run goes into the provenance of its results file.
"""

import json
import shutil
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from permask.report.analyses import Analysis
from permask.report.markdown import markdown
from permask.report.origins import origins
from permask.report.plot import Plot
from permask.study.results import Results

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS / "results"

HOW = """
{heading}

The {steps} steps of the study, such as training one network, took {core_hours:.2f} core hours on {on} ({cpu}). Other
work ran beside them. Python {python}, torch {torch}, numpy {numpy}, scipy {scipy}, permask {permask} at {commit}.
{computed}. `permask report` makes
tables, figures and a page from the results file, [`results/{name}.json`](results/{name}.json). The hash of the data is
`{content}`.
"""
LOST = """commit
{commits}, which is not in the repository because that day's commits were rebased after the run.
The nearest commit in the repository is `{nearest}`, the first that holds these results"""


def keep_results(about: str | None) -> None:
    """Keep in docs/results the results that the command line names, if any, and in them what computing them took.

    What was kept before and is among them need not be in a store any more.
    """
    options = ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
    options.add_argument("results", type=Path, nargs="?", help="the results.json of the study; those kept before")
    options.add_argument("stores", type=Path, nargs="*", help="that hold what is new in it")
    chosen = options.parse_args()
    if chosen.results is None:
        return
    results = Results.load(chosen.results)
    file = RESULTS / f"{results.name}.json"
    kept = Results.load(file) if file.exists() else None
    rows = {row.step for row in results.rows}
    before = rows & {row.step for row in kept.rows} if kept else set()
    if rows - before and not chosen.stores:
        options.error("STORES is missing: only a store knows how long the steps took")
    steps = _steps_behind(rows - before, chosen.stores)
    count, hours = len(steps), sum(step["seconds"] for step in steps) / 3600
    if kept and before:
        count, hours = count + kept.provenance["steps"], hours + kept.provenance["core_hours"]
    data = results.study["data"]
    root = data.get("root")
    content = steps[0]["specification"]["data"]["content"] if steps else data["content"]
    data |= {"root": root and Path(root).name, "content": content}
    results.provenance.update(steps=count, core_hours=hours)
    with tempfile.TemporaryDirectory() as folder:
        results.save(Path(folder))
        RESULTS.mkdir(exist_ok=True)
        shutil.copy(Path(folder) / "results.json", file)


def how_it_was_run(results: Results, heading: str = "## How it was run") -> str:
    """The section of that name."""
    made, precision, rest = results.provenance, precision_of(results), "matching, averaging and evaluation"
    apart = f"Training was in {precision}; {rest} in float32"
    return HOW.format(
        heading=heading,
        name=results.name,
        on="one core" if made["cores"] == 1 else f"{made['cores']} cores",
        content=results.study["data"]["content"],
        computed=f"Training, {rest} were in float32" if precision == "float32" else apart,
        **made | {"commit": _commit(results)},
    )


def precision_of(results: Results) -> str:
    """In what the networks were trained."""
    return " and ".join(origins(results)["precision"])


def _commit(results: Results) -> str:
    every = dict.fromkeys([*origins(results)["commit"], results.provenance["commit"]])
    commits, nearest = "\nand ".join(f"`{commit}`" for commit in every), results.provenance.get("nearest_commit")
    return LOST.format(commits=commits, nearest=nearest) if nearest else f"commit\n{commits}"


def figures(plots: Iterable[Plot], prefix: str) -> list[str]:
    """What shows each figure on a page, as a link to the picture in its full size, with its caption."""
    shown = []
    for plot in plots:
        file = f"figures/{prefix}_{plot.name}.png"
        shown.append(f"\n[![{plot.name.replace('_', ' ')}]({file})]({file})\n\n{plot.caption}\n")
    return shown


def section(analysis: Analysis, prefix: str, about: str = "") -> str:
    """An analysis with its figures and tables; of more than two tables the last, that of the sparsest networks.

    Args:
        analysis: The analysis.
        prefix: Of the files of its figures.
        about: What is said first.
    """
    tables = analysis.tables if len(analysis.tables) < 3 else analysis.tables[-1:]
    parts = [f"\n## {analysis.title}\n{about}", *figures(analysis.plots, prefix)]
    return "".join([*parts, *(f"\n{markdown(table)}" for table in tables)])


def save_figures(plots: Iterable[Plot], prefix: str) -> None:
    """Save figures in docs/figures, where `figures` refers to them, for pages that may be dark."""
    for plot in plots:
        (DOCS / "figures" / f"{prefix}_{plot.name}.png").write_bytes(plot.on_any_ground())


def _steps_behind(keys: set[str], stores: Sequence[Path]) -> list[dict[str, Any]]:
    """The manifests of some steps and of all that they rest on."""
    found: dict[str, dict[str, Any]] = {}
    while keys:
        for key in keys:
            files = [store / key[:2] / key / "manifest.json" for store in stores]
            if not (there := [file for file in files if file.exists()]):
                raise SystemExit(f"expected step {key} in one of the stores, got none in {', '.join(map(str, stores))}")
            found[key] = json.loads(there[0].read_text())
        keys = {parent for manifest in found.values() for parent in manifest["parents"].values()} - found.keys()
    return list(found.values())
