"""Training ResNet20 as a study does it and as published code does it, side by side on the same images.

    python benchmarks/training.py CIFAR --rounds 5             # images per second, dense and sparse
    python benchmarks/training.py CIFAR --accuracy --seeds 5   # test accuracy after some epochs

CIFAR is a folder of images, CIFAR/train/CLASS/* and CIFAR/test/CLASS/*. The plain loop augments PIL images with
torchvision in a DataLoader of 2 workers, trains in float32 with torch's SGD as it comes, prunes with
torch.nn.utils.prune, reads the loss at every step, and counts the zeros of the gradients at every sparse one, as the
paper's code does. Ours is `permask.training.loop.train` with what it decides for
this machine, in a process that keeps freed memory, as a study's does; so the plain loop has a process of its own, which
waits while another loop trains. In a round every loop trains an epoch, so that whatever else the machine does falls on
all. It prints Markdown.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from measure import Clock, add_cpu_time, machine, seconds, take_turns, with_interval, with_range
from PIL import Image
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from permask.mask import Mask
from permask.masks.scores import magnitude_mask
from permask.report.numbers import format_difference, format_summary
from permask.report.statistics import summarise, t_interval
from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.folder import Listing, list_splits
from permask.training.data.images import Images
from permask.training.evaluation import evaluate
from permask.training.execution import CPU, Execution, keep_freed_memory
from permask.training.loop import Recipe, train
from permask.training.momentum import MomentumSGD
from permask.training.networks import create_network
from permask.training.streams import Streams, stream

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH_SIZE, SPARSITY = 128, 0.9
EPOCH = Recipe(1, BATCH_SIZE, 0.08, 0.9, 5e-4)
WARM_UP = 3  # steps


class Plain(Dataset):
    """Images in memory, made into PIL images and augmented one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def train_plainly(
    network: nn.Module, loader: DataLoader, recipe: Recipe, mask: Mask | None, device: str = "cpu"
) -> None:
    """Train a network with the loader's images; it is on the device already."""
    if mask is not None:
        for name, kept in mask.items():
            module, _, parameter = name.rpartition(".")
            prune.custom_from_mask(network.get_submodule(module), parameter, kept)
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    total = 0.0
    for _ in range(recipe.epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(images.to(device)), labels.to(device))
            loss.backward()
            if mask is not None:
                count_zeros(network)
            optimizer.step()
            schedule.step()
            total += loss.item()


def count_zeros(network: nn.Module) -> None:
    """Count the zeros of every gradient, and look in every module for a mask that a parameter would have to carry."""
    for parameter in network.parameters():
        zeros = float(torch.sum(parameter.grad == 0)) / parameter.grad.numel()
        for _ in network.named_modules():
            if hasattr(parameter, "weight_mask"):
                assert zeros


def decode(listing: Listing, count: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(0).permutation(len(listing.paths))[:count]
    return np.stack([np.asarray(Image.open(listing.paths[i]).convert("RGB")) for i in chosen]), listing.labels[chosen]


def resident(images: np.ndarray, labels: np.ndarray) -> Images:
    return Images(torch.from_numpy(images), torch.from_numpy(labels), Normalisation(MEAN, STD), FlipAndCrop(4))


def new_network(seed: int) -> nn.Module:
    return create_network("resnet20", (3, 32, 32), 10, stream(seed, "initialisation"))


def train_ours(network: nn.Module, split: Images, recipe: Recipe, mask: Mask | None, execution: Execution, seed=0):
    train(network, split, recipe, Streams(seed), mask=mask, execution=execution)


Epoch = Callable[[bool], float]  # sparse or not, to the seconds that an epoch took


def speed(images: np.ndarray, labels: np.ndarray, rounds: int, steps: int, compile: bool, clock: Clock) -> None:
    """Images per second of every loop, and what masks and the loader cost ours."""
    keep_freed_memory()
    split, decided = resident(images, labels), Execution.of(new_network(0), "cpu")
    executions = {f"ours, {decided.precision}": decided, "ours, float32": CPU}
    if compile:
        executions[f"ours, {decided.precision}, compiled"] = replace(decided, compile=True)
    with plain_epoch(images, labels, clock) as plain:
        loops = {"plain": plain} | {name: our_epoch(split, execution, clock) for name, execution in executions.items()}
        ways = {(name, sparse): partial(epoch, sparse) for name, epoch in loops.items() for sparse in (False, True)}
        taken = take_turns(ways, rounds)
    print("| loop | dense, images/s | × plain | sparse, images/s | × plain |\n|---|--:|--:|--:|--:|")
    for name in loops:
        cells = []
        for sparse in (False, True):
            ratios = taken["plain", sparse] / taken[name, sparse]
            cells += [f"{len(images) / np.median(taken[name, sparse]):.0f}", with_range(ratios)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    costs(split, decided, clock, steps)


def our_epoch(split: Images, execution: Execution, clock: Clock) -> Epoch:
    return lambda sparse: timed(clock, sparse, lambda n, m: train_ours(n, split, EPOCH, m, execution))


@contextmanager
def plain_epoch(images: np.ndarray, labels: np.ndarray, clock: Clock) -> Iterator[Epoch]:
    """Epochs of the plain loop in a process that is there until the context ends."""
    processes = get_context("spawn")
    here, there = processes.Pipe()
    process = processes.Process(target=answer, args=(there, images, labels, clock))
    process.start()

    def epoch(sparse: bool) -> float:
        here.send(sparse)
        return here.recv()

    try:
        yield epoch
    finally:
        here.send(None)
        process.join()


def answer(connection: Connection, images: np.ndarray, labels: np.ndarray, clock: Clock) -> None:
    torch.set_flush_denormal(True)
    loader = DataLoader(Plain(images, labels), BATCH_SIZE, shuffle=True, num_workers=2, persistent_workers=True)
    while (sparse := connection.recv()) is not None:
        connection.send(timed(clock, sparse, lambda network, mask: train_plainly(network, loader, EPOCH, mask)))


def timed(clock: Clock, sparse: bool, train_epoch: Callable[[nn.Module, Mask | None], None]) -> float:
    network = new_network(0)
    mask = magnitude_mask(network, SPARSITY) if sparse else None
    return seconds(clock, lambda: train_epoch(network, mask))


def costs(split: Images, execution: Execution, clock: Clock, steps: int) -> None:
    """What a sparse step and what the loader take, of a dense step; side by side, one or the other first."""
    batches = (b for e in count() for b in split.epoch(BATCH_SIZE, stream(e, "order"), stream(e, "augmentation")))
    batch = next(batches)

    def load() -> float:
        nonlocal batch
        started = clock()
        batch = next(batches)
        return clock() - started

    def steps_of(sparse: bool) -> Callable[[], tuple[float, float]]:
        network = execution.place(new_network(0)).train()
        mask = magnitude_mask(network, SPARSITY) if sparse else None
        optimizer = MomentumSGD(network, 0.9, 5e-4, mask=mask)

        def step() -> tuple[float, float]:
            started = clock()
            execution.loss_function(network)(*batch).backward()
            computed = clock()
            optimizer.step(0.01)
            ended = clock()
            return ended - started, ended - computed

        return step

    taken = take_turns({"loader": load, "dense": steps_of(False), "sparse": steps_of(True)}, steps, warm_up=WARM_UP)
    (dense, of_dense), (sparse, of_sparse) = taken["dense"].T, taken["sparse"].T  # whole step, optimizer's part
    ratios = {
        "sparse step": sparse / dense,
        "sparse step, by the optimizer's part": 1 + (of_sparse - of_dense) / np.median(dense),
        "loader": taken["loader"] / dense,
    }
    print(f"\n| of a dense step, {1e3 * np.median(dense):.0f} ms | median of {steps}, 95% interval |\n|---|--:|")
    for name, found in ratios.items():
        print(f"| {name} | {with_interval(found)} |")


def accuracy(images, labels, test: Images, seeds: int, epochs: int) -> None:
    """Test accuracy of both loops from the same initialisations."""
    recipe, split = Recipe(epochs, BATCH_SIZE, 0.08, 0.9, 5e-4), resident(images, labels)
    found = np.empty((seeds, 2))
    for seed in range(seeds):
        torch.manual_seed(seed)
        plain, ours = new_network(seed), new_network(seed)
        train_plainly(plain, DataLoader(Plain(images, labels), BATCH_SIZE, shuffle=True, num_workers=2), recipe, None)
        train_ours(ours, split, recipe, None, Execution.of(ours, "cpu"), seed)
        found[seed] = [evaluate(network, test).accuracy for network in (plain, ours)]
        print(f"seed {seed}: plain {found[seed, 0]:.2f}, ours {found[seed, 1]:.2f}", flush=True)
    cells = [format_summary(summarise(accuracies)) for accuracies in found.T]
    cells.append(format_difference(t_interval(found[:, 1] - found[:, 0])))
    print(f"| plain | ours | ours − plain, 95% interval |\n|--:|--:|--:|\n| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--train", type=int, default=2560, help="training images")
    parser.add_argument("--test", type=int, default=2000, help="test images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="by which what a mask and the loader cost is measured")
    parser.add_argument("--compile", action="store_true", help="the compiled loop besides")
    add_cpu_time(parser, but="the plain loop's workers then cost nothing")
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    print(f"{machine()}; {arguments.train} training images")
    listings = list_splits(arguments.images)
    images, labels = decode(listings[0], arguments.train)
    if arguments.accuracy:
        test = resident(*decode(listings[1], arguments.test))
        accuracy(images, labels, test, arguments.seeds, arguments.epochs)
    else:
        speed(images, labels, arguments.rounds, arguments.steps, arguments.compile, arguments.clock)


if __name__ == "__main__":
    main()
