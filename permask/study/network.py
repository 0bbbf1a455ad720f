"""What a study file may say about its network."""

from typing import Annotated, Any, Literal

from pydantic import Field

from permask.study.section import PositiveInt, Section


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


class Imported(Section):
    """Any network that can be made by a call."""

    name: Literal["imported"]
    factory: Annotated[
        str, Field(pattern=r"^[^:]+:[^:]+$", description="what makes it: package.module:name or path/to/file.py:name")
    ]
    arguments: Annotated[dict[str, Any], Field(default_factory=dict, description="what to call it with")]


Network = Annotated[MLP | CNN | Wide | Imported, Field(discriminator="name")]
