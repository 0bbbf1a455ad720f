"""What merging two and three networks that were trained apart gives, by what becomes of the statistics.

    python benchmarks/merging.py --groups 5

Trains groups of three networks on scikit-learn's digits, merges the first two of each and all three by
`permask.merge`, and prints test error in percent as Markdown: mean over groups, and differences within groups with
Student's 95% interval. `ResNet8` has BatchNorm, the MLPs are residual and have LayerNorm, or RMSNorm, in front of every
block. `--text FOLDER...` takes weights of networks of `studies/gpt-text.yaml` in pairs besides, and tells their loss.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from measure import machine
from torch import Tensor, nn

import permask
from permask.checkpoints import read_state
from permask.progress import silent
from permask.report.statistics import t_interval
from permask.training.data.digits import load_digits
from permask.training.networks import create_network
from permask.training.streams import stream

EPOCHS, BATCH, TRAIN = 20, 64, 1200
STATISTICS = ("keep", "reset", "repair")


class RMSNorm(nn.Module):
    """x / rms(x), scaled, without a bias."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, width]` to the same."""
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class Block(nn.Module):
    """x + mlp(norm(x))."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.mlp = nn.Sequential(norm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, width]` to the same."""
        return x + self.mlp(x)


def residual_mlp(norm: Callable[[int], nn.Module], seed: int, width: int = 64) -> nn.Module:
    torch.manual_seed(seed)
    blocks = (Block(width, norm) for _ in range(3))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), *blocks, norm(width), nn.Linear(width, 10))


def resnet(seed: int) -> nn.Module:
    return create_network("resnet8", (1, 8, 8), 10, stream(seed, "initialisation"))


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "ResNet8, BatchNorm": resnet,
    "MLP, LayerNorm": partial(residual_mlp, nn.LayerNorm),
    "MLP, RMSNorm": partial(residual_mlp, RMSNorm),
}


def trained(network: nn.Module, seed: int, images: Tensor, labels: Tensor) -> nn.Module:
    """Train by Adam, with a learning rate that falls linearly from 3e-3 to 0."""
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(seed)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images), generator=generator).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(network.train()(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def error(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """In percent."""
    return 100 * (network(images).argmax(-1) != labels).double().mean().item()


@torch.no_grad()
def loss(network: nn.Module, tokens: Tensor, labels: Tensor) -> float:
    """In nats per character."""
    found = [F.cross_entropy(network(x).flatten(0, 1), y.flatten()) for x, y in zip(tokens, labels, strict=True)]
    return torch.stack(found).double().mean().item()


Measure = Callable[[nn.Module], float]
Columns = dict[str, float]


def merged(networks: Sequence[nn.Module], inputs: Tensor, measure: Measure) -> Columns:
    """What every way of merging gives."""
    symmetry = permask.discover(networks[0], inputs[:2])
    batches = list(inputs.split(256))
    found = {"networks": float(np.mean([measure(network) for network in networks]))}
    ways = [("none", "repair"), *product(["weights"], STATISTICS), *product(["activations"], STATISTICS)]
    for match, statistics in ways:
        one = permask.merge(networks, match=match, statistics=statistics, batches=batches, symmetry=symmetry)
        found[f"{match}, {statistics}"] = measure(one)
    return found


def of_digits(name: str, groups: int, first: int) -> Iterator[tuple[Columns, Columns]]:
    """Two and three merged networks of every group."""
    data = load_digits(TRAIN, 0)
    (images, labels), test = next(data.train.batches(TRAIN)), next(data.test.batches(10_000))
    for group in range(groups):
        networks = []
        for seed in range(first + 3 * group, first + 3 * group + 3):
            networks.append(trained(NETWORKS[name](seed), seed, images, labels))
            if wrong := error(networks[-1], images, labels):
                print(f"{name}, seed {seed}: {wrong:.2f}% of the training images are wrong", flush=True)
        measure = partial(error, images=test[0], labels=test[1])
        yield merged(networks[:2], images, measure), merged(networks, images, measure)


def of_text(folders: Sequence[Path], sequences: int = 256) -> Iterator[Columns]:
    """Two merged networks of every pair."""
    from permask.training.data.text import load_text
    from permask.training.data.text_files import TextFiles

    sizes = {"context": 64, "train_size": 4096, "test_size": 1024, "validation": 0}
    files = {"files": "*", "content": TextFiles.read("", "*").content}
    data = load_text(**files, **sizes, level="character", split_seed=0)
    tokens, test = next(data.train.batches(sequences))[0], next(data.test.batches(512))
    for pair in zip(folders[::2], folders[1::2], strict=True):
        networks = [
            create_network("gpt", (64,), data.classes, stream(0, "initialisation"), layers=2, width=64) for _ in pair
        ]
        for network, folder in zip(networks, pair, strict=True):
            network.eval().load_state_dict(read_state(folder / "weights.safetensors"))
        yield merged(networks, tokens, partial(loss, tokens=test[0].split(128), labels=test[1].split(128)))


def table(title: str, rows: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Means with Student's 95% interval."""
    print(f"\n| {title} | mean | 95% interval | n |\n|---|---:|---:|---:|")
    for name, values in rows:
        found = t_interval(values)
        interval = "" if found.low is None else f"[{found.low:.2f}, {found.high:.2f}]"
        print(f"| {name} | {found.mean:.2f} | {interval} | {found.n} |", flush=True)


def columns(found: Sequence[Columns]) -> list[tuple[str, list[float]]]:
    rows = [(name, [one[name] for one in found]) for name in found[0]]
    for match, other in product(("activations", "weights"), ("keep", "reset")):
        differences = [one[f"{match}, repair"] - one[f"{match}, {other}"] for one in found]
        rows.append((f"{match}: repair − {other}", differences))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--text", nargs="*", type=Path, default=[])
    given = parser.parse_args()
    with silent():
        for name in given.networks:
            two, three = zip(*of_digits(name, given.groups, given.first_seed), strict=True)
            table(f"{name}: two merged, error in %", columns(two))
            differences = [b["activations, repair"] - a["activations, repair"] for a, b in zip(two, three, strict=True)]
            table(
                f"{name}: three merged, error in %",
                [*columns(three), ("three − two, activations, repair", differences)],
            )
        if given.text:
            table("GPT, LayerNorm: two merged, nats per character", columns(list(of_text(given.text))))
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
