"""What somebody's code returned for data, checked: tensors, or data sets of torch whose items are collected once."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from permask.errors import DataError
from permask.training.data.content import Progress, unseen

EXPECTED = "expected (inputs, labels), (inputs, labels), of training and of test, or two torch Datasets"
MOST = 2**20  # classes, or tokens
LARGEST = 0.5  # share of the machine's memory


@dataclass(frozen=True, eq=False)
class Collected:
    """A data set in memory.

    Attributes:
        train: Inputs `[N, ...]`, float32 or int64, and labels `[N]` or `[N, T]`, int64.
        test: The same of the test set.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @property
    def classes(self) -> int:
        """One more than the largest training label; of tokens, than the largest token there is."""
        of_tokens = self.train[1].ndim > 1
        looked_at = (*self.train, *self.test) if of_tokens else (self.train[1],)
        return 1 + max(int(x.max()) for x in looked_at)


def collect(returned: Any, progress: Progress = unseen) -> Collected:
    """Check what was returned, and collect it if need be.

    Args:
        returned: Two pairs of inputs and labels, or two map-style data sets with items (input, label).
        progress: Called with the items collected and the items to collect, of each data set.

    Raises:
        DataError: Anything else, or tensors that are no inputs and labels.
    """
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise DataError(f"{EXPECTED}; got {_described(returned)}")
    train, test = (
        _checked(*_pair(part, which, progress), which)
        for part, which in zip(returned, ("training", "test"), strict=True)
    )
    for what, first, second in (("inputs", train[0], test[0]), ("labels", train[1], test[1])):
        if first.shape[1:] != second.shape[1:] or first.dtype != second.dtype:
            raise DataError(f"expected {what} of one shape and type, got training {_like(first)}, test {_like(second)}")
    found = Collected(train, test)
    if (classes := found.classes) < 2:
        raise DataError("labels: expected at least two classes, all training labels are 0")
    if classes > MOST:
        raise DataError(f"labels: expected at most {MOST:,} classes, numbered from 0; the largest is {classes - 1:,}")
    if (largest := int(test[1].max())) >= classes:
        raise DataError(f"test labels: expected 0 to {classes - 1}, as the training labels, got {largest}")
    return found


def _pair(part: Any, which: str, progress: Progress) -> tuple[Tensor, Tensor]:
    """Inputs and labels of one split."""
    if isinstance(part, Dataset):
        return _items(part, which, progress)
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise DataError(f"{EXPECTED}; the {which} set is {_described(part)}")
    inputs, labels = (_tensor(x, f"{which} {name}") for x, name in zip(part, ("inputs", "labels"), strict=True))
    return inputs, labels


def _items(dataset: Dataset, which: str, progress: Progress) -> tuple[Tensor, Tensor]:
    """All items of a data set, in order."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise DataError(
            f"{which} set: expected a data set with a length and items by number, got {_described(dataset)}; read it "
            "in the factory and return tensors"
        )
    count = len(dataset)  # pyright: ignore[reportArgumentType]
    if not count:
        raise DataError(f"{which} set: expected items, it is empty")
    first = _item(dataset, 0, which)
    size, most = count * sum(x.numel() * x.element_size() for x in first), int(LARGEST * _memory())
    if size > most:
        raise DataError(
            f"{which} set: its {count:,} items take {size / 2**30:.1f} GiB, more than {most / 2**30:.1f} GiB, half of "
            "this machine's memory; take a part of it (torch.utils.data.Subset), or a streamed_folder for images"
        )
    inputs, labels = (x.new_empty((count, *x.shape)) for x in first)
    for number in range(count):
        item = _item(dataset, number, which)
        for x, into, like in zip(item, (inputs, labels), first, strict=True):
            if x.shape != like.shape or x.dtype != like.dtype:
                raise DataError(f"{which} set: expected items alike, item 0 has {_like(like)}, {number} {_like(x)}")
            into[number] = x
        progress(number + 1, count)
    return inputs, labels


def _item(dataset: Dataset, number: int, which: str) -> tuple[Tensor, Tensor]:
    item = dataset[number]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"{which} set: expected items (input, label), item {number} is {_described(item)}")
    return _tensor(item[0], f"{which} input {number}"), _tensor(item[1], f"{which} label {number}")


def _tensor(x: Any, what: str) -> Tensor:
    if not isinstance(x, Tensor | np.ndarray | np.generic | int | float | Sequence):
        raise DataError(f"{what}: expected a tensor, got {_described(x)}")
    if isinstance(x, np.ndarray) and not x.flags.writeable:
        x = x.copy()  # torch warns of others
    try:
        return torch.as_tensor(x).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what}: expected a tensor, got {_described(x)}: {error}") from error


def _checked(inputs: Tensor, labels: Tensor, which: str) -> tuple[Tensor, Tensor]:
    """The same in the types that are trained with."""
    if inputs.layout != torch.strided or labels.layout != torch.strided or inputs.is_quantized:
        raise DataError(f"{which} set: expected dense tensors that are not quantised, got {_like(inputs)}")
    if inputs.ndim < 2 or not all(inputs.shape[1:]):
        raise DataError(f"{which} inputs: expected [N, ...], one input a row, got {_like(inputs)}")
    if inputs.is_floating_point():
        inputs = inputs.float()
        if not inputs.isfinite().all():
            row = int((~inputs.isfinite().flatten(1).all(1)).nonzero()[0])
            raise DataError(f"{which} inputs: expected finite numbers, input {row} holds NaN or an infinity")
    elif inputs.dtype in (torch.int32, torch.int64):
        inputs = inputs.long()
        if inputs.numel() and inputs.min() < 0:
            raise DataError(f"{which} inputs: expected tokens from 0 on, got {int(inputs.min())}")
    else:
        raise DataError(
            f"{which} inputs: expected floating-point numbers, or int64 for tokens, got {_like(inputs)}; scale pixels "
            "in the factory, such as images.float() / 255"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(f"{which} labels: expected integers, the numbers of the classes, got {_like(labels)}")
    if labels.ndim != 1 and labels.shape != inputs.shape:
        raise DataError(
            f"{which} labels: expected [N], or the shape of the inputs, {list(inputs.shape)}, for tokens; got "
            f"{_like(labels)}"
        )
    if len(labels) != len(inputs) or len(labels) < 2:
        raise DataError(
            f"{which} set: expected two inputs or more, with a label each; got {len(inputs)} inputs and {len(labels)} "
            "labels"
        )
    if labels.min() < 0:
        raise DataError(f"{which} labels: expected classes from 0 on, got {int(labels.min())}")
    return inputs, labels.long()


def _memory() -> int:
    """Of the machine, in bytes; boundless on Windows, which does not say it so."""
    if sys.platform == "win32":
        return sys.maxsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _described(x: object) -> str:
    if isinstance(x, tuple | list):
        return f"a {type(x).__name__} of {len(x)}"
    return _like(x) if isinstance(x, Tensor) else f"a {type(x).__name__}"


def _like(x: Tensor) -> str:
    return f"{list(x.shape)} of {str(x.dtype).removeprefix('torch.')}"
