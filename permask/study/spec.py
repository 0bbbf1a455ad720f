"""What a study file may say, as a whole; the sections have files of their own.

Every option has its unit, its bounds and its default where its section is, and nowhere else.
"""

from collections import Counter
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from permask.study.analyses import Connect, ConnectRounds, Ensembles
from permask.study.data import DataSet
from permask.study.method import BUILT_IN, AnyMethod, Method, check_methods
from permask.study.network import Network
from permask.study.optimisation import Optimisation, Prune, Sparse
from permask.study.section import Count, Epochs, PositiveInt, Section, Seed, Share
from permask.study.steps import MEASUREMENTS
from permask.study.steps.prune import rounds_to

Epoch = Count
LARGEST = 200_000  # trained networks, which take seconds to plan


class Execution(Section):
    """How training is executed. What is left to auto the machine decides, and the manifest of a result tells."""

    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Field(description="auto: the GPU if there is one; mps is that of a Mac, and no test has run on one"),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Field(
            description="of convolutions and matrix products; auto: bfloat16 for networks with convolutions where the "
            "hardware multiplies it, float32 for others"
        ),
    ] = "auto"
    compile: Annotated[
        bool | Literal["auto"],
        Field(description="auto: for networks with convolutions, on a GPU"),
    ] = "auto"
    deterministic: Annotated[
        bool, Field(description="a GPU gives the same bits in every run, and takes longer; a CPU does so anyway")
    ] = False
    batchnorm: Annotated[
        Literal["batch", "share"],
        Field(
            description="where several processes train a network: normalise by the whole batch, as one process does, "
            "or each by its share of it"
        ),
    ] = "batch"


def _of_the_methods(name: str, info: ValidationInfo) -> str:
    """The name of a method of the study."""
    methods = info.data.get("methods")
    early = [f"permuted t={t}" for t in info.data.get("match_epochs", ())]
    known = [one.name for method in methods or () for one in method.each] + early
    if methods is not None and name not in known:
        raise PydanticCustomError("name", "{name}", {"known": ", ".join(known), "name": name})
    return name


def _two(names: object) -> object:
    if isinstance(names, list | tuple) and len(names) != 2:
        raise PydanticCustomError("two", "expected two methods, the first minus the second")
    return names


MethodName = Annotated[str, AfterValidator(_of_the_methods)]
Comparison = Annotated[tuple[MethodName, MethodName], BeforeValidator(_two)]


class Study(Section):
    """One experiment: pairs of seeds × sparsities × rewind epochs × methods."""

    name: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64, description="of the study, and of its results")
    ]
    description: Annotated[str, Field(description="what the study is about, in a line")] = ""
    data: Annotated[DataSet, Field(description="what networks learn from, and are tested on")]
    network: Annotated[Network, Field(description="of which architecture networks are")]
    pairs: Annotated[
        PositiveInt,
        Field(description="pairs of networks; pair p has the seeds A = first_seed + 2p and B = A + 1"),
    ]
    first_seed: Annotated[Seed, Field(description="seed of the first network A")] = 0
    epochs: Annotated[Epochs, Field(description="T, epochs of dense training")]
    batch_size: Annotated[PositiveInt, Field(description="training inputs of a step")] = 128
    dense: Optimisation
    prune: Prune = Prune()
    sparse: Sparse
    sparsities: Annotated[
        tuple[Share, ...], Field(min_length=1, description="shares of the weights that are pruned, such as [0.9, 0.98]")
    ]
    rewinds: Annotated[
        tuple[Epoch, ...],
        Field(min_length=1, description="epochs k of dense training that sparse training starts from"),
    ] = (0,)
    methods: Annotated[
        tuple[AnyMethod, ...],
        Field(min_length=1, description=f"a mapping, or the name of one that is built in: {', '.join(BUILT_IN)}"),
    ] = (BUILT_IN["lth"], BUILT_IN["naive"], BUILT_IN["permuted"])
    match_epochs: Annotated[
        tuple[Epoch, ...],
        Field(
            description="epochs t of B at which A is matched to it besides the last; masks permuted by "
            "what is found there are the methods `permuted t=...`"
        ),
    ] = ()
    compare: Annotated[
        tuple[Comparison, ...] | None,
        Field(
            description="pairs of methods that tables and figures compare, the first minus the second; "
            "[[permuted, naive]] unless given, if there are both"
        ),
    ] = None
    execution: Execution = Execution()
    evaluate_every: Annotated[
        PositiveInt | None,
        Field(
            description="epochs between evaluations on the test set while training, for the history; only at the "
            "end unless given"
        ),
    ] = None
    measure: Annotated[
        tuple[str, ...],
        Field(description=f"what to measure besides, of every sparse network: {', '.join(MEASUREMENTS)}"),
    ] = ()
    connect: Connect | None = Connect()
    connect_rounds: ConnectRounds | None = None
    ensembles: Ensembles | None = None
    sweep: Annotated[
        dict[str, Annotated[tuple[JsonValue, ...], Field(min_length=1)]],
        Field(
            default_factory=dict,
            description="options, with dots, to several values of each: all combinations are computed and reported",
        ),
    ]

    @field_validator("sparsities", "rewinds", "methods", "match_epochs", "measure")
    @classmethod
    def _no_repeats(cls, values: tuple[float | str | Method, ...]) -> tuple[float | str | Method, ...]:
        names = [
            name
            for value in values
            for name in ([one.name for one in value.each] if isinstance(value, Method) else [value])
        ]
        repeated = sorted(str(name) for name, times in Counter(names).items() if times > 1)
        if repeated:
            raise PydanticCustomError(
                "repeated",
                "expected each value once, got {repeated} more than once",
                {"repeated": ", ".join(repeated)},
            )
        return values

    @field_validator("methods")
    @classmethod
    def _of_a_study_like_this(cls, methods: tuple[Method, ...], info) -> tuple[Method, ...]:
        check_methods(methods, info.data)
        return methods

    @field_validator("match_epochs")
    @classmethod
    def _no_method_of_that_name(cls, epochs: tuple[int, ...], info) -> tuple[int, ...]:
        names = {one.name for method in info.data.get("methods", ()) for one in method.each}
        if taken := [name for t in epochs if (name := BUILT_IN["permuted"].matched_at(t).name) in names]:
            raise PydanticCustomError(
                "repeated",
                "expected epochs that no method has in its name, got {taken} more than once",
                {"taken": ", ".join(taken)},
            )
        return epochs

    @field_validator("compare")
    @classmethod
    def _each_once(cls, pairs: tuple[tuple[str, str], ...] | None) -> tuple[tuple[str, str], ...] | None:
        for first, second in pairs or ():
            if first == second or (pairs or ()).count((first, second)) > 1:
                raise PydanticCustomError(
                    "repeated",
                    "expected each pair of different methods once, got {pair}",
                    {"pair": f"{first}, {second}"},
                )
        return pairs

    @field_validator("measure")
    @classmethod
    def _of_the_measurements(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in MEASUREMENTS:
                known = ", ".join(MEASUREMENTS)
                raise PydanticCustomError(
                    "measurement", "expected names among {known}; got {name}", {"known": known, "name": name}
                )
        return names

    @field_validator("rewinds", "prune", "match_epochs")
    @classmethod
    def _before_the_end(cls, value: tuple[int, ...] | Prune, info) -> tuple[int, ...] | Prune:
        epochs = info.data.get("epochs")
        rewinds = (value.rewind,) if isinstance(value, Prune) else value
        late = [k for k in rewinds if epochs is not None and k >= epochs]
        if late:
            raise PydanticCustomError(
                "late",
                "expected epochs before the {epochs} epochs of dense training end, got {late}",
                {"epochs": epochs, "late": ", ".join(map(str, late))},
            )
        return value

    @field_validator("dense", "prune", "sparse", "rewinds")
    @classmethod
    def _warmed_up_before_the_end(cls, value: Optimisation | tuple[int, ...], info) -> Optimisation | tuple[int, ...]:
        epochs, section = info.data.get("epochs", 0), value
        match value:
            case Prune(policy="fine_tune"):
                epochs = value.epochs
            case tuple():
                epochs, section = epochs - max(value), info.data.get("sparse")
        if isinstance(section, Optimisation) and epochs > 0 and (error := section.too_short(epochs)):
            raise error
        return value

    @field_validator("ensembles")
    @classmethod
    def _of_the_study(cls, ensembles: Ensembles | None, info) -> Ensembles | None:
        if ensembles is None:
            return None
        for name in ("sparsities", "rewinds"):
            has = info.data.get(name, ())
            others = [str(value) for value in getattr(ensembles, name) or () if value not in has]
            if has and others:
                raise PydanticCustomError(
                    "other",
                    "expected {name} of the study ({has}), got {others}",
                    {"name": name, "has": ", ".join(map(str, has)), "others": ", ".join(others)},
                )
        pairs = info.data.get("pairs", 0)
        if pairs and (pairs < ensembles.members or pairs % ensembles.step):
            raise PydanticCustomError(
                "pairs",
                "expected at least as many pairs as members ({members}), and a multiple of {step} of them, got {pairs}",
                {"members": ensembles.members, "step": ensembles.step, "pairs": pairs},
            )
        return ensembles

    @model_validator(mode="after")
    def _that_can_be_planned(self) -> "Study":
        if self.networks > LARGEST:
            raise PydanticCustomError(
                "many",
                "expected at most {largest} trained networks (pairs × methods × sparsities × rewinds, and rounds of "
                "pruning), got {networks}",
                {"largest": f"{LARGEST:,}", "networks": f"{self.networks:,}"},
            )
        if self.first_seed + 2 * self.pairs > 2**63:
            raise PydanticCustomError(
                "many",
                "expected seeds below 2^63, up to first_seed + 2 pairs - 1, got {last}",
                {"last": self.seeds(self.pairs)[0] - 1},
            )
        return self

    @field_serializer("methods")
    def _as_written(self, methods: tuple[Method, ...]) -> list[str | dict[str, JsonValue]]:
        """Built-in methods by their names."""
        return [
            method.name
            if BUILT_IN.get(method.name) == method
            else method.model_dump(mode="json", exclude_defaults=True)
            for method in methods
        ]

    @property
    def networks(self) -> int:
        """Networks that it trains, about."""
        rounds = rounds_to(max(self.sparsities), self.prune.rate) + len(self.sparsities)
        sparse = len(self.compositions) * len(self.sparsities) * len(self.rewinds)
        return self.pairs * (3 + rounds + sparse + len(self.match_epochs))

    @property
    def compositions(self) -> tuple[Method, ...]:
        """Its methods, one for each epoch where a method matches at several."""
        return tuple(one for method in self.methods for one in method.each)

    def has(self, *names: str) -> bool:
        """Whether one of its methods has one of these names."""
        return any(method.name in names for method in self.methods)

    def seeds(self, pair: int) -> tuple[int, int]:
        """The seeds of networks A and B of a pair."""
        return self.first_seed + 2 * pair, self.first_seed + 2 * pair + 1

    def network_seeds(self, pair: int) -> dict[str, int]:
        """The seeds of all networks of a pair: A, B and the new one.

        The new network's is B's plus 2^62, modulo 2^63. No A and no B has it, however many pairs there are.
        """
        a, b = self.seeds(pair)
        return {"A": a, "B": b, "new": (b + 2**62) % 2**63}
