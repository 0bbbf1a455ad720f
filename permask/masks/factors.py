"""A mask as whole numbers to multiply with: what keeps pruned weights, their gradients and optimizer state at zero.

Of floating-point numbers, 0 · ∞ and 0 · NaN are NaN: one gradient that overflows would make a pruned weight NaN, and
the network with it. Factors therefore multiply the bits of a number, read as a whole number: times 1 they stay as they
are, and times 0 they are those of +0.0, whatever they were. To fill by a boolean mask is several times slower.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from permask.masks.storage import Storage

# by the bytes of an entry
WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Factors:
    """The 0/1 factors of the parameters that are pruned somewhere.

    A factor has the memory layout of what it multiplies, and is made once for each layout and size of entries that
    occurs: then all tensors are multiplied in one call. With other strides, as after
    `model.to(memory_format=torch.channels_last)` under a mask, torch would take one call for each. The methods are for
    callers that have switched gradients off.

    Args:
        kept: Parameter to which of its entries are kept, of its shape.
    """

    def __init__(self, kept: Mapping[nn.Parameter, Tensor]):
        self._kept = {parameter: entries for parameter, entries in kept.items() if not entries.all()}
        # by the parameter's id, which is faster than its hash
        self._made: dict[tuple[int, torch.dtype, tuple[int, ...]], Tensor] = {}

    def __iter__(self) -> Iterator[nn.Parameter]:
        return iter(self._kept)

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero."""
        self.multiply_((parameter, parameter.grad) for parameter in self._kept)

    def multiply_(self, pairs: Iterable[tuple[nn.Parameter, Tensor | None]]) -> None:
        """Set pruned entries to +0.0, in place, and leave all others as they are to the bit.

        Args:
            pairs: A parameter of these, and a tensor of its shape: the parameter itself, its gradient, its momentum.
                None is passed over.
        """
        bits, factors = [], []
        for parameter, x in pairs:
            if x is None:
                continue
            if x.is_complex():  # has no whole numbers of its size, and may be the conjugate of what is in memory
                x.masked_fill_(~self._kept[parameter].to(x.device), 0)
                continue
            whole = WHOLE[x.element_size()]
            bits.append(x.view(whole))
            factors.append(self._of(parameter, bits[-1]))
        if bits:
            torch._foreach_mul_(bits, factors)  # pyright: ignore[reportPrivateImportUsage]

    def move_into(self, storage: Storage) -> None:
        """Keep the factors of the parameters themselves in tensors that stay at their addresses."""
        for number, parameter in enumerate(self._kept):
            bits = parameter.detach().view(WHOLE[parameter.element_size()])
            key = id(parameter), bits.dtype, bits.stride()
            self._made[key] = storage.keep(f"factors/{number}", self._of(parameter, bits))

    @property
    def made(self) -> int:
        """How many there are by now."""
        return len(self._made)

    def _of(self, parameter: nn.Parameter, bits: Tensor) -> Tensor:
        key = id(parameter), bits.dtype, bits.stride()
        if key not in self._made:
            self._made[key] = torch.empty_like(bits).copy_(self._kept[parameter])
        return self._made[key]
