"""The parts of a method in a study file: where its mask comes from, how it is carried, how it is trained under."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

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


def _check_pattern(value: object) -> object:
    match = re.fullmatch(r"(\d{1,4}):(\d{1,4})", str(value))
    if value is not None and not (match and 1 <= int(match[1]) < int(match[2])):
        raise PydanticCustomError("pattern", "expected N:M in quotes, with 1 ≤ N < M, such as '2:4'")
    return value


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

    pattern: Annotated[
        str | None,
        BeforeValidator(_check_pattern),
        Field(
            description="N:M, such as 2:4: with by: magnitude, keep N of every M neighbours along the inputs of each "
            "layer; the study's sparsity is 1 − N/M"
        ),
    ] = None
    permute: Annotated[
        bool, Field(description="whether the pattern holds in the order of units under which it keeps most")
    ] = False

    @model_validator(mode="after")
    def _has_a_path_for_a_file(self) -> "MaskFrom":
        if (self.by == FILE) != (self.path is not None):
            raise PydanticCustomError("path", "expected a path with by: file, and with nothing else")
        return self

    @model_validator(mode="after")
    def _has_a_pattern_by_magnitude(self) -> "MaskFrom":
        if self.pattern and self.by != "magnitude":
            raise PydanticCustomError("pattern", "expected a pattern with by: magnitude, got by: {by}", {"by": self.by})
        if self.permute and not self.pattern:
            raise PydanticCustomError("permute", "expected a pattern with permute, such as 2:4")
        return self

    @property
    def pattern_sparsity(self) -> float | None:
        """The share of weights that its pattern prunes; None without one."""
        if self.pattern is None:
            return None
        kept, of = map(int, self.pattern.split(":"))
        return 1 - kept / of

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
