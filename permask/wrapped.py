"""The network inside of what people wrap it in, and what permask refuses to read.

Wrappers of other libraries are known by the name and module of their class, so that none has to be installed.
Every function that takes a network asks one of four for what it needs: `unwrap` gives the module whose tensors a
wrapper trains, `plain` one whose weights are tensors of its own, `observable` one whose modules can be watched while it
runs, and `readable` one to capture and copy.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import prune

from permask.errors import NetworkError

# a wrapper's class, where the name of its module begins, and the attribute that holds what it wraps
WRAPPERS = (
    ("DistributedDataParallel", "torch.nn.parallel", "module"),
    ("DataParallel", "torch.nn.parallel", "module"),
    ("OptimizedModule", "torch._dynamo", "_orig_mod"),
    ("AveragedModel", "torch.optim.swa_utils", "module"),
    ("PeftModel", "peft.", "base_model"),
    ("PeftMixedModel", "peft.", "base_model"),
    ("BaseTuner", "peft.", "model"),
    ("_FabricModule", "lightning", "_original_module"),
)
SHARDED = (
    ("FullyShardedDataParallel", "torch.distributed"),
    ("FSDPModule", "torch.distributed"),
    ("DTensor", "torch.distributed"),
)
HELD = "_permask_held"  # in the `__dict__` of a module in which a mask is held
QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torchao.", "bitsandbytes.")

GATHER = (
    "its parameters are sharded over processes: gather them by torch.distributed.checkpoint.state_dict."
    "get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)), and load them into a network of "
    "the same class that is not sharded"
)


def unwrap(model: Any) -> nn.Module:
    """The network inside of DDP, DataParallel, `torch.compile`, an average of weights, PEFT or Fabric.

    It shares its tensors with the wrapper. The adapters that PEFT put into it stay there.

    Args:
        model: A network, wrapped or not; one that is not wrapped comes back as it is.

    Raises:
        NetworkError: No network, or one whose parameters are no plain tensors: sharded, quantised, sparse, not
            initialised yet. The message names the remedy.
    """
    while (inside := _inside(model)) is not None:
        model = inside
    if not isinstance(model, nn.Module):
        raise NetworkError(f"expected an nn.Module, got {_kind(model)}")
    for name, module in model.named_modules():
        if _is_one_of(module, SHARDED):
            raise NetworkError(f"{_here(name, model)}: {GATHER}")
        if type(module).__module__.startswith(QUANTISED):
            raise NetworkError(f"{_here(name, model)}: {_quantised(module)}")
    for name, tensor in _tensors(model):
        if why := _unreadable(tensor):
            raise NetworkError(f"{name}: {why}")
    return model


def plain(model: Any) -> nn.Module:
    """The network inside of a wrapper, with its weights under their own names, and one that can be copied.

    What `torch.nn.utils.prune` or another hook computes before every call hangs on the autograd graph, and cannot be
    copied. Such a network comes back as a copy, whose pruned weights are zeros.

    Args:
        model: As `unwrap` takes it.

    Raises:
        NetworkError: As `unwrap`.
    """
    network = unwrap(model)
    if not _derived(network) and not any(_pruned(network)):
        return network
    network = copied(network)
    for _, module, pruning in list(_pruned(network)):
        if pruning._tensor_name in dict(module.named_parameters(recurse=False)):
            continue  # a module under two names, done under its first
        prune.remove(module, pruning._tensor_name)
    return network


def observable(model: Any) -> nn.Module:
    """The network inside of a wrapper, as one that can be called, and whose modules take hooks.

    Args:
        model: As `unwrap` takes it.

    Raises:
        NetworkError: As `unwrap`; or a compiled or exported program, whose code is closed, or one without a forward.
    """
    network = unwrap(model)
    if isinstance(network, torch.jit.ScriptModule):
        raise NetworkError(f"{_kind(network)} cannot be read: pass the network that it was made from")
    if isinstance(network, torch.fx.GraphModule) and "train" in vars(network):
        raise NetworkError("an exported program cannot be read: pass the network that it was exported from")
    if _without_forward(network):
        children = " or ".join(f"model.{name}" for name, _ in network.named_children()) or "none"
        raise NetworkError(f"{_kind(network)} has no forward: pass the network that it holds ({children})")
    return network


def readable(model: Any) -> nn.Module:
    """The network inside of a wrapper, `plain` and `observable`."""
    return plain(observable(model))


def copied(network: nn.Module) -> nn.Module:
    """A deep copy, also of a network that keeps tensors with a gradient's history, which `copy.deepcopy` refuses.

    No mask is held in it.
    """
    memo: dict[int, Any] = {id(tensor): tensor.detach().clone() for tensor in _derived(network)}
    memo |= {id(vars(module)[HELD]): None for module in network.modules() if HELD in vars(module)}
    return copy.deepcopy(network, memo)


def tensors_of(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The `state_dict` of an unwrapped network by the names that it has without `torch.nn.utils.prune`, and the masks.

    Returns:
        Name to tensor, and the name of every pruned one to its mask; both share the network's memory.
    """
    state = {name: tensor for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}
    masks = {name: state.pop(f"{name}_mask") for name, _, _ in _pruned(network)}
    for name in masks:
        state[name] = state.pop(f"{name}_orig")
    return state, masks


@torch.no_grad()
def refresh(network: nn.Module) -> None:
    """Compute pruned weights anew, after the tensors that they are made of have changed."""
    for _, module, pruning in _pruned(network):
        pruning(module, ())


def _inside(model: Any) -> nn.Module | None:
    """What a wrapper wraps; None if it is none."""
    for name, module, attribute in WRAPPERS:
        if _is_one_of(model, ((name, module),)):
            configurations = getattr(model, "peft_config", {})
            if name == "PeftModel" and any(x.is_prompt_learning for x in configurations.values()):
                raise NetworkError(
                    "PEFT learns prompts for this network, and its weights stay as they are: pass "
                    "model.get_base_model()"
                )
            return getattr(model, attribute)
    return None


def _is_one_of(x: Any, classes: tuple[tuple[str, str], ...]) -> bool:
    return any(
        kind.__name__ == name and kind.__module__.startswith(module)
        for kind in type(x).__mro__
        for name, module in classes
    )


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _unreadable(tensor: Tensor) -> str | None:
    """Why a tensor's entries cannot be permuted or masked; None if they can."""
    if is_lazy(tensor):
        return "has no shape yet: call the network once on an input"
    if _is_one_of(tensor, SHARDED):
        return GATHER
    if tensor.is_quantized or type(tensor).__module__.startswith(QUANTISED):
        return _quantised(tensor)
    if tensor.layout != torch.strided or type(tensor).__module__.startswith("torch.sparse"):
        layout = str(tensor.layout).removeprefix("torch.") if tensor.layout != torch.strided else _kind(tensor)
        return f"is stored as {layout}: replace it by its to_dense()"
    return None


def _quantised(x: Any) -> str:
    return f"{_kind(x)} holds quantised weights: pass the network before it was quantised"


def _derived(network: nn.Module) -> list[Tensor]:
    """Attributes of modules that autograd computed."""
    return [x for m in network.modules() for x in vars(m).values() if isinstance(x, Tensor) and not x.is_leaf]


def _pruned(network: nn.Module) -> Iterator[tuple[str, nn.Module, prune.BasePruningMethod]]:
    """Name, module and method of every tensor that `torch.nn.utils.prune` prunes."""
    for name, module in network.named_modules(remove_duplicate=False):
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod):
                yield f"{name}.{hook._tensor_name}".lstrip("."), module, hook


def _without_forward(network: nn.Module) -> bool:
    """Whether a Lightning module leaves out `forward`, as one may that only trains."""
    owner = next(kind for kind in type(network).__mro__ if "forward" in vars(kind))
    return owner.__name__ == "LightningModule"


def _here(name: str, model: nn.Module) -> str:
    return name or type(model).__name__


def _kind(x: Any) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}"
