"""The networks that discovery must take as they are, as one table: name to `Entry`."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from support.example import Inputs, floats, tokens
from support.zoo_language import GPT, EncoderDecoder, Llama, LoRALinear, Mixture, Recurrent, encoder_norm_first
from support.zoo_vision import MLPMixer, TiedAutoencoder, UNet, weight_normed, wide_resnet


@dataclass(frozen=True)
class Entry:
    """A network, inputs for it, and whether it takes less than about a second to check."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    small: bool


def _torchvision(name: str, size: int = 64, **options: object) -> Entry:
    def make() -> nn.Module:
        from torchvision import models  # importing it takes seconds

        return models.get_model(name, weights=None, **options).double().eval()

    return Entry(make, floats(1, 3, size, size), small=False)


def _small(make: Callable[[], nn.Module], inputs: Callable[[], Inputs]) -> Entry:
    return Entry(lambda: make().double().eval(), inputs, small=True)


def _lora() -> nn.Module:
    return nn.Sequential(LoRALinear(8, 24), nn.ReLU(), LoRALinear(24, 16), nn.ReLU(), nn.Linear(16, 3))


_SEQUENCE = tokens(2, 9, below=31)

ZOO = {
    "vgg11": _torchvision("vgg11", init_weights=False),
    "vgg11_bn": _torchvision("vgg11_bn", init_weights=False),
    "alexnet": _torchvision("alexnet"),
    "resnet18": _torchvision("resnet18"),
    "resnet50": _torchvision("resnet50"),
    "wide_resnet50_2": _torchvision("wide_resnet50_2"),
    "resnext50_32x4d": _torchvision("resnext50_32x4d"),
    "densenet121": _torchvision("densenet121"),
    "googlenet": _torchvision("googlenet", init_weights=False),
    "inception_v3": _torchvision("inception_v3", size=128, init_weights=False),
    "mobilenet_v2": _torchvision("mobilenet_v2"),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small"),
    "mobilenet_v3_large": _torchvision("mobilenet_v3_large"),
    "shufflenet_v2_x0_5": _torchvision("shufflenet_v2_x0_5"),
    "mnasnet0_5": _torchvision("mnasnet0_5"),
    "squeezenet1_1": _torchvision("squeezenet1_1"),
    "efficientnet_b0": _torchvision("efficientnet_b0"),
    "regnet_y_400mf": _torchvision("regnet_y_400mf"),
    "convnext_tiny": _torchvision("convnext_tiny"),
    "vit_b_16": _torchvision("vit_b_16", image_size=64),
    "swin_t": _torchvision("swin_t"),
    "swin_v2_t": _torchvision("swin_v2_t"),
    "maxvit_t": _torchvision("maxvit_t", size=224, input_size=(224, 224)),
    "deeplabv3_resnet50": _torchvision("deeplabv3_resnet50", weights_backbone=None),
    "fcn_resnet50": _torchvision("fcn_resnet50", weights_backbone=None),
    "transformer": _small(EncoderDecoder, lambda: (*floats(2, 5, 7)(), *floats(2, 4, 6)())),
    "encoder_norm_first": _small(encoder_norm_first, floats(2, 5, 7)),
    "gpt": _small(GPT, tokens(2, 9, below=61)),
    "llama": _small(Llama, tokens(2, 9, below=61)),
    "experts": _small(lambda: Mixture(stacked=False), floats(2, 5, 9)),
    "experts_stacked": _small(lambda: Mixture(stacked=True), floats(2, 5, 9)),
    "unet": _small(UNet, floats(2, 3, 16, 16)),
    "mlp_mixer": _small(MLPMixer, floats(2, 3, 16, 16)),
    "wide_resnet": _small(wide_resnet, floats(2, 3, 16, 16)),
    "lstm": _small(lambda: Recurrent(nn.LSTM(12, 20, num_layers=2, batch_first=True)), _SEQUENCE),
    "lstm_both_ways": _small(lambda: Recurrent(nn.LSTM(12, 20, 2, batch_first=True, bidirectional=True)), _SEQUENCE),
    "lstm_states": _small(lambda: Recurrent(nn.LSTM(12, 20, 2, batch_first=True), states=True), _SEQUENCE),
    "gru": _small(lambda: Recurrent(nn.GRU(12, 20, num_layers=2, batch_first=True)), _SEQUENCE),
    "gru_states": _small(lambda: Recurrent(nn.GRU(12, 20, batch_first=True), states=True), _SEQUENCE),
    "tied_autoencoder": _small(TiedAutoencoder, floats(2, 3, 16, 16)),
    "weight_norm": _small(weight_normed, floats(2, 3, 16, 16)),
    "lora": _small(_lora, floats(4, 8)),
}
