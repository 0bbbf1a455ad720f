"""ImageNet (ILSVRC 2012): the folder of its images, made of the published archives where only these are there."""

from pathlib import Path

from permask.errors import DataError
from permask.extras import remedy
from permask.training.data.cache import making

ARCHIVES = ("ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")


def imagenet_folder(root: Path) -> Path:
    """The folder with ImageNet's `train/` and `val/`.

    Archives are unpacked into `root/unpacked`, once, by torchvision, which checks that they are the published ones.

    Raises:
        DataError: Neither folders nor archives are there, or an archive is damaged.
    """
    if (root / "train").is_dir() and (root / "val").is_dir():
        return root
    if not all((root / name).exists() for name in ARCHIVES):
        raise DataError(
            f"{root}: ImageNet is not there; expected {root}/train/CLASS/*.JPEG and {root}/val/CLASS/*.JPEG, or the "
            f"archives {', '.join(ARCHIVES)}, which image-net.org gives to those who register"
        )
    with making(root / "unpacked") as folder:
        if folder is not None:
            _unpack(root, folder)
    return root / "unpacked"


def _unpack(root: Path, folder: Path) -> None:
    try:
        from torchvision.datasets import ImageNet
    except ImportError as error:
        raise DataError(f"unpacking ImageNet's archives needs {remedy('torchvision')}") from error
    for name in ARCHIVES:
        (folder / name).symlink_to((root / name).resolve())
    try:
        for split in ("train", "val"):
            ImageNet(str(folder), split)
    except (RuntimeError, OSError) as error:
        raise DataError(f"{root}: ImageNet's archives cannot be unpacked: {error}") from error
