"""What the pages of docs/ about one study share: where its results come from, its figures, and how it was run."""

import json
import shutil
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from permask.report.plot import Plot
from permask.study.results import Results

DOCS = Path(__file__).parent.parent / "docs"

HOW = """
## How it was run

{steps} steps took {hours:.2f} core hours on {cores} cores ({cpu}) that other work shared, with Python {python},
torch {torch}, numpy {numpy}, scipy {scipy}, permask {permask} at commit
`{commit}`. The results file is [`results/{name}.json`](results/{name}.json);
`permask report` makes tables, figures and a page of it. The images are those of the archive whose content is
`{content}`.
"""


def read_study(about: str | None) -> tuple[Results, list[dict[str, Any]]]:
    """The results that the command line names, kept in docs/results/, and the manifests of all steps behind them."""
    options = ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
    options.add_argument("results", type=Path, help="the results.json of the study")
    options.add_argument("store", type=Path, help="the store that it was computed in")
    chosen = options.parse_args()
    results = Results.load(chosen.results)
    steps = _steps_behind(results, chosen.store)
    data = results.study["data"]
    data |= {"root": Path(data["root"]).name, "content": steps[0]["specification"]["data"]["content"]}
    with tempfile.TemporaryDirectory() as folder:
        results.save(Path(folder))
        (DOCS / "results").mkdir(exist_ok=True)
        shutil.copy(Path(folder) / "results.json", DOCS / "results" / f"{results.study['name']}.json")
    return results, steps


def how_it_was_run(results: Results, steps: list[dict[str, Any]]) -> str:
    """The section of that name."""
    return HOW.format(
        name=results.study["name"],
        steps=len(steps),
        hours=sum(step["seconds"] for step in steps) / 3600,
        content=results.study["data"]["content"],
        **steps[0]["provenance"],
    )


def figures(plots: Iterable[Plot], prefix: str) -> list[str]:
    """Save figures in docs/figures/; what shows each of them on a page, with its caption."""
    shown = []
    for plot in plots:
        (saved,) = plot.save(DOCS / "figures", ("png",))
        name = saved.rename(saved.with_name(f"{prefix}_{saved.name}")).name
        shown.append(f"\n![{plot.name.replace('_', ' ')}](figures/{name})\n\n{plot.caption}\n")
    return shown


def _steps_behind(results: Results, store: Path) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    keys = {row.step for row in results.rows}
    while keys:
        for key in keys:
            found[key] = json.loads((store / key[:2] / key / "manifest.json").read_text())
        keys = {parent for manifest in found.values() for parent in manifest["parents"].values()} - found.keys()
    return list(found.values())
