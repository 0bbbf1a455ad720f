"""Gradual magnitude pruning: from dense to sparse while the network trains (Zhu & Gupta 2017)."""

from collections.abc import Mapping
from typing import Literal, Self

import torch

from permask.dynamic.updates import Held, MaskUpdates, UpdateSchedule, survivors
from permask.errors import PermaskError
from permask.mask import Mask
from permask.masks.scores import check_sparsity, keep_largest, kept_count


class GradualMagnitude(MaskUpdates):
    """Prune the smallest of the weights that are left at regular steps, fast at first and slowly at the end.

    After step t, the sparsity is s(t) = s_f + (s_i − s_f) (1 − (t − t_0) / (T − t_0))³, which is equation 1 of Zhu &
    Gupta 2017, "To prune, or not to prune". The initial sparsity s_i is that of the handle's first mask.

    Args:
        held: The handle of `permask.hold_mask`, for instance with a mask that keeps everything.
        sparsity: The final sparsity s_f. If `per` is `layer`, it may also be a mapping from parameter name to sparsity.
        initial: The initial sparsity s_i, by default that of the mask. A resumed training has to give it.
        every: The number of steps between two updates.
        start: The step t_0 before which nothing is pruned.
        until: The step T after which the final sparsity is reached exactly.
        per: Whether each layer is pruned to the sparsity, as in the paper (`layer`), or all layers together
            (`network`).

    Raises:
        PermaskError: If a sparsity is outside [0, 1) or below that of the mask, the layers are not those of the mask,
            or the end is not after the start.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        handle = permask.hold_mask(model, permask.magnitude_mask(model, 0.0), optimizer)
        updates = permask.dynamic.GradualMagnitude(handle, sparsity=0.8, every=2, until=10)
        for _ in range(10):
            inputs, labels = torch.randn(16, 4), torch.randint(3, (16,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            updates.step()
        ```
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
        """Return a mask of the same layers that keeps everything."""
        return Mask({name: torch.ones_like(kept) for name, kept in mask.items()})

    @classmethod
    def over(cls, held: Held, mask: Mask, schedule: UpdateSchedule) -> Self:
        """Make the updates of a training that begins dense and ends with as many weights per layer as a mask keeps."""
        sparsity = {name: 1 - int(kept.sum()) / kept.numel() for name, kept in mask.items()}
        return cls(held, sparsity=sparsity, initial=0.0, every=schedule.every, until=schedule.until)

    def is_due(self, step: int) -> bool:
        """Whether the mask changes after a step: every `every` steps after the start, and at the end."""
        return step == self.until or (self.start < step < self.until and (step - self.start) % self.every == 0)

    def sparsity_at(self, step: int, layer: str = "") -> float:
        """Return the sparsity after a step between the start and the end; of one layer, if each layer has its own."""
        final = self.sparsity[layer] if isinstance(self.sparsity, Mapping) else self.sparsity
        left = 1 - (step - self.start) / (self.until - self.start)
        return final + (self.initial - final) * left**3

    def updated(self, step: int) -> Mask:
        """Return the mask after the smallest of the weights that are left were pruned as well."""
        mask = self.held.mask
        scores = {name: self.held.weights[name].detach().abs() for name in mask}
        if self.per == "network":
            return keep_largest(scores, self.sparsity_at(step), mask)
        layers = {}
        for name, score in scores.items():
            count = min(kept_count(score.numel(), self.sparsity_at(step, name)), int(mask[name].sum()))
            layers[name] = survivors(score, mask[name], count)
        return Mask(layers)
