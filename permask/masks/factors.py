"""A mask as numbers to multiply with: what keeps pruned weights, their gradients and their optimizer state at zero."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn


class Factors:
    """The 0/1 factors of some parameters.

    A factor has the memory layout of its parameter, and each floating type that occurs is made once: then all tensors
    are multiplied in one call.

    Args:
        kept: Parameter to which of its entries are kept, of its shape.
    """

    def __init__(self, kept: Mapping[nn.Parameter, Tensor]):
        self._kept = dict(kept)
        self._made: dict[tuple[nn.Parameter, torch.dtype], Tensor] = {}

    def __iter__(self) -> Iterator[nn.Parameter]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    @torch.no_grad()
    def multiply_(self, pairs: Iterable[tuple[nn.Parameter, Tensor | None]]) -> None:
        """Set pruned entries to zero, in place.

        Args:
            pairs: A parameter, and a tensor of its shape: the parameter itself, its gradient, its momentum. A parameter
                without a factor, or without such a tensor, is passed over.
        """
        rows = [(x, self._of(p, x.dtype)) for p, x in pairs if x is not None and p in self._kept]
        if rows:
            torch._foreach_mul_(*map(list, zip(*rows, strict=True)))  # pyright: ignore[reportPrivateImportUsage]

    def _of(self, parameter: nn.Parameter, dtype: torch.dtype) -> Tensor:
        key = parameter, dtype
        if key not in self._made:
            self._made[key] = torch.zeros_like(parameter, dtype=dtype).copy_(self._kept[parameter])
        return self._made[key]
