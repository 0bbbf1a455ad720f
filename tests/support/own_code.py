"""A small study whose methods name a file of functions, as users write them."""

import sys
from pathlib import Path

import yaml

from permask.study.load import open_study
from permask.study.messages import Computed, Failed
from permask.study.plan import Plan, make_plan
from permask.study.provenance import provenance
from permask.study.step import Step
from permask.study.store import Store
from permask.study.worker import Worker
from support.small_study import SMALL

CHANGES = {"pairs": 1, "sparsities": [0.8], "rewinds": [0], "connect": None}

CODE = """\
import torch
import permask
from helper import noise
from permask.masks.scope import scope_of
from permask.masks.scores import keep_largest
from permask.matching.alignment import Alignment


def score(network, batches, sparsity, seed):
    weights = scope_of(network)
    return keep_largest({name: weight.abs() + noise(weight) for name, weight in weights.items()}, sparsity)


def match(symmetry, source, target, batches, seed):
    return Alignment(symmetry, symmetry.random(seed), "mine", 0.0, ())
"""

HELPER = """\
import torch


def noise(weight):
    return torch.randn(weight.shape)
"""

MINE = {"name": "mine", "mask": {"by": "own.py:score"}}
MATCHED = {"name": "matched", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "own.py:match"}}


def write_own(folder: Path, *methods: object, code: str = CODE, **changes: object) -> Path:
    """The study and the files that it names, in a folder."""
    (folder / "own.py").write_text(code)
    (folder / "helper.py").write_text(HELPER)
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SMALL) | CHANGES | {"methods": list(methods)} | changes))
    return path


def plan_own(folder: Path, *methods: object, code: str = CODE, **changes: object) -> Plan:
    """The plan of such a study."""
    return make_plan(open_study(write_own(folder, *methods, code=code, **changes)))


def compute_all(plan: Plan, store: Store) -> dict[str, str]:
    """Compute every step that can be computed in this process; the logs of those that failed, by kind."""
    failed: dict[str, str] = {}
    for step in plan.steps.values():
        if all(store.has(need.key) for need in step.needs):
            match Worker(store, provenance()).attempt(step.task):
                case Failed(log, again):
                    assert not again
                    failed[step.kind] = log
                case ending:
                    assert ending == Computed()
    return failed


def step_of(plan: Plan, method: str) -> Step:
    """The sparse training of a method."""
    (step,) = (reported.step for reported in plan.of("sparse") if reported.labels["method"] == method)
    return step


def forget(folder: Path) -> None:
    """Let go of all that was imported from a folder."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
