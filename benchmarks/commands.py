"""What the commands take for a network that they see for the first time, and for one whose symmetry they remember.

    python benchmarks/commands.py --rounds 5 --size 64 resnet50

Every call is a process of its own, as from a shell, with an empty cache or with one that holds the network's symmetry.
Seconds are those of the processor, which other work on the machine disturbs less. Each process has one thread, because
threads that wait for each other take seconds of the processor, too.
"""

import os
import resource
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measure import machine, take_turns, with_range
from torchvision import models

BATCH = 8


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("network", nargs="?", default="resnet50", help="one of torchvision.models")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    chosen = parser.parse_args()
    print(machine("cpu", "torchvision"), flush=True)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        made = f"torchvision.models:{chosen.network}"
        shape = f"3x{chosen.size}x{chosen.size}"
        options = [] if chosen.network != "vit_b_16" else [f"image_size={chosen.size}"]
        write(place, chosen.network, chosen.size)
        weights = ["a.pt", "b.pt", *options, "--data", "images.npz", "--by", "activations"]
        commands = {
            "inspect": ["inspect", made, *options, "--input", shape],
            "match": ["match", made, *weights],
            "connect": ["connect", made, *weights, "--alphas", "2", "--statistics", "keep"],
        }
        ways: dict[tuple[str, str], Callable[[], float]] = {}
        for name, command in commands.items():
            ways[name, "first"] = lambda command=command: spent(command, place, empty=True)
            ways[name, "again"] = lambda command=command: spent(command, place, empty=False)
        measured = take_turns(ways, chosen.rounds)
        for name in commands:
            first, again = measured[name, "first"], measured[name, "again"]
            told = (
                f"first {with_range(first)} s, again {with_range(again)} s, first / again {with_range(first / again)}"
            )
            print(f"{chosen.network}, {name}: {told}, n = {chosen.rounds}", flush=True)


def write(place: Path, network: str, size: int) -> None:
    """Two networks as initialised, and a batch of images that are noise."""
    made = getattr(models, network)
    for seed, name in enumerate(("a.pt", "b.pt")):
        torch.manual_seed(seed)
        options = {"image_size": size} if network == "vit_b_16" else {}
        torch.save(made(**options).state_dict(), place / name)
    generator = np.random.default_rng(0)
    images = generator.standard_normal((BATCH, 3, size, size), dtype=np.float32)
    np.savez(place / "images.npz", inputs=images, labels=generator.integers(0, 1000, BATCH))


def spent(command: list[str], place: Path, empty: bool) -> float:
    """Seconds of the processor that a command takes, with an empty cache or with one that it has filled before."""
    with TemporaryDirectory() as nothing:
        cache = nothing if empty else str(place / "cache")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "permask", *command],
            cwd=place,
            env=os.environ | {"PERMASK_CACHE": cache, "OMP_NUM_THREADS": "1"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
