"""What a study file may say about its network."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from permask.study.section import PositiveInt, Reference, Section
from permask.study.step import Specification


class MLP(Section):
    """A multi-layer perceptron with ReLU."""

    name: Literal["mlp"]
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1, description="hidden units per layer")] = (
        256,
        256,
    )


class CNN(Section):
    """3×3 convolutions with BatchNorm, ReLU and max pooling."""

    name: Literal["cnn"]
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1, description="channels per convolution")] = (
        64,
        128,
        256,
    )


class Wide(Section):
    """ResNet8 or 20 with BatchNorm, VGG11 without, both for small images; torchvision's ResNet50."""

    name: Literal["resnet8", "resnet20", "vgg11", "resnet50"]
    width: Annotated[
        PositiveInt, Field(description="multiplies every number of channels; of ResNet50, those inside the blocks")
    ] = 1


class Transformer(Section):
    """A transformer with pre-LayerNorm blocks and learned positions."""

    layers: Annotated[PositiveInt, Field(description="blocks of attention and an MLP")] = 4
    width: Annotated[PositiveInt, Field(description="of the residual stream; the MLPs are four times as wide")] = 128
    heads: Annotated[PositiveInt, Field(description="of the attention in every block; divides the width")] = 4

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
    """A vision transformer, for images; it averages over patches."""

    name: Literal["vit"]
    patch: Annotated[PositiveInt, Field(description="side of a patch in pixels; divides that of the images")] = 4


class Imported(Section):
    """Any network that can be made by a call."""

    name: Literal["imported"]
    factory: Annotated[
        Reference, Field(description="what makes it: package.module:name, or file.py:name beside the study file")
    ]
    arguments: Annotated[dict[str, Any], Field(default_factory=dict, description="what to call it with")]


Network = Annotated[MLP | CNN | Wide | GPT | ViT | Imported, Field(discriminator="name")]


def network_arguments(network: Network, folder: str) -> Specification:
    """What makes a study's network, for `permask.training.networks.outline_network`.

    Args:
        network: The section of the study.
        folder: Of the study, where the file of an imported network is looked for first.
    """
    return network.model_dump() | ({"folder": folder} if isinstance(network, Imported) else {})
