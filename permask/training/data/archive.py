"""Archives of images, which users pass as they are: unpacked once, into permask's cache, and never outside of it."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from permask.cache import cache_place
from permask.errors import DataError
from permask.training.data.cache import making
from permask.training.data.content import Progress, content_of, unseen


def unpacked(root: Path, progress: Progress = unseen) -> Path:
    """The folder that a path stands for: itself, or where the archive is unpacked.

    A single folder inside is descended into.

    Args:
        root: A folder or an archive.
        progress: Called with how much of the archive is unpacked and how much there is.

    Raises:
        DataError: Nothing is there, or it is no archive that can be unpacked, or one that writes outside its folder.
    """
    if root.is_file():
        folder = cache_place("unpacked", content_of(root))
        with making(folder) as temporary:
            if temporary is not None:
                _unpack(root, temporary, progress)
        root = folder
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder or archive of images; expected train/CLASS/IMAGE and test/CLASS/IMAGE in it"
        )
    inside = [path for path in root.iterdir() if not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else root


def _unpack(archive: Path, folder: Path, progress: Progress) -> None:
    try:
        if tarfile.is_tarfile(archive):
            with archive.open("rb") as file, tarfile.open(fileobj=file) as tar:
                size = archive.stat().st_size

                def members() -> Iterator[tarfile.TarInfo]:
                    for member in tar:
                        progress(file.tell(), size)  # in compressed bytes: how many members follow is not known
                        yield member

                tar.extractall(folder, members(), filter="data")
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                names = file.namelist()
                for number, name in enumerate(names, 1):
                    if name.startswith("/") or ".." in Path(name).parts:
                        raise zipfile.BadZipFile(f"{name} is outside of it")
                    file.extract(name, folder)
                    progress(number, len(names))
        else:
            raise tarfile.ReadError("neither tar nor zip")
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{archive}: expected an archive of images that can be unpacked: {error}") from error
