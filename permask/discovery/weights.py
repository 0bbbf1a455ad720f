"""Weights that are made one tensor at a time, so that a trial of a large network needs little memory.

A trial runs a network many times, with weights that are drawn at random, permuted or rounded. None of them is kept,
unless all of them are `SMALL`: each tensor is made when it is asked for, and is the same every time.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Self

import torch
from torch import Tensor

SMALL = 2**26  # bytes that need not be spared


class Weights(Mapping[str, Tensor]):
    """A `state_dict` whose tensors are made anew whenever they are asked for.

    Args:
        memory: Name to what identifies the memory of a tensor: the same for tied ones.
        make: Gives the tensor of a name.
        like: A tensor of the device and the floating-point type that they have.
    """

    def __init__(self, memory: Mapping[str, Hashable], make: Callable[[str], Tensor], like: Tensor):
        self.memory = memory
        self.make = make
        self.like = like

    @classmethod
    def of(cls, state: Mapping[str, Tensor], change: Callable[[str, Tensor], Tensor], dtype: torch.dtype) -> Self:
        """The tensors of a `state_dict`, each of them changed; floating-point ones are of a type then."""
        device = next((x.device for x in state.values() if not x.is_meta), torch.device("cpu"))
        memory = {name: memory_of(name, x) for name, x in state.items()}
        return cls(memory, lambda name: change(name, state[name]), torch.empty(0, dtype=dtype, device=device))

    def held(self) -> Self:
        """The same, made once and for all: for small networks, whose weights take longer to make than to read."""
        tensors = dict(self)
        return type(self)(self.memory, tensors.__getitem__, self.like)

    def map(self, change: Callable[[str, Tensor], Tensor], dtype: torch.dtype | None = None) -> Self:
        """The same with every tensor changed, and floating-point ones of another type if one is given."""
        return type(self)(self.memory, lambda name: change(name, self.make(name)), self.like.to(dtype=dtype))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.memory:
            raise KeyError(name)
        return self.make(name)

    def __contains__(self, name: object) -> bool:
        return name in self.memory

    def __iter__(self) -> Iterator[str]:
        return iter(self.memory)

    def __len__(self) -> int:
        return len(self.memory)


def memory_of(name: str, x: Tensor) -> Hashable:
    """What identifies the memory of a tensor; its name if it has no entries, which need no memory."""
    storage = x.untyped_storage()
    # of what is on the meta device, all addresses are 0
    place = storage._cdata if x.is_meta else storage.data_ptr()
    return (place, x.storage_offset(), x.shape, x.stride()) if x.numel() else name
