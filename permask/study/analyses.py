"""What a study file may say about what is measured besides accuracy: connectivity and ensembles."""

from typing import Annotated

from pydantic import Field

from permask.study.section import Count, PositiveInt, Section, Share

Images = Annotated[
    PositiveInt | None,
    Field(description="training images, evenly spaced, for statistics of activations; all unless given"),
]


class Connect(Section):
    """Loss and accuracy along the straight line between the dense networks, before and after permuting A."""

    points: Annotated[
        int, Field(ge=2, le=1001, strict=True, description="points along the path, both ends included")
    ] = 11
    images: Images = None


class ConnectRounds(Section):
    """The line from A after every round of pruning, permuted, to dense B: plain, with BatchNorm reset, with REPAIR."""

    points: Annotated[
        int, Field(ge=3, le=1001, strict=True, description="points along each path, both ends included")
    ] = 11
    images: Images = None


class Ensembles(Section):
    """Ensembles around one network A, and how much their members differ.

    Members of `lth` share A's weights and mask and differ in the order of the data; those of `permuted`, `naive` and
    `random` share A's mask on several networks B; `imp` takes the lottery tickets of several networks A, `dense`
    the networks B. An ensemble at pair e takes its networks from pairs e, e + 1, ..., around the end if need be.
    """

    members: Annotated[int, Field(ge=2, le=64, strict=True, description="networks per ensemble")] = 3
    every: Annotated[
        PositiveInt | None,
        Field(
            description="an ensemble at every n-th pair; as many as there are members unless given, so that no two "
            "ensembles share a network and intervals over them hold"
        ),
    ] = None
    sparsities: Annotated[
        tuple[Share, ...] | None, Field(min_length=1, description="of the study's; all unless given")
    ] = None
    rewinds: Annotated[
        tuple[Count, ...] | None, Field(min_length=1, description="of the study's; all unless given")
    ] = None

    @property
    def step(self) -> int:
        """Pairs from one ensemble to the next."""
        return self.every or self.members
