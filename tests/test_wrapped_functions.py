"""Every public function that takes a network: what is inside of a wrapper, or one sentence that says what to do."""

import inspect
from collections.abc import Callable, Iterator
from functools import cached_property
from types import FunctionType, MethodType
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support.wrapped import NAMES, REFUSED, WRAPPED, X, plain, scripted, traced
from torch import nn
from torch.nn.utils import prune

import permask
from permask.batches import Batch, cross_entropy
from permask.connectivity.interpolate import interpolate
from permask.errors import NetworkError
from permask.mask import Mask
from permask.masks.cost import cost_of
from permask.masks.exports import to_prune_buffers
from permask.masks.layerwise import erk_mask
from permask.masks.sensitivity import grasp_mask, snip_mask, synflow_mask
from permask.wrapped import plain as plainly
from permask.wrapped import unwrap

LABELLED = [Batch((X,), torch.arange(16) % 3)]


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[None]:
    """A group of this process alone, as DDP and FSDP need."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Networks:
    """Networks of one kind, by their seed, with the symmetry and a mask of others that are like them."""

    def __init__(self, make: Callable[[int], Any], like: "Networks | None" = None):
        self.make, self._like = make, like

    def __call__(self, seed: int) -> Any:
        return self.make(seed)

    @cached_property
    def symmetry(self) -> permask.Symmetry:
        return self._like.symmetry if self._like else permask.discover(self(0), X)

    @cached_property
    def mask(self) -> Mask:
        return self._like.mask if self._like else permask.magnitude_mask(self(0), 0.7)


def total(network: nn.Module, alpha: float) -> float:
    return float(network(X).sum())


def held(networks: Networks) -> nn.Module:
    model = networks(0)
    optimizer = torch.optim.SGD(getattr(model, "parameters", plain().parameters)(), 0.1)
    with permask.hold_mask(model, networks.mask, optimizer):
        model(X).square().mean().backward()
        optimizer.step()
    return model


def matched(match: Callable[..., permask.Alignment], networks: Networks, *more: Any, **options: Any) -> Any:
    return match(networks.symmetry, networks(0), networks(1), *more, **options).permutation.index


# functions and methods of permask's public names -> what they give for networks of one kind
PUBLIC: dict[str, Callable[[Networks], Any]] = {
    "Alignment.check": lambda n: permask.Alignment(n.symmetry, n.symmetry.identity(), "none", 0.0, ()).check(n(0)),
    "Mask.apply_": lambda n: n.mask.apply_(n(0)),
    "Mask.check": lambda n: n.mask.check(n(0)),
    "Mask.of": lambda n: Mask.of(n(3)),
    "Mask.sparsity_of": lambda n: n.mask.sparsity_of(n(0)),
    "Permutation.apply": lambda n: n.symmetry.random(0).apply(n(0)),
    "Symmetry.check": lambda n: n.symmetry.check(n(0)),
    "connect": lambda n: permask.connect(n(0), n(1), total, 3).values,
    "discover": lambda n: [group.size for group in permask.discover(n(0), X).groups],
    "hold_mask": held,
    "magnitude_mask": lambda n: permask.magnitude_mask(n(0), 0.5),
    "match_activations": lambda n: matched(permask.match_activations, n, [X]),
    "match_learned": lambda n: matched(permask.match_learned, n, cross_entropy, LABELLED, epochs=1),
    "match_many": lambda n: permask.match_many(n.symmetry, [n(0), n(1)])[1].permutation.index,
    "match_weights": lambda n: matched(permask.match_weights, n),
    "merge": lambda n: permask.merge([n(0), n(1)], X, symmetry=n.symmetry),
    "pattern_mask": lambda n: permask.pattern_mask(n(0)),
    "permute_for_pattern": lambda n: permask.permute_for_pattern(n.symmetry, n(0)).index,
    "repair": lambda n: permask.repair(n(0), n(1), n(2), [X]),
    "repair_many": lambda n: permask.repair_many([n(0), n(1)], n(2), [X]),
    "rescale_fan_in": lambda n: permask.rescale_fan_in(n(0), n.mask),
    "reset_batchnorm": lambda n: permask.reset_batchnorm(n(0), [X]),
    "verify": lambda n: permask.verify(n.symmetry, n(0), X) < 1e-9,
    "wanda_scores": lambda n: permask.wanda_scores(n(0), [X]),
}
FUNCTIONS = PUBLIC | {
    "cost_of": lambda n: cost_of(n(0), [X]).flops,
    "erk_mask": lambda n: erk_mask(n(0), 0.5, seed=0),
    "grasp_mask": lambda n: grasp_mask(n(0), 0.5, cross_entropy, LABELLED),
    "interpolate": lambda n: interpolate(n(0), n(1), 0.3),
    "snip_mask": lambda n: snip_mask(n(0), 0.5, cross_entropy, LABELLED),
    "synflow_mask": lambda n: synflow_mask(n(0), 0.5, X, rounds=3),
    "to_prune_buffers": lambda n: to_prune_buffers(n(0), n.mask),
}
# these read no code of a network, only its tensors, or leave calling it to a function of the caller
OPEN = set(FUNCTIONS) - {"cost_of", "discover", "match_activations", "match_learned", "merge", "repair"}
OPEN -= {"repair_many", "reset_batchnorm", "synflow_mask", "to_prune_buffers", "verify", "wanda_scores"}
LONG = {"discover", "match_activations", "match_learned", "verify"}


def test_the_table_has_all_that_take_a_network():
    taking = set()
    for name in permask.__all__:
        value = getattr(permask, name)
        public = [x for x in dir(value) if x[0] != "_"] if inspect.isclass(value) else []
        taking |= {f"{name}.{method}" for method in public if takes_a_network(getattr(value, method))}
        taking |= {name} if takes_a_network(value) else set()
    assert taking == PUBLIC.keys()


def takes_a_network(x: object) -> bool:
    if not isinstance(x, FunctionType | MethodType):
        return False
    annotations = [str(p.annotation) for p in inspect.signature(x).parameters.values()]
    return any(word in annotation for annotation in annotations for word in (".Module", "~Permutable"))


def values(x: Any) -> Any:
    """Numbers to compare; of a network its tensors, without a wrapper and under their own names."""
    return dict(plainly(x).state_dict()) if isinstance(x, nn.Module) else dict(x) if isinstance(x, Mask) else x


def without_pruning(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if prune.is_pruned(module) and not list(module.children()):
            prune.remove(module, "weight")
    return network


DENSE = Networks(lambda seed: plain(seed, nn.BatchNorm1d).eval())


def of(name: str) -> tuple[Networks, Networks]:
    """Wrapped networks, and those inside."""

    def make(seed: int) -> nn.Module:
        network = plain(seed, nn.BatchNorm1d)
        if seed == 3:
            nn.init.zeros_(network[0].weight[:2])  # what a mask is read off
        return WRAPPED[name][0](network).eval()

    def inside(seed: int) -> nn.Module:
        return without_pruning(unwrap(make(seed)))

    like = DENSE if WRAPPED[name][1] == NAMES else Networks(inside)
    return Networks(make, like), Networks(inside, like)


@pytest.mark.parametrize("name", ["DDP", "prune"])
@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name not in LONG])
def test_it_does_what_it_does_with_the_network_inside(name, function):
    outside, inside = (values(FUNCTIONS[function](networks)) for networks in of(name))
    torch.testing.assert_close(outside, inside, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # of torch's compiler
@pytest.mark.parametrize("name", WRAPPED)
def test_all_do_what_they_do_with_the_network_inside(name):
    outside, inside = of(name)
    for function, call in FUNCTIONS.items():
        torch.testing.assert_close(values(call(outside)), values(call(inside)), rtol=0, atol=0, msg=function)


@pytest.mark.parametrize("name", REFUSED)
def test_they_refuse_in_one_sentence(name):
    make, sentence, only_code = REFUSED[name]
    model = make()
    networks = Networks(lambda seed: model, DENSE)
    for function in FUNCTIONS.keys() - (OPEN if only_code else set()):
        with pytest.raises(NetworkError, match=sentence) as raised:
            FUNCTIONS[function](networks)
        assert "\n" not in str(raised.value), function


@pytest.mark.parametrize("make", [scripted, traced], ids=["script", "trace"])
def test_the_tensors_of_closed_code_are_open(make):
    networks = Networks(lambda seed: make(), Networks(plain))
    for function in OPEN - {"Mask.of"}:
        FUNCTIONS[function](networks)
