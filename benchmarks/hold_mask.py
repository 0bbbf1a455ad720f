"""What holding a mask costs: training steps of ResNet20 with and without it, side by side.

    python benchmarks/hold_mask.py --steps 60

Dense and held steps alternate, in one process and on equal networks and data, so that whatever else the machine
does falls on both. Prints the median over steps of the ratio, with a 95% bootstrap interval. Holding happens inside
`optimizer.step()`, a small part of a step that varies less than the rest: the second ratio is
1 + (held − dense optimizer step) / (dense step).
"""

import argparse
import time
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from measure import machine, take_turns, with_interval
from torch import nn

from permask.masks.hold import hold_mask
from permask.masks.scores import magnitude_mask
from permask.training.networks import create_network

OPTIMIZERS = {
    "SGD, momentum 0.9, fused": lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=5e-4, fused=True),
    "SGD, momentum 0.9, foreach": lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=5e-4, foreach=True),
    "AdamW, foreach": lambda p: torch.optim.AdamW(p, foreach=True),
}


def timed_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> tuple[float, float]:
    """Seconds of a whole training step, and of the optimizer's part of it."""
    synchronise = torch.cuda.synchronize if x.is_cuda else lambda: None
    started = time.perf_counter()
    F.cross_entropy(model(x), y).backward()
    synchronise()
    computed = time.perf_counter()
    optimizer.step()
    synchronise()
    ended = time.perf_counter()
    optimizer.zero_grad()
    return ended - started, ended - computed


def compare(make_optimizer, steps: int, batch_size: int, device: str) -> None:
    networks = [
        create_network("resnet20", (3, 32, 32), 10, torch.Generator().manual_seed(0)).to(device) for _ in range(2)
    ]
    optimizers = [make_optimizer(network.parameters()) for network in networks]
    hold_mask(networks[1], magnitude_mask(networks[1], 0.9), optimizers[1])
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch_size, 3, 32, 32, generator=generator).to(device)
    y = torch.randint(10, (batch_size,), generator=generator).to(device)
    dense_step, held_step = (partial(timed_step, *pair, x, y) for pair in zip(networks, optimizers, strict=True))
    seconds = take_turns({"dense": dense_step, "held": held_step}, steps, warm_up=3)
    (dense, of_dense), (held, of_held) = seconds["dense"].T, seconds["held"].T  # whole step, optimizer's part
    inside = 1 + (of_held - of_dense) / np.median(dense)
    print(f"  whole step {with_interval(held / dense)}, by the optimizer's part {with_interval(inside)}, n = {steps}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(f"ResNet20, batch {arguments.batch_size}, sparsity 0.9; {machine(arguments.device)}")
    for name, make_optimizer in OPTIMIZERS.items():
        print(name)
        compare(make_optimizer, arguments.steps, arguments.batch_size, arguments.device)


if __name__ == "__main__":
    main()
