"""One pass against a pass per layer: matching by activations, side by side.

    python benchmarks/matching.py [resnet20] [vgg11] [resnet50]

The reference is the published procedure in plain form: for each layer anew, both networks run over all the data with
a hook on that layer, per-batch sums of activations are pooled, and the assignment is solved; once to the end of the
network and once stopping at the layer. In the same process follow two bare forward passes (one per network, nothing
watched) and `match_activations`. Rounds alternate; printed are medians of CPU seconds, which other work on the machine
disturbs less than it does the clock, and their ratios, as they stand in docs/benchmarks.md.

`--weights` times weight matching of two ResNet50 instead and assignments of growing size, and `--memory N` shows what
matching ResNet50 on N batches holds beyond the networks.
"""

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from permask.discovery.discover import discover
from permask.matching.activations import match_activations
from permask.matching.weights import match_weights
from permask.training.networks import create_network


@dataclass(frozen=True)
class Case:
    """Two networks to match, on what, and for every group the module that shows it and a weight that it orders."""

    make: Callable[[int], nn.Module]
    layers: dict[str, str]
    image: tuple[int, int, int]
    samples: int
    batch_size: int


def _own(name: str) -> Callable[[int], nn.Module]:
    return lambda seed: create_network(name, (3, 32, 32), 10, torch.Generator().manual_seed(seed))


def _resnet50(seed: int) -> nn.Module:
    from torchvision.models import resnet50

    torch.manual_seed(seed)
    return resnet50()


BOTTLENECKS = [f"layer{stage}.{block}" for stage, blocks in enumerate((3, 4, 6, 3), 1) for block in range(blocks)]
CASES = {
    "resnet20": Case(
        _own("resnet20"),
        {f"layer{stage}.2": f"layer{stage}.2.conv2.weight" for stage in (1, 2, 3)}
        | {f"layer{s}.{b}.bn1": f"layer{s}.{b}.conv1.weight" for s in (1, 2, 3) for b in range(3)},
        (3, 32, 32),
        samples=1024,
        batch_size=128,
    ),
    "vgg11": Case(
        _own("vgg11"),
        {layer: f"{layer}.weight" for layer in ("0", "3", "6", "8", "11", "13", "16", "18")},
        (3, 32, 32),
        samples=256,
        batch_size=128,
    ),
    "resnet50": Case(
        _resnet50,
        {"bn1": "conv1.weight"}
        | {f"layer{s}.{b}": f"layer{s}.{b}.conv3.weight" for s, b in ((1, 2), (2, 3), (3, 5), (4, 2))}
        | {f"{block}.bn{i}": f"{block}.conv{i}.weight" for block in BOTTLENECKS for i in (1, 2)},
        (3, 96, 96),
        samples=32,
        batch_size=16,
    ),
}


class Reached(Exception):
    """Raised to leave a forward pass at the layer that was wanted."""


@torch.no_grad()
def forward(networks: list[nn.Module], batches: list[Tensor]) -> None:
    for network in networks:
        for batch in batches:
            network(batch)


@torch.no_grad()
def layer_by_layer(
    networks: list[nn.Module], batches: list[Tensor], case: Case, stop: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For every group its correlations and permutation, each from passes of its own over the data."""
    found = {}
    for layer, weight in case.layers.items():
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], y: Tensor, kept: list[Tensor] = kept) -> None:
            kept.append(torch.relu(y).transpose(0, 1).flatten(1))
            if stop:
                raise Reached

        hooks = [network.get_submodule(layer).register_forward_hook(keep) for network in networks]
        sums, squares, cross, count = [0.0, 0.0], [0.0, 0.0], 0.0, 0
        for batch in batches:
            kept.clear()
            for network in networks:
                try:
                    network(batch)
                except Reached:
                    continue
            for i, z in enumerate(kept):
                sums[i] = sums[i] + z.sum(1).double()
                squares[i] = squares[i] + z.square().sum(1).double()
            cross = cross + (kept[1] @ kept[0].T).double()
            count += kept[0].shape[1]
        for hook in hooks:
            hook.remove()
        mean = [s / count for s in sums]
        deviation = [(q / count - m.square()).clamp(min=0).sqrt() for q, m in zip(squares, mean, strict=True)]
        covariance = cross / count - torch.outer(mean[1], mean[0])
        correlation = np.nan_to_num((covariance / torch.outer(deviation[1], deviation[0])).numpy(), posinf=0, neginf=0)
        found[weight] = correlation, linear_sum_assignment(correlation, maximize=True)[1]
    return found


def compare(case: Case, name: str, rounds: int) -> None:
    """Time the ways of matching on one case, and compare what they find."""
    networks = [case.make(seed).eval() for seed in (0, 1)]
    generator = torch.Generator().manual_seed(2)
    batches = list(torch.randn(case.samples, *case.image, generator=generator).split(case.batch_size))
    symmetry = discover(networks[0], (batches[0][:2],))
    ways = {
        "two bare forward passes": lambda: forward(networks, batches),
        "match_activations, tracing included": lambda: match_activations(symmetry, *networks, batches),
        "layer by layer, stopping at each": lambda: layer_by_layer(networks, batches, case, stop=True),
        "layer by layer": lambda: layer_by_layer(networks, batches, case),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    results = {}
    for _ in range(rounds):
        for way, run in ways.items():
            started = time.process_time()
            results[way] = run()
            seconds[way].append(time.process_time() - started)
    permutation = results["match_activations, tracing included"].permutation
    equal, lost = 0, 0.0
    for weight, (correlation, order) in results["layer by layer"].items():
        ours = permutation.source(weight, 0)
        equal += np.array_equal(ours, order)
        best, reached = (correlation[np.arange(len(order)), index].sum() for index in (order, ours))
        lost = max(lost, (best - reached) / best)
    median = {way: float(np.median(s)) for way, s in seconds.items()}
    shape = "×".join(map(str, case.image))
    print(f"{name}: {case.samples} inputs of {shape} in batches of {case.batch_size}, n = {rounds}", flush=True)
    print(f"  equal permutations in {equal} of {len(case.layers)} groups, at most {lost:.1e} of an objective lost")
    print("| | CPU time | of two bare forward passes | of match_activations |\n|---|--:|--:|--:|")
    bare, ours = (median[way] for way in list(ways)[:2])
    for way, value in median.items():
        print(f"| {way} | {value:.2f} s | {value / bare:.2f} | {value / ours:.2f} |", flush=True)


def by_weights() -> None:
    source, target = _resnet50(0).eval(), _resnet50(1).eval()
    symmetry = discover(source, (torch.zeros(2, 3, 64, 64),))
    alignment = match_weights(symmetry, source, target)
    print(f"ResNet50, two initialisations, by weights: {alignment.seconds:.1f} s, {len(alignment.history)} sweeps")
    generator = np.random.default_rng(0)
    for size in (1024, 2048, 4096):
        noise, rows = generator.standard_normal((size, size)), generator.standard_normal((2, size, 2 * size))
        for kind, score in (("independent", noise), ("inner products of units", rows[0] @ rows[1].T)):
            started = time.perf_counter()
            linear_sum_assignment(score, maximize=True)
            print(f"assignment, n = {size}, {kind} scores: {time.perf_counter() - started:.2f} s", flush=True)


def memory(count: int) -> None:
    source, target = _resnet50(0).eval(), _resnet50(1).eval()
    data = torch.randn(8, 3, 224, 224)
    symmetry = discover(source, (data[:2],))
    before = _resident()
    match_activations(symmetry, source, target, [data] * count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"ResNet50, {count} batches of 8 at 3×224×224: at most {peak - before:.2f} GiB beyond {before:.2f} GiB before"
    )


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="fewer or more than the case has")
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--memory", type=int, metavar="N")
    arguments = parser.parse_args()
    threads = f"{torch.get_num_threads()} thread(s) of {os.cpu_count()}"
    print(f"torch {torch.__version__}, {platform.machine()}, {threads}", flush=True)
    if arguments.weights:
        by_weights()
    elif arguments.memory:
        memory(arguments.memory)
    else:
        for name in arguments.cases or CASES:
            case = CASES[name]
            compare(replace(case, samples=arguments.samples or case.samples), name, arguments.rounds)


if __name__ == "__main__":
    main()
