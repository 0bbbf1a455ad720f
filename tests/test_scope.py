"""What is pruned unless something else is said: the weights of layers, and not all that has two dims."""

import pytest
import torch
import torchvision
from support.zoo_language import GPT
from torch import nn
from torch.nn.utils import parametrizations, prune

from permask.errors import PermaskError
from permask.masks.scope import scope_of
from permask.masks.sources import SOURCES, MaskOptions
from permask.training.networks import create_network, outline_network
from permask.training.streams import stream


def matrices(model):
    return {name for name, parameter in model.named_parameters() if parameter.ndim >= 2}


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("mlp", (1, 8, 8), {}),
        ("cnn", (3, 16, 16), {}),
        ("resnet8", (3, 16, 16), {}),
        ("resnet20", (3, 16, 16), {}),
        ("vgg11", (3, 32, 32), {}),
        ("resnet50", (3, 64, 64), {}),
    ],
)
def test_of_the_networks_for_images_all_weights_are_those_of_layers(name, shape, options):
    network = outline_network(name, shape, 10, **options)
    assert set(scope_of(network)) == matrices(network)


def test_of_transformers_embeddings_and_positions_stay_dense():
    vit = create_network("vit", (3, 8, 8), 10, stream(0, "initialisation"), layers=1, width=8, heads=2)
    assert matrices(vit) - set(scope_of(vit)) == {"positions.weight"}
    gpt = create_network("gpt", (8,), 10, stream(0, "initialisation"), layers=1, width=8, heads=2)
    assert matrices(gpt) - set(scope_of(gpt)) == {"tokens.weight", "positions.weight"}
    assert matrices(gpt) - set(scope_of(gpt, include=["tokens.*"])) == {"positions.weight"}
    assert matrices(gpt) - set(scope_of(gpt, include=["*"], exclude=["head.*"])) == {"head.weight"}
    with torch.device("meta"):
        theirs = torchvision.models.vit_b_16()
    assert matrices(theirs) - set(scope_of(theirs)) == {"class_token", "encoder.pos_embedding"}


def test_what_an_embedding_shares_with_a_layer_is_the_embeddings():
    model = GPT()
    assert model.head.weight is model.tokens.weight
    assert not {"tokens.weight", "head.weight"} & scope_of(model).keys()
    model.blocks.head = model.head  # found first, under the layer's name
    assert all(weight is not model.tokens.weight for weight in scope_of(model).values())


def test_weights_of_attention_and_of_recurrent_layers_are_weights():
    model = nn.ModuleDict({"mha": nn.MultiheadAttention(4, 2), "lstm": nn.LSTM(3, 4), "norm": nn.LayerNorm((3, 4))})
    assert scope_of(model).keys() == {
        *("mha.in_proj_weight", "mha.out_proj.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0")
    }


def test_a_weight_that_is_parametrized_or_masked_by_torch_is_one():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    parametrizations.orthogonal(model[0])
    prune.random_unstructured(model[1], "weight", 0.5)
    assert scope_of(model).keys() == {"0.parametrizations.weight.original", "1.weight"}


def test_a_state_dict_tells_weights_by_their_names():
    state = {name: torch.ones(2, 2) for name in ("a.weight", "token", "kernel")} | {"a.bias": torch.ones(2)}
    assert scope_of(state).keys() == {"a.weight"}
    assert scope_of(state, include=("ker*", "a.bias")).keys() == {"a.weight", "kernel"}
    with pytest.raises(PermaskError, match=r"none .* has a name with weight in it, got .*token, kernel; name"):
        scope_of({name: x for name, x in state.items() if "a." not in name})
    with pytest.raises(PermaskError, match=r"no weights to prune: every one is excluded by a\.\*"):
        scope_of(state, exclude=("a.*",))


@pytest.mark.parametrize("by", SOURCES)
def test_every_source_prunes_a_transformer_in_this_scope(by):
    from permask.batches import Batch

    network = create_network("gpt", (6,), 9, stream(0, "initialisation"), layers=1, width=8, heads=2)
    tokens = torch.randint(9, (4, 6), generator=torch.Generator().manual_seed(0))
    mask = SOURCES[by](network, [Batch((tokens,), tokens.roll(1, 1))], 0.5, MaskOptions())
    assert mask.keys() == scope_of(network).keys() and mask.count == round(mask.size / 2)
    wider = SOURCES[by](network, [Batch((tokens,), tokens)], 0.5, MaskOptions(include=("tokens.*",)))
    assert wider.keys() - mask.keys() == {"tokens.weight"}
