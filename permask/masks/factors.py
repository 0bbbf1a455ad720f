"""A mask as numbers to multiply with: what keeps pruned weights, their gradients and their optimizer state at zero."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn


class Factors:
    """The 0/1 factors of the parameters that are pruned somewhere.

    A factor has the memory layout of its parameter, and each floating type that occurs is made once: then all tensors
    are multiplied in one call. Its methods are for callers that have switched gradients off.

    Args:
        kept: Parameter to which of its entries are kept, of its shape.
    """

    def __init__(self, kept: Mapping[nn.Parameter, Tensor]):
        self._kept = {parameter: entries for parameter, entries in kept.items() if not entries.all()}
        self._made: dict[tuple[int, torch.dtype], Tensor] = {}  # by the parameter's id, which is faster than its hash

    def __iter__(self) -> Iterator[nn.Parameter]:
        return iter(self._kept)

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero."""
        self.multiply_((parameter, parameter.grad) for parameter in self._kept)

    def multiply_(self, pairs: Iterable[tuple[nn.Parameter, Tensor | None]]) -> None:
        """Set pruned entries to zero, in place.

        Args:
            pairs: A parameter of these, and a tensor of its shape: the parameter itself, its gradient, its momentum.
                None is passed over.
        """
        rows = [(x, self._of(parameter, x.dtype)) for parameter, x in pairs if x is not None]
        if rows:
            torch._foreach_mul_(*map(list, zip(*rows, strict=True)))  # pyright: ignore[reportPrivateImportUsage]

    def _of(self, parameter: nn.Parameter, dtype: torch.dtype) -> Tensor:
        key = id(parameter), dtype
        if key not in self._made:
            self._made[key] = torch.zeros_like(parameter, dtype=dtype).copy_(self._kept[parameter])
        return self._made[key]
