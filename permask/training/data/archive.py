"""An archive of images is taken as it is: unpacked once, among permask's caches, and never outside its folder."""

import shutil
import tarfile
from pathlib import Path

from permask.errors import DataError
from permask.training.data.cache import cache_place, making
from permask.training.data.content import content_of


def unpacked(root: Path) -> Path:
    """The folder that a path stands for: itself, or where the archive is unpacked.

    A single folder inside is descended into.

    Raises:
        DataError: Nothing is there, or it is no archive that can be unpacked, or one that writes outside its folder.
    """
    if root.is_file():
        folder = cache_place("unpacked", content_of(root))
        with making(folder) as temporary:
            if temporary is not None:
                _unpack(root, temporary)
        root = folder
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder or archive of images; expected train/CLASS/IMAGE and test/CLASS/IMAGE in it"
        )
    inside = [path for path in root.iterdir() if not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else root


def _unpack(archive: Path, folder: Path) -> None:
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        else:
            shutil.unpack_archive(archive, folder)  # zip; it leaves out paths that lead elsewhere
    except (tarfile.TarError, shutil.ReadError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{archive}: expected an archive of images that can be unpacked: {error}") from error
