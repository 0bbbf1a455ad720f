"""Folders of images, one folder per class: `train/CLASS/*.jpg` and `test/CLASS/*.jpg` (or `val/`)."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from permask.errors import DataError
from permask.extras import require
from permask.training.data.content import Progress, unseen
from permask.training.data.pixels import Pixels

if TYPE_CHECKING:
    from PIL import Image

# as torchvision's ImageFolder
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
TEST_FOLDERS = ("test", "val", "validation")
CHUNK = 256


@dataclass(frozen=True)
class Listing:
    """The image files of a split, in sorted order, and the class of each."""

    paths: list[Path]
    labels: np.ndarray
    classes: list[str]


def list_splits(root: Path) -> tuple[Listing, Listing]:
    """The images for training and for testing; both have the same classes.

    Raises:
        DataError: A layout that is another one, or classes without images.
    """
    train = root / "train"
    test = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), root / "test")
    for folder in (train, test):
        if not folder.is_dir():
            found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
            raise DataError(
                f"{folder}: no such folder; expected {root}/train/CLASS/IMAGE and {root}/test/CLASS/IMAGE "
                f"(or val for test), found {found}"
            )
    listings = list_folder(train), list_folder(test)
    if listings[0].classes != listings[1].classes:
        apart = sorted(set(listings[0].classes) ^ set(listings[1].classes))
        raise DataError(f"{train} and {test}: expected the same classes in both, only one has {', '.join(apart[:8])}")
    return listings


def list_folder(folder: Path) -> Listing:
    """The images of a folder of classes, in the order of torchvision's ImageFolder.

    Raises:
        DataError: No classes, or a class without images.
    """
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if not classes:
        raise DataError(f"{folder}: expected a folder per class, found none")
    paths, labels = [], []
    for label, name in enumerate(classes):
        inside = [
            Path(place, file)
            for place, _, files in sorted(os.walk(folder / name, followlinks=True))
            for file in sorted(files)
            if file.lower().endswith(EXTENSIONS)
        ]
        if not inside:
            raise DataError(f"{folder / name}: expected images ({', '.join(EXTENSIONS)}), found none")
        paths += inside
        labels += [label] * len(inside)
    return Listing(paths, np.array(labels, dtype=np.int64), classes)


def decode_folder(root: Path, image_size: int | None, progress: Progress = unseen) -> Pixels:
    """Decode all images of a folder with `train/` and `test/`.

    Args:
        root: The folder.
        image_size: Side of the square that images are cropped at the centre and resized to; None keeps their size,
            which then has to be the same for all.
        progress: Called with the images decoded and the images to decode.

    Raises:
        DataError: Another layout, a file that cannot be decoded, images of different sizes.
    """
    train, test = list_splits(root)
    images = decode_images([*train.paths, *test.paths], image_size, progress)
    split = len(train.paths)
    return Pixels.of((images[:split], train.labels), (images[split:], test.labels), len(train.classes))


def decode_images(paths: Sequence[Path], image_size: int | None = None, progress: Progress = unseen) -> np.ndarray:
    """Several images as `[N, H, W, 3]`, uint8; for the arguments see `decode_folder`.

    Raises:
        DataError: A file that cannot be decoded, images of different sizes.
    """
    shape = decode_file(paths[0], image_size).shape
    images = np.empty((len(paths), *shape), dtype=np.uint8)

    def fill(start: int) -> None:
        for number, path in enumerate(paths[start : start + CHUNK], start):
            image = decode_file(path, image_size)
            if image.shape != shape:
                here, first = (f"{x.shape[1]}×{x.shape[0]}" for x in (image, images[0]))
                raise DataError(
                    f"{path}: {here} pixels, {paths[0]} has {first}; expected one size (in a study "
                    "data.image_size resizes all)"
                )
            images[number] = image

    starts = range(0, len(paths), CHUNK)
    with ThreadPoolExecutor() as pool:
        try:
            for done, _ in enumerate(pool.map(fill, starts), 1):
                progress(min(done * CHUNK, len(paths)), len(paths))
        except DataError:
            pool.shutdown(cancel_futures=True)
            raise
    return images


def decode_file(path: Path, image_size: int | None = None) -> np.ndarray:
    """One image as `[H, W, 3]`, uint8, cropped at the centre and resized if a size is given.

    Raises:
        DataError: The file is missing, truncated or no image.
        PermaskError: Pillow is not installed.
    """
    require("PIL", "reading images")
    from PIL import Image

    try:
        with Image.open(path) as image:
            return resized(image.convert("RGB"), image_size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: expected an image, it cannot be decoded: {error}") from error


def resized(image: "Image.Image", image_size: int | None) -> np.ndarray:
    """The central square at another size, with antialiasing; the image as it is without a size."""
    if image_size is not None and image.size != (image_size, image_size):
        from PIL import Image, ImageOps

        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
    return np.array(image)
