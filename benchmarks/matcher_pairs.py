"""Pairs of networks to compare matchers on: their data, how they are trained, and how what was matched is judged.

Networks are trained by SGD with momentum, images of CIFAR-10 flipped and cropped, each for about a minute of one core;
the settings were set on networks of other seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from permask.batches import Batch
from permask.checkpoints import read_state
from permask.connectivity.batchnorm import reset_batchnorm
from permask.connectivity.interpolate import LinearPath, connect
from permask.tensors import save_tensors
from permask.training.data.dataset import Data
from permask.training.data.digits import load_digits
from permask.training.data.load import load_images
from permask.training.data.sources import identify
from permask.training.networks import create_network
from permask.training.streams import Streams, stream

BATCH, MATCHED_BATCH = 64, 50
POINTS = 5


@dataclass(frozen=True)
class Case:
    """An architecture, and how its networks are trained.

    Attributes:
        title: How tables call it.
        data: The images, given an archive of CIFAR-10 or None.
        network: A name of `permask.training.networks`.
        arguments: Of the network.
        epochs: Of training.
        learning_rate: The highest, after the first tenth of the steps.
        pairs: How many of them there are.
        matched: Training images that matchers see.
    """

    title: str
    data: Callable[[Path | None], Data]
    network: str
    epochs: int
    learning_rate: float
    pairs: int
    matched: int
    arguments: dict[str, Any] = field(default_factory=dict)

    def new(self, data: Data, seed: int) -> nn.Module:
        """The network as initialised."""
        shape = tuple(data.input_shape)
        return create_network(self.network, shape, data.classes, stream(seed, "initialisation"), **self.arguments)

    def trained(self, data: Data, seed: int, folder: Path) -> nn.Module:
        """A trained network, read from a folder if it was trained before."""
        file = folder / f"{self.network}-{seed}.safetensors"
        network = self.new(data, seed)
        if file.exists():
            network.load_state_dict(read_state(file))
        else:
            self._train(network, data, seed)
            folder.mkdir(parents=True, exist_ok=True)
            save_tensors(network.state_dict(), file)
        return network.eval()

    def _train(self, network: nn.Module, data: Data, seed: int) -> None:
        optimizer = torch.optim.SGD(network.parameters(), self.learning_rate, 0.9, weight_decay=5e-4, nesterov=True)
        steps = self.epochs * -(-len(data.train) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=steps, pct_start=0.1, anneal_strategy="linear"
        )
        streams = Streams(seed)
        for epoch in range(self.epochs):
            for images, labels in data.train.epoch(BATCH, streams.order(epoch), streams.augmentation(epoch)):
                optimizer.zero_grad()
                F.cross_entropy(network.train()(images), labels).backward()
                optimizer.step()
                schedule.step()


def digits(_archive: Path | None) -> Data:
    """1,200 training and 597 test images."""
    return load_digits(1200, 0)


@cache
def cifar10(archive: Path | None) -> Data:
    """4,000 training and 2,000 test images of CIFAR-10 at 16×16 pixels."""
    if archive is None:
        raise SystemExit("the networks on CIFAR-10 need its images: --cifar10 ARCHIVE")
    content = identify("image_folder", str(archive), published=False, stream=False)
    return load_images(
        "image_folder",
        root=str(archive),
        content=content,
        published=False,
        image_size=16,
        flip=True,
        padding=2,
        train_size=4000,
        test_size=2000,
        validation=0,
        split_seed=0,
    )


CASES = {
    case.network: case
    for case in (
        Case("MLP, digits", digits, "mlp", 30, 0.05, pairs=20, matched=1200, arguments={"widths": (64, 64, 64)}),
        Case("CNN with BatchNorm", cifar10, "cnn", 10, 0.1, pairs=3, matched=500, arguments={"widths": (32, 64, 128)}),
        Case("ResNet8×2", cifar10, "resnet8", 6, 0.1, pairs=3, matched=500, arguments={"width": 2}),
    )
}


def matched_batches(case: Case, data: Data) -> list[Batch]:
    """What matchers see: training images in random order, as a folder of images would come class by class."""
    shuffled = data.train.epoch(MATCHED_BATCH, stream(0, "order", "matched"))
    return [Batch((images,), labels) for images, labels in islice(shuffled, case.matched // MATCHED_BATCH)]


def path_between(source: nn.Module, target: nn.Module, data: Data, inputs: list[Tensor]) -> LinearPath:
    """Error in percent and loss in nats along the line, where BatchNorm takes new statistics from some inputs."""

    def judge(network: nn.Module, _alpha: float) -> dict[str, float]:
        reset_batchnorm(network, inputs)
        wrong, lost, seen = 0.0, 0.0, 0
        for images, labels in data.test.batches(1000):
            logits = network.eval()(images)
            wrong += (logits.argmax(1) != labels).sum().item()
            lost += F.cross_entropy(logits, labels, reduction="sum").item()
            seen += len(labels)
        return {"error": 100 * wrong / seen, "loss": lost / seen}

    return connect(source, target, judge, POINTS)
