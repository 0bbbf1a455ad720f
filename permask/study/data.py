"""What a study file may say about its data, and what of that identifies its steps: the content, not the path."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from permask.study.section import Count, PositiveInt, Section, Seed
from permask.training.data.content import Progress, unseen
from permask.training.data.sources import identify, pixels_of


class Digits(Section):
    """scikit-learn's 1,797 digits, 8×8 pixels."""

    name: Literal["digits"]
    train: Annotated[
        int, Field(ge=10, le=1787, strict=True, description="training images; the rest is the test set")
    ] = 897
    split_seed: Annotated[Seed, Field(description="seed of the train / test split")] = 0


class Files(Section):
    """Images in files."""

    root: Annotated[str, Field(min_length=1, description="the folder with the files, or the archive of images")] = (
        "data"
    )
    content: Annotated[
        str, Field(description="what the files' content has to be, as results state it; found when it is left out")
    ] = ""
    train_size: Annotated[
        PositiveInt | None, Field(description="training images, as many of every class as can be; all by default")
    ] = None
    test_size: Annotated[
        PositiveInt | None, Field(description="test images, as many of every class as can be; all by default")
    ] = None
    validation: Annotated[
        Count,
        Field(description="training images held out to evaluate on in place of the test set, to choose settings by"),
    ] = 0
    split_seed: Annotated[Seed, Field(description="seed of what is chosen and held out")] = 0


class SmallImages(Files):
    """Images that fit into memory, decoded once."""

    image_size: Annotated[
        PositiveInt | None, Field(description="side in pixels to which images are resized; their own by default")
    ] = None
    flip: Annotated[bool, Field(description="whether training flips images left to right")] = True
    padding: Annotated[Count, Field(description="black margin of the random crop in training, in pixels")] = 4


class PublishedImages(SmallImages):
    """CIFAR-10, CIFAR-100 or SVHN, in the files that their authors publish; downloaded if they are not there."""

    name: Literal["cifar10", "cifar100", "svhn"]
    published: Annotated[
        bool, Field(description="whether the files must be the published ones; false takes others in the same format")
    ] = True


class ImageFolder(SmallImages):
    """Any images, in train/CLASS/IMAGE and test/CLASS/IMAGE of a folder or an archive."""

    name: Literal["image_folder"]


class StreamedImages(Files):
    """ImageNet, or any folder too large for memory, decoded as it is trained on: random resized crops and flips."""

    name: Literal["imagenet", "streamed_folder"]
    image_size: Annotated[PositiveInt, Field(description="side in pixels of the crops")] = 224


DataSet = Annotated[Digits | PublishedImages | ImageFolder | StreamedImages, Field(discriminator="name")]


def find_content(data: DataSet, progress: Progress = unseen) -> str:
    """What stands for the content of a study's data; empty where their name says it all.

    Args:
        data: The section of a study.
        progress: Called with the files read and the files to read, where content is not known yet.

    Raises:
        DataError: Files that are missing.
    """
    if isinstance(data, Digits):
        return ""
    if data.content:
        return data.content
    return identify(
        data.name, data.root, published=_is_published(data), stream=isinstance(data, StreamedImages), progress=progress
    )


def data_in_keys(data: DataSet, content: str) -> dict[str, JsonValue]:
    """What stands for a study's data in the keys of its steps: all options but the path, and the content there."""
    options = data.model_dump(mode="json", exclude_defaults=True, exclude={"root"})
    return options | ({"content": content} if content else {})


def decode_images(data: DataSet, content: str, progress: Progress = unseen) -> None:
    """Decode images that fit into memory into permask's cache, unless they are there.

    Args:
        data: The section of a study.
        content: What `find_content` gave.
        progress: Called with the images decoded and the images to decode.

    Raises:
        DataError: Files that are missing, damaged or other ones than the study expects.
    """
    if isinstance(data, SmallImages):
        pixels_of(
            data.name,
            data.root,
            content=content,
            published=_is_published(data),
            image_size=data.image_size,
            progress=progress,
        )


def _is_published(data: DataSet) -> bool:
    return isinstance(data, PublishedImages) and data.published
