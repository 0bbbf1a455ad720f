"""Float32 means float32, and a GPU repeats itself where asked to: in every kind of step, and nowhere else."""

import os

import pytest
import torch
import yaml
from support.small_study import TINY

from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.steps import KINDS, kind_of
from permask.study.store import Store
from permask.study.worker import Worker
from permask.training import settings

ALL_KINDS = {
    "methods": ["lth", "naive", "permuted", {"name": "erk", "start": "B", "mask": {"by": "erk"}}],
    "connect": {"points": 2},
    "connect_rounds": {"points": 3, "images": 64},
    "ensembles": {"members": 2},
    "measure": ("gradient_norm",),
    "pairs": 2,
}


def flags():
    """What torch says, in what precision it multiplies float32, and which algorithms it takes."""
    backends = torch.backends
    own = backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv
    return (
        backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
        *(one.fp32_precision for one in own),
        backends.cudnn.benchmark,
        backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
    )


EXACT = (False, "highest", "ieee", "ieee", "ieee", "ieee", "ieee")


@pytest.fixture
def inexact():
    """A process that prefers speed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    assert flags()[:2] == (True, "medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("deterministic", [False, True])
def test_settings_are_in_force_and_then_what_they_were(inexact, deterministic):
    before = flags()
    with settings.in_force(torch.device("cuda"), deterministic):
        assert flags() == (*EXACT, not deterministic, deterministic, deterministic)
        with settings.in_force(torch.device("cpu"), deterministic):
            assert flags() == (*EXACT, True, False, False)
        assert flags() == (*EXACT, not deterministic, deterministic, deterministic)
    assert flags() == before


def test_settings_that_were_made_by_new_names_alone_are_kept():
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # and torch's older name of it now contradicts
    try:
        with settings.in_force(torch.device("cuda")):
            assert flags()[:7] == EXACT
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        assert torch.backends.cudnn.rnn.fp32_precision == "tf32"
    finally:
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.conv.fp32_precision = "tf32"


def test_every_kind_of_step_computes_float32_in_float32(tmp_path, monkeypatch, inexact):
    """And cuBLAS is told before any of them that it may have to repeat itself, because it listens only once."""
    monkeypatch.delenv(settings.WORKSPACE, raising=False)
    seen = {}
    for kind in KINDS:
        module = kind_of(kind)

        def computed(run, kind=kind, compute=module.compute):
            seen[kind] = flags()[:7], os.environ.get(settings.WORKSPACE)
            return compute(run)

        monkeypatch.setattr(module, "compute", computed)
    plan = make_plan(Prepared(Study.model_validate(yaml.safe_load(TINY) | ALL_KINDS)))
    worker = Worker(Store(tmp_path / "store"), {})
    before = flags()
    for step in plan.steps.values():
        assert worker.compute(step.task) == Computed()
        assert flags() == before
    assert seen == dict.fromkeys(KINDS, (EXACT, settings.REPEATABLE))
