"""Matching two ResNet50 by weights, and assignments of growing size.

    python benchmarks/matching_weights.py

Two networks as initialised have nothing in common, so that coordinate descent goes on for longest. Printed are seconds
on the clock and of the processor: the first is what the user waits for, the second what other work disturbs less.
"""

import numpy as np
import torch
from measure import machine, stopwatch
from scipy.optimize import linear_sum_assignment
from torchvision.models import resnet50

from permask.discovery.discover import discover
from permask.matching.weights import match_weights


def main() -> None:
    print(machine("cpu", "torchvision"), flush=True)
    networks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        networks.append(resnet50().eval())
    symmetry = discover(networks[0], (torch.zeros(2, 3, 64, 64),))
    with stopwatch() as spent:
        alignment = match_weights(symmetry, *networks)
    print(
        f"ResNet50, two initialisations, by weights: {spent}, {len(alignment.history) - 1} sweeps, "
        f"objective {alignment.objective:.6g}",
        flush=True,
    )
    generator = np.random.default_rng(0)
    for size in (1024, 2048, 4096):
        noise, rows = generator.standard_normal((size, size)), generator.standard_normal((2, size, 2 * size))
        for kind, score in (("independent", noise), ("inner products of units", rows[0] @ rows[1].T)):
            with stopwatch() as spent:
                linear_sum_assignment(score, maximize=True)
            print(f"assignment, n = {size}, {kind} scores: {spent}", flush=True)


if __name__ == "__main__":
    main()
