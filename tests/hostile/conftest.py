"""What all rows of the hostile table start from."""

import shutil
from pathlib import Path

import pytest
import torch
from support.small_study import TINY

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
    (made / "study.yaml").write_text(TINY)
    (made / "own.py").write_text(OWN)
    store = Store(made / "store")
    plan = make_plan(open_study(made / "study.yaml"))
    worker = Worker(store, provenance(), threads=torch.get_num_threads())
    for step in plan.steps.values():
        worker.compute(step.task)
    Machines.here().record(store)
    collect(plan, store).save(made / "results")
    return made


@pytest.fixture(scope="session")
def with_values(with_network, tmp_path_factory) -> Path:
    """The same, with a mask, a pruned checkpoint, a symmetry and an alignment, and those of a wide network."""
    import numpy as np
    import torch
    from safetensors.torch import load_file, save_file

    from permask.masks.scores import magnitude_mask
    from permask.matching.alignment import Alignment
    from permask.symmetry import Symmetry

    made = Path(shutil.copytree(with_network, tmp_path_factory.mktemp("hostile") / "values"))
    torch.save(load_file(made / "a.safetensors"), made / "a.pt")
    for seed, name in enumerate(("wide", "other-wide")):
        save_file(mlp(512, seed), made / f"{name}.safetensors")
    np.savez(made / "data.npz", inputs=np.ones((4, 6), np.float32), labels=np.arange(4) % 3)
    for name, width in (("a", 8), ("wide", 512)):
        symmetry = symmetry_of(width)
        mask = magnitude_mask(load_file(made / f"{name}.safetensors"), 0.5)
        alignment = Alignment(symmetry, symmetry.random(0), "weights", 1.0, ())
        ending = "" if name == "a" else f"-{name}"
        mask.save(made / f"mask{ending}.safetensors")
        symmetry.save(made / f"symmetry{ending}.json")
        alignment.save(made / f"alignment{ending}.json")
    pruned = load_file(made / "a.safetensors")
    save_file({n: x.masked_fill(x.abs() < 0.2, 0) for n, x in pruned.items()}, made / "pruned.safetensors")
    assert isinstance(Symmetry.load(made / "symmetry.json"), Symmetry)
    return made


@pytest.fixture(scope="session")
def with_strangers(with_values, tmp_path_factory) -> Path:
    """The same, with code of other people in `mine.py`, and a checkpoint of its networks."""
    from safetensors.torch import load_file, save_file

    made = Path(shutil.copytree(with_values, tmp_path_factory.mktemp("hostile") / "strangers"))
    shutil.copy(Path(__file__).with_name("strangers.py"), made / "mine.py")
    layers = {"0": "first", "2": "last"}
    state = {f"{layers[name[0]]}{name[1:]}": x for name, x in load_file(made / "a.safetensors").items()}
    save_file(state, made / "own.safetensors")
    return made


def mlp(width: int, seed: int) -> dict:
    """The weights of the network of `net.py`, of any width."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    return dict(nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3)).state_dict())


def symmetry_of(width: int):
    """Its symmetry, as discovery finds it."""
    import numpy as np

    from permask.groups import Axis, Group, Site
    from permask.symmetry import Pin, Symmetry

    units = np.arange(width)[:, None]
    axes = tuple(Axis(name, dim, width, units) for name, dim in (("0.weight", 0), ("0.bias", 0), ("2.weight", 1)))
    shapes = {"0.weight": (width, 6), "0.bias": (width,), "2.weight": (3, width), "2.bias": (3,)}
    pins = tuple(
        Pin(name, dim, "input", "what goes in and out keeps its order", "genuine", shapes[name][dim])
        for name, dim in (("0.weight", 1), ("2.weight", 0), ("2.bias", 0))
    )
    inputs = [{"name": "", "shape": [2, 6], "dtype": "float32", "below": None}]
    report = {"seconds": {}, "error": 0.0, "failed": [], "unseen": [], "idle": [], "unused": [], "inputs": inputs}
    return Symmetry((Group("0", width, axes, Site("relu", 1, units)),), pins, 1.0, shapes, report)
