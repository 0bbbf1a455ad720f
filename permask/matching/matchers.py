"""The matchers there are, by name, under one contract; each is imported when it is first called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from permask.batches import Batch, Needs
    from permask.mask import Mask
    from permask.matching.alignment import Alignment
    from permask.symmetry import Symmetry


@dataclass(frozen=True, kw_only=True)
class MatchOptions:
    """What matchers may be told; each reads what concerns it.

    A field with a `help` is an option of the commands `match` and `connect`, too.
    """

    restarts: int = field(
        default=0,
        metadata={
            "help": "With weights: how often to search on from the best permutation, with some units moved elsewhere.",
            "metavar": "N",
            "min": 0,
            "max": 10_000,
        },
    )
    epochs: int = field(
        default=10,
        metadata={
            "help": "With straight-through and sinkhorn: how often to go through the data.",
            "metavar": "N",
            "min": 1,
            "max": 100_000,
        },
    )
    patience: int = field(
        default=5,
        metadata={
            "help": "With straight-through and sinkhorn: stop after so many epochs in a row without a lower loss.",
            "metavar": "N",
            "min": 1,
            "max": 100_000,
        },
    )
    seed: int = field(
        default=0,
        metadata={
            "help": "Seed of the order of the groups (weights, straight-through), of the batches (straight-through, "
            "sinkhorn) and of noise (sinkhorn).",
            "metavar": "N",
            "min": 0,
            "max": 2**63 - 1,
        },
    )
    source_mask: "Mask | None" = None
    target_mask: "Mask | None" = None


@dataclass(frozen=True)
class Matcher:
    """How to line one network up with another.

    Attributes:
        function: `module:name` of a function with the arguments of a call of this.
        needs: What it reads besides the weights of the two networks.
        masked: Whether it looks at the masks among the options.
        version: Raised when it comes to find other permutations, so that those in stores of studies are not taken.
    """

    function: str
    needs: "Needs" = "inputs"
    masked: bool = False
    version: int = 1

    def __call__(
        self,
        symmetry: "Symmetry",
        source: "nn.Module",
        target: "nn.Module",
        batches: "Sequence[Batch]" = (),
        options: MatchOptions = MatchOptions(),
    ) -> "Alignment":
        """The permutation of the source with which it lines up with the target."""
        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)(symmetry, source, target, batches, options)


MATCHERS: Mapping[str, Matcher] = {
    "activations": Matcher("permask.matching.activations:by_activations"),
    "weights": Matcher("permask.matching.weights:by_weights", needs="nothing", masked=True),
    "straight-through": Matcher("permask.matching.learned:by_straight_through", needs="labels", version=2),
    "sinkhorn": Matcher("permask.matching.learned:by_sinkhorn", needs="labels", version=2),
}
