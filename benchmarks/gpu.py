"""What a GPU does with permask, in at most ten minutes: one command, whose Markdown is for docs/benchmarks.md.

    python benchmarks/gpu.py           # on a GPU
    python benchmarks/gpu.py --smoke   # anywhere, in seconds; its figures mean nothing

Images are random and of CIFAR-10's shape, so no data are needed. Steps per second are those of `train`, augmentation
included, by the clock. `recorded` replays the step as one CUDA graph; where that cannot be, a line says so. Lanes are
processes that train at the same time on one GPU, as `permask run` starts them. Parts that would begin after `--seconds`
are left out, and named.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import hold_mask
import numpy as np
import torch
from measure import machine, take_turns, with_range
from torch import Tensor, nn
from torch.utils.data import DataLoader
from training import MEAN, STD, Plain, train_plainly

from permask.discovery.discover import discover
from permask.mask import Mask
from permask.masks.scores import magnitude_mask
from permask.matching.activations import match_activations
from permask.training import recorded
from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.images import Images
from permask.training.evaluation import evaluate
from permask.training.execution import Execution, find_device
from permask.training.loop import Recipe, train
from permask.training.networks import create_network
from permask.training.streams import Streams, stream


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        network: Of which widths.
        widths: Factors of the channels.
        batch: Images of a step.
        steps: Of an epoch.
        rounds: Epochs that count; one more comes before them.
        lanes: Numbers of processes.
        compile: Whether compiled steps are measured.
        workers: Of the plain loop's loader.
    """

    network: str = "resnet20"
    widths: tuple[int, ...] = (1, 4)
    batch: int = 128
    steps: int = 200
    rounds: int = 5
    lanes: tuple[int, ...] = (1, 2, 4, 8)
    compile: bool = True
    workers: int = 8


SMOKE = Size("resnet8", widths=(1,), batch=4, steps=2, rounds=1, lanes=(1,), compile=False, workers=0)


@dataclass(frozen=True)
class Way:
    """How steps are taken."""

    name: str
    compile: bool = False
    record: bool = False


WAYS = (Way("eager"), Way("compiled", True), Way("recorded", False, True), Way("compiled and recorded", True, True))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="only see that it runs, on the CPU too")
    parser.add_argument("--seconds", type=float, default=480, help="after which no part begins")
    chosen = parser.parse_args(arguments)
    device = find_device()
    if device.type != "cuda" and not chosen.smoke:
        parser.error("expected a GPU that torch can use, found none; --smoke runs without one")
    size, started = SMOKE if chosen.smoke else Size(), time.perf_counter()
    print(f"{machine(device.type)}; batch {size.batch}, epochs of {size.steps} steps, n = {size.rounds} of them")
    parts = {
        "Steps": partial(steps, size, device),
        "Recorded and eager steps": partial(equality, size, device),
        "Masked steps": partial(masked, size, device),
        "Matching and evaluation": partial(passes, size, device),
        "hold_mask": partial(holding, size, device),
        "The plain loop": partial(plain, size, device),
        "Lanes": partial(lanes, size, device),
    }
    for name, measure in parts.items():
        print(f"\n### {name}\n", flush=True)
        if time.perf_counter() - started > chosen.seconds:
            print("Left out: the time was up.")
            continue
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            measure()
        for text in dict.fromkeys(str(warning.message) for warning in said):
            print(f"\nIt said: {text}")


def new_network(size: Size, width: int = 1, seed: int = 0) -> nn.Module:
    return create_network(size.network, (3, 32, 32), 10, stream(seed, "initialisation"), width=width)


def pixels(size: Size) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    count = size.batch * size.steps
    images = torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)
    return images, torch.randint(10, (count,), generator=generator)


def random_images(size: Size, device: torch.device) -> Images:
    return Images(*pixels(size), Normalisation(MEAN, STD), FlipAndCrop(4)).to(device)


@contextmanager
def recording(wanted: bool) -> Iterator[None]:
    """With recorded steps, or without."""
    before = dict(recorded.RECORDERS)
    if not wanted:
        recorded.RECORDERS.clear()
    try:
        yield
    finally:
        recorded.RECORDERS.update(before)


def trained(
    size: Size, split: Images, execution: Execution, *, width: int = 1, epochs: int, mask: Mask | None = None
) -> tuple[nn.Module, list[float]]:
    """A network, and what each epoch took."""
    network, ends = new_network(size, width).to(execution.device), [time.perf_counter()]
    recipe = Recipe(epochs, size.batch, 0.08, 0.9, 5e-4)
    note = lambda *_: ends.append(time.perf_counter())  # noqa: E731, after the loss was read from the device
    train(network, split, recipe, Streams(0), mask=mask, execution=execution, on_epoch=note)
    return network, np.diff(ends).tolist()


def rates(size: Size, split: Images, execution: Execution, **how: Any) -> np.ndarray:
    """Steps per second, of every epoch but the first."""
    return size.steps / np.array(trained(size, split, execution, epochs=size.rounds + 1, **how)[1][1:])


def executed(size: Size, device: torch.device, way: Way) -> Execution:
    """As a study decides, but for the way."""
    return replace(Execution.of(new_network(size), "cuda" if device.type == "cuda" else "cpu"), compile=way.compile)


def ways_of(size: Size) -> list[Way]:
    return [way for way in WAYS if size.compile or not way.compile]


def steps(size: Size, device: torch.device) -> None:
    split = random_images(size, device)
    print(f"Precision {executed(size, device, WAYS[0]).precision}; medians with range.\n")
    print("| network | way | steps/s | images/s |\n|---|---|--:|--:|", flush=True)
    for width in size.widths:
        for way in ways_of(size):
            with recording(way.record):
                found = rates(size, split, executed(size, device, way), width=width)
            per_second = with_range(found, "{:.0f}".format)
            print(f"| {size.network}×{width} | {way.name} | {per_second} | {np.median(found) * size.batch:,.0f} |")


def equality(size: Size, device: torch.device) -> None:
    """An epoch from the same start, twice eagerly and once recorded, in float32, where rounding grows the least."""
    split, execution = random_images(size, device), replace(executed(size, device, WAYS[0]), precision="float32")

    def weights(record: bool) -> Tensor:
        with recording(record):
            network, _ = trained(size, split, execution, epochs=1)
        return torch.cat([p.detach().flatten().double() for p in network.parameters()])

    start = torch.cat([p.detach().flatten().double() for p in new_network(size).to(device).parameters()])
    eager, again, replayed = weights(False), weights(False), weights(True)
    went, repeats, differs = (float((x - eager).norm()) for x in (start, again, replayed))
    print(
        f"After {size.steps} steps, distance from the weights of eager ones: recorded {differs:.3g}, "
        f"eager again {repeats:.3g};"
    )
    print(f"eager steps went {went:.3g} from the start. Equal to the bit: {torch.equal(eager, replayed)}.")


def masked(size: Size, device: torch.device) -> None:
    split = random_images(size, device)
    mask = magnitude_mask(new_network(size), 0.9)
    print("| way | dense, steps/s | sparsity 0.9, steps/s |\n|---|--:|--:|")
    for way in (way for way in WAYS if not way.compile):
        with recording(way.record):
            found = [rates(size, split, executed(size, device, way), mask=kept) for kept in (None, mask)]
        print(f"| {way.name} | {' | '.join(with_range(x, '{:.0f}'.format) for x in found)} |", flush=True)


def passes(size: Size, device: torch.device) -> None:
    split = random_images(size, device)
    a, b = (new_network(size, seed=seed).to(device).eval() for seed in (0, 1))
    batches = list(split.inputs(size.batch * 4))
    symmetry = discover(new_network(size), torch.zeros(2, 3, 32, 32))

    @torch.inference_mode()
    def bare() -> None:
        for batch in batches:
            a(batch), b(batch)

    ways = {
        "two bare passes": bare,
        "match_activations": lambda: match_activations(symmetry, a, b, batches),
        "evaluate": lambda: evaluate(a, split),
    }
    taken = take_turns({name: partial(waited, device, work) for name, work in ways.items()}, size.rounds)
    print(f"{len(split)} images of 3×32×32, float32.\n\n| | seconds | of the bare passes |\n|---|--:|--:|")
    for name, found in taken.items():
        print(f"| {name} | {with_range(found, '{:.3f}'.format)} | {with_range(found / taken['two bare passes'])} |")


def waited(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds until the device has done some work."""
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def holding(size: Size, device: torch.device) -> None:
    for name, make_optimizer in hold_mask.OPTIMIZERS.items():
        print(f"- {name}:", end="")
        hold_mask.compare(make_optimizer, size.steps, size.batch, device.type)


def plain(size: Size, device: torch.device) -> None:
    images, labels = pixels(size)
    loader = DataLoader(
        Plain(images.numpy(), labels.numpy()),
        size.batch,
        shuffle=True,
        num_workers=size.workers,
        persistent_workers=size.workers > 0,
    )
    epoch, split, way = Recipe(1, size.batch, 0.08, 0.9, 5e-4), random_images(size, device), ways_of(size)[-1]

    def work() -> None:
        train_plainly(new_network(size).to(device), loader, epoch, None, device.type)

    theirs = size.steps / np.array([waited(device, work) for _ in range(3)][1:])
    ours = rates(size, split, executed(size, device, way))
    print(f"| loop | images/s |\n|---|--:|\n| plain, {size.workers} workers | {np.median(theirs) * size.batch:,.0f} |")
    print(f"| ours, {way.name} | {np.median(ours) * size.batch:,.0f}, {np.median(ours) / np.median(theirs):.1f} × |")


def lanes(size: Size, device: torch.device) -> None:
    print("Recorded, not compiled.\n\n| lanes | steps/s of all | of one lane |\n|--:|--:|--:|")
    alone = 0.0
    for count in size.lanes:
        found = sum(side_by_side(size, device, count))
        alone = alone or found
        print(f"| {count} | {found:.0f} | {found / alone:.2f} |", flush=True)


def side_by_side(size: Size, device: torch.device, count: int) -> list[float]:
    """Steps per second of every one of some processes that train at the same time."""
    if count == 1:
        return [lane(size, device.type)]
    processes = get_context("spawn")
    barrier = processes.Barrier(count)
    with processes.Pool(count, set_barrier, (barrier,)) as pool:
        return pool.starmap(lane, [(size, device.type)] * count, chunksize=1)


_barrier: Any = None


def set_barrier(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def lane(size: Size, device: str) -> float:
    place = torch.device(device)
    split, execution = random_images(size, place), executed(size, place, WAYS[2])
    trained(size, split, execution, epochs=1)  # records
    if _barrier is not None:
        _barrier.wait()
    return float(np.median(rates(size, split, execution)))


if __name__ == "__main__":
    main()
