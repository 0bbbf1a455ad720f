"""Where the images of a data set come from: what identifies their content, and their pixels."""

from pathlib import Path

from permask.errors import DataError
from permask.training.data.archive import unpacked
from permask.training.data.content import Progress, content_of, listing_of, unseen
from permask.training.data.folder import decode_folder
from permask.training.data.imagenet import imagenet_folder
from permask.training.data.pixels import Pixels, kept_pixels
from permask.training.data.published import PUBLISHED


def folder_of(name: str, root: str) -> Path:
    """The folder with the splits of a data set that is laid out in folders.

    Raises:
        DataError: It is not there.
    """
    return imagenet_folder(Path(root)) if name == "imagenet" else unpacked(Path(root))


def identify(name: str, root: str, *, published: bool, stream: bool, progress: Progress = unseen) -> str:
    """What stands for the content of a data set in the keys of steps, wherever it lies.

    Args:
        name: A published data set, `imagenet` or `image_folder`.
        root: Folder or archive.
        published: Whether the files have to be the published ones, by their checksums; then the name says it all, and
            nothing is read.
        stream: Whether the images are too many to read now; then the names and sizes of their files stand for them.
        progress: Called with the files read and the files to read.

    Raises:
        DataError: The files are not there.
    """
    if published:
        return ""
    if name in PUBLISHED:
        return "-".join(content_of(path)[:16] for path in PUBLISHED[name].paths(Path(root)))
    return listing_of(folder_of(name, root)) if stream else content_of(Path(root), progress, find=unpacked)


def pixels_of(
    name: str, root: str, *, content: str, published: bool, image_size: int | None, progress: Progress = unseen
) -> Pixels:
    """The decoded images, from the cache if they were decoded before.

    Args:
        name: A published data set or `image_folder`.
        root: Folder or archive; not looked at if the images are in the cache.
        content: What `identify` gave.
        published: As in `identify`.
        image_size: Side to resize to; None keeps the images' own.
        progress: Called with the images decoded and the images to decode.

    Raises:
        DataError: Files that are missing, damaged or other ones than `content` says.
    """

    def decode() -> Pixels:
        found = identify(name, root, published=published, stream=False)
        if found != content:
            raise DataError(f"{root}: its content is {found[:12]}…, the study expects {content[:12]}…")
        if name in PUBLISHED:
            return PUBLISHED[name].decode(Path(root), published, image_size, progress)
        return decode_folder(folder_of(name, root), image_size, progress)

    return kept_pixels({"name": name, "content": content, "image_size": image_size}, decode)
