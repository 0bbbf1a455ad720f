"""What a study file may say about how a network is trained: by which optimizer, at which learning rates."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator
from pydantic_core import PydanticCustomError

from permask.study.section import Count, Epochs, PositiveInt, Section, Share
from permask.study.step import Specification

LearningRate = Annotated[float, Field(gt=0, le=10)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
WeightDecay = Annotated[float, Field(ge=0, lt=1)]
Policy = Literal["fine_tune", "rewind_weights", "rewind_learning_rate"]

# of torch.optim, but for the two that step otherwise than the loop does (LBFGS, SparseAdam), as it spells them
OPTIMIZERS = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "Adamax",
    "AdamW",
    "ASGD",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
)
SGD = "sgd"


class Optimisation(Section):
    """SGD with momentum, its learning rate falling to 0 along a cosine, unless something else is asked for."""

    optimizer: Annotated[
        str,
        Field(description="sgd, adamw, or any other in torch.optim that steps without a closure"),
    ] = SGD
    options: Annotated[
        dict[str, JsonValue], Field(description="further arguments of the optimizer, such as betas: [0.9, 0.95]")
    ] = Field(default_factory=dict)
    learning_rate: Annotated[LearningRate, Field(description="that the schedule begins with")]
    momentum: Annotated[Momentum, Field(description="of sgd; other optimizers have options")] = 0.9
    weight_decay: Annotated[WeightDecay, Field(description="as in torch.optim")] = 5e-4
    decay: Annotated[
        Literal["all", "weights"],
        Field(description="what decays: all parameters, or the weights of layers and embeddings alone"),
    ] = "all"
    schedule: Annotated[
        Literal["cosine", "step", "constant"],
        Field(description="cosine: to 0 along half a cosine; step: times `factor` at every milestone"),
    ] = "cosine"
    milestones: Annotated[
        tuple[PositiveInt, ...], Field(description="epochs of `step`, counted from the first of this training, 0")
    ] = ()
    factor: Annotated[float, Field(gt=0, lt=1, description="of `step`")] = 0.1
    warmup: Annotated[
        Count,
        Field(description="epochs at the beginning in which the learning rate rises along a line"),
    ] = 0
    per: Annotated[
        Literal["step", "epoch"],
        Field(description="how often the learning rate changes"),
    ] = "step"
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="share of every label that is spread over all classes")
    ] = 0.0
    clip: Annotated[
        float | None,
        Field(gt=0, description="largest norm of the network's gradient; not clipped unless given"),
    ] = None
    drop_last: Annotated[
        bool, Field(description="leave out the last batch of an epoch where it is shorter than the others")
    ] = False

    @field_validator("optimizer")
    @classmethod
    def _of_torch(cls, name: str) -> str:
        if name.lower() not in {known.lower() for known in OPTIMIZERS}:
            known = ", ".join((SGD, "adamw", *OPTIMIZERS))
            raise PydanticCustomError("name", "{name}", {"known": known, "name": name})
        return name.lower()

    @field_validator("milestones")
    @classmethod
    def _rise(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if list(milestones) != sorted(set(milestones)):
            shown = ", ".join(map(str, milestones))
            raise PydanticCustomError("order", "expected epochs in rising order, got {shown}", {"shown": shown})
        return milestones

    @model_validator(mode="after")
    def _belong_together(self) -> "Optimisation":
        usual = {name: field.default for name, field in type(self).model_fields.items()}
        if self.optimizer != SGD and self.momentum != usual["momentum"]:
            raise PydanticCustomError(
                "momentum",
                "expected momentum with sgd alone, got it with {name}; say it among the options",
                {"name": self.optimizer},
            )
        if (self.schedule == "step") != bool(self.milestones) or (
            self.factor != usual["factor"] and self.schedule != "step"
        ):
            raise PydanticCustomError(
                "milestones",
                "expected milestones with the schedule step, and with no other; got {name} with {count} of them",
                {"name": self.schedule, "count": len(self.milestones)},
            )
        return self

    def too_short(self, epochs: int) -> PydanticCustomError | None:
        """What is wrong with a training of so many epochs that is over before it is warmed up."""
        if self.warmup < epochs or not self.warmup:
            return None
        return PydanticCustomError(
            "warmup",
            "expected a training that is longer than its warm-up of {warmup} epochs, got one of {epochs}",
            {"warmup": self.warmup, "epochs": epochs},
        )

    @property
    def recipe(self) -> Specification:
        """How it trains, as the specification of a step says it: what has its default is left out, but for SGD's."""
        always = {"learning_rate", "weight_decay"} | ({"momentum"} if self.optimizer == SGD else set())
        fields = set(Optimisation.model_fields) - {"momentum"}
        changed = self.model_dump(mode="json", include=fields, exclude_defaults=True)
        return self.model_dump(include=always) | changed


class Prune(Optimisation):
    """Iterative magnitude pruning of network A."""

    policy: Annotated[
        Policy,
        Field(
            description="what a round trains: fine_tune (the paper's) goes on for `epochs` at its own learning rate; "
            "rewind_weights restarts the survivors from network A after `rewind` epochs (Frankle et al. 2020); "
            "rewind_learning_rate keeps the weights and replays the schedule from there (Renda et al. 2020)"
        ),
    ] = "fine_tune"
    rate: Annotated[Share, Field(ge=0.01, description="share of the surviving weights that a round removes")] = 0.2
    epochs: Annotated[Epochs, Field(description="epochs per round of fine_tune")] = 50
    rewind: Annotated[Count, Field(description="epoch that the two rewinding policies go back to")] = 0
    exclude: Annotated[tuple[str, ...], Field(description="weights of layers never pruned, as shell patterns")] = (
        "*.shortcut.*",
    )
    include: Annotated[
        tuple[str, ...],
        Field(description="parameters pruned besides the weights of layers, as shell patterns, such as embeddings"),
    ] = ()

    @property
    def scope(self) -> dict[str, list[str]]:
        """What is pruned, as the specification of a step says it."""
        return {"exclude": list(self.exclude)} | ({"include": list(self.include)} if self.include else {})

    learning_rate: LearningRate = 0.01
    momentum: Momentum = 0.0
    weight_decay: WeightDecay = 0.0


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
