"""What it costs to mend the statistics of a merged network, beside a bare forward pass over the same images.

    python benchmarks/mend_statistics.py [resnet20] [vgg11] [resnet50]

`reset_batchnorm` takes one pass at least, where there is a BatchNorm, and `repair` one for each end and one for the
network between them. Rounds alternate; printed are medians of the processor's seconds on one thread.
"""

import argparse
import copy
import time
from functools import partial

import numpy as np
import torch
from matching import CASES, calibrate, forward
from measure import machine, seconds, take_turns

from permask.connectivity.batchnorm import reset_batchnorm
from permask.connectivity.merge import average
from permask.connectivity.repair import repair

BATCHES = 4


def compare(name: str, rounds: int) -> None:
    """Time the ways of mending on one pair of networks."""
    case = CASES[name]
    images = torch.randn(BATCHES * case.batch_size, *case.image, generator=torch.Generator().manual_seed(0))
    batches = list(images.split(case.batch_size))
    source, target = (calibrate(case.make(seed), batches[0]) for seed in (0, 1))
    merged = average([source, target], [0.5, 0.5])
    ways = {
        "bare": lambda: forward([source], batches),
        "reset": lambda: reset_batchnorm(copy.deepcopy(merged), batches),
        "repair": lambda: repair(source, target, copy.deepcopy(merged), batches),
    }
    taken = take_turns({way: partial(seconds, time.process_time, work) for way, work in ways.items()}, rounds)
    bare, reset, repaired = (float(np.median(taken[way])) for way in ways)
    print(f"| {name} | {bare:.2f} s | {reset / bare:.2f} | {repaired / bare:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}, n = {arguments.rounds}")
    print("| | bare forward pass of one network | reset / bare | repair / bare |\n|---|--:|--:|--:|")
    for name in arguments.cases or CASES:
        compare(name, arguments.rounds)


if __name__ == "__main__":
    main()
