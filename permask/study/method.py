"""What a study file may say about its methods: where weights start, where the mask comes from, how it is carried."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from permask.masks.sources import SOURCES
from permask.matching.matchers import MATCHERS
from permask.study.section import Count, Section

IMP = "imp"

Network = Literal["A", "B"]


def _one_of(*names: str) -> Any:
    """A validator that tells the names that there are."""

    def check(name: object) -> object:
        if name not in names:
            raise PydanticCustomError("name", "{name}", {"known": ", ".join(names), "name": str(name)})
        return name

    return BeforeValidator(check)


class MaskFrom(Section):
    """Where a mask comes from."""

    by: Annotated[
        str,
        _one_of(IMP, *SOURCES),
        Field(
            description="imp (iterative magnitude pruning), magnitude or layer-magnitude (of the network after its "
            "last epoch), snip, grasp or synflow (scored at the weights that training starts from), uniform or random "
            "(the same share of every layer), erk"
        ),
    ]
    of: Annotated[Network, Field(description="network of the pair that is pruned")] = "B"


class Carry(Section):
    """How a mask of A is carried to B."""

    by: Annotated[
        str,
        _one_of(*MATCHERS, "shuffle", "random"),
        Field(
            description="a matcher (activations, weights, straight-through, sinkhorn), shuffle (positions within every "
            "layer), or random (a random element of the network's symmetry)"
        ),
    ]
    at: Annotated[Count | None, Field(description="epoch of B that A is matched to; its last unless given")] = None


class Method(Section):
    """One way to a sparse network."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9 ._=-]*$", max_length=32)]
    start: Annotated[Network, Field(description="network of the pair whose weights are trained")] = "B"
    mask: MaskFrom
    carry: Carry | None = None

    @model_validator(mode="after")
    def _carries_from_a(self) -> "Method":
        if self.carry and (self.start, self.mask.of) != ("B", "A"):
            raise PydanticCustomError(
                "carry",
                "expected a mask of A and a start at B to carry anything, got a mask of {of} and a start at {start}",
                {"of": self.mask.of, "start": self.start},
            )
        return self


def _method(name: str, start: str, by: str, of: str, carry: str | None = None) -> Method:
    content = {"name": name, "start": start, "mask": {"by": by, "of": of}, "carry": {"by": carry} if carry else None}
    return Method.model_validate(content)


BUILT_IN = {
    method.name: method
    for method in (
        _method("lth", "A", IMP, "A"),
        _method("naive", "B", IMP, "A"),
        _method("permuted", "B", IMP, "A", "activations"),
        _method("random", "B", IMP, "A", "shuffle"),
        _method("any-symmetry", "B", IMP, "A", "random"),
        _method("own-ticket", "B", IMP, "B"),
        _method("one-shot", "B", "magnitude", "B"),
        _method("erk", "B", "erk", "B"),
        _method("uniform", "B", "uniform", "B"),
        _method("snip", "B", "snip", "B"),
        _method("grasp", "B", "grasp", "B"),
        _method("synflow", "B", "synflow", "B"),
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
