"""A mask held by two processes that train one network: exactly, and to the same bytes in both."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import permask
from permask.dynamic import RigL
from permask.errors import NetworkError

pytestmark = pytest.mark.slow

PROCESSES, STEPS, SAMPLES = 2, 6, 32
LAUNCHER = Path(__file__).parent / "support" / "launched.py"


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def batch(step: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(SAMPLES, 6, generator=torch.Generator().manual_seed(step))
    return x, x[:, :3].argmax(1)


def share(rank: int, step: int) -> tuple[Tensor, Tensor]:
    """What a process sees of a batch."""
    x, y = batch(step)
    return x[rank::PROCESSES], y[rank::PROCESSES]


def pruned(mask: permask.Mask, model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """All that has to be zero."""
    for name, kept in mask.items():
        parameter = model.get_parameter(name)
        state = [x for x in optimizer.state[parameter].values() if x.shape == parameter.shape]
        yield from (x.detach()[~kept] for x in (parameter, parameter.grad, *state) if x is not None)


def content(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    """All bytes of weights and optimizer state."""
    state = [x for p in model.parameters() for x in optimizer.state[p].values()]
    return torch.cat([x.detach().float().flatten() for x in (*model.parameters(), *state)]).view(torch.int32)


def check_same(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """That all processes hold the same bytes."""
    mine = content(model, optimizer)
    everyones = [torch.empty_like(mine) for _ in range(PROCESSES)]
    dist.all_gather(everyones, mine)
    assert all(torch.equal(mine, other) for other in everyones)


def check_trained(model: nn.Module, mask: permask.Mask) -> None:
    """That every layer moved where it is not pruned."""
    start = network()
    for name, kept in mask.items():
        assert (model.get_parameter(name) != start.get_parameter(name))[kept].any()


def train_with_ddp(rank: int) -> None:
    model = network()
    ddp = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    mask = permask.magnitude_mask(ddp, 0.5)
    with permask.hold_mask(ddp, mask, optimizer):
        for step in range(STEPS):
            optimizer.zero_grad()
            x, y = share(rank, step)
            F.cross_entropy(ddp(x), y).backward()
            optimizer.step()
            assert all((x == 0).all() for x in pruned(mask, model, optimizer))
            check_same(model, optimizer)
    check_trained(model, mask)
    alone = network()
    optimizer = torch.optim.Adam(alone.parameters(), 0.01)
    with permask.hold_mask(alone, mask, optimizer):
        for step in range(STEPS):
            optimizer.zero_grad()
            x, y = batch(step)
            F.cross_entropy(alone(x), y).backward()
            optimizer.step()
    torch.testing.assert_close(dict(model.named_parameters()), dict(alone.named_parameters()))


def accumulate_with_ddp(rank: int) -> None:
    model = network()
    ddp = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    mask = permask.magnitude_mask(ddp, 0.5)
    with permask.hold_mask(ddp, mask, optimizer):
        for step in range(STEPS):
            for part in (False, True):
                x, y = share(rank, 2 * step + part)
                with nullcontext() if part else ddp.no_sync():
                    F.cross_entropy(ddp(x), y).backward()
            optimizer.step()
            assert all((x == 0).all() for x in pruned(mask, model, optimizer))
            check_same(model, optimizer)
            optimizer.zero_grad()
    check_trained(model, mask)


def grow_with_ddp(rank: int) -> None:
    model = network()
    ddp = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    first = permask.magnitude_mask(ddp, 0.5)
    with permask.hold_mask(ddp, first, optimizer) as handle:
        updates = RigL(handle, every=2, until=STEPS)
        for step in range(STEPS):
            optimizer.zero_grad()
            x, y = share(rank, step)
            F.cross_entropy(ddp(x), y).backward()
            optimizer.step()
            updates.step()
            assert all((x == 0).all() for x in pruned(handle.mask, model, optimizer))
            check_same(model, optimizer)
        assert handle.mask != first
        assert handle.mask.count == first.count


def shard(rank: int) -> None:
    mask = permask.magnitude_mask(network(), 0.5)
    model = fully_shard(network(), mesh=init_device_mesh("cpu", (PROCESSES,)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(NetworkError, match=r"sharded over processes: gather them by [^\n]*$"):
        permask.hold_mask(model, mask, optimizer)
    whole = network()  # as the sentence says
    whole.load_state_dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
    mask.apply_(whole)


def every(rank: int, path: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=PROCESSES)
    for check in (train_with_ddp, accumulate_with_ddp, grow_with_ddp, shard):
        check(rank)
    dist.destroy_process_group()


def test_two_processes(tmp_path):
    torch.multiprocessing.spawn(every, (str(tmp_path / "meeting"),), nprocs=PROCESSES)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_of_accelerate(accumulate):
    pytest.importorskip("accelerate")
    done = subprocess.run([sys.executable, LAUNCHER, str(accumulate)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "trained by 2" in done.stdout
