"""Small images decoded once, into a folder of arrays that any number of processes map into their memory."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from permask.cache import cache_place
from permask.errors import DataError
from permask.training.data.cache import making

VERSION = 1  # raised when images are decoded otherwise
PARTS = ("train_images", "train_labels", "test_images", "test_labels")
FACTS = "facts.json"


@dataclass(frozen=True, eq=False)
class Pixels:
    """A decoded data set.

    Attributes:
        train_images: `[N, H, W, 3]`, uint8.
        train_labels: `[N]`, int64, from 0.
        test_images: `[M, H, W, 3]`, uint8.
        test_labels: `[M]`.
        classes: Number of classes.
        mean: Mean of each channel over the training images, scaled to [0, 1].
        std: Their standard deviation.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], classes: int) -> "Pixels":
        """Images and labels of both splits, with the moments of the training pixels."""
        levels = np.arange(256) / 255
        counts = np.stack([np.bincount(train[0][..., channel].ravel(), minlength=256) for channel in range(3)])
        shares = counts / counts.sum(1, keepdims=True)
        mean = shares @ levels
        std = np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0))
        return cls(*train, *test, classes, tuple(mean.tolist()), tuple(np.where(std > 0, std, 1).tolist()))


def kept_pixels(identity: Mapping[str, Any], decode: Callable[[], Pixels]) -> Pixels:
    """The decoded images of a data set, mapped into memory; decoded now, by one process, if they never were.

    Args:
        identity: All that determines the pixels.
        decode: Reads and decodes the data set.

    Raises:
        DataError: The cache cannot be written, or what is in it is damaged; or by `decode`.
    """
    text = json.dumps({"version": VERSION, **identity}, sort_keys=True)
    place = cache_place("pixels", hashlib.sha256(text.encode()).hexdigest())
    with making(place) as folder:
        if folder is not None:
            _write(decode(), folder)
    try:
        # private mappings: pages are shared by all processes, and torch asks for arrays that it may write to
        arrays = {name: np.load(place / f"{name}.npy", mmap_mode="c") for name in PARTS}
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        return Pixels(**arrays, classes=facts["classes"], mean=tuple(facts["mean"]), std=tuple(facts["std"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{place}: damaged, remove it and run again: {error}") from error


def _write(pixels: Pixels, folder: Path) -> None:
    for name in PARTS:
        np.save(folder / f"{name}.npy", getattr(pixels, name))
    facts = {name: getattr(pixels, name) for name in ("classes", "mean", "std")}
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
