"""Networks of transformers, diffusers, timm and PEFT as they come, with inputs as their users have them."""

import pytest
import torch
from support.hugging_face import MODELS
from support.libraries import LISTED

import permask

pytest.importorskip("transformers")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

RECOVERED = (
    *("BertForMaskedLM", "DistilBertForMaskedLM", "FNetForMaskedLM", "ModernBertForMaskedLM", "GPT2LMHeadModel"),
    *("LlamaForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM", "BloomForCausalLM", "OPTForCausalLM"),
    *("T5ForConditionalGeneration", "BartForConditionalGeneration", "CLIPModel", "ViTForImageClassification"),
    *("SwinForImageClassification", "ConvNextForImageClassification", "ResNetForImageClassification"),
    *("Wav2Vec2ForCTC", "MambaForCausalLM", "MixtralForCausalLM"),
)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_discovered_as_its_users_hold_it(name):
    model = MODELS[name]
    assert change(model.make(), model.inputs(), model.outputs) <= 1e-9


# its blocks multiply units, which amplifies rounding
AMPLIFYING = ("starnet_s1",)


@pytest.mark.parametrize("name", LISTED)
def test_a_network_of_another_library_is_discovered_as_its_users_hold_it(name):
    listed = LISTED[name]
    pytest.importorskip(listed.library)
    network = listed.make()
    assert change(network, listed.example(network)) <= (1e-6 if name in AMPLIFYING else 1e-9)


def change(network, inputs, outputs=None):
    """What a symmetry changes, in a network of which every op has a rule."""
    symmetry = permask.discover(network, inputs, outputs=outputs)
    assert symmetry.groups
    assert symmetry.report["failed"] == []
    assert not [pin for pin in symmetry.pinned if pin.kind == "unsupported op"]
    return permask.verify(symmetry, network, inputs, draws=1)


@pytest.mark.parametrize("by", ["weights", "activations"])
@pytest.mark.parametrize("name", RECOVERED)
def test_a_planted_permutation_is_recovered_exactly(name, by):
    model = MODELS[name]
    source = model.make()
    symmetry = permask.discover(source, model.inputs(), outputs=model.outputs)
    target = symmetry.random(7).apply(source)
    if by == "weights":
        found = permask.match_weights(symmetry, source, target)
    else:
        found = permask.match_activations(symmetry, source, target, [model.inputs(16, seed) for seed in range(2)])
    state = found.permutation.apply(source).state_dict()
    for key, expected in target.state_dict().items():
        torch.testing.assert_close(state[key], expected, rtol=0, atol=0, msg=lambda text, key=key: f"{key}: {text}")
