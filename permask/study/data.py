"""What a study file may say about its data, and what of that identifies its steps: the content, not the path."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from permask.study.section import Count, PositiveInt, Reference, Section, Seed, Side
from permask.study.step import Specification
from permask.training.data.content import Progress, unseen
from permask.training.data.sources import identify, pixels_of
from permask.training.data.text_files import TextFiles


class Digits(Section):
    """scikit-learn's 1,797 digits, 8×8 pixels."""

    name: Literal["digits"]
    train: Annotated[
        int, Field(ge=10, le=1787, strict=True, description="training images; the rest is the test set")
    ] = 897
    validation: Annotated[
        Count,
        Field(description="training images held out to evaluate on in place of the test set, to choose settings by"),
    ] = 0
    split_seed: Annotated[Seed, Field(description="seed of the train / test split")] = 0

    @field_validator("validation")
    @classmethod
    def _less_than_there_are(cls, validation: int, info: ValidationInfo) -> int:
        if validation >= (train := info.data.get("train", validation + 1)):
            raise PydanticCustomError(
                "many",
                "expected a validation of fewer images than the {train} of train, got {validation}",
                {"train": train, "validation": validation},
            )
        return validation


class Chosen(Section):
    """Data of which a part can be chosen."""

    content: Annotated[
        str, Field(description="what the content has to be, as results state it; found when it is left out")
    ] = ""
    train_size: Annotated[
        PositiveInt | None, Field(description="training inputs, as many of every class as can be; all by default")
    ] = None
    test_size: Annotated[
        PositiveInt | None, Field(description="test inputs, as many of every class as can be; all by default")
    ] = None
    validation: Annotated[
        Count,
        Field(description="training inputs held out to evaluate on in place of the test set, to choose settings by"),
    ] = 0
    split_seed: Annotated[Seed, Field(description="seed of what is chosen and held out")] = 0


class Files(Chosen):
    """Images in files."""

    root: Annotated[str, Field(min_length=1, description="the folder with the files, or the archive of images")] = (
        "data"
    )


class SmallImages(Files):
    """Images that fit into memory, decoded once."""

    image_size: Annotated[
        Side | None, Field(description="side in pixels to which images are resized; their own by default")
    ] = None
    flip: Annotated[bool, Field(description="whether training flips images left to right")] = True
    padding: Annotated[
        int, Field(ge=0, le=2**10, strict=True, description="black margin of the random crop in training, in pixels")
    ] = 4


class PublishedImages(SmallImages):
    """Images in the files that their authors publish; downloaded if they are not there."""

    published: Annotated[
        bool, Field(description="whether the files must be the published ones; false takes others in the same format")
    ] = True


class CIFAR(PublishedImages):
    """CIFAR-10 or CIFAR-100, in the files that their authors publish; downloaded if they are not there."""

    name: Literal["cifar10", "cifar100"]


class SVHN(PublishedImages):
    """SVHN, in the files that its authors publish; downloaded if they are not there."""

    name: Literal["svhn"]
    flip: Annotated[
        bool, Field(description="whether training flips images left to right, which makes another digit of most")
    ] = False


class ImageFolder(SmallImages):
    """Any images, in train/CLASS/IMAGE and test/CLASS/IMAGE of a folder or an archive."""

    name: Literal["image_folder"]


class StreamedImages(Files):
    """ImageNet, or any folder too large for memory, decoded as it is trained on: random resized crops and flips."""

    name: Literal["imagenet", "streamed_folder"]
    image_size: Annotated[Side, Field(description="side in pixels of the crops")] = 224


class Text(Section):
    """Any text, to predict every character, or byte, from those before it."""

    name: Literal["text"]
    root: Annotated[
        str, Field(description="a file of text or a folder of such files; Python's own library unless given")
    ] = ""
    files: Annotated[str, Field(min_length=1, description="which files of a folder, as a shell pattern of names")] = "*"
    context: Annotated[Side, Field(description="tokens of a sequence")] = 128
    level: Annotated[
        Literal["character", "byte"], Field(description="what a token is; bytes need no text that can be decoded")
    ] = "character"
    train_size: Annotated[PositiveInt, Field(description="training sequences")] = 4096
    test_size: Annotated[PositiveInt, Field(description="test sequences")] = 1024
    validation: Annotated[
        Count, Field(description="sequences besides to evaluate on in place of the test set, to choose settings by")
    ] = 0
    split_seed: Annotated[Seed, Field(description="seed of the choice of sequences")] = 0
    content: Annotated[
        str, Field(description="what the files' content has to be, as results state it; found when it is left out")
    ] = ""


class ImportedData(Chosen):
    """Any data that can be made by a call: training and test inputs and labels, or two torch Datasets."""

    name: Literal["imported"]
    factory: Annotated[
        Reference, Field(description="what makes them: package.module:name, or file.py:name beside the study file")
    ]
    arguments: Annotated[dict[str, JsonValue], Field(default_factory=dict, description="what to call it with")]


DataSet = Annotated[
    Digits | CIFAR | SVHN | ImageFolder | StreamedImages | Text | ImportedData, Field(discriminator="name")
]


def find_content(data: DataSet, progress: Progress = unseen, folder: str = "") -> str:
    """What stands for the content of a study's data; empty where their name says it all.

    Args:
        data: The section of a study.
        progress: Called with the files read and the files to read, where content is not known yet.
        folder: Of the study, where the file of imported data is looked for first.

    Raises:
        DataError: Files that are missing, or data that cannot be imported.
    """
    if isinstance(data, Digits):
        return ""
    if isinstance(data, ImportedData):
        from permask.training.data.imported import check_source, identify_imported  # loads torch

        if data.content:
            check_source(data.factory, data.content, folder)
            return data.content
        return identify_imported(data.factory, data.arguments, folder, progress)
    if data.content:
        return data.content
    if isinstance(data, Text):
        return TextFiles.read(data.root, data.files).content
    return identify(
        data.name, data.root, published=_is_published(data), stream=isinstance(data, StreamedImages), progress=progress
    )


def data_in_keys(data: DataSet, content: str) -> dict[str, JsonValue]:
    """What stands for a study's data in the keys of its steps: all options but the path, and the content there.

    Of SVHN `flip` is always there: where it was left out, images were once flipped.
    """
    options = data.model_dump(mode="json", exclude_defaults=True, exclude={"root"})
    options |= {"flip": data.flip} if isinstance(data, SVHN) else {}
    return options | ({"content": content} if content else {})


def root_of(data: DataSet) -> str:
    """Where the data's files lie on this machine; empty for data that have none of their own."""
    root = data.root if isinstance(data, Files | Text) else ""
    return str(Path(root).resolve()) if root else ""


def data_options(in_keys: Specification, root: str, folder: str) -> Specification:
    """What loads a study's data, for `permask.training.data.load.load_data`.

    Args:
        in_keys: What stands for the data in keys.
        root: Where their files lie.
        folder: Of the study, where the file of imported data is looked for first.
    """
    data = _SECTION.validate_python({**in_keys, "root": root} if root else in_keys)
    return data.model_dump() | ({"folder": folder} if isinstance(data, ImportedData) else {})


_SECTION = TypeAdapter(DataSet)


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
