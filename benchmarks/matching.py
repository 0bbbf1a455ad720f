"""One pass against a pass per layer: matching ResNet20 on inputs of CIFAR's size, side by side.

    python benchmarks/matching.py --samples 2048

The reference is the published procedure in plain form: for each layer anew, both networks run over all the data up
to its end with a hook on that layer, per-batch sums of activations are pooled, and the assignment is solved. In
the same process follow two bare forward passes (one per network, nothing watched) and `match_activations`. The
permutations must be equal. Rounds alternate; printed are medians and ratios.

`--weights` times weight matching of two ResNet50 instead, and `--memory` shows what matching ResNet50 holds
beyond the networks, for 2 and for 6 batches.
"""

import argparse
import os
import platform
import resource
import time

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from permask.discovery.discover import discover
from permask.matching.activations import match_activations
from permask.matching.weights import match_weights
from permask.training.networks import create_network

# where each group of ResNet20 is seen: the last block's output of a stage, and the inner ReLU of each block
STAGES = {f"layer{stage}.2": f"stage {stage}" for stage in (1, 2, 3)}
INNER = {f"layer{stage}.{block}.bn1": f"inner {stage}.{block}" for stage in (1, 2, 3) for block in range(3)}


@torch.no_grad()
def forward(model: nn.Module, batches: list[Tensor]) -> None:
    for batch in batches:
        model(batch)


@torch.no_grad()
def layer_by_layer(networks: list[nn.Module], batches: list[Tensor]) -> dict[str, np.ndarray]:
    """The permutation of every group, each from two passes of its own over the data."""
    found = {}
    for layer in [*STAGES, *INNER]:
        kept: list[Tensor] = []
        hooks = [
            network.get_submodule(layer).register_forward_hook(
                lambda _m, _i, y, kept=kept: kept.append(torch.relu(y).transpose(0, 1).flatten(1))
            )
            for network in networks
        ]
        sums, squares, cross, count = [0.0, 0.0], [0.0, 0.0], 0.0, 0
        for batch in batches:
            kept.clear()
            for network in networks:
                network(batch)
            for i, z in enumerate(kept):
                sums[i] = sums[i] + z.sum(1).double()
                squares[i] = squares[i] + z.square().sum(1).double()
            cross = cross + (kept[1] @ kept[0].T).double()
            count += kept[0].shape[1]
        for hook in hooks:
            hook.remove()
        mean = [s / count for s in sums]
        deviation = [(q / count - m.square()).sqrt() for q, m in zip(squares, mean, strict=True)]
        correlation = (cross / count - torch.outer(mean[1], mean[0])) / torch.outer(deviation[1], deviation[0])
        found[layer] = linear_sum_assignment(np.nan_to_num(correlation.numpy()), maximize=True)[1]
    return found


def resnet20(samples: int, batch_size: int, rounds: int) -> None:
    networks = [
        create_network("resnet20", (3, 32, 32), 10, torch.Generator().manual_seed(seed)).eval() for seed in (0, 1)
    ]
    data = torch.randn(samples, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    batches = list(data.split(batch_size))
    symmetry = discover(networks[0], (data[:2],))
    seconds: dict[str, list[float]] = {"reference": [], "forward": [], "one pass": []}
    for _ in range(rounds):
        started = time.perf_counter()
        reference = layer_by_layer(networks, batches)
        seconds["reference"].append(time.perf_counter() - started)
        started = time.perf_counter()
        for network in networks:
            forward(network, batches)
        seconds["forward"].append(time.perf_counter() - started)
        started = time.perf_counter()
        alignment = match_activations(symmetry, *networks, batches)
        seconds["one pass"].append(time.perf_counter() - started)
    equal = 0
    for layer, order in reference.items():
        reader = f"{layer}.conv2.weight" if layer in STAGES else f"{layer.removesuffix('bn1')}conv1.weight"
        equal += np.array_equal(alignment.permutation.source(reader, 0), order)
    median = {name: float(np.median(s)) for name, s in seconds.items()}
    print(f"ResNet20, {samples} samples in batches of {batch_size}, n = {rounds} rounds")
    print(f"  equal permutations: {equal} of {len(reference)} groups")
    for name, value in median.items():
        print(f"  {name}: {value:.2f} s")
    print(f"  the reference takes {median['reference'] / median['one pass']:.1f} times as long as one pass")
    print(f"  one pass takes {median['one pass'] / median['forward']:.2f} times as long as two bare forward passes")


def resnet50_by_weights() -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    source, target = resnet50().eval(), resnet50().eval()
    symmetry = discover(source, (torch.zeros(2, 3, 64, 64),))
    alignment = match_weights(symmetry, source, target)
    print(f"ResNet50, two initialisations, by weights: {alignment.seconds:.1f} s, {len(alignment.history)} sweeps")


def resnet50_memory() -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    source, target = resnet50().eval(), resnet50().eval()
    data = torch.randn(8, 3, 224, 224)
    symmetry = discover(source, (data[:2],))
    before = _peak()
    for batches in (2, 6):
        match_activations(symmetry, source, target, [data] * batches)
        print(f"ResNet50, {batches} batches of 8: peak memory {_peak() - before:.2f} GB above that of discovery")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    threads = f"{torch.get_num_threads()} thread(s) of {os.cpu_count()}"
    print(f"torch {torch.__version__}, {platform.machine()}, {threads}")
    if arguments.weights:
        resnet50_by_weights()
    elif arguments.memory:
        resnet50_memory()
    else:
        resnet20(arguments.samples, arguments.batch_size, arguments.rounds)


if __name__ == "__main__":
    main()
