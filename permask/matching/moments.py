"""One pass over the data: pooled moments of the same activation in two networks.

Per-batch correlations cannot be averaged; sums can be added. The sums are taken about a pivot, the first
value that a unit shows, which changes no correlation, keeps float32 products accurate and makes the
variance of a constant unit exactly zero.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from permask.errors import NetworkError
from permask.groups import Site

# a standard deviation below 1e-5 of the root mean square is float32 rounding, not a signal
DEAD = 1e-10
# values of a part that is summed at once: small enough to stay in a core's cache from its first use to its last
PART = 2**17
# but so many values of a unit for each unit that there are, or else a product would spend its time on storing results
LONG = 2


class Moments:
    """Σ z_A, Σ z_B, Σ z_A², Σ z_B² and Z_Bᵀ Z_A over samples and positions, for the units of one group.

    Products are taken in float32 (float64 if the networks are), over at least as many values of a unit as there are
    units, and summed in float64. A is the source network, B the target. U is the number of units, blocks included. A
    batch is added in parts, as far as its samples allow, since reading values from memory several times takes longer
    than multiplying them.

    Args:
        site: Where the units are seen; its table says which positions belong to which unit.
    """

    def __init__(self, site: Site):
        self.site = site
        *blocks, units, self._positions_per_unit = site.table.shape
        self.units = int(np.prod(blocks, dtype=int)) * units
        self.count = 0
        self._pivot: list[Tensor] = []
        self._sum: list[Tensor] = []
        self._square: list[Tensor] = []
        self._cross: Tensor | None = None
        self._product: Tensor | None = None  # what is not in _cross yet
        self._multiplied = 0  # values of a unit in that

    def add(self, source: Tensor, target: Tensor) -> None:
        """Add a batch: the site's value in the source and in the target network, of equal shape."""
        values = [self._units_first(source), self._units_first(target)]
        if self._cross is None:
            self._pivot = [z.flatten(1)[:, 0].clone() for z in values]
            self._sum = [torch.zeros(self.units, dtype=torch.float64, device=z.device) for z in values]
            self._square = [torch.zeros_like(total) for total in self._sum]
            self._cross = torch.zeros(self.units, self.units, dtype=torch.float64, device=target.device)
        if self._product is None:
            self._product = torch.zeros(self.units, self.units, dtype=values[0].dtype, device=target.device)
        sums: tuple[list[Tensor], list[Tensor]] = [], []
        squares: tuple[list[Tensor], list[Tensor]] = [], []
        for parts in zip(*(z.split(self._samples_of_a_part(z), 2) for z in values), strict=True):
            z_US = [_centred(z, pivot) for z, pivot in zip(parts, self._pivot, strict=True)]
            for k, z in enumerate(z_US):
                sums[k].append(z.sum(1))
                squares[k].append(z.square().sum(1))
            self._product.addmm_(z_US[1], z_US[0].T)
            self._multiplied += z_US[0].shape[1]
            self.count += z_US[0].shape[1]
        for k in (0, 1):
            self._sum[k] += torch.stack(sums[k]).double().sum(0)
            self._square[k] += torch.stack(squares[k]).double().sum(0)
        if self._multiplied >= self.units:
            self._end_product()

    def correlation(self) -> Float[np.ndarray, "target_units source_units"]:
        """Pearson correlation of every target unit with every source unit; 0 where one of them is dead.

        Raises:
            NetworkError: Activations that are not finite.
        """
        assert self._cross is not None, "no batch was added"
        self._end_product()
        mean, deviation = [], []
        for network, total, square in zip(("source", "target"), self._sum, self._square, strict=True):
            if not square.isfinite().all():
                raise NetworkError(f"activation {self.site.node} of the {network} network is not finite")
            mean.append(total / self.count)
            deviation.append((square / self.count - mean[-1].square()).clamp(min=0).sqrt())
        covariance = self._cross / self.count - torch.outer(mean[1], mean[0])
        correlation = (covariance / torch.outer(deviation[1], deviation[0])).cpu().numpy()
        dead_source, dead_target = self.dead
        correlation[dead_target] = 0
        correlation[:, dead_source] = 0
        return correlation

    @property
    def dead(self) -> tuple[Bool[np.ndarray, "units"], Bool[np.ndarray, "units"]]:
        """Which units never vary, in the source and in the target."""
        dead = []
        for pivot, total, square in zip(self._pivot, self._sum, self._square, strict=True):
            mean = total / self.count
            variance = square / self.count - mean.square()
            dead.append((variance <= DEAD * (variance + (mean + pivot).square())).cpu().numpy())
        return dead[0], dead[1]

    def _end_product(self) -> None:
        if self._cross is not None and self._product is not None:
            self._cross += self._product
            self._product, self._multiplied = None, 0

    def _samples_of_a_part(self, z: Tensor) -> int:
        """How many entries along the third dim of `[U, positions, samples, ...]` are summed at once."""
        of_a_sample = max(1, z[:, :, :1].numel())
        return max(1, PART // of_a_sample, LONG * self.units**2 // of_a_sample)

    def _units_first(self, z: Tensor) -> Tensor:
        """`[U, positions per unit, the other dims]`, a view where the table allows.

        What the two networks have in different orders, because other groups move there, is averaged.
        """
        others = [dim for dim in range(z.ndim) if dim != self.site.dim]
        averaged = [2 + others.index(dim) for dim in self.site.moved] + [1] * self.site.mixed
        z = z.movedim(self.site.dim, 0)
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        positions = self.site.table.ravel()
        if not np.array_equal(positions, np.arange(z.shape[0])):
            z = z.index_select(0, torch.as_tensor(positions, device=z.device))
        z = z.unflatten(0, (self.units, self._positions_per_unit))
        return z.mean(averaged, keepdim=True) if averaged else z


def _centred(z: Tensor, pivot: Tensor) -> Tensor:
    """`[U, S]`: the values less the pivot, subtracted in one sweep over memory, which moves units to the front.

    Units that lie last in memory (channels of tokens, images in channels-last format) stay there.
    """
    out = torch.empty_like(z) if z.stride(0) == 1 else torch.empty(z.shape, dtype=z.dtype, device=z.device)
    return torch.sub(z, pivot.view(-1, *[1] * (z.ndim - 1)), out=out).flatten(1)
