"""Tensors that stay at their addresses, while the values of one network after another are copied into them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Storage:
    """What a program that knows tensors by their addresses reads and writes, by name."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def keep(self, name: str, values: Tensor) -> Tensor:
        """The tensor of a name, with new values; the first ones settle its shape and its memory layout."""
        if name not in self._kept:
            self._kept[name] = torch.empty_like(values)
        return self._kept[name].copy_(values)

    @contextmanager
    def lent(self, model: nn.Module) -> Iterator[None]:
        """Let a network compute with tensors of the storage; in the end it gets copies of what became of them."""
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        for name, x in tensors.items():
            x.data = self.keep(f"network/{name}", x.detach())
        try:
            yield
        finally:
            for x in tensors.values():
                x.data = x.detach().clone()
