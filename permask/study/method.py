"""What a study file may say about its methods, and those that are built in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from permask.study.composition import FILE, IMP, NONE, RANDOM, SHUFFLE, Carry, MaskFrom, Network, Train
from permask.study.optimisation import Sparse
from permask.study.section import Section

ROUNDING = 1e-9  # 2:3 prunes a third


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
    share = method.mask.pattern_sparsity
    if share is not None and (others := [str(s) for s in study.get("sparsities", ()) if abs(s - share) > ROUNDING]):
        message = "expected the sparsity {share} alone with the pattern {pattern}, got {others}"
        context = {"share": f"{share:.6g}", "pattern": method.mask.pattern, "others": ", ".join(others)}
        yield ("mask", "pattern"), PydanticCustomError("pattern", message, context), method.mask.pattern
    if "sparse" in study:
        try:
            options = method.training(study["sparse"])
        except ValidationError as error:
            for detail in error.errors():
                yield ("train", *detail["loc"]), _of_sparse(detail), detail["input"]
        else:
            epochs = study.get("epochs", 0) - max(study.get("rewinds", (0,)))
            if options != study["sparse"] and epochs > 0 and (error := options.too_short(epochs)):
                yield ("train",), error, options.warmup


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
