"""CIFAR-10, CIFAR-100 and SVHN from the files that their authors publish, which torchvision downloads and checks."""

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from permask.errors import DataError
from permask.extras import remedy, require
from permask.training.data.content import Progress, unseen
from permask.training.data.folder import resized
from permask.training.data.pixels import Pixels

Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Published:
    """A data set as it is published.

    Attributes:
        dataset: Name of torchvision's data set, which knows the addresses and the checksums.
        folder: Where below the root the files lie.
        train: Names of the training files.
        test: Names of the test files.
        read: One file to images `[N, 32, 32, 3]` and labels.
        classes: Number of classes.
    """

    dataset: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    read: Callable[[Path], Part]
    classes: int

    def paths(self, root: Path) -> list[Path]:
        """All the files."""
        return [root / self.folder / name for name in (*self.train, *self.test)]

    def decode(self, root: Path, official: bool, image_size: int | None, progress: Progress = unseen) -> Pixels:
        """Read all files; download them first if they are not there.

        Raises:
            DataError: A file that is missing, is not the published one (where that is asked for) or is damaged.
        """
        if official:
            self._fetch(root)
        splits = []
        for part, names in enumerate((self.train, self.test)):
            parts = [self._read(root / self.folder / name) for name in names]
            images, labels = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
            if image_size is not None:
                require("PIL", "resizing images")
                from PIL import Image

                images = np.stack([resized(Image.fromarray(image), image_size) for image in images])
            splits.append((images, labels))
            progress(part + 1, 2)
        return Pixels.of(*splits, classes=self.classes)

    def _read(self, path: Path) -> Part:
        try:
            images, labels = self.read(path)
            labels = np.asarray(labels, dtype=np.int64)
            if images.shape != (len(labels), 32, 32, 3) or images.dtype != np.uint8 or not len(labels):
                raise ValueError(f"images {images.shape} of {images.dtype} and {len(labels)} labels")
            if labels.min() < 0 or labels.max() >= self.classes:
                raise ValueError(f"labels from {labels.min()} to {labels.max()}, there are {self.classes} classes")
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file; expected {self._layout(path.parent)}") from error
        except Exception as error:  # a damaged file fails in any way
            raise DataError(f"{path}: damaged or of another format: {error}") from error
        return images, labels

    def _fetch(self, root: Path) -> None:
        """See that the published files are there, unaltered; download what is missing."""
        datasets = _torchvision()
        dataset = getattr(datasets, self.dataset)
        checksums = _checksums(dataset)
        for path in self.paths(root):
            if path.exists() and not datasets.utils.check_integrity(str(path), checksums[path.name]):
                raise DataError(
                    f"{path}: not the file that is published as {self.dataset}, by its checksum; remove it to have it "
                    "downloaded again, or set data.published=false if it is meant to be another"
                )
        if all(path.exists() for path in self.paths(root)):
            return
        try:
            if self.folder:
                datasets.utils.download_and_extract_archive(dataset.url, root, None, dataset.filename, dataset.tgz_md5)
            else:
                for url, name, checksum in (dataset.split_list[split] for split in ("train", "test")):
                    datasets.utils.download_url(url, root, name, checksum)
        except Exception as error:  # no network, no disk, another file: all the same to who waits for the data
            raise DataError(
                f"{root}: {self.dataset} is not there and cannot be downloaded ({error}); expected "
                f"{self._layout(root / self.folder)}"
                + (f", or {root / dataset.filename} to unpack it from" if self.folder else "")
            ) from error

    def _layout(self, folder: Path) -> str:
        return f"{', '.join((*self.train, *self.test))} in {folder}"


def _torchvision() -> Any:
    try:
        from torchvision import datasets
    except ImportError as error:
        raise DataError(f"this data set needs {remedy('torchvision')}") from error
    return datasets


def _checksums(dataset: Any) -> dict[str, str]:
    if hasattr(dataset, "split_list"):
        return {name: checksum for _, name, checksum in dataset.split_list.values()}
    return dict([*dataset.train_list, *dataset.test_list])


class _Arrays(pickle.Unpickler):
    """Reads pickled dictionaries of arrays and runs nothing else."""

    ALLOWED = ("numpy._core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype", "_codecs.encode")

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")
        if f"{module}.{name}" not in self.ALLOWED:
            raise pickle.UnpicklingError(f"expected arrays, found {module}.{name}")
        return super().find_class(module, name)


def _read_cifar(path: Path) -> Part:
    entry = _Arrays(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    images = entry["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, entry["labels" if "labels" in entry else "fine_labels"]


def _read_svhn(path: Path) -> Part:
    from scipy.io import loadmat

    if not path.exists():
        raise FileNotFoundError(path)
    entry = loadmat(path)
    labels = entry["y"].astype(np.int64).ravel()
    return entry["X"].transpose(3, 0, 1, 2), np.where(labels == 10, 0, labels)  # the digit 0 is published as 10


PUBLISHED = {
    "cifar10": Published(
        "CIFAR10",
        "cifar-10-batches-py",
        tuple(f"data_batch_{number}" for number in range(1, 6)),
        ("test_batch",),
        _read_cifar,
        10,
    ),
    "cifar100": Published("CIFAR100", "cifar-100-python", ("train",), ("test",), _read_cifar, 100),
    "svhn": Published("SVHN", "", ("train_32x32.mat",), ("test_32x32.mat",), _read_svhn, 10),
}
