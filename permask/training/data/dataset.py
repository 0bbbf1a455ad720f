"""What a data set is to the training loop and to everything that measures networks: splits that give batches.

Batches are `(inputs, labels)` on the split's device: float32 inputs such as normalised images `[B, C, H, W]` with int64
labels `[B]`, or int64 tokens `[B, T]` with a label each. The last batch of an epoch may be short.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar, overload

import torch
from torch import Tensor

from permask.batches import Batch as LabelledBatch
from permask.training.data.shares import WHOLE, Share

Batch = tuple[Tensor, Tensor]
T = TypeVar("T")

# batches that are made in one go, where a launch costs more than the caches gain; one elsewhere
AT_ONCE = {"cuda": 32}
LARGEST = 2**26  # numbers that these hold, at most


def batches_at_once(batch: int, device: torch.device) -> int:
    """How many batches are made in one go.

    Args:
        batch: Numbers in the inputs of one.
        device: Where they are made.
    """
    return max(1, min(AT_ONCE.get(device.type, 1), LARGEST // max(1, batch)))


@dataclass(frozen=True, eq=False)
class Chunk:
    """Batches of equal size, one after another in one tensor.

    Attributes:
        inputs: Of all.
        labels: Of all.
        batches: How many there are.
    """

    inputs: Tensor
    labels: Tensor
    batches: int = 1

    def __iter__(self) -> Iterator[Batch]:
        rows = len(self.labels) // self.batches
        return zip(self.inputs.split(rows), self.labels.split(rows), strict=True)


class Split(ABC):
    """Inputs with labels, in memory or on disk.

    Attributes:
        labels: `[N]`, int64; `[N, T]` where every token of an input has a label.
    """

    labels: Tensor

    @abstractmethod
    def __len__(self) -> int:
        """Number of inputs."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, such as `[C, H, W]`."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """The same inputs, with batches on another device."""

    @abstractmethod
    def subset(self, rows: Tensor) -> Self:
        """Only some rows, given in ascending order."""

    @abstractmethod
    def batch(self, rows: Sequence[int]) -> Batch:
        """The inputs of some rows, as they are evaluated: not augmented."""

    @abstractmethod
    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All inputs once, in their own order, as they are evaluated."""

    @abstractmethod
    def epoch(
        self,
        batch_size: int,
        order: torch.Generator,
        augmentation: torch.Generator | None = None,
        skip: int = 0,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """All inputs once, shuffled and augmented, as they are trained on.

        Args:
            batch_size: Inputs per batch.
            order: Generator of the order; on the CPU, so that every device trains on the same.
            augmentation: Generator of flips and crops; on the CPU. Without it the inputs come as they are.
            skip: Batches to leave out at the beginning; the others are what they would be.
            share: The part of every batch that this process takes, of several that train together.
        """

    def chunks(
        self,
        batch_size: int,
        order: torch.Generator,
        augmentation: torch.Generator | None = None,
        skip: int = 0,
        share: Share = WHOLE,
    ) -> Iterator[Chunk]:
        """The batches of `epoch`, as many at once as the split makes in one go."""
        return (Chunk(*batch) for batch in self.epoch(batch_size, order, augmentation, skip, share))

    def spread(self, count: int | None) -> Self:
        """So many rows, evenly spaced, so that sorted classes all have their share; all rows at most, or for None."""
        if count is None or count >= len(self):
            return self
        return self.subset(torch.tensor([i * len(self) // count for i in range(count)]))

    def inputs(self, batch_size: int) -> "Inputs":
        """The inputs alone, as they are evaluated, to be read as often as needed."""
        return Inputs(self, batch_size)

    def labelled(self, batch_size: int) -> "Labelled":
        """The inputs with their labels, as matchers and mask sources take them, to be read as often as needed."""
        return Labelled(self, batch_size)


@dataclass(frozen=True, eq=False)
class Batches(Sequence[T]):
    """Batches of a split in its own order, as they are evaluated, each made anew whenever it is read."""

    split: Split
    batch_size: int

    @abstractmethod
    def _of(self, batch: Batch) -> T:
        """What a batch is given as."""

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        first = range(len(self))[index] * self.batch_size
        return self._of(self.split.batch(range(first, min(first + self.batch_size, len(self.split)))))


class Inputs(Batches[Tensor]):
    """The inputs alone."""

    def _of(self, batch: Batch) -> Tensor:
        return batch[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (inputs for inputs, _ in self.split.batches(self.batch_size))


class Labelled(Batches[LabelledBatch]):
    """Inputs with labels; whoever changes a batch changes no other, nor the split."""

    def _of(self, batch: Batch) -> LabelledBatch:
        inputs, labels = batch
        return LabelledBatch((inputs,), labels)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set with its fixed splits.

    Attributes:
        train: What is trained on.
        test: What is evaluated on.
        classes: What a label is one of: the classes of inputs, or the tokens of a vocabulary.
    """

    train: Split
    test: Split
    classes: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, such as `[C, H, W]`."""
        return self.train.input_shape

    def to(self, device: torch.device | str) -> "Data":
        """The same data, with batches on another device."""
        return Data(self.train.to(device), self.test.to(device), self.classes)
