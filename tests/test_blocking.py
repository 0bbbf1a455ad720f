"""Work on a GPU that the host used to wait for, unit by unit or tensor by tensor, it now waits for once."""

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from support.launches import counting, fake_gpu
from torch import nn

from permask import tensors
from permask.discovery.discover import discover
from permask.errors import NetworkError
from permask.masks.factors import Factors
from permask.matching import sinkhorn, straight_through
from permask.matching.similarity import weights_of
from permask.matching.straight_through import StraightThroughLearner
from permask.training import distributed, execution
from permask.training.data import augmentation, streamed
from permask.training.data.images import Images
from permask.training.data.streamed import IMAGENET, Streamed
from permask.training.distributed import Processes, WholeBatchNorm
from permask.training.loop import Recipe, train
from permask.training.streams import Streams


def test_streamed_batches_are_sent_without_waiting(monkeypatch):
    monkeypatch.setattr(streamed, "pinned", lambda x: x)  # needs a driver
    labels, images = torch.arange(6), [Future(), Future()]
    for image in images:
        image.set_result(torch.zeros(3, 8, 8, dtype=torch.uint8))
    with fake_gpu():
        try:
            split = Streamed([Path()] * 6, labels, 8, IMAGENET, 1).to("cuda")
            split._collect(torch.tensor([4, 1]), images)  # the first one also sends what images are normalised by
            with counting() as counted:
                pixels, named = split._collect(torch.tensor([4, 1]), images)
        finally:
            augmentation._scale_and_shift.cache_clear()
    assert pixels.device.type == named.device.type == "cuda"
    assert (counted.uploads, counted.blocking, counted.downloads) == (2, 0, 0)


def test_streamed_labels_are_those_of_the_rows():
    split = Streamed([Path()] * 6, torch.arange(6) * 10, 8, IMAGENET, 1).to("cpu").subset(torch.tensor([1, 3, 4]))
    images = [Future(), Future()]
    for image in images:
        image.set_result(torch.zeros(3, 8, 8, dtype=torch.uint8))
    assert split._collect(torch.tensor([2, 0]), images)[1].tolist() == [40, 10]
    assert split.labels.tolist() == [10, 30, 40]


def norms():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4))


@pytest.mark.parametrize(("device", "expected"), [("cuda", nn.SyncBatchNorm), ("cpu", WholeBatchNorm)])
def test_batchnorm_over_processes_is_that_of_torch_on_a_gpu(monkeypatch, device, expected):
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda model, **_: model)
    with fake_gpu():
        with torch.device(device):
            model = norms()
        with Processes(0, 2).training(model, "batch") as network:
            assert [type(m) for m in network[1:]] == [expected] * 2
            assert network[1].process_group is None
        assert [type(m) for m in model[1:]] == [nn.BatchNorm2d] * 2
        assert not hasattr(model[1], "process_group")


def test_batchnorm_over_processes_on_a_cpu_reduces_twice_and_uploads_nothing(monkeypatch):
    reduced = []
    monkeypatch.setattr(dist, "all_reduce", lambda x, *_: reduced.append(x.shape))
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda model, **_: model)
    model, alone = norms()[1].train(), norms()[1].train()
    x = torch.randn(6, 4, 3, 3)
    with Processes(0, 2).training(model, "batch") as network, counting() as counted:
        found = network(x)
    assert len(reduced) == 2
    torch.testing.assert_close(found, alone(x))
    torch.testing.assert_close(model.running_var, alone.running_var)
    assert counted.uploads == 0


def test_processes_add_up_their_losses_once_an_epoch(monkeypatch):
    reduced = []
    monkeypatch.setattr(dist, "all_reduce", lambda x, *_: reduced.append(x.shape))
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda model, **_: model)
    monkeypatch.setattr(Processes, "here", classmethod(lambda cls: cls(0, 2)))
    split = Images(torch.rand(40 * 4, 2, 2, 1), torch.randint(3, (40 * 4,)))
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    train(model, split, Recipe(3, 4, 0.1), Streams(0))
    assert len(reduced) == 3
    seen = []
    train(model, split, Recipe(1, 4, 0.1), Streams(0), on_step=lambda state: seen.append((state.steps, len(reduced))))
    assert [step for step, _ in seen] == list(range(1, 40))
    assert [count - 3 for _, count in seen] == [0] * 15 + [1] * 16 + [2] * 8, "a checkpoint may follow 16 and 32"


@pytest.mark.parametrize("moved", ["before", "after", "gradient"])
def test_factors_have_the_layout_of_what_they_multiply(moved):
    weight = nn.Parameter(torch.randn(4, 3, 2, 2))
    kept = torch.rand(4, 3, 2, 2) < 0.5
    if moved == "before":
        weight.data = weight.data.to(memory_format=torch.channels_last)
    factors, calls = Factors({weight: kept}), []
    with torch.no_grad():
        factors.multiply_([(weight, weight)])
        if moved == "after":
            weight.data = weight.data.to(memory_format=torch.channels_last)
        x = torch.full_like(weight, torch.nan)
        x = x.to(memory_format=torch.channels_last) if moved == "gradient" else x
        plain = torch._foreach_mul_
        try:
            torch._foreach_mul_ = lambda xs, ys: (calls.append((xs, ys)), plain(xs, ys))
            factors.multiply_([(weight, weight), (weight, x)])
        finally:
            torch._foreach_mul_ = plain
    ((tensors_, by),) = calls
    assert [a.stride() for a in tensors_] == [b.stride() for b in by]
    assert (x[~kept] == 0).all() and x[kept].isnan().all()
    assert (weight[~kept] == 0).all()


def test_compiled_programs_make_no_graphs_of_their_own(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: options)
    execution._compiled.cache_clear()
    try:
        assert execution._compiled() == {"dynamic": False}
    finally:
        execution._compiled.cache_clear()


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3))


def test_weights_are_read_once():
    with counting() as counted:
        found = weights_of(small())
    assert counted.reads <= 1 and len(found) == 6
    broken = small()
    broken[2].bias.data[1] = torch.inf
    with pytest.raises(NetworkError, match=r"2\.bias holds values that are not finite"):
        weights_of(broken)


def test_straight_through_matching_reads_a_gpu_once_a_batch(monkeypatch):
    seen = []
    monkeypatch.setattr(tensors, "pinned", lambda x: x)
    monkeypatch.setattr(straight_through, "coordinate_descent", lambda p, *w: (seen.extend(w[:2]), (p, []))[1])
    monkeypatch.setattr(straight_through, "_root_mean_squares", lambda tensors: dict.fromkeys(tensors, 1.0))
    start = discover(small(), torch.zeros(2, 5)).random(1)
    with fake_gpu():
        source, target = ({n: x.detach().to("cuda") for n, x in small().named_parameters()} for _ in range(2))
        learner = StraightThroughLearner(start, source, target, 0.1, np.random.default_rng(0))
        learner.weights()
        with counting() as counted:
            mixed = learner.weights()
            learner.update()
    assert {x.device.type for x in mixed.values()} == {"cuda"}
    assert {x.device.type for weights in seen for x in weights.values()} == {"cpu"}
    assert (counted.downloads, counted.uploads, counted.blocking, counted.reads) == (1, 1, 0, 0)


def test_packed_tensors_are_the_same_tensors():
    mixed = {"a": torch.rand(2, 3), "b": torch.arange(4), "c": torch.rand(3, 2, 2), "d": torch.rand(())}
    moved = tensors._moved(mixed, torch.clone)
    assert list(moved) == list(mixed) and all(torch.equal(moved[name], x) for name, x in mixed.items())


def test_sinkhorn_reads_the_device_every_tenth_iteration():
    torch.manual_seed(0)
    for logits, reads in ((40 * torch.randn(1, 6, 6), 10), (torch.zeros(1, 6, 6), 1)):
        with counting() as counted:
            sinkhorn._sinkhorn(logits)
        assert counted.reads == reads
