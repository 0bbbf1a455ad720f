"""What the host asks of a device: counted on tensors of a GPU that need not be there, or on those of the CPU."""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten


@dataclass
class Counted:
    """Operations so far.

    Attributes:
        launches: Kernels and copies; no views.
        uploads: Copies from the host to a device.
        blocking: Those of them that the host waits for.
        downloads: Copies from a device to the host.
        reads: Numbers that the host reads, one at a time.
    """

    launches: int = 0
    uploads: int = 0
    blocking: int = 0
    downloads: int = 0
    reads: int = 0


class _Counter(TorchDispatchMode):
    def __init__(self, counted):
        super().__init__()
        self.counted = counted

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result, counted = func(*args, **kwargs), self.counted
        if func is ATEN._local_scalar_dense.default:
            counted.reads += 1
        elif func.namespace == "aten" and not func.is_view:
            counted.launches += 1
        if func in (ATEN._to_copy.default, ATEN.copy_.default):
            source, target = (args[0], result) if func is ATEN._to_copy.default else (args[1], args[0])
            waits = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            up = source.device.type == "cpu" and target.device.type == "cuda"
            counted.uploads += up
            counted.blocking += up and waits
            counted.downloads += source.device.type == "cuda" and target.device.type == "cpu"
        return result


@contextmanager
def counting():
    """Count what the body does."""
    with _Counter(counted := Counted()):
        yield counted


@contextmanager
def fake_gpu():
    """Tensors made in the body may be on `cuda`: they have shapes and no values."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
