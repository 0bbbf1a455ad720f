"""Batches of the same samples in another order, so that each is like all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from permask.batches import Batch


def mixed(batches: Sequence[Batch], seed: int) -> list[Batch]:
    """The samples of all batches in random order, in batches of the same sizes.

    A folder of images comes class by class. A batch of one class says little about the others, and BatchNorm's
    statistics of it are not those of the data. Batches that hold something else than one tensor, or tensors of
    different shapes, come back as they are.

    Args:
        batches: With labels.
        seed: Of the order.
    """
    batches = list(batches)
    inputs = [batch.inputs[0] for batch in batches if len(batch.inputs) == 1 and not batch.keywords]
    labels = [batch.labels for batch in batches]
    if len(inputs) < len(batches) or len(batches) < 2 or not _alike(inputs) or not _alike(labels):
        return batches
    sizes = [len(x) for x in inputs]
    if sizes != [len(y) for y in labels if y is not None]:
        return batches
    order = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed))
    x, y = torch.cat(inputs), torch.cat([y for y in labels if y is not None])
    return [Batch((x[rows.to(x.device)],), y[rows.to(y.device)]) for rows in order.split(sizes)]


def _alike(values: Sequence[object]) -> bool:
    """Whether all are tensors that differ at most in the number of samples."""
    return all(isinstance(x, Tensor) and x.ndim for x in values) and (
        len({(x.shape[1:], x.dtype, x.device) for x in values if isinstance(x, Tensor)}) == 1
    )
