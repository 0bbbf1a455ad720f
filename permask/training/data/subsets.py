"""Subsets of a split with as equal a number of each class as there can be, and a validation set held out."""

import torch
from torch import Tensor

from permask.errors import DataError
from permask.training.data.dataset import Data, Split
from permask.training.streams import stream


def chosen(
    train: Split,
    test: Split,
    classes: int,
    *,
    train_size: int | None,
    test_size: int | None,
    validation: int,
    split_seed: int,
    at_most: bool = False,
) -> Data:
    """What a study asks for of a data set; a validation set takes the place of the test set, which is not looked at.

    Args:
        train: All training inputs.
        test: All test inputs.
        classes: Number of classes.
        train_size: How many to train on; None for all that are not held out.
        test_size: How many to evaluate on; None for all.
        validation: How many training inputs to hold out.
        split_seed: Seed of the choice.
        at_most: Whether a split that has fewer than it is asked for gives all that it has.

    Raises:
        DataError: More are asked for than there are.
    """
    if at_most:
        train_size = None if train_size is None else max(1, min(train_size, len(train) - validation))
        test_size = None if test_size is None else min(test_size, len(test))
    rows, held_out = training_rows(train.labels, train_size, validation, split_seed)
    judged = train.subset(held_out) if validation else test.subset(test_rows(test.labels, test_size, split_seed))
    return Data(train.subset(rows), judged, classes)


def training_rows(labels: Tensor, train_size: int | None, validation: int, seed: int) -> tuple[Tensor, Tensor]:
    """The rows of a training set to train on, and those held out for validation.

    The rows to train on are the same whether something is held out or not, if their number is given.

    Args:
        labels: `[N]`.
        train_size: How many to train on; None for all that are not held out.
        validation: How many to hold out.
        seed: Seed of the choice.

    Raises:
        DataError: More are asked for than there are.
    """
    wanted = (1 if train_size is None else train_size) + validation
    if wanted > len(labels):
        raise DataError(f"expected at most {len(labels)} training inputs, train_size and validation ask for {wanted}")
    if train_size is None and not validation:
        return torch.arange(len(labels)), torch.arange(0)
    order = balanced_order(labels, stream(seed, "split", "train"))
    if train_size is None:
        return order[validation:].sort().values, order[:validation].sort().values
    return order[:train_size].sort().values, order[train_size:wanted].sort().values


def test_rows(labels: Tensor, test_size: int | None, seed: int) -> Tensor:
    """The rows of a test set to evaluate on.

    Raises:
        DataError: More are asked for than there are.
    """
    if test_size is None:
        return torch.arange(len(labels))
    if test_size > len(labels):
        raise DataError(f"expected a test_size of at most {len(labels)}, got {test_size}")
    return balanced_order(labels, stream(seed, "split", "test"))[:test_size].sort().values


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Rows in a random order whose first n, for every n, have as equal a number of each class as there can be.

    Inputs with many labels each are in any order.
    """
    shuffled = torch.randperm(len(labels), generator=generator)
    if labels.ndim > 1:
        return shuffled
    rank = torch.empty_like(shuffled)  # of each shuffled row among those of its class
    for label in labels.unique():
        of_class = (labels[shuffled] == label).nonzero().flatten()
        rank[of_class] = torch.arange(len(of_class))
    return shuffled[rank.argsort(stable=True)]
