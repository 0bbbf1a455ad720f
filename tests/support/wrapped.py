"""Networks as people wrap them, and networks that permask refuses, with the sentence that it refuses them by."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
NAMES = ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]

Wrap = Callable[[nn.Sequential], nn.Module]


def plain(seed: int = 0, norm: type[nn.Module] = nn.LayerNorm) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), norm(8), nn.Tanh(), nn.Linear(8, 3))


def pruned(network: nn.Sequential) -> nn.Module:
    for layer in (network[0], network[3]):
        prune.l1_unstructured(layer, "weight", 0.5)
        prune.l1_unstructured(layer, "weight", 0.2)  # a container of two methods
    return network


def compiled_in_place(network: nn.Sequential) -> nn.Module:
    network.compile(backend="eager")
    return network


def with_peft(network: nn.Sequential) -> nn.Module:
    peft = pytest.importorskip("peft")
    return peft.get_peft_model(network, peft.LoraConfig(target_modules=["0", "3"], r=2, init_lora_weights=False))


def by_fabric(network: nn.Sequential) -> nn.Module:
    lightning = pytest.importorskip("lightning")
    return lightning.Fabric(accelerator="cpu", devices=1).setup(network)


def by_accelerate(network: nn.Sequential) -> nn.Module:
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    return accelerate.Accelerator(cpu=True, mixed_precision="bf16").prepare_model(network)


def lightning_module(network: nn.Sequential, forward: Callable[..., Any] | None = None) -> nn.Module:
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network

    if forward is not None:
        Module.forward = forward
    return Module()


def first(parametrization: Callable[[nn.Module], Any]) -> Wrap:
    """The first layer parametrized."""

    def parametrized(network: nn.Sequential) -> nn.Module:
        parametrization(network[0])
        return network

    return parametrized


def keeps_an_activation(network: nn.Sequential) -> nn.Module:
    network[0].register_forward_hook(lambda module, inputs, output: setattr(module, "seen", output))
    network(X)
    return network


def in_silence(make: Callable[..., Any]) -> Callable[..., Any]:
    """Without what torch and PEFT say about their own ways."""

    def made(*arguments: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(*arguments)

    return made


DDP = nn.parallel.DistributedDataParallel

# wrapper -> names in the state_dict of the network inside; None: its own
WRAPPED: dict[str, tuple[Wrap, list[str] | None]] = {
    "DDP": (DDP, NAMES),
    "DDP of a compiled network": (lambda network: DDP(torch.compile(network, backend="eager")), NAMES),
    "DataParallel": (nn.DataParallel, NAMES),
    "compile": (lambda network: torch.compile(network, backend="eager"), NAMES),
    "compile in place": (compiled_in_place, NAMES),
    "average": (AveragedModel, NAMES),
    "prune": (pruned, NAMES),
    "DDP of a pruned network": (lambda network: DDP(pruned(network)), NAMES),
    "traced to a graph": (torch.fx.symbolic_trace, NAMES),
    "keeps an activation": (keeps_an_activation, NAMES),
    "accelerate": (by_accelerate, NAMES),
    "fabric": (by_fabric, NAMES),
    "peft": (with_peft, None),
    "lightning": (
        lambda network: lightning_module(network, lambda self, x: self.net(x)),
        [f"net.{name}" for name in NAMES],
    ),
    "weight norm": (first(parametrizations.weight_norm), None),
    "spectral norm": (first(parametrizations.spectral_norm), None),
    "orthogonal": (first(parametrizations.orthogonal), None),
    "weight norm by hooks": (in_silence(first(nn.utils.weight_norm)), None),
    "spectral norm by hooks": (first(nn.utils.spectral_norm), None),
}


def with_weight(change: Callable[[Tensor], Tensor]) -> nn.Module:
    network = plain()
    network[0].weight = nn.Parameter(change(network[0].weight.detach()), requires_grad=False)
    return network


scripted = in_silence(lambda: torch.jit.script(plain()))
traced = in_silence(lambda: torch.jit.trace(plain(), X))
quantised = in_silence(lambda: torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear}))
sparse_rows = in_silence(lambda: with_weight(Tensor.to_sparse_csr))


@in_silence
def with_prompts() -> nn.Module:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 20, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2}
    network = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    return peft.get_peft_model(network, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))


# what is refused -> what the sentence says, and whether it is refused only where its code is read
REFUSED: dict[str, tuple[Callable[[], Any], str, bool]] = {
    "fully_shard": (
        lambda: fully_shard(plain(), mesh=init_device_mesh("cpu", (1,))),
        "sharded over processes: gather them by .*full_state_dict=True",
        False,
    ),
    "FSDP": (
        in_silence(lambda: FullyShardedDataParallel(plain(), device_id=torch.device("cpu"))),
        "FullyShardedDataParallel: its parameters are sharded over processes: gather them by .*full_state_dict=True",
        False,
    ),
    "tensor parallel": (
        lambda: dist.tensor.distribute_module(plain(), init_device_mesh("cpu", (1,))),
        "0.weight: its parameters are sharded over processes",
        False,
    ),
    "jit script": (scripted, "RecursiveScriptModule cannot be read: pass the network that it was made from", True),
    "jit trace": (traced, "TopLevelTracedModule cannot be read: pass the network that it was made from", True),
    "exported": (lambda: torch.export.export(plain(), (X,)), "expected an nn.Module, got .*ExportedProgram", False),
    "exported module": (
        lambda: torch.export.export(plain(), (X,)).module(),
        "an exported program cannot be read: pass the network that it was exported from",
        True,
    ),
    "quantised": (quantised, "0: .*Linear holds quantised weights: pass the network before it was quantised", False),
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 3)),
        "0.weight: has no shape yet: call the network once on an input",
        False,
    ),
    "sparse": (lambda: with_weight(Tensor.to_sparse), "0.weight: is stored as sparse_coo: .* to_dense", False),
    "sparse rows": (sparse_rows, "0.weight: is stored as sparse_csr: .* to_dense", False),
    "prompts": (with_prompts, "PEFT learns prompts .* pass model.get_base_model", False),
    "lightning without forward": (
        lambda: lightning_module(plain()),
        "has no forward: pass the network .*model.net",
        True,
    ),
    "a function": (lambda: torch.relu, "expected an nn.Module, got builtins.builtin_function_or_method", False),
}
