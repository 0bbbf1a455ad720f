"""scikit-learn's digits: 1,797 scans of handwritten digits, 8×8 pixels in 17 grey levels (Alpaydin & Kaynak 1998)."""

import numpy as np
import torch

from permask.errors import DataError
from permask.extras import require
from permask.training.data.dataset import Data
from permask.training.data.images import Images
from permask.training.streams import stream

BRIGHTEST = 16


def load_digits(train: int, split_seed: int, validation: int = 0) -> Data:
    """Split the digits at random, once and for all; pixels come out in [0, 1] as `[N, 1, 8, 8]`.

    Args:
        train: Number of training images; the rest is the test set.
        split_seed: Seed of the split.
        validation: How many of the training images are held out and take the place of the test set.

    Raises:
        DataError: All training images are held out.
        PermaskError: scikit-learn is not installed.
    """
    require("sklearn", "the data set digits")
    from sklearn import datasets

    if validation >= train:
        raise DataError(f"expected a validation of fewer images than the {train} of train, got {validation}")
    pixels, targets = datasets.load_digits(return_X_y=True)
    images = torch.from_numpy((pixels / BRIGHTEST).astype(np.float32)).reshape(-1, 8, 8, 1)
    labels = torch.from_numpy(targets.astype(np.int64))
    order = torch.randperm(len(images), generator=stream(split_seed, "split"))
    train_order = order[validation:train]
    test_order = order[:validation] if validation else order[train:]
    return Data(
        Images(images[train_order], labels[train_order]),
        Images(images[test_order], labels[test_order]),
        classes=10,
    )
