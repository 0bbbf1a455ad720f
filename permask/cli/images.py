"""Images as they are named on the command line: a folder of classes, or pixels in an array of uint8."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from permask.errors import DataError
from permask.training.data.folder import decode_images, list_folder

CHANNELS = (1, 3, 4)


def read_folder(folder: Path, most: int | None = None) -> dict[str, Tensor]:
    """The images of `folder/CLASS/IMAGE` and the number of the class of each, the classes taking turns.

    Args:
        folder: Classes are numbered in the order of their names.
        most: How many images to read; all by default.

    Raises:
        DataError: Another layout, a file that cannot be decoded, images of different sizes.
    """
    if (folder / "train").is_dir():
        raise DataError(f"{folder}: expected CLASS/IMAGE, found splits; name one of them, such as {folder / 'train'}")
    listing = list_folder(folder)
    within = np.concatenate([np.arange(count) for count in np.bincount(listing.labels)])
    order = np.lexsort((listing.labels, within))[:most]
    images = decode_images([listing.paths[i] for i in order])
    return {"inputs": torch.from_numpy(images), "labels": torch.from_numpy(listing.labels[order])}


def scaled(pixels: Tensor, origin: str) -> Tensor:
    """`[N, H, W, C]` or `[N, C, H, W]` of uint8 to `[N, C, H, W]` of float32 in [0, 1], as torchvision's `ToTensor`.

    Args:
        pixels: The images.
        origin: Where they come from, for errors.

    Raises:
        DataError: A shape that is not that of images.
    """
    if pixels.ndim == 4 and pixels.shape[1] not in CHANNELS and pixels.shape[3] in CHANNELS:
        pixels = pixels.permute(0, 3, 1, 2).contiguous()  # as networks expect that view them, and to the same bits
    if pixels.ndim != 4 or pixels.shape[1] not in CHANNELS:
        raise DataError(
            f"{origin}: inputs of uint8 are images [N, H, W, C] or [N, C, H, W] of 1, 3 or 4 channels, got "
            f"{list(pixels.shape)}; save other numbers as float32, or as int64 for an embedding"
        )
    return pixels / 255
