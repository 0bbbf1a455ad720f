"""A GPU that is pretended: its tensors have values, which the CPU computes, and refuse to meet tensors of the host.

Python sees that they are on `cuda`, torch's own code that they are on the CPU. So whole commands and trainings run on
it, with their backward passes, and fail where a GPU would: where one operation is given tensors of two devices, and on
Apple's where there are numbers of float64.
"""

from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_iter, tree_map_only

GPU, HOST = torch.device("cuda", 0), torch.device("cpu")
ATEN = torch.ops.aten
# take tensors of two devices, or places on the host, on a GPU, too
MEET = (ATEN.copy_.default, ATEN._foreach_copy_.default, ATEN.index.Tensor, ATEN.index_put_.default)


class MixedDevices(Exception):
    """What torch calls `Expected all tensors to be on the same device`."""


class OnGpu(Tensor):
    """A tensor of the pretended GPU."""

    held: Tensor
    place: torch.device
    computed: set[str]

    @staticmethod
    def __new__(cls, held):
        if cls.place.type == "mps" and held.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        with torch.inference_mode(False):  # whose tensors have no views of this type
            x = Tensor._make_wrapper_subclass(
                cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=HOST
            )
        x.held = held
        return x

    device = property(lambda self: self.place)
    is_cuda = property(lambda self: self.place.type == "cuda")
    __torch_function__ = torch._C._disabled_torch_function_impl

    def untyped_storage(self):
        return self.held.untyped_storage()

    def __repr__(self):
        return f"OnGpu({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is ATEN._has_compatible_shallow_copy_type.default:
            return all(isinstance(x, OnGpu) for x in args)
        tensors = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        if func not in MEET and any(not isinstance(x, OnGpu) and x.ndim for x in tensors):
            raise MixedDevices(f"{func} of tensors on {[str(x.device) for x in tensors]}")
        cls.computed.add(func.overloadpacket.__name__)
        inside = tree_map_only(OnGpu, lambda x: x.held, (args, kwargs))
        result = func(*inside[0], **inside[1])
        if func is ATEN.copy_.default and not isinstance(args[0], OnGpu):
            return args[0]
        return return_and_correct_aliasing(func, args, kwargs, tree_map_only(Tensor, OnGpu, result))


class _Moving(TorchFunctionMode):
    """Takes tensors to the GPU and back, and makes them there."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return _moved(func, *args, **kwargs)
        if func in (Tensor.numpy, Tensor.tolist, Tensor.__array__) and isinstance(args[0], OnGpu):
            if func is not Tensor.tolist and not kwargs.get("force"):
                raise MixedDevices("a tensor of a GPU as an array")
            return func(args[0].held, *args[1:], **kwargs)
        if func is Tensor.pin_memory:
            return args[0].clone()
        wanted = kwargs.get("device")
        if wanted is None or torch.device(wanted).type != OnGpu.place.type or func is torch.Generator:
            return func(*args, **kwargs)
        return _sent(func(*args, **kwargs | {"device": HOST}))


def _sent(x):
    return x if isinstance(x, OnGpu) else _Send.apply(x)


class _Send(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return OnGpu(x.detach().clone(memory_format=torch.preserve_format))

    @staticmethod
    def backward(ctx, gradient):
        return gradient.held if isinstance(gradient, OnGpu) else gradient  # torch's zeros, for what nothing depends on


class _Fetch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.held.detach().clone()

    @staticmethod
    def backward(ctx, gradient):
        return OnGpu(gradient)


def _moved(func, x, *args, **kwargs):
    """What `Tensor.to` and its like do."""
    if func is not Tensor.to:
        where = HOST if func is Tensor.cpu else OnGpu.place
        return _moved(Tensor.to, x, where, **kwargs)
    if args and isinstance(args[0], Tensor):
        return _moved(func, x, args[0].device, args[0].dtype, *args[1:], **kwargs)
    where = kwargs.pop("device", None)
    if args and isinstance(args[0], str | torch.device):
        where, args = args[0], args[1:]
    if where is not None:
        x = _sent(x) if torch.device(where).type == OnGpu.place.type else _Fetch.apply(x) if isinstance(x, OnGpu) else x
    dtypes = [arg for arg in args if isinstance(arg, torch.dtype)]  # the others are whether to wait, and to copy
    return func(x, *dtypes, **kwargs) if dtypes or kwargs else x


@contextmanager
def pretended_gpu(place=GPU):
    """Tensors may be sent to it in the body, and made there; gives the names of the operations that it computed."""
    OnGpu.place, OnGpu.computed = place, set()
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(
        True
    )  # a tensor of the host does not become one of these
    try:
        with _Moving():
            yield OnGpu.computed
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
