"""One pass against a pass per layer: matching by activations, side by side.

    python benchmarks/matching.py [resnet20] [vgg11] [resnet50] --images cifar10-jpeg/train

The reference is the published procedure in plain form: for each layer anew, both networks run over all the data with
a hook on that layer, per-batch sums of activations are pooled, and the assignment is solved; once to the end of the
network and once stopping at the layer. In the same process follow two bare forward passes (one per network, nothing
watched) and `match_activations`. Images come as a DataLoader gives them, one channel after the other; bare passes also
run on images with their channels last in memory. Rounds alternate; printed are medians of CPU seconds, which other work
on the machine disturbs less than it does the clock, and their ratios, as they stand in docs/benchmarks.md.

`--layers K` runs the reference for K layers, evenly spaced, and multiplies its time; then the permutations of the other
layers are compared with those of hooks on all layers in one pass, which see the same activations.

The networks are as initialised, but for their normalisation: BatchNorm statistics are taken from the data, and
convolutions without BatchNorm are scaled to unit variance (Mishkin & Matas 2016), so that units are alive and differ.

`--memory N` shows instead what matching ResNet50 on N batches holds beyond the networks.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from layer_by_layer import correlations, layer_by_layer
from measure import machine, take_turns
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from permask.cli.images import read_folder, scaled
from permask.connectivity.batchnorm import reset_batchnorm
from permask.discovery.capture import capture
from permask.discovery.discover import discover
from permask.inputs import Inputs
from permask.matching.activations import match_activations
from permask.matching.observation import observe
from permask.permutation import Permutation
from permask.symmetry import Symmetry
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
        samples=2048,
        batch_size=128,
    ),
    "vgg11": Case(
        _own("vgg11"),
        {layer: f"{layer}.weight" for layer in ("0", "3", "6", "8", "11", "13", "16", "18")},
        (3, 32, 32),
        samples=1024,
        batch_size=128,
    ),
    "resnet50": Case(
        _resnet50,
        {"bn1": "conv1.weight"}
        | {f"layer{s}.{b}": f"layer{s}.{b}.conv3.weight" for s, b in ((1, 2), (2, 3), (3, 5), (4, 2))}
        | {f"{block}.bn{i}": f"{block}.conv{i}.weight" for block in BOTTLENECKS for i in (1, 2)},
        (3, 96, 96),
        samples=512,
        batch_size=32,
    ),
}


@torch.no_grad()
def forward(networks: list[nn.Module], batches: list[Tensor]) -> None:
    for network in networks:
        for batch in batches:
            network(batch)


@torch.no_grad()
def calibrate(network: nn.Module, batch: Tensor) -> nn.Module:
    """Give every channel before an activation zero mean and unit variance on a batch, in place."""

    def rescale(module: nn.Module, _inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
        mean, std = y.mean((0, 2, 3)), y.std((0, 2, 3))
        module.weight.div_(std[:, None, None, None])
        module.bias.sub_(mean).div_(std)
        return (y - mean[:, None, None]) / std[:, None, None]

    bare = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    hooks = [module.register_forward_hook(rescale) for module in bare]
    network(batch)
    for hook in hooks:
        hook.remove()
    return reset_batchnorm(network, [batch]).eval()


def read_images(folder: Path | None, case: Case) -> Tensor:
    """As many normalised images as the case has samples, from a folder of classes or else noise."""
    if folder is None:
        return torch.randn(case.samples, *case.image, generator=torch.Generator().manual_seed(2))
    images = scaled(read_folder(folder, case.samples)["inputs"], str(folder))
    images = F.interpolate(images, case.image[1:], mode="bilinear")
    return (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True)


def compare(case: Case, name: str, rounds: int, reference_rounds: int, folder: Path | None, count: int | None) -> None:
    """Time the ways of matching on one case, and compare what they find."""
    images = read_images(folder, case)
    batches = list(images.split(case.batch_size))
    networks = [calibrate(case.make(seed), images[:: max(1, len(images) // case.batch_size)]) for seed in (0, 1)]
    symmetry = discover(networks[0], (batches[0][:2],))
    channels_last = [batch.contiguous(memory_format=torch.channels_last) for batch in batches]
    every = max(1, len(case.layers) // (count or len(case.layers)))
    layers = dict(list(case.layers.items())[::every])
    factor = len(case.layers) / len(layers)
    ways = {
        "two bare forward passes": lambda: forward(networks, batches),
        "two bare forward passes, channels last": lambda: forward(networks, channels_last),
        "match_activations, tracing included": lambda: match_activations(symmetry, *networks, batches),
        "its pass alone, tracing included": lambda: observe(symmetry, networks, batches),
        "tracing alone": lambda: capture(networks[0], Inputs.of(networks[0], (batches[0],))),
    }
    references = {
        "layer by layer, stopping at each": lambda: layer_by_layer(networks, batches, layers, stop=True),
        "layer by layer": lambda: layer_by_layer(networks, batches, layers),
    }
    results = {}

    def seconds(way: str) -> float:
        started = time.process_time()
        results[way] = (ways | references)[way]()
        return (time.process_time() - started) * (factor if way in references else 1)

    taken = take_turns({way: partial(seconds, way) for way in ways}, rounds, warm_up=0)
    taken |= take_turns({way: partial(seconds, way) for way in references}, reference_rounds, warm_up=0)
    shape, what = "×".join(map(str, case.image)), "CIFAR-10 images" if folder else "noise"
    print(
        f"{name}: {case.samples} inputs of {shape} ({what}) in batches of {case.batch_size}, n = {rounds}, "
        f"of the reference {reference_rounds}",
        flush=True,
    )
    if factor > 1:
        print(f"  layer by layer for {len(layers)} of {len(case.layers)} layers, its time multiplied by {factor:.3g}")
    tell_operations(networks, symmetry, batches[0])
    seen = correlations(networks, batches, case.layers)
    tell_agreement(results["match_activations, tracing included"].permutation, seen, results["layer by layer"])
    print("| | CPU time | of two bare forward passes | of match_activations |\n|---|--:|--:|--:|")
    median = {way: float(np.median(s)) for way, s in taken.items()}
    bare, ours = median["two bare forward passes"], median["match_activations, tracing included"]
    for way, without in (("match_activations", "tracing"), ("its pass alone", "tracing and assignments")):
        rest = median[f"{way}, tracing included"] - median["tracing alone"]
        print(f"  match_activations without {without}: {rest / bare:.2f} of two bare forward passes")
    for way, value in median.items():
        print(f"| {way} | {value:.2f} s | {value / bare:.2f} | {value / ours:.2f} |", flush=True)


def tell_operations(networks: list[nn.Module], symmetry: Symmetry, batch: Tensor) -> None:
    """How many operations the products of activations are, beside those of the forward passes."""
    with FlopCounterMode(display=False) as passes:
        forward(networks, [batch])
    moments, _ = observe(symmetry, networks, [batch])
    products = sum(2 * seen.units**2 * seen.count for seen in moments[0, 1].values())
    total = passes.get_total_flops()
    added = products / total
    print(f"  {total / 1e9:.2f} GFLOP in two forward passes of a batch; products of activations add {added:.3f}")


def tell_agreement(permutation: Permutation, seen: dict[str, np.ndarray], alone: dict[str, np.ndarray]) -> None:
    """In how many groups the permutations are equal, and what the others lose of the objective.

    Args:
        permutation: What `match_activations` found.
        seen: Parameter name to the reference's correlations.
        alone: Likewise to its permutations, as far as it ran layer by layer.
    """
    equal, ties = [], {}
    for weight, correlation in seen.items():
        reference = alone.get(weight, linear_sum_assignment(correlation, maximize=True)[1])
        ours, units = permutation.source(weight, 0), np.arange(len(reference))
        assert ours is not None
        if np.array_equal(ours, reference):
            equal.append(weight)
        else:
            lost = correlation[units, reference].sum() - correlation[units, ours].sum()
            ties[weight] = int((ours != reference).sum()), len(units), lost / len(units)
    print(f"  equal permutations in {len(equal)} of {len(seen)} groups; {len(alone)} compared with layers run alone")
    for weight, (units, size, lost) in ties.items():
        print(f"  {weight}: {units} of {size} units otherwise, {lost:.1e} of correlation lost per unit")


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
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize() / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference-rounds", type=int, default=1, help="of the reference, which takes minutes")
    parser.add_argument("--samples", type=int, help="fewer or more than the case has")
    parser.add_argument("--images", type=Path, metavar="DIR", help="CLASS/IMAGE to match on; noise unless given")
    parser.add_argument("--layers", type=int, metavar="K", help="layers that the reference runs for; all by default")
    parser.add_argument("--memory", type=int, metavar="N")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    if arguments.memory:
        memory(arguments.memory)
    else:
        for name in arguments.cases or CASES:
            case = CASES[name]
            case = replace(case, samples=arguments.samples or case.samples)
            compare(case, name, arguments.rounds, arguments.reference_rounds, arguments.images, arguments.layers)


if __name__ == "__main__":
    main()
