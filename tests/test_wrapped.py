"""Networks as people wrap them: every wrapper, and every network that is refused, with everything that permask does."""

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

import permask
from permask.errors import NetworkError
from permask.mask import Mask, parameters_by_name
from permask.wrapped import readable, unwrap

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
NAMES = ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[None]:
    """A group of this process alone, as DDP and FSDP need."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def pruned() -> nn.Module:
    network = plain()
    for layer in (network[0], network[3]):
        prune.l1_unstructured(layer, "weight", 0.5)
        prune.l1_unstructured(layer, "weight", 0.2)  # a container of two methods
    return network


def compiled_in_place() -> nn.Module:
    network = plain()
    network.compile(backend="eager")
    return network


def with_peft() -> nn.Module:
    peft = pytest.importorskip("peft")
    return peft.get_peft_model(plain(), peft.LoraConfig(target_modules=["0", "3"], r=2, init_lora_weights=False))


def by_fabric() -> nn.Module:
    lightning = pytest.importorskip("lightning")
    return lightning.Fabric(accelerator="cpu", devices=1).setup(plain())


def by_accelerate() -> nn.Module:
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    return accelerate.Accelerator(cpu=True, mixed_precision="bf16").prepare_model(plain())


def lightning_module(forward: Callable[..., Any] | None = None) -> nn.Module:
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain()

    if forward is not None:
        Module.forward = forward
    return Module()


def parametrized(parametrization: Callable[..., Any]) -> nn.Module:
    network = plain()
    parametrization(network[0])
    return network


def keeps_an_activation() -> nn.Module:
    network = plain()
    network[0].register_forward_hook(lambda module, inputs, output: setattr(module, "seen", output))
    network(X)
    return network


# wrapper -> names in the state_dict of the network inside; None: its own
WRAPPED: dict[str, tuple[Callable[[], nn.Module], list[str] | None]] = {
    "DDP": (lambda: nn.parallel.DistributedDataParallel(plain()), NAMES),
    "DDP of a compiled network": (
        lambda: nn.parallel.DistributedDataParallel(torch.compile(plain(), backend="eager")),
        NAMES,
    ),
    "DataParallel": (lambda: nn.DataParallel(plain()), NAMES),
    "compile": (lambda: torch.compile(plain(), backend="eager"), NAMES),
    "compile in place": (compiled_in_place, NAMES),
    "average": (lambda: AveragedModel(plain()), NAMES),
    "prune": (pruned, NAMES),
    "DDP of a pruned network": (lambda: nn.parallel.DistributedDataParallel(pruned()), NAMES),
    "traced to a graph": (lambda: torch.fx.symbolic_trace(plain()), NAMES),
    "keeps an activation": (keeps_an_activation, NAMES),
    "accelerate": (by_accelerate, NAMES),
    "fabric": (by_fabric, NAMES),
    "peft": (with_peft, None),
    "lightning": (lambda: lightning_module(lambda self, x: self.net(x)), [f"net.{name}" for name in NAMES]),
    "weight norm": (lambda: parametrized(parametrizations.weight_norm), None),
    "spectral norm": (lambda: parametrized(parametrizations.spectral_norm), None),
    "orthogonal": (lambda: parametrized(parametrizations.orthogonal), None),
    "weight norm by hooks": (lambda: parametrized(old_weight_norm), None),
    "spectral norm by hooks": (lambda: parametrized(nn.utils.spectral_norm), None),
}


def old_weight_norm(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module)


@pytest.fixture(params=WRAPPED)
def wrapped(request: pytest.FixtureRequest) -> tuple[nn.Module, list[str]]:
    make, names = WRAPPED[request.param]
    model = make().eval()
    return model, names or list(model.state_dict())


def outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(X)


def test_discover_and_verify(wrapped):
    model, names = wrapped
    if "base_model.model.0.base_layer.weight" in names:
        names = [name.removeprefix("base_model.model.") for name in names]
    before = {name: x.clone() for name, x in model.state_dict().items()}
    symmetry = permask.discover(model, X)
    assert sorted(symmetry.shapes) == sorted(names)
    assert 8 in [group.size for group in symmetry.groups]
    assert permask.verify(symmetry, model, X) < 1e-9
    symmetry.check(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(x, after[name]) for name, x in before.items())


def test_a_permuted_copy_computes_the_same(wrapped):
    model, _ = wrapped
    symmetry = permask.discover(model, X)
    permutation = symmetry.random(0)
    before = outputs(model)
    permuted = permutation.apply(model)
    torch.testing.assert_close(outputs(permuted), before, rtol=1e-4, atol=1e-5)
    moved = [not torch.equal(x, y) for x, y in zip(permuted.parameters(), unwrap(model).parameters(), strict=True)]
    assert any(moved)
    assert torch.equal(outputs(model), before)
    symmetry.check(permuted)


@pytest.mark.slow
def test_a_planted_permutation_is_found(wrapped):
    model, _ = wrapped
    symmetry = permask.discover(model, X)
    planted = symmetry.random(3)
    found = permask.match_activations(symmetry, model, planted.apply(model), [X]).permutation
    assert all((found.index[name] == index).all() for name, index in planted.index.items())


@pytest.mark.slow
def test_matching_by_weights_takes_it(wrapped):
    model, _ = wrapped
    symmetry = permask.discover(model, X)
    planted = symmetry.random(3)
    found = permask.match_weights(symmetry, model, planted.apply(model)).permutation
    assert all((found.index[name] == index).all() for name, index in planted.index.items())


def test_a_mask_is_transported_and_held(wrapped):
    model, _ = wrapped
    symmetry = permask.discover(model, X)
    mask = permask.magnitude_mask(model, 0.5)
    alignment = permask.match_activations(symmetry, model, symmetry.random(1).apply(model), [X])
    carried = permask.transport(mask, alignment)
    assert {name: kept.sum() for name, kept in carried.items()} == {name: kept.sum() for name, kept in mask.items()}
    model.requires_grad_()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    permask.hold_mask(model, carried, optimizer)
    weights = parameters_by_name(model)
    before = {name: weights[name].detach().clone() for name in carried}
    for _ in range(3):
        optimizer.zero_grad()
        model.train()(X).square().mean().backward()
        optimizer.step()
    assert all((weights[name][~kept] == 0).all() for name, kept in carried.items())
    assert any((weights[name] != before[name]).any() for name in carried)


def test_one_symmetry_fits_a_dense_network_and_a_pruned_one():
    dense, sparse = plain(), pruned()
    symmetry = permask.discover(sparse, X)
    axes = [{(axis.parameter, axis.dim) for axis in group.axes} for group in symmetry.groups]
    assert axes == [{(axis.parameter, axis.dim) for axis in group.axes} for group in permask.discover(dense, X).groups]
    assert permask.verify(permask.discover(dense, X), sparse, X) < 1e-9
    mask = Mask.of(sparse)
    alignment = permask.match_activations(symmetry, sparse, dense, [X])
    assert permask.transport(mask, alignment) == Mask.of(alignment.permutation.apply(sparse))


def test_what_is_pruned_stays_pruned_in_a_permuted_copy():
    model = pruned()
    permutation = permask.discover(model, X).random(0)
    permuted = permutation.apply(model)
    reference = permutation.apply(readable(model))
    assert torch.equal(permuted[0].weight, reference[0].weight)  # without a call, which would compute it anew
    prune.remove(permuted[0], "weight")
    assert torch.equal(permuted[0].weight, reference[0].weight)
    assert prune.is_pruned(model[0])


def test_a_pruned_module_under_two_names():
    layer = nn.Linear(6, 6)
    prune.l1_unstructured(layer, "weight", 0.5)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert sorted(permask.discover(model, X).shapes) == ["0.bias", "0.weight", "2.bias", "2.weight"]


def with_weight(change: Callable[[Tensor], Tensor]) -> nn.Module:
    network = plain()
    network[0].weight = nn.Parameter(change(network[0].weight.detach()), requires_grad=False)
    return network


def in_silence(make: Callable[[], Any]) -> Callable[[], Any]:
    """Without what torch and PEFT say about their own ways."""

    def made() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return made


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
    "lightning without forward": (lightning_module, "has no forward: pass the network .*model.net", True),
    "a function": (lambda: torch.relu, "expected an nn.Module, got builtins.builtin_function_or_method", False),
}


@cache
def symmetry_of_plain() -> permask.Symmetry:
    return permask.discover(plain(), X)


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "discover": lambda model: permask.discover(model, X),
    "verify": lambda model: permask.verify(symmetry_of_plain(), model, X),
    "match by activations": lambda m: permask.match_activations(symmetry_of_plain(), plain(), m, [X]),
    "match by weights": lambda model: permask.match_weights(symmetry_of_plain(), model, plain()),
    "hold": lambda m: permask.hold_mask(m, permask.magnitude_mask(plain(), 0.5), torch.optim.SGD(plain().parameters())),
    "check": lambda model: symmetry_of_plain().check(model),
}
READING = ("discover", "verify", "match by activations")


@pytest.mark.parametrize(
    ("name", "operation"),
    [(name, operation) for name in REFUSED for operation in OPERATIONS if operation in READING or not REFUSED[name][2]],
)
def test_it_is_refused_in_one_sentence(name, operation):
    make, sentence, _ = REFUSED[name]
    model = make()
    with pytest.raises(NetworkError, match=sentence) as raised:
        OPERATIONS[operation](model)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [scripted, traced], ids=["script", "trace"])
def test_a_mask_is_held_in_a_network_of_jit(make):
    model = make()
    mask = permask.magnitude_mask(model, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    permask.hold_mask(model, mask, optimizer)
    model(X).square().mean().backward()
    optimizer.step()
    weights = parameters_by_name(model)
    assert all((weights[name][~kept] == 0).all() for name, kept in mask.items())


def test_the_error_names_what_computes_a_parametrized_weight():
    mask = permask.magnitude_mask(plain(), 0.5)
    with pytest.raises(NetworkError, match=r"0\.weight.*remove_parametrizations"):
        mask.check(parametrized(parametrizations.weight_norm))


def test_no_copy_is_made_where_none_is_needed():
    network = plain()
    assert readable(torch.compile(network, backend="eager")) is network
    assert copy.deepcopy(network).state_dict().keys() == network.state_dict().keys()
