"""BatchNorm counts its batches in a tensor for every layer: a launch each, where one for all of them will do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

COUNTER = "num_batches_tracked"


@contextmanager
def counted_together(model: nn.Module) -> Iterator[None]:
    """A pass in training mode, after which the counters of all layers are raised at once.

    Layers that weigh batches by their number, for which `momentum` is None, read their own and are left as they are.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.num_batches_tracked is not None and module.momentum is not None
    ]
    counters: list[Any] = [module._buffers[COUNTER] for module in norms]
    try:
        for module in norms:
            module._buffers[COUNTER] = None  # without it, a layer does not count
        yield
    finally:
        for module, counter in zip(norms, counters, strict=True):
            module._buffers[COUNTER] = counter
    if counters:
        torch._foreach_add_(counters, 1)  # pyright: ignore[reportPrivateImportUsage]
