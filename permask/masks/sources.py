"""The ways to make a mask that there are, by name, under one contract; each is imported when it is first called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permask.batches import Batch, Needs
    from permask.mask import Mask
    from permask.masks.scope import Prunable


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """What mask sources may be told; each reads what concerns it.

    A field with a `help` is an option of the command `mask make`, too.

    Attributes:
        exclude: Shell patterns of the names of weights to leave dense, as of `permask.masks.scope.scope_of`.
        include: Shell patterns of the names of parameters to prune besides the weights of layers.
        earlier: A mask to prune further from.
    """

    exclude: Sequence[str] = ()
    include: Sequence[str] = ()
    earlier: "Mask | None" = None
    seed: int = field(
        default=0,
        metadata={"help": "With random, uniform and erk: the seed.", "metavar": "N", "min": -(2**63), "max": 2**63 - 1},
    )


@dataclass(frozen=True)
class MaskSource:
    """How to decide which weights are kept.

    Attributes:
        function: `module:name` of a function with the arguments of a call of this.
        needs: What it reads besides weights; with `nothing` a `state_dict` will do for the network.
        prunes_further: Whether it looks at the earlier mask among the options.
        version: Raised when what it gives changes, so that masks of before are not taken for masks of now.
    """

    function: str
    needs: "Needs" = "nothing"
    prunes_further: bool = False
    version: int = 1

    def __call__(
        self,
        network: "Prunable",
        batches: "Sequence[Batch]",
        sparsity: float,
        options: MaskOptions = MaskOptions(),
    ) -> "Mask":
        """A mask of the network with a share of its scope pruned."""
        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)(network, batches, sparsity, options)


SOURCES: Mapping[str, MaskSource] = {
    "magnitude": MaskSource("permask.masks.scores:by_magnitude", prunes_further=True),
    "layer-magnitude": MaskSource("permask.masks.layerwise:by_layer_magnitude"),
    "uniform": MaskSource("permask.masks.layerwise:by_uniform"),
    "random": MaskSource("permask.masks.scores:by_random", version=2),
    "erk": MaskSource("permask.masks.layerwise:by_erk"),
    "snip": MaskSource("permask.masks.sensitivity:by_snip", needs="labels"),
    "grasp": MaskSource("permask.masks.sensitivity:by_grasp", needs="labels"),
    "synflow": MaskSource("permask.masks.sensitivity:by_synflow", needs="example"),
}
