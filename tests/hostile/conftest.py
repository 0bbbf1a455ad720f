"""What all rows of the hostile table start from."""

from pathlib import Path

import pytest
import torch

from hostile.spoilt import STUDY

NETWORK = """
import torch
from torch import nn

def mlp(width=8, bias=True):
    return nn.Sequential(nn.Linear(6, width, bias=bias), nn.ReLU(), nn.Linear(width, 3))
"""


@pytest.fixture(scope="session")
def with_network(tmp_path_factory) -> Path:
    """A folder with the code of a network, two checkpoints and data."""
    from safetensors.torch import save_file
    from torch import nn

    made = tmp_path_factory.mktemp("hostile") / "network"
    made.mkdir()
    (made / "net.py").write_text(NETWORK)
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        save_file(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).state_dict(), made / f"{name}.safetensors")
    save_file({"inputs": torch.randn(16, 6), "labels": torch.arange(16) % 3}, made / "data.safetensors")
    return made


OWN = """
import torch
from torch import nn
from permask import magnitude_mask

def mask(network, batches, sparsity, seed):
    return magnitude_mask(network, sparsity)

def data():
    x = torch.rand(32, 4)
    y = torch.arange(32) % 2
    return (x, y), (x, y)

def network(width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
"""


@pytest.fixture(scope="session")
def with_study(tmp_path_factory) -> Path:
    """A folder with a study of a second, own code, the study's store, and its results."""
    from permask.study.collect import collect
    from permask.study.load import open_study
    from permask.study.machines import Machines
    from permask.study.plan import make_plan
    from permask.study.provenance import provenance
    from permask.study.store import Store
    from permask.study.worker import Worker

    made = tmp_path_factory.mktemp("hostile") / "study"
    (made / "results").mkdir(parents=True)
    (made / "study.yaml").write_text(STUDY)
    (made / "own.py").write_text(OWN)
    store = Store(made / "store")
    plan = make_plan(open_study(made / "study.yaml"))
    worker = Worker(store, provenance(), threads=torch.get_num_threads())
    for step in plan.steps.values():
        worker.compute(step.task)
    Machines.here().record(store)
    collect(plan, store).save(made / "results")
    return made
