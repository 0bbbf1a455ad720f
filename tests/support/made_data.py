"""Small data sets in the files and folders that the real ones are published in."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

CLASSES = 10


def pictures(labels, size=32, seed=0):
    """Images `[N, size, size, 3]` of noise over a colour that tells the class."""
    generator = np.random.default_rng(seed)
    colours = np.random.default_rng(1).integers(60, 196, (100, 3))
    noise = generator.integers(-50, 50, (len(labels), size, size, 3))
    return (colours[np.asarray(labels)][:, None, None] + noise).astype(np.uint8)


def made_labels(images, classes=CLASSES):
    return [number % classes for number in range(images)]


def make_cifar10(root: Path, train=50, test=20) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number in range(5):
        _write_cifar(folder / f"data_batch_{number + 1}", train // 5, "labels", 10, number)
    _write_cifar(folder / "test_batch", test, "labels", 10, 5)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(n) for n in range(10)]}))
    return root


def make_cifar100(root: Path, train=200, test=100) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    _write_cifar(folder / "train", train, "fine_labels", 100, 0)
    _write_cifar(folder / "test", test, "fine_labels", 100, 1)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(n) for n in range(100)]}))
    return root


def make_svhn(root: Path, train=50, test=20) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for seed, (name, images) in enumerate((("train", train), ("test", test))):
        labels = made_labels(images)
        published = np.array([[label or 10] for label in labels], dtype=np.uint8)
        savemat(root / f"{name}_32x32.mat", {"X": pictures(labels, seed=seed).transpose(1, 2, 3, 0), "y": published})
    return root


def make_folder(root: Path, splits=("train", "test"), classes=3, images=6, size=32, suffix=".png") -> Path:
    """`root/SPLIT/CLASS/NUMBER.png`."""
    for seed, split in enumerate(splits):
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number, image in enumerate(pictures([label] * images, size, seed)):
                Image.fromarray(image).save(folder / f"{number:03}{suffix}")
    return root


def _write_cifar(path, images, key, classes, seed):
    labels = made_labels(images, classes)
    rows = pictures(labels, seed=seed).transpose(0, 3, 1, 2).reshape(images, -1)
    path.write_bytes(pickle.dumps({"data": rows, key: labels, "batch_label": "made"}, protocol=2))
