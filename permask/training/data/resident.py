"""A split that lies whole on one device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from permask.training.data.dataset import Batch, Chunk, Split, batches_at_once
from permask.training.data.shares import WHOLE, Share, part_of


@dataclass(frozen=True, eq=False)
class Resident(Split):
    """Inputs and labels in memory, given to networks as they are.

    Args:
        samples: `[N, ...]`, float32, or int64 for tokens.
        labels: `[N]`, int64; `[N, T]` where every token of an input has a label.
    """

    samples: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.samples.shape[1:])

    def to(self, device: torch.device | str) -> Self:
        """A copy on another device; itself where it is there already."""
        return replace(self, samples=self.samples.to(device), labels=self.labels.to(device))

    def subset(self, rows: Tensor) -> Self:
        """A copy of some rows; itself where they are all."""
        return self if len(rows) == len(self) else replace(self, samples=self.samples[rows], labels=self.labels[rows])

    def batch(self, rows: Sequence[int]) -> Batch:
        """Some rows."""
        chosen = torch.as_tensor(rows, device=self.labels.device)
        return self._for_network(self.samples[chosen]), self.labels[chosen]

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All rows in order."""
        for inputs, labels in zip(self.samples.split(batch_size), self.labels.split(batch_size), strict=True):
            yield self._for_network(inputs), labels

    def epoch(
        self,
        batch_size: int,
        order: torch.Generator,
        augmentation: torch.Generator | None = None,
        skip: int = 0,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """All rows shuffled, each augmented with its own draw if they are augmented at all."""
        return (batch for chunk in self.chunks(batch_size, order, augmentation, skip, share) for batch in chunk)

    def chunks(
        self,
        batch_size: int,
        order: torch.Generator,
        augmentation: torch.Generator | None = None,
        skip: int = 0,
        share: Share = WHOLE,
    ) -> Iterator[Chunk]:
        """The same batches; what a row is drawn as does not depend on how many are made at once."""
        shuffled = torch.randperm(len(self), generator=order).to(self.labels.device)
        draws = self._draw(augmentation) if augmentation is not None else None
        whole, at_once = len(self) // batch_size, batches_at_once(batch_size * self.samples[0].numel(), shuffled.device)
        batches = -(-len(self) // batch_size)
        while skip < batches:
            end = min(skip + at_once, whole) if skip < whole else batches
            place = slice(skip * batch_size, end * batch_size)
            rows = _parts(shuffled[place], batch_size, share)
            inputs = self.samples.index_select(0, rows)  # of whole inputs, several times as fast as indexing
            if draws is not None:
                inputs = self._augment(inputs, _parts(draws[place], batch_size, share))
            yield Chunk(self._for_network(inputs), self.labels.index_select(0, rows), end - skip)
            skip = end

    def _draw(self, generator: torch.Generator) -> Tensor | None:
        """What the augmentation of every row is drawn as; None for no augmentation."""

    def _augment(self, inputs: Tensor, draws: Tensor) -> Tensor:
        """Some rows, augmented as was drawn for them."""
        return inputs

    def _for_network(self, inputs: Tensor) -> Tensor:
        """Some rows as a network takes them."""
        return inputs


def _parts(rows: Tensor, batch_size: int, share: Share) -> Tensor:
    """The part of every batch that a process takes."""
    if share == WHOLE:
        return rows
    return torch.cat([part_of(batch, share) for batch in rows.split(batch_size)])
