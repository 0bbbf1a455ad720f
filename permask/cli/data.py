"""Data as it is named on the command line: a file, a folder of images, or something in Python that gives batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from permask.batches import Batch, Needs
from permask.cli.arguments import Data
from permask.cli.images import read_folder, scaled
from permask.cli.network import check_takes, device_of
from permask.errors import DataError, PermaskError, place_of, summary
from permask.files import check_file
from permask.inputs import Inputs, names_of
from permask.masks.formats import read_state
from permask.training.imported import call

T = TypeVar("T")
INPUTS = ("inputs", "images", "x", "data")
LABELS = ("labels", "label", "targets", "y")


def read(given: Data, network: nn.Module) -> list[Batch]:
    """The batches of the data that a command was given, if any, where the network is, after a try if it takes them.

    Raises:
        PermaskError: A reference that leads nowhere, or to something else than data that fit the network.
    """
    if given.data is None:
        return []
    batches = load_batches(given.data, given.batch_size, given.batches, network=network)
    batches = [batch.to(device_of(network)) for batch in batches]
    check_takes(network, example_of(batches), given.data)
    return batches


def read_for(by: str, needs: Needs, given: Data, network: nn.Module) -> list[Batch]:
    """Likewise, for a matcher or a mask source, with all that it needs."""
    if given.data is None and needs in ("inputs", "labels"):
        raise PermaskError(f"--by {by} needs --data{' with labels' * (needs == 'labels')}")
    batches = read(given, network)
    if needs == "labels":
        check_labels(batches, given, f"--by {by}")
    return batches


def check_labels(batches: Sequence[Batch], given: Data, purpose: str) -> None:
    """Raise a `DataError` if there is a batch without labels."""
    if any(batch.labels is None for batch in batches):
        raise DataError(f"{given.data}: expected labels beside the inputs: {purpose} needs labels")


def load_batches(reference: str, batch_size: int, limit: int | None = None, *, network: nn.Module) -> list[Batch]:
    """Read data.

    Args:
        reference: A `.npy`, `.npz`, `.safetensors` or `.pt` file whose tensor `inputs` (or `images`, `x`, `data`,
            or the only one) has one sample per row, or whose tensors have the names of what the network takes, such as
            `input_ids` and `attention_mask`, with `labels` (or `label`, `targets`, `y`) beside them; a folder
            `CLASS/IMAGE`; or `package.module:name` or `file.py:name` of something that, called, returns an iterable
            of batches in any form that `permask.discover` takes, perhaps with labels. Pixels (uint8) of files and
            folders are scaled to [0, 1].
        batch_size: Samples per batch, of a file or folder.
        limit: How many batches to read; all by default.
        network: What the data are for.

    Raises:
        PermaskError: A reference that leads nowhere.
        DataError: What is there is not data.
    """
    if ":" in reference and not Path(reference).exists():
        batches = (_batch(batch, reference, network) for batch in _called(reference))
    else:
        batches = _from_file(Path(reference), batch_size, limit, network=network)
    found = list(islice(batches, limit))
    if not found or any(0 in batch.given.tensors[0].shape[:1] for batch in found):
        raise DataError(f"{reference}: expected at least one batch with samples in it, found none")
    for number, batch in enumerate(found, start=1):
        if any(x.isnan().any() for x in batch.given.tensors):
            raise DataError(f"{reference}: expected numbers, got NaN in batch {number} of {len(found)}")
    return found


def example_of(batches: Sequence[Batch]) -> Inputs:
    """Two samples, to trace a network with; tensors of another length than the first one are no samples."""
    first, given = batches[0].given.tensors[0].shape[:1], batches[0].given
    return given.map(lambda x: x[:2] if x.shape[:1] == first else x)


class Shown(list[T]):
    """Batches, or their inputs, and a progress bar that fills with every pass through them."""

    def __init__(self, batches: Sequence[T], progress: Progress, title: str):
        super().__init__(batches)
        self._progress = progress
        self._task = progress.add_task(title, total=None)

    def __iter__(self) -> Iterator[T]:
        self._progress.reset(self._task, total=len(self))
        for batch in super().__iter__():
            yield batch
            self._progress.advance(self._task)


def _called(reference: str) -> Iterator[Any]:
    made = call(reference, {}, DataError)
    if not isinstance(made, Iterable) or isinstance(made, Tensor | Mapping | str | bytes):
        raise DataError(f"{reference} returned a {type(made).__name__}, expected an iterable of batches")
    try:
        yield from made
    except PermaskError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"{reference}: a batch cannot be had: {summary(error)}{place_of(error)}") from error


def _batch(given: Any, reference: str, network: nn.Module) -> Batch:
    """A batch in any form that `Inputs.of` takes, with labels beside the inputs or by one of the names of labels."""
    inputs, labels = _apart(given)
    try:
        arguments = Inputs.of(network, inputs)
    except DataError as error:
        raise DataError(f"{reference}: {error}") from error
    if labels is not None and not isinstance(labels, Tensor):
        raise DataError(f"{reference}: expected labels in a tensor, got a {type(labels).__name__}")
    return Batch(arguments.args, labels, arguments.kwargs)


def _apart(given: Any) -> tuple[Any, Any]:
    """Inputs and labels; None if there are no labels."""
    if isinstance(given, Mapping):
        name = next((name for name in LABELS if name in given), None)
        return {key: x for key, x in given.items() if key != name}, given.get(name)
    if isinstance(given, tuple | list) and len(given) > 1 and isinstance(given[-1], Tensor):
        if len(given) == 2 and not isinstance(given[0], Tensor):
            return given[0], given[-1]
        if given[-1].ndim == 1 and not given[-1].is_floating_point():
            return tuple(given[:-1]), given[-1]
    return given, None


def _from_file(path: Path, batch_size: int, limit: int | None, *, network: nn.Module) -> Iterator[Batch]:
    tensors = read_folder(path, limit and limit * batch_size) if path.is_dir() else _tensors(path)
    named = [name for name in INPUTS if name in tensors]
    known = names_of(network)
    taken = {name: x for name, x in tensors.items() if name in known}
    if not named and taken.keys() - set(LABELS):
        yield from _keyword_batches(taken | {n: tensors[n] for n in LABELS if n in tensors}, path, batch_size, network)
        return
    if not named and len(tensors) != 1:
        raise DataError(f"{path}: expected a tensor named {', '.join(INPUTS)}, found {', '.join(tensors) or 'none'}")
    inputs = tensors[named[0]] if named else next(iter(tensors.values()))
    labels = next((tensors[name] for name in LABELS if name in tensors), None)
    if inputs.ndim == 0 or (labels is not None and labels.shape != inputs.shape[:1]):
        shape = None if labels is None else list(labels.shape)
        raise DataError(f"{path}: expected one label per sample, got inputs {list(inputs.shape)} and labels {shape}")
    for start in range(0, len(inputs), batch_size):
        rows = slice(start, start + batch_size)
        yield Batch((_as_input(inputs[rows], path),), None if labels is None else _whole(labels[rows], path))


def _keyword_batches(tensors: dict[str, Tensor], path: Path, batch_size: int, network: nn.Module) -> Iterator[Batch]:
    counts = {name: len(x) if x.ndim else 0 for name, x in tensors.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{path}: expected as many samples in every tensor, got {counts}")
    for start in range(0, next(iter(counts.values())), batch_size):
        part = {name: x[start : start + batch_size] for name, x in tensors.items()}
        named = {name: _whole(x, path) if name in LABELS else _as_input(x, path) for name, x in part.items()}
        yield _batch(named, str(path), network)


def _whole(labels: Tensor, path: Path) -> Tensor:
    """Labels as integers; a `DataError` if they are not whole."""
    if labels.is_complex() or (labels.is_floating_point() and not torch.equal(labels, labels.round())):
        broken = labels[labels != labels.round()] if labels.is_floating_point() else labels.flatten()
        raise DataError(f"{path}: expected labels that are whole numbers, got {broken[0].item()}")
    return labels.long()


def _as_input(x: Tensor, path: Path) -> Tensor:
    return scaled(x, str(path)) if x.dtype == torch.uint8 else x.float() if x.is_floating_point() else x


def _tensors(path: Path) -> dict[str, Tensor]:
    check_file(path)
    if path.suffix not in (".npy", ".npz"):
        return read_state(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"inputs": loaded} if path.suffix == ".npy" else {name: loaded[name] for name in loaded.files}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
    except Exception as error:  # numpy fails in any way on a file that is damaged or of another kind
        raise DataError(f"{path}: expected arrays saved by numpy: {error}") from error
