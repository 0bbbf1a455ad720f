"""What a study file may say about its methods: where weights start, where the mask comes from, how it is carried."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from permask.masks.sources import SOURCES
from permask.matching.matchers import MATCHERS
from permask.study.optimisation import Sparse
from permask.study.section import Count, PositiveInt, Section
from permask.study.step import Specification

IMP, FILE = "imp", "file"  # masks that no source makes: of pruning rounds, and of a file
SHUFFLE, RANDOM, NONE = "shuffle", "random", "none"  # how a mask is carried without a matcher

# file.py:name, or package.module:name
OWN = re.compile(r"[^:]+:[A-Za-z_]\w*")
# what own functions are called with, by these names
MASK_ARGUMENTS = ("network", "batches", "sparsity", "seed")
MATCH_ARGUMENTS = ("symmetry", "source", "target", "batches", "seed")

Network = Literal["A", "B", "new"]
Epochs = int | tuple[int, ...] | None
Paths = str | Mapping[float, str] | None


def is_own(by: str) -> bool:
    """Whether a mask or a matching comes from the user's own function."""
    return ":" in by


def _one_of(*names: str) -> Any:
    """A validator of the names that there are, and of those of own functions; it tells both."""

    def check(name: object) -> object:
        text = str(name)
        if ":" in text or text.endswith(".py"):
            if not OWN.fullmatch(text):
                raise PydanticCustomError("own", "expected file.py:name, with the name of a function behind the colon")
        elif name not in names:
            raise PydanticCustomError("name", "{name}", {"known": ", ".join((*names, "file.py:name")), "name": text})
        return name

    return BeforeValidator(check)


def _check_epochs(value: object) -> object:
    epochs = value if isinstance(value, list | tuple) else [value]
    if not epochs or not all(type(epoch) is int and epoch >= 0 for epoch in epochs):
        raise PydanticCustomError("epochs", "expected an epoch, a whole number from 0 on, or a list of them")
    return value


def _check_paths(value: object) -> object:
    try:
        paths = {float(key): path for key, path in value.items()} if isinstance(value, Mapping) else value
        if not all(isinstance(path, str) and path for path in (paths.values() if isinstance(paths, dict) else [paths])):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise PydanticCustomError("path", "expected a path, or a mapping of sparsities to paths") from error
    return paths or None


class MaskFrom(Section):
    """Where a mask comes from."""

    by: Annotated[
        str,
        _one_of(IMP, *SOURCES, FILE),
        Field(
            description="imp (iterative magnitude pruning), magnitude or layer-magnitude (of the network after its "
            "last epoch), snip, grasp or synflow (scored at the weights that training starts from), uniform (drawn, "
            "the same share of every layer), random (drawn over all layers together), erk, file (a mask that you "
            "have), or file.py:name (your own function)"
        ),
    ]
    of: Annotated[Network, Field(description="network that is pruned or scored; that of `start` unless given")]
    path: Annotated[
        Paths,
        BeforeValidator(_check_paths),
        Field(description="of the file with the mask, beside the study file; or sparsities to such paths"),
    ] = None

    @model_validator(mode="after")
    def _has_a_path_for_a_file(self) -> "MaskFrom":
        if (self.by == FILE) != (self.path is not None):
            raise PydanticCustomError("path", "expected a path with by: file, and with nothing else")
        return self

    def path_for(self, sparsity: float) -> str | None:
        """The file that has the mask of a sparsity."""
        return self.path.get(sparsity) if isinstance(self.path, Mapping) else self.path


class Carry(Section):
    """How a mask of A is carried to the network that is trained."""

    by: Annotated[
        str,
        _one_of(NONE, *MATCHERS, SHUFFLE, RANDOM),
        Field(
            description="a matcher (activations, weights, straight-through, sinkhorn), shuffle (positions within every "
            "layer), random (a random element of the network's symmetry), none, or file.py:name (your own function)"
        ),
    ]
    images: Annotated[
        PositiveInt | None,
        Field(description="training inputs that the matcher reads, evenly spaced; all unless given"),
    ] = None
    at: Annotated[
        Epochs,
        BeforeValidator(_check_epochs),
        Field(description="epoch of B that A is matched to, its last unless given; a list gives one method each"),
    ] = None
    of: Annotated[Count | None, Field(description="epoch of A that is matched, its last unless given")] = None

    @model_validator(mode="after")
    def _options_of_its_kind(self) -> "Carry":
        given = [name for name in ("images", "at", "of") if getattr(self, name) is not None]
        idle = given if self.by in (SHUFFLE, RANDOM, NONE) else []
        if self.by in MATCHERS and MATCHERS[self.by].needs == "nothing":
            idle = [name for name in given if name == "images"]
        if idle:
            raise PydanticCustomError(
                "idle", "expected no {idle} with by: {by}, which reads none", {"idle": " or ".join(idle), "by": self.by}
            )
        return self


class Train(Section):
    """How a method trains: whether its mask changes, and any option of the study's `sparse` in place of that one."""

    model_config = ConfigDict(extra="allow")  # they are checked together with the others of `sparse`

    update: Annotated[
        Literal["set", "rigl", "gmp"] | None,
        BeforeValidator(lambda update: None if update == NONE else update),
        Field(
            description="how the mask changes in training: set (Mocanu et al. 2018) and rigl (Evci et al. "
            "2020) drop the smallest weights of every layer and grow as many at random, or where the gradient is "
            "largest; gmp (Zhu & Gupta 2017) begins with all weights and ends with as many of every layer as the mask "
            "keeps; none"
        ),
    ] = None
    every: Annotated[
        PositiveInt | None,
        Field(description="steps from one change of the mask to the next; unless given 100, or fewer for ten changes"),
    ] = None
    fraction: Annotated[
        float, Field(gt=0, le=1, description="share of a layer's kept weights that set and rigl exchange at first")
    ] = 0.3
    until: Annotated[
        float, Field(gt=0, le=1, description="share of the training after which the mask stays as it is")
    ] = 0.75

    @model_validator(mode="after")
    def _options_of_an_update(self) -> "Train":
        idle = {None: ("every", "fraction", "until"), "gmp": ("fraction",)}.get(self.update, ())
        if given := [name for name in idle if getattr(self, name) != type(self).model_fields[name].default]:
            raise PydanticCustomError(
                "idle",
                "expected no {idle} with update: {update}, which reads none",
                {"idle": " or ".join(given), "update": self.update or NONE},
            )
        return self

    @property
    def updates(self) -> Specification:
        """How the mask changes, as the specification of a step says it; empty if it does not."""
        if self.update is None:
            return {}
        names = ("until",) if self.update == "gmp" else ("until", "fraction")
        every = {"every": self.every} if self.every else {}
        return {"update": {"by": self.update, **every, **{name: getattr(self, name) for name in names}}}

    def over(self, sparse: Sparse) -> Sparse:
        """The study's section with what is written here in its place."""
        return Sparse.model_validate(sparse.model_dump(exclude_unset=True) | (self.model_extra or {}))


def _check_name(name: str) -> str:
    if name in ("dense", "pruned"):
        raise PydanticCustomError("taken", "expected a name that results have no other use for")
    return name


class Method(Section):
    """One way to a sparse network."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9 ._=-]*$", max_length=32), AfterValidator(_check_name)]
    start: Annotated[
        Network,
        Field(description="network whose weights are trained: of the pair, or a new one with a seed of its own"),
    ] = "B"
    mask: MaskFrom
    carry: Annotated[Carry | None, AfterValidator(lambda carry: carry if carry and carry.by != NONE else None)] = None
    train: Annotated[Train | None, Field(description="how its mask changes; options of `sparse` for it alone")] = None

    @model_validator(mode="before")
    @classmethod
    def _of_the_network_that_is_trained(cls, content: Any) -> Any:
        if isinstance(content, dict) and isinstance(mask := content.get("mask"), dict) and "of" not in mask:
            start = content.get("start")
            return {**content, "mask": {**mask, "of": start if start in ("A", "new") else "B"}}
        return content

    @model_validator(mode="after")
    def _carries_from_a(self) -> "Method":
        if self.carry and (self.mask.of != "A" or self.start == "A"):
            raise PydanticCustomError(
                "carry",
                "expected a mask of A and a start at B or new to carry anything, "
                "got a mask of {of} and a start at {start}",
                {"of": self.mask.of, "start": self.start},
            )
        return self

    @property
    def each(self) -> "tuple[Method, ...]":
        """Itself; or, of several epochs that it matches at, one method for each."""
        at = self.carry.at if self.carry else None
        return tuple(map(self.matched_at, at)) if self.carry and isinstance(at, tuple) else (self,)

    def matched_at(self, epoch: int) -> "Method":
        """The method with a match at one epoch, which is in its name."""
        assert self.carry is not None
        carry = self.carry.model_copy(update={"at": epoch})
        return self.model_copy(update={"name": f"{self.name} t={epoch}", "carry": carry})

    def training(self, sparse: Sparse) -> Sparse:
        """How it trains, given the study's section."""
        return self.train.over(sparse) if self.train else sparse


def check_methods(methods: Sequence[Method], study: Mapping[str, Any]) -> None:
    """See that methods suit what a study says before them: its epochs, its sparsities and its section `sparse`.

    Raises:
        ValidationError: All that does not, each with its place.
    """
    wrong = [
        InitErrorDetails(type=error, loc=(number, *place), input=value)
        for number, method in enumerate(methods)
        for place, error, value in _unsuited(method, study)
    ]
    if wrong:
        raise ValidationError.from_exception_data("Study", wrong)


Unsuited = tuple[tuple[str | int, ...], PydanticCustomError, Any]  # where in a method, why, and what stands there


def _unsuited(method: Method, study: Mapping[str, Any]) -> Iterator[Unsuited]:
    last = study.get("epochs")
    for name in ("at", "of") if method.carry and last is not None else ():
        value = getattr(method.carry, name)
        late = [str(epoch) for epoch in (value if isinstance(value, tuple) else (value,)) if epoch and epoch > last]
        if late:
            context = {"last": last, "late": ", ".join(late)}
            message = "expected epochs up to the last one of dense training, {last}, got {late}"
            yield ("carry", name), PydanticCustomError("late", message, context), value
    lacking = [str(s) for s in study.get("sparsities", ()) if method.mask.by == FILE and not method.mask.path_for(s)]
    if lacking:
        message = "expected a path for each sparsity of the study, got none for {lacking}"
        error = PydanticCustomError("lacking", message, {"lacking": ", ".join(lacking)})
        yield ("mask", "path"), error, method.mask.path
    if "sparse" in study:
        try:
            method.training(study["sparse"])
        except ValidationError as error:
            for detail in error.errors():
                yield ("train", *detail["loc"]), _of_sparse(detail), detail["input"]


def _of_sparse(detail: ErrorDetails) -> PydanticCustomError:
    """What is wrong with the section `sparse` with a method's own options in it."""
    if detail["type"] == "extra_forbidden":
        known = ", ".join(sorted({*Sparse.model_fields, *Train.model_fields}))
        return PydanticCustomError("name", "{name}", {"known": known, "name": str(detail["loc"][-1])})
    return PydanticCustomError(cast(Any, detail["type"]), cast(Any, detail["msg"]), detail.get("ctx"))


def _method(name: str, start: str, by: str, of: str, **more: str) -> Method:
    content = {"name": name, "start": start, "mask": {"by": by, "of": of}}
    parts = {"carry": "by", "train": "update"}
    return Method.model_validate(content | {part: {parts[part]: value} for part, value in more.items()})


BUILT_IN = {
    method.name: method
    for method in (
        _method("lth", "A", IMP, "A"),
        _method("naive", "B", IMP, "A"),
        _method("permuted", "B", IMP, "A", carry="activations"),
        _method("random", "B", IMP, "A", carry=SHUFFLE),
        _method("any-symmetry", "B", IMP, "A", carry=RANDOM),
        _method("own-ticket", "B", IMP, "B"),
        _method("one-shot", "B", "magnitude", "B"),
        _method("erk", "B", "erk", "B"),
        _method("uniform", "B", "uniform", "B"),
        _method("snip", "B", "snip", "B"),
        _method("grasp", "B", "grasp", "B"),
        _method("synflow", "B", "synflow", "B"),
        _method("set", "B", "erk", "B", train="set"),
        _method("rigl", "B", "erk", "B", train="rigl"),
        _method("gmp", "B", "uniform", "B", train="gmp"),
    )
}


def _named(value: object) -> object:
    """A built-in method for its name; a mapping as it is."""
    if not isinstance(value, str):
        return value
    if value not in BUILT_IN:
        raise PydanticCustomError("method", "{name}", {"name": value, "known": ", ".join(BUILT_IN)})
    return BUILT_IN[value]


AnyMethod = Annotated[Method, BeforeValidator(_named)]
