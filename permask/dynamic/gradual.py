"""Gradual magnitude pruning: from dense to sparse while the network trains (Zhu & Gupta 2017)."""

from collections.abc import Mapping
from typing import Literal, Self

import torch

from permask.dynamic.updates import Held, MaskUpdates, UpdateSchedule, survivors
from permask.errors import PermaskError
from permask.mask import Mask
from permask.masks.scores import check_sparsity, keep_largest, kept_count


class GradualMagnitude(MaskUpdates):
    """Every some steps, the smallest weights left are pruned; the sparsity rises fast at first, slowly at the end.

    s(t) = s_f + (s_i − s_f) (1 − (t − t_0) / (T − t_0))³, equation 1 of Zhu & Gupta 2017, "To prune, or not to prune".
    The initial sparsity s_i is that of the mask which the handle begins with.

    Args:
        held: The handle of `permask.hold_mask`, for instance with a mask that keeps everything.
        sparsity: The final one, s_f; or that of every layer by the name of its parameter, if it is per layer.
        initial: The initial sparsity; that of the mask unless given, which a resumed training has to.
        every: Steps between two updates.
        start: Step t_0 before which nothing is pruned.
        until: Step T after which the final sparsity is reached exactly.
        per: Whether every layer is pruned to the sparsity, as in the paper, or the weights of all layers together.

    Raises:
        PermaskError: A sparsity outside [0, 1) or below that of the mask, other layers than those of the mask, an end
            that is not after the start.
    """

    def __init__(
        self,
        held: Held,
        *,
        sparsity: float | Mapping[str, float],
        initial: float | None = None,
        every: int = 100,
        start: int = 0,
        until: int,
        per: Literal["layer", "network"] = "layer",
    ):
        super().__init__(held, every=every, until=until)
        now = held.mask.sparsity
        self.initial, self.sparsity, self.start, self.per = now if initial is None else initial, sparsity, start, per
        if isinstance(sparsity, Mapping):
            if per != "layer" or sparsity.keys() != held.mask.keys():
                raise PermaskError(
                    f"sparsity: expected one number, or per layer one for each of {', '.join(held.mask)}"
                )
        else:
            check_sparsity(sparsity)
            if sparsity < now:
                raise PermaskError(f"sparsity: expected at least that of the mask, {now:.6g}, got {sparsity}")
        if not 0 <= start < until:
            raise PermaskError(f"start: expected a step from 0 to below until ({until}), got {start}")

    @staticmethod
    def begin(mask: Mask) -> Mask:
        """A mask that keeps everything."""
        return Mask({name: torch.ones_like(kept) for name, kept in mask.items()})

    @classmethod
    def over(cls, held: Held, mask: Mask, schedule: UpdateSchedule) -> Self:
        """The updates of a training that begins dense and ends with what the mask keeps of every layer."""
        sparsity = {name: 1 - int(kept.sum()) / kept.numel() for name, kept in mask.items()}
        return cls(held, sparsity=sparsity, initial=0.0, every=schedule.every, until=schedule.until)

    def is_due(self, step: int) -> bool:
        """Every some steps from the start on, and at the end."""
        return step == self.until or (self.start < step < self.until and (step - self.start) % self.every == 0)

    def sparsity_at(self, step: int, layer: str = "") -> float:
        """The sparsity after a step from the start to the end, where each layer has its own that of a layer."""
        final = self.sparsity[layer] if isinstance(self.sparsity, Mapping) else self.sparsity
        left = 1 - (step - self.start) / (self.until - self.start)
        return final + (self.initial - final) * left**3

    def updated(self, step: int) -> Mask:
        """The mask with the smallest weights left pruned as well."""
        mask = self.held.mask
        scores = {name: self.held.weights[name].detach().abs() for name in mask}
        if self.per == "network":
            return keep_largest(scores, self.sparsity_at(step), mask)
        layers = {}
        for name, score in scores.items():
            count = min(kept_count(score.numel(), self.sparsity_at(step, name)), int(mask[name].sum()))
            layers[name] = survivors(score, mask[name], count)
        return Mask(layers)
