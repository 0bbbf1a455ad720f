"""Commands compute where they are told to, and values on two devices meet on one: seen with fake GPUs."""

import inspect

import pytest
import torch
from support.small_study import TINY, run, write_study
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from permask.batches import Batch
from permask.cli import devices
from permask.cli.main import VERBS
from permask.cli.mask import make
from permask.cli.network import device_of
from permask.errors import PermaskError
from permask.matching.similarity import beside, weights_of
from permask.study.spec import Execution
from permask.training import execution
from permask.training.execution import find_device
from permask.training.machine import KnownMachine, decide
from permask.training.settings import in_force
from permask.training.throughput import PROBE_SIZE

CUDA = torch.device("cuda", 0)
COMPUTE = {"inspect", "match", "connect", "merge", "pattern", "ensemble", "make"}
EVERY = [make, *(verb for verbs in VERBS.values() for verb in verbs)]


def test_every_command_that_computes_takes_a_device():
    taking = {verb.__name__ for verb in EVERY if "device" in inspect.signature(verb).parameters}
    assert taking == COMPUTE


@pytest.mark.parametrize(
    ("there", "device", "said"), [(True, "auto", True), (True, "cpu", False), (False, "auto", False)]
)
def test_a_command_takes_the_gpu_that_is_there_and_says_so(monkeypatch, capsys, there, device, said):
    monkeypatch.setattr(execution, "has_gpu", lambda: there)
    devices.computes(lambda device: None)(device=device)
    assert ("on a GPU of this machine" in capsys.readouterr().err) == said


def test_commands_decide_where_to_compute_as_studies_do():
    defaults = {inspect.signature(verb).parameters["device"].default for verb in EVERY if verb.__name__ in COMPUTE}
    assert defaults == {Execution().device} == {"auto"}


def test_settings_are_in_force_while_a_command_computes(monkeypatch):
    seen = []
    before = torch.backends.cudnn.allow_tf32
    devices.computes(lambda device: seen.append((device, torch.backends.cudnn.allow_tf32)))(device="cpu")
    assert seen == [("cpu", False)] and torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(device):
    found = run("inspect", "torch.nn:Linear", "2", "2", "--input", "2", "--device", device, code=2)
    assert found.stderr.startswith(f"error: device {device}: this machine has no GPU")
    assert len(found.stderr.splitlines()) == 1
    with pytest.raises(PermaskError, match=f"device {device}: this machine has no GPU"):
        find_device(device)


@pytest.mark.parametrize(
    ("device", "cluster", "lacks"),
    [
        ("cuda", None, "this machine has no GPU that torch can use; leave it to auto, or choose cpu"),
        ("mps", None, "this machine has no GPU of Apple's; leave it to auto, or choose cpu"),
        ("cuda", "steps: {all: {cpus: 1}}", "the cluster's file gives no GPU to steps of the kind dense; say gpus: 1"),
    ],
)
def test_a_run_without_the_gpu_that_it_asks_for_is_refused_before_any_work(tmp_path, device, cluster, lacks):
    where = []
    if cluster:
        (tmp_path / "cluster.yaml").write_text(cluster)
        where = ["--engine", "ray", "--cluster", tmp_path / "cluster.yaml"]
    study, places = write_study(tmp_path, TINY), ["--store", tmp_path / "store", "--out", tmp_path / "out"]
    found = run("run", study, f"execution.device={device}", *places, *where, code=2)
    assert found.stderr.startswith(f"error: execution.device={device}: {lacks}")
    assert len(found.stderr.splitlines()) == 1 and not found.stdout
    assert not (tmp_path / "store").exists()


def test_batches_go_where_a_network_is():
    with FakeTensorMode():
        network = nn.Linear(2, 2, device=CUDA)
        assert device_of(network) == CUDA and device_of(nn.ReLU()) == torch.device("cpu")
        batch = Batch((torch.zeros(3, 2),), torch.zeros(3, dtype=torch.long), {"x": torch.zeros(1)}).to(CUDA)
        assert {x.device for x in (*batch.given.tensors, batch.labels)} == {CUDA}
        assert Batch((torch.zeros(1),)).to(CUDA).labels is None


def test_weights_of_networks_on_two_devices_are_compared_on_the_first_ones():
    with FakeTensorMode() as mode:
        mode.allow_scalar_outputs = True
        on_gpu = {name: x.to(CUDA) for name, x in nn.Linear(2, 2).named_parameters()}
        on_cpu = dict(nn.Linear(2, 2).named_parameters())
        for first, other in ((on_gpu, on_cpu), (on_cpu, on_gpu)):
            products = {name: first[name] * x for name, x in beside(other, first).items()}
            assert {x.device for x in products.values()} == {first["weight"].device}
    assert weights_of(nn.Linear(2, 2)).keys() == {"weight", "bias"}


def test_apples_gpus_are_taken_only_where_they_are_asked_for_and_in_float32():
    machine = KnownMachine("cpu", {"cpu": True})
    assert decide(machine, lambda: True).device == "cpu"
    asked = decide(machine, lambda: True, device="mps")
    assert (asked.device, asked.precision, asked.compile) == ("mps", "float32", False)
    assert "mps" in PROBE_SIZE
    with in_force(torch.device("mps"), deterministic=True):
        assert not torch.are_deterministic_algorithms_enabled()
