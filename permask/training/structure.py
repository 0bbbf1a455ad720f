"""What two networks must have in common for a recorded step of one to be a step of the other."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

OF_EVERY_MODULE = vars(nn.Module()).keys()
HOOKS = [name for name in OF_EVERY_MODULE if name.endswith("_hooks")]
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


def structure_of(model: nn.Module) -> Hashable | None:
    """Classes, settings and tensors' shapes of all modules: equal values mean equal steps.

    A setting that is no plain value counts as itself, so a network that holds an object of its own equals no other.

    Returns:
        None where nothing can vouch for that: hooks, tensors that are no parameters or buffers or that share memory.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    memories = [x.untyped_storage().data_ptr() for _, x in tensors if x.numel()]
    modules = list(model.named_modules())
    if len(set(memories)) < len(memories) or any(getattr(m, hooks, None) for _, m in modules for hooks in HOOKS):
        return None
    try:
        settings = tuple((name, type(module), _settled(_settings(module))) for name, module in modules)
    except TypeError:
        return None
    return settings, tuple((n, x.dtype, x.device, *x.shape, x.stride(), x.requires_grad) for n, x in tensors)


def _settings(module: nn.Module) -> dict[str, Any]:
    ours = {name: value for name, value in vars(module).items() if name not in OF_EVERY_MODULE}
    return ours | {"training": module.training}


def _settled(value: Any) -> Hashable:
    """A value to compare by.

    Raises:
        TypeError: It has none.
    """
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, Mapping):
        return type(value), tuple((_settled(key), _settled(x)) for key, x in value.items())
    if isinstance(value, tuple | list):
        return type(value), tuple(_settled(x) for x in value)
    if isinstance(value, Tensor):
        raise TypeError("a tensor may change")
    hash(value)
    return value
