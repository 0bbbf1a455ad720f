"""What a study file may say about its network."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from permask.errors import NetworkError
from permask.study.section import Reference, Section, Side
from permask.study.step import Specification
from permask.training.source import short_source


class NetworkSection(Section):
    """A network.

    Attributes:
        CONVOLVES: Whether it has convolutions of images; None for one that has to be made to tell.
    """

    CONVOLVES: ClassVar[bool | None] = False


class MLP(NetworkSection):
    """A multi-layer perceptron with ReLU."""

    name: Literal["mlp"]
    widths: Annotated[tuple[Side, ...], Field(min_length=1, max_length=1000, description="hidden units per layer")] = (
        256,
        256,
    )


class CNN(NetworkSection):
    """3×3 convolutions with BatchNorm, ReLU and max pooling."""

    CONVOLVES = True

    name: Literal["cnn"]
    widths: Annotated[
        tuple[Side, ...], Field(min_length=1, max_length=1000, description="channels per convolution")
    ] = (
        64,
        128,
        256,
    )


class Wide(NetworkSection):
    """ResNet8 or 20 with BatchNorm, VGG11 without, both for small images; torchvision's ResNet50."""

    CONVOLVES = True

    name: Literal["resnet8", "resnet20", "vgg11", "resnet50"]
    width: Annotated[
        int,
        Field(
            gt=0,
            le=1024,
            strict=True,
            description="multiplies every number of channels; of ResNet50, those inside the blocks",
        ),
    ] = 1
    initialisation: Annotated[
        Literal["he", "torch"],
        Field(
            description="he: normal weights as of He et al. 2015, zero biases; torch: what torch or torchvision draw"
        ),
    ] = "he"


class Transformer(NetworkSection):
    """A transformer with pre-LayerNorm blocks and learned positions."""

    layers: Annotated[int, Field(gt=0, le=1000, strict=True, description="blocks of attention and an MLP")] = 4
    width: Annotated[Side, Field(description="of the residual stream; the MLPs are four times as wide")] = 128
    heads: Annotated[Side, Field(description="of the attention in every block; divides the width")] = 4

    @field_validator("heads")
    @classmethod
    def _divide_the_width(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("width", heads)
        if width % heads:
            raise PydanticCustomError("heads", "expected a number that divides the width {width}", {"width": width})
        return heads


class GPT(Transformer):
    """A decoder that predicts the next token, for text."""

    name: Literal["gpt"]


class ViT(Transformer):
    """A vision transformer, for images; it averages over patches, which a convolution reads."""

    CONVOLVES = True

    name: Literal["vit"]
    patch: Annotated[Side, Field(description="side of a patch in pixels; divides that of the images")] = 4


class Imported(NetworkSection):
    """Any network that can be made by a call."""

    CONVOLVES = None

    name: Literal["imported"]
    factory: Annotated[
        Reference, Field(description="what makes it: package.module:name, or file.py:name beside the study file")
    ]
    arguments: Annotated[dict[str, JsonValue], Field(default_factory=dict, description="what to call it with")]


Network = Annotated[MLP | CNN | Wide | GPT | ViT | Imported, Field(discriminator="name")]


def network_arguments(network: Network, folder: str) -> Specification:
    """What makes a study's network, for `permask.training.networks.outline_network`.

    Args:
        network: The section of the study.
        folder: Of the study, where the file of an imported network is looked for first.
    """
    return network.model_dump() | ({"folder": folder} if isinstance(network, Imported) else {})


def convolves(network: Network, folder: str) -> bool:
    """Whether a study's network has convolutions of images; an imported one is made to tell.

    Raises:
        PermaskError: An imported network that cannot be made.
    """
    if network.CONVOLVES is not None:
        return network.CONVOLVES
    from permask.training.execution import has_convolutions  # loads torch
    from permask.training.networks.imported import import_network

    assert isinstance(network, Imported)
    return has_convolutions(import_network(network.factory, network.arguments, folder))


def network_source(network: Network, folder: str) -> str:
    """What stands for the code of an imported network in keys; empty for other networks.

    Raises:
        PermaskError: Code that cannot be found or imported.
    """
    return short_source(network.factory, folder) if isinstance(network, Imported) else ""


def check_network_source(network: Network, source: str, folder: str) -> None:
    """Raise a `NetworkError` if the code of an imported network is another than what stands for it in the keys."""
    if source and (found := network_source(network, folder)) != source:
        assert isinstance(network, Imported)
        raise NetworkError(
            f"{network.factory}: its code is {found[:12]}…, and was {source[:12]}… when this was planned; run again"
        )
