"""Data that somebody's code makes: called once, kept in permask's cache, and known by what came and by the code."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from permask.cache import cache_place
from permask.errors import DataError, PermaskError
from permask.training.data.cache import making
from permask.training.data.collect import Collected, collect
from permask.training.data.content import Progress, unseen
from permask.training.data.dataset import Data
from permask.training.data.resident import Resident
from permask.training.data.subsets import chosen
from permask.training.imported import call, line_of, load_callable, summary
from permask.training.source import DIGITS, short_source

PARTS = ("train_inputs", "train_labels", "test_inputs", "test_labels")


def identify_imported(factory: str, arguments: Mapping[str, Any], folder: str = "", progress: Progress = unseen) -> str:
    """Call a factory, and keep what it returns in the cache.

    Args:
        factory: `package.module:name` or `path/to/file.py:name`.
        arguments: What to call it with.
        folder: Where a file is looked for before the working directory.
        progress: As of `collect`.

    Returns:
        What stands for the content in keys: a hash of the tensors, and one of the code.

    Raises:
        PermaskError: A reference that leads nowhere.
        DataError: A call that fails, or returns no data; the message names the factory's line.
    """
    found = _made(factory, arguments, folder, progress)
    content = _hash(found)
    _keep(found, content)
    return f"{content}-{short_source(factory, folder)}"


def check_source(factory: str, content: str, folder: str = "") -> None:
    """Raise a `DataError` if the code is another than the one that a stated content names."""
    found, expected = short_source(factory, folder), content.partition("-")[2]
    if found != expected:
        raise DataError(
            f"{factory}: its code is {found[:12]}…, the study expects {expected[:12]}… at the end of content"
        )


def load_imported(*, factory: str, arguments: Mapping[str, Any], content: str, folder: str = "", **choice: Any) -> Data:
    """The data as they were returned, mapped into memory; made anew where the cache has them no more.

    Args:
        factory: As of `identify_imported`, as are the arguments and the folder.
        arguments: Likewise.
        content: What `identify_imported` gave.
        folder: Likewise.
        choice: As of `permask.training.data.subsets.chosen`; of each split at most so many.

    Raises:
        DataError: The factory returns other data than it did.
    """
    tensors = content.partition("-")[0]
    place = cache_place("imported", tensors)
    if not place.exists() and (found := identify_imported(factory, arguments, folder)) != content:
        raise DataError(
            f"{factory}: the study expects the content {content[:12]}…, it returned {found[:12]}…: see that it returns "
            "the same data every time, with random numbers of torch or from a seed of its own"
        )
    try:
        # private mappings: pages are shared by all processes, and torch asks for arrays that it may write to
        parts = [torch.from_numpy(np.load(place / f"{name}.npy", mmap_mode="c")) for name in PARTS]
    except (OSError, ValueError) as error:
        raise DataError(f"{place}: damaged, remove it and run again: {error}") from error
    train, test = (parts[0], parts[1]), (parts[2], parts[3])
    return chosen(Resident(*train), Resident(*test), Collected(train, test).classes, at_most=True, **choice)


def _made(factory: str, arguments: Mapping[str, Any], folder: str, progress: Progress) -> Collected:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        returned = call(factory, arguments, DataError, folder)
        try:
            return collect(returned, progress)
        except PermaskError as error:
            raise DataError(f"{factory}: {error}") from error
        except Exception as error:  # of a data set's own code
            line = line_of(error, load_callable(factory, folder))
            raise DataError(f"{factory}: collecting its items failed{line}: {summary(error)}") from error


def _tensors(found: Collected) -> dict[str, Tensor]:
    return dict(zip(PARTS, (*found.train, *found.test), strict=True))


def _hash(found: Collected) -> str:
    content = hashlib.sha256()
    for name, tensor in _tensors(found).items():
        content.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        content.update(tensor.contiguous().numpy().data)
    return content.hexdigest()[:DIGITS]


def _keep(found: Collected, content: str) -> None:
    with making(cache_place("imported", content)) as folder:
        if folder is not None:
            for name, tensor in _tensors(found).items():
                np.save(Path(folder) / f"{name}.npy", tensor.numpy())
