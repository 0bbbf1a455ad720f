"""What the studies that come with permask would take on this machine.

    python benchmarks/studies.py
    python benchmarks/studies.py vgg11-cifar10 resnet50x1-imagenet

Measures steps of training of every network that they train, on made images of the study's size, and prints Markdown:
images per second, and the hours of all epochs that the study's file states as its cost. Matching and evaluation come on
top, and sharing between studies comes off.
"""

import argparse
import re
import time

import numpy as np
import torch
from measure import machine, with_range

from permask.study.data import Digits, StreamedImages, Text
from permask.study.load import load_study
from permask.study.shipped import shipped_studies
from permask.study.spec import Study
from permask.training.execution import Execution, keep_freed_memory
from permask.training.momentum import MomentumSGD
from permask.training.networks import create_network
from permask.training.streams import stream

COST = re.compile(r"^# Cost: ([\d,]+) epochs of ([\d,]+) (?:images|sequences)", re.MULTILINE)
CLASSES = {"cifar100": 100, "imagenet": 1000, "text": 100}  # 10 in the others
FITS = 16  # large images in a batch, so that a laptop's memory holds their activations


def inputs_of(study: Study) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of the study's, of random numbers."""
    if isinstance(study.data, Text):
        shape = (study.batch_size, study.data.context)
        return torch.randint(CLASSES["text"], shape), torch.randint(CLASSES["text"], shape)
    side = 8 if isinstance(study.data, Digits) else study.data.image_size or 32
    shape = (1 if isinstance(study.data, Digits) else 3, side, side)
    size = min(study.batch_size, FITS) if isinstance(study.data, StreamedImages) else study.batch_size
    images = torch.randn(size, *shape).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(CLASSES.get(study.data.name, 10), (size,))


def images_per_second(study: Study, steps: int) -> np.ndarray:
    """One number per step of training the study's network."""
    images, labels = inputs_of(study)
    network = create_network(
        input_shape=images.shape[1:],
        classes=CLASSES.get(study.data.name, 10),
        generator=stream(0, "initialisation"),
        **study.network.model_dump(),
    )
    execution = Execution.of(network, study.execution.device, study.execution.precision)
    optimizer = MomentumSGD(execution.place(network).train(), 0.9, 5e-4)
    mean_loss = execution.loss_function(network)
    images, labels = images.to(execution.device), labels.to(execution.device)
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        mean_loss(images, labels).backward()
        optimizer.step(0.01)
        if execution.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return len(images) / np.array(seconds[1:])


def shown(number: float) -> str:
    """Three digits that count."""
    return f"{float(f'{number:.3g}'):,g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="of every network")
    parser.add_argument("studies", nargs="*", help="names; all by default")
    arguments = parser.parse_args()
    steps = arguments.steps
    torch.set_flush_denormal(True)
    keep_freed_memory()
    print(f"{machine()}; median of {steps} steps, slowest and fastest\n")
    print("| study | images/s | epochs | images | hours |\n|---|--:|--:|--:|--:|")
    measured: dict[tuple, np.ndarray] = {}
    for path, _ in shipped_studies():
        if arguments.studies and path.stem not in arguments.studies:
            continue
        study = load_study(path)
        epochs, count = (int(number.replace(",", "")) for number in COST.findall(path.read_text())[0])
        what = (
            str(study.network),
            CLASSES.get(study.data.name),
            getattr(study.data, "image_size", 8),
            study.batch_size,
        )
        if what not in measured:
            measured[what] = images_per_second(study, steps)
        rates = measured[what]
        hours = epochs * count / np.median(rates) / 3600
        print(
            f"| {study.name} | {with_range(rates, shown)} | {epochs:,} | {count:,} | {float(f'{hours:.2g}'):,g} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
