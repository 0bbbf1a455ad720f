"""What the settings of studies of digits are chosen by: how well dense networks do, and whether every method fits.

    uv run python benchmarks/digits_settings.py digits epochs=90
    uv run python benchmarks/digits_settings.py digits-width 'sparsities=[0.9]'

Runs a study with the changes that are given and with other seeds, on its training images alone: a quarter of them is
held out to evaluate on. Adds a line for every combination that the study sweeps to docs/results/STUDY-settings.csv,
which the study's page shows. Nothing that compares the methods is shown.
"""

import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from math import ceil
from pathlib import Path

from permask.report.outcomes import REFERENCES
from permask.report.statistics import summarise
from permask.study.data import Digits
from permask.study.load import Prepared, load_study
from permask.study.plan import make_plan
from permask.study.results import Results
from permask.study.shipped import shipped_study
from permask.study.spec import Study
from permask.study.steps.trained import Trained
from permask.study.sweep import combinations, label

RESULTS = Path(__file__).parent.parent / "docs" / "results"
COLUMNS = ("changes", "dense", "least_fit", "least_fit_random", "steps")
FIRST_SEED, PAIRS = 900, 3
CONTROL = "random"


def main() -> None:
    name, *changes = sys.argv[1:]
    study = load_study(shipped_study(name), changes)
    results = _train(study, shipped_study(name), changes)
    parts = results.combinations or {"": results}
    given = [change for change in changes if not change.startswith("sweep=")]
    file = RESULTS / f"{name}-settings.csv"
    lines = [] if file.exists() else [COLUMNS]
    for one in combinations(study):
        swept = label(one.swept)
        lines.append((" ".join([*given, swept]).strip(), *_judged(parts[swept].of(Trained)), str(_steps(one.study))))
    with file.open("a", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows(lines)
    print(*map(" | ".join, lines), sep="\n")


def _train(study: Study, path: Path, changes: list[str]) -> Results:
    """The results of other seeds on a part of the training images."""
    assert isinstance(study.data, Digits)
    held_out = f"data.validation={study.data.train // 4}"
    others = [f"first_seed={FIRST_SEED}", f"pairs={PAIRS}", held_out, "connect=null"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "permask", "run", str(path), *changes, *others]
        places = ["--jobs", "1", "--store", f"{folder}/store", "--out", folder]
        subprocess.run([*command, *places], check=True, stdout=subprocess.DEVNULL)
        return Results.load(Path(folder) / "results.json")


def _judged(rows: list[Trained]) -> tuple[str, str, str]:
    """Accuracy of dense networks on held-out images; on their training images, that of the worst method, and of random.

    The worst is that of the lowest mean at any sparsity; `random` counts for itself.
    """
    fits: defaultdict[tuple[str, float], list[float]] = defaultdict(list)
    for row in rows:
        fits[row.method, row.sparsity].append(row.train_accuracy or 0.0)
    means = {condition: summarise(values).mean for condition, values in fits.items()}
    dense = summarise([row.accuracy for row in rows if row.method == "dense"]).mean
    least = min(mean for (method, _), mean in means.items() if method not in (*REFERENCES, CONTROL))
    control = min(mean for (method, _), mean in means.items() if method == CONTROL)
    return f"{dense:.1f}", f"{least:.1f}", f"{control:.1f}"


def _steps(study: Study) -> int:
    """Steps of SGD that the whole study takes."""
    assert isinstance(study.data, Digits)
    epochs = sum(step.epochs for step in make_plan(Prepared(study)).steps.values())
    return epochs * ceil(study.data.train / study.batch_size)


if __name__ == "__main__":
    main()
