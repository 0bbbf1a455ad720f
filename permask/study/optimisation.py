"""What a study file may say about how networks are trained."""

from typing import Annotated, Literal

from pydantic import Field

from permask.study.section import Section

LearningRate = Annotated[float, Field(gt=0, le=10)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
WeightDecay = Annotated[float, Field(ge=0, lt=1)]


class Optimisation(Section):
    """SGD with momentum; the learning rate falls to 0 along a cosine."""

    learning_rate: LearningRate
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 5e-4


class Sparse(Optimisation):
    """Training under a mask."""

    rescale: Annotated[
        Literal["neuron", "layer"] | None,
        Field(
            description="re-centre and rescale the surviving weights to variance 2 / fan-in of the mask before the "
            "first epoch, each neuron or each layer on its own"
        ),
    ] = None
    reset_batchnorm: Annotated[
        bool, Field(description="recompute BatchNorm statistics from the training images before training and after")
    ] = False
