"""A split that stays on disk: files are decoded, cropped and resized by threads, some batches ahead of the training."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from permask.tensors import pinned
from permask.training.data.augmentation import Normalisation
from permask.training.data.dataset import Batch, Split
from permask.training.data.folder import decode_file
from permask.training.data.shares import WHOLE, Share, part_of

# over ImageNet's training images, the figures that networks on it have always been trained with
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

AHEAD = 4  # batches under way
ATTEMPTS = 10  # of torchvision's RandomResizedCrop, to find a crop that lies inside the image
DRAWS = 2 * ATTEMPTS + 3  # uniform numbers per image: area and ratio per attempt; row, column, flip
AREA = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
SHORT_SIDE = 256 / 224  # the shorter side before the central crop, by the side of the crop

Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True, eq=False)
class Streamed(Split):
    """Image files and labels.

    Trained on as torchvision's `RandomResizedCrop(size)` and `RandomHorizontalFlip()` make them, evaluated as
    `Resize(size · 256 / 224)` and `CenterCrop(size)` do.

    Args:
        paths: The files.
        labels: `[N]`, int64.
        size: Side of the images in pixels.
        normalisation: How uint8 pixels become float32.
        workers: Threads that decode.
        at_host: The labels in the host's memory, from where batches take them; None where they are there anyway.
    """

    paths: Sequence[Path]
    labels: Tensor
    size: int
    normalisation: Normalisation
    workers: int
    at_host: Tensor | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`[C, H, W]`."""
        return 3, self.size, self.size

    def to(self, device: torch.device | str) -> Self:
        """The same files, with batches on another device."""
        return replace(self, labels=self.labels.to(device), at_host=self._host_labels)

    def subset(self, rows: Tensor) -> Self:
        """Only some of the files."""
        paths, labels = [self.paths[row] for row in rows.tolist()], self.labels[rows.to(self.labels.device)]
        return replace(self, paths=paths, labels=labels, at_host=self._host_labels[rows])

    def batch(self, rows: Sequence[int]) -> Batch:
        """Some rows."""
        return next(self._stream([(torch.as_tensor(rows), None)]))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All rows in order."""
        return self._stream((rows, None) for rows in torch.arange(len(self)).split(batch_size))

    def epoch(
        self,
        batch_size: int,
        order: torch.Generator,
        augmentation: torch.Generator | None = None,
        skip: int = 0,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """All rows shuffled, each with its own crop and flip."""
        shuffled = torch.randperm(len(self), generator=order)
        # drawn for every batch, so that what a row gets depends neither on where the epoch goes on nor on shares
        drawn = (
            (rows, None if augmentation is None else torch.rand(len(rows), DRAWS, generator=augmentation))
            for rows in shuffled.split(batch_size)
        )
        return self._stream(
            (part_of(rows, share), None if draws is None else part_of(draws, share))
            for rows, draws in islice(drawn, skip, None)
        )

    def _stream(self, wanted: Iterable[tuple[Tensor, Tensor | None]]) -> Iterator[Batch]:
        with ThreadPoolExecutor(self.workers) as pool:
            ahead: deque[tuple[Tensor, list[Future[Tensor]]]] = deque()
            try:
                for rows, draws in wanted:
                    chosen = [None] * len(rows) if draws is None else draws.tolist()
                    ahead.append(
                        (rows, [pool.submit(self._image, *x) for x in zip(rows.tolist(), chosen, strict=True)])
                    )
                    if len(ahead) > AHEAD:
                        yield self._collect(*ahead.popleft())
                while ahead:
                    yield self._collect(*ahead.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _collect(self, rows: Tensor, images: list[Future[Tensor]]) -> Batch:
        pixels, labels = torch.stack([image.result() for image in images]), self._host_labels[rows]
        return self.normalisation(self._sent(pixels)), self._sent(labels)

    def _sent(self, x: Tensor) -> Tensor:
        """A tensor of the host on the batches' device; the host does not wait for a GPU."""
        device = self.labels.device
        return pinned(x).to(device, non_blocking=True) if device.type == "cuda" else x.to(device)

    @property
    def _host_labels(self) -> Tensor:
        return self.labels if self.at_host is None else self.at_host

    def _image(self, row: int, draws: list[float] | None) -> Tensor:
        from torchvision.transforms.v2 import functional  # 3 s that data in memory do without

        image = torch.from_numpy(decode_file(self.paths[row])).permute(2, 0, 1)
        height, width = image.shape[1:]
        size = [self.size, self.size]
        if draws is None:
            image = functional.resize(image, [round(self.size * SHORT_SIDE)], antialias=True)
            return functional.center_crop(image, size)
        image = functional.resized_crop(image, *crop_box(height, width, draws), size, antialias=True)
        return functional.horizontal_flip(image) if draws[-1] < 0.5 else image


def crop_box(height: int, width: int, draws: Sequence[float]) -> Box:
    """The crop of torchvision's RandomResizedCrop, from uniform numbers in [0, 1).

    Its area is uniform over a share of the image's, the logarithm of its aspect ratio is uniform, its place is uniform
    among those inside the image; after ten crops that do not fit, the largest central one of an allowed ratio.
    """
    low, high = map(math.log, RATIO)
    for area, ratio in zip(draws[0 : 2 * ATTEMPTS : 2], draws[1 : 2 * ATTEMPTS : 2], strict=True):
        target = height * width * (AREA[0] + area * (AREA[1] - AREA[0]))
        aspect = math.exp(low + ratio * (high - low))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(draws[-3] * (height - h + 1)), int(draws[-2] * (width - w + 1)), h, w
    w, h = width, height
    if width / height < RATIO[0]:
        h = round(width / RATIO[0])
    elif width / height > RATIO[1]:
        w = round(height * RATIO[1])
    return (height - h) // 2, (width - w) // 2, h, w
