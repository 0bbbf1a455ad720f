"""Doubly stochastic matrices in the place of permutations, so that a loss can be differentiated by them.

The Sinkhorn operator turns any matrix of logits into the doubly stochastic matrix nearest to it in relative entropy
(Mena et al. 2018). Its derivative follows from the conditions that the result fulfils (Eisenberger et al. 2022; Peña
et al. 2023 use it to align networks): exact however many iterations were needed and no memory for any of them, where
unrolling would keep a matrix per iteration and group.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from permask.errors import NetworkError
from permask.groups import Axis
from permask.matching.assignment import assign
from permask.permutation import Permutation
from permask.tensors import packed_to

ITERATIONS = 100
# rows have to sum to one as closely as this
CONVERGED = 1e-6
# iterations after which that is looked at, as looking makes the host wait for a GPU
LOOK_EVERY = 10
# on mixed weights while they are learned from
NOISE = 0.3
# keeps the backward solve regular where a matrix is a permutation already, whose gradient is zero
RIDGE = 1e-10

Weights = Mapping[str, Tensor]


class SinkhornLearner:
    """Logits for every group, and the weights of the source mixed as their doubly stochastic matrices say.

    Noise on the weights keeps the loss from being low only where they are mixed, or only on the samples at hand (An
    1996: it favours minima that are flat).

    Args:
        start: Begins with logits that give a unit √N times as much of the place where this puts it as of any other of
            the N. That is little, so that a few steps of the learning rate can move it elsewhere.
        source: Parameter name to weights.
        learning_rate: Of Adam, in units of logits.
        seed: Of the noise.
        noise: On mixed weights, as a share of the standard deviation of each tensor.

    Raises:
        NetworkError: A symmetry that permutes the input channels inside the groups of a grouped convolution.
    """

    def __init__(self, start: Permutation, source: Weights, learning_rate: float, seed: int, noise: float = NOISE):
        self._groups = start.groups
        self._source = source
        self._axes = {g.name: [a for a in g.axes if a.parameter in source and not _carried(a)] for g in start.groups}
        device = next(iter(source.values())).device
        self._logits: dict[str, Tensor] = {}
        for group in start.groups:
            index = torch.tensor(start.index[group.name]).reshape(group.blocks, group.size)
            here = torch.nn.functional.one_hot(index, group.size).to(device, torch.float32)
            self._logits[group.name] = (here * np.log(group.size) / 2).requires_grad_()
        self._noise, self._rng = noise, torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam(self._logits.values(), learning_rate)

    def weights(self) -> dict[str, Tensor]:
        """The source's weights, mixed, and noise; gradients reach the logits."""
        mixed = dict(self._source)
        shares = _together(DoublyStochastic.apply, self._logits)
        for group in reversed(self._groups):  # inside the units of a parent first, then the units themselves
            for axis in self._axes[group.name]:
                mixed[axis.parameter] = _mix(mixed[axis.parameter], axis, shares[group.name])
        return mixed | self._noisy({name: x for name, x in mixed.items() if x.ndim > 1})

    def _noisy(self, weights: Weights) -> dict[str, Tensor]:
        """The host draws the noise, so that it is the same on every device."""
        drawn = {name: torch.randn(x.shape, generator=self._rng, dtype=x.dtype) for name, x in weights.items()}
        noise = packed_to(next(iter(self._source.values())).device, drawn)
        return {name: x + self._noise * x.detach().std(correction=0) * noise[name] for name, x in weights.items()}

    def update(self) -> None:
        """Nothing but the logits is kept."""

    @property
    def permutation(self) -> Permutation:
        """The most probable permutation, by an exact assignment in every block of every group.

        The factors by which rows and columns are normalised are the same for all permutations, so that logits do.
        """
        index = {}
        for group in self._groups:
            blocks = [assign(x) for x in self._logits[group.name].detach().cpu().numpy()]
            index[group.name] = np.stack(blocks).reshape(group.index_shape)
        return Permutation(self._groups, index)


class DoublyStochastic(torch.autograd.Function):
    """Logits `[B, N, N]` to P = exp(logits + a1ᵀ + 1bᵀ) whose rows and columns sum to one."""

    @staticmethod
    def forward(ctx: Any, logits: Float[Tensor, "blocks units units"]) -> Float[Tensor, "blocks units units"]:
        """P, by Sinkhorn's iteration."""
        share = _sinkhorn(logits)
        ctx.save_for_backward(share)
        return share.to(logits.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """P ∘ (G − u1ᵀ − 1vᵀ), with u and v such that rows and columns of the result sum to zero."""
        (share,) = ctx.saved_tensors
        weighted = share * gradients[0].double()
        rows, columns = weighted.sum(-1, keepdim=True), weighted.sum(-2).unsqueeze(-1)
        units = share.shape[-1]
        # constants in u and v cancel; the mean pins v, as (I − PᵀP) 1 = 0
        system = torch.diag(share.new_full((units,), 1 + RIDGE)) + 1 / units
        v = torch.linalg.solve(system - share.mT @ share, columns - share.mT @ rows)
        u = rows - share @ v
        return (weighted - share * (u + v.mT)).to(gradients[0].dtype)


def _together(operator: Callable[[Tensor], Tensor], logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What an operator makes of the logits of every group; those of equal size go through it as one tensor."""
    names: defaultdict[int, list[str]] = defaultdict(list)
    for name, x in logits.items():
        names[x.shape[-1]].append(name)
    made = {}
    for same in names.values():
        parts = operator(torch.cat([logits[name] for name in same])).split([len(logits[name]) for name in same])
        made |= dict(zip(same, parts, strict=True))
    return made


def _sinkhorn(logits: Tensor) -> Float[Tensor, "blocks units units"]:
    """Rows and columns normalised in turn until both sum to one, in float64.

    The first time it is done in logarithms. Then no column exceeds one and no row is below 1/N, so that all other
    times can be factors of rows and columns, by products with vectors.
    """
    logits = logits.double()
    log_share = logits - logits.logsumexp(-1, keepdim=True)
    share = (log_share - log_share.logsumexp(-2, keepdim=True)).exp()
    transposed = share.mT.contiguous()
    rows = columns = torch.ones_like(share[:, :1])
    for iteration in range(2, ITERATIONS + 1):
        sums = columns @ transposed
        if iteration % LOOK_EVERY == 0 and (rows * sums - 1).abs().max() < CONVERGED:
            break
        rows = 1 / sums
        columns = 1 / (rows @ share)
    return rows.mT * share * columns


def _carried(axis: Axis) -> bool:
    """Whether an axis needs no mixing of its own, because it moves with the rows that it belongs to.

    Raises:
        NetworkError: Entries that also move within their rows.
    """
    if axis.convolution_groups == 1:
        return False
    within = axis.table % (axis.length // axis.convolution_groups)
    if (within != within.reshape(-1, within.shape[-1])[0]).any():
        raise NetworkError(
            f"{axis.parameter}: Sinkhorn matching does not mix input channels inside groups of a convolution, "
            "nor inside stacked matrices: use straight-through, weight or activation matching"
        )
    return True


def _mix(weight: Tensor, axis: Axis, share: Float[Tensor, "blocks units units"]) -> Tensor:
    """new[unit n] = Σ_k share[n, k] old[unit k] along an axis, block by block."""
    positions = torch.as_tensor(axis.table.ravel(), device=weight.device)
    rows = weight.movedim(axis.dim, 0)
    blocks = rows.index_select(0, positions).reshape(len(share), share.shape[-1], -1)
    mixed = (share.to(weight.dtype) @ blocks).reshape(len(positions), *rows.shape[1:])
    return rows.index_copy(0, positions, mixed).movedim(0, axis.dim)
