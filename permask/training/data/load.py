"""The data sets of the studies, by name."""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

from permask.errors import DataError
from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.dataset import Data
from permask.training.data.digits import load_digits
from permask.training.data.folder import list_splits
from permask.training.data.images import Images
from permask.training.data.imported import load_imported
from permask.training.data.sources import folder_of, identify, pixels_of
from permask.training.data.streamed import IMAGENET, Streamed
from permask.training.data.subsets import chosen
from permask.training.data.text import load_text


def load_data(name: str, **options: Any) -> Data:
    """Load a data set, once per process.

    Args:
        name: One of `DATA_SETS`.
        options: The others of its section in a study.

    Raises:
        DataError: Files that are missing, damaged or laid out otherwise.
    """
    return load_once(name, json.dumps(options, sort_keys=True))


@cache
def load_once(name: str, options: str) -> Data:
    """A data set by its options in JSON, which have no order and can be looked up, whatever is in them."""
    return DATA_SETS[name](**json.loads(options))


def load_images(
    name: str,
    *,
    root: str,
    content: str,
    published: bool,
    image_size: int | None,
    flip: bool,
    padding: int,
    **choice: Any,
) -> Data:
    """Decoded images in memory."""
    pixels = pixels_of(name, root, content=content, published=published, image_size=image_size)
    looks = Normalisation(pixels.mean, pixels.std), FlipAndCrop(padding, flip)
    train = Images(torch.from_numpy(pixels.train_images), torch.from_numpy(pixels.train_labels), *looks)
    test = Images(torch.from_numpy(pixels.test_images), torch.from_numpy(pixels.test_labels), *looks)
    return chosen(train, test, pixels.classes, **choice)


def stream_images(name: str, *, root: str, content: str, image_size: int, **choice: Any) -> Data:
    """Image files that stay on disk."""
    if (found := identify(name, root, published=False, stream=True)) != content:
        raise DataError(f"{root}: its files are {found[:12]}…, the study expects {content[:12]}…")
    listings = list_splits(folder_of(name, root))
    train, test = (
        Streamed(listing.paths, torch.from_numpy(listing.labels), image_size, IMAGENET, torch.get_num_threads())
        for listing in listings
    )
    return chosen(train, test, len(listings[0].classes), **choice)


DATA_SETS: dict[str, Callable[..., Data]] = {
    "digits": load_digits,
    **{name: partial(load_images, name) for name in ("cifar10", "cifar100", "svhn")},
    "image_folder": partial(load_images, "image_folder", published=False),
    "streamed_folder": partial(stream_images, "streamed_folder"),
    "imagenet": partial(stream_images, "imagenet"),
    "imported": load_imported,
    "text": load_text,
}
