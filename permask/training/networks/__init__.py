"""The networks of the studies: a name, the shape of an input and the number of classes give a network."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from permask.training.networks.cnn import CNN
from permask.training.networks.gpt import GPT
from permask.training.networks.imported import import_network
from permask.training.networks.mlp import MLP
from permask.training.networks.resnet import ResNet8, ResNet20
from permask.training.networks.resnet50 import ResNet50
from permask.training.networks.vgg import VGG11
from permask.training.networks.vit import ViT

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "cnn": CNN,
    "gpt": GPT,
    "mlp": MLP,
    "resnet8": ResNet8,
    "resnet20": ResNet20,
    "resnet50": ResNet50,
    "vgg11": VGG11,
    "vit": ViT,
}
IMPORTED = "imported"
# where no BatchNorm keeps activations in bounds, convolutions that widen begin smaller; drawn by fan-in, VGG11 diverges
# within five steps at the paper's learning rate
FAN_OUT = ("vgg11",)
TRANSFORMERS = ("gpt", "vit")  # whose linear layers are drawn as Glorot & Bengio 2010 (normal) do
EMBEDDING = 0.02  # standard deviation
HE, TORCH = "he", "torch"  # ways to draw the first weights


def outline_network(
    name: str, input_shape: tuple[int, ...], classes: int, *, initialisation: str = HE, **arguments: Any
) -> nn.Module:
    """A network that waits for `load_state_dict(..., assign=True)`; only an imported one has values of its own.

    Args:
        name: One of `NETWORKS`, or `imported`.
        input_shape: Of one input, such as `[C, H, W]`.
        classes: Number of classes, or of tokens.
        initialisation: As of `create_network`; without values it makes no difference.
        arguments: Of the network, such as its width; of an imported one `factory`, `arguments` and `folder`.
    """
    if name == IMPORTED:
        return import_network(**arguments)
    with torch.device("meta"):
        return NETWORKS[name](input_shape, classes, **arguments)


def create_network(
    name: str,
    input_shape: tuple[int, ...],
    classes: int,
    generator: torch.Generator,
    *,
    initialisation: str = HE,
    **arguments: Any,
) -> nn.Module:
    """Build a network and initialise it from one stream: He et al. 2015 (normal) weights, zero biases.

    Their variance is 2 / fan-in; of VGG11's convolutions 2 / fan-out, which keeps that of gradients. The linear
    layers of transformers have that of Glorot & Bengio 2010, 2 / (fan-in + fan-out), and embeddings 0.02².

    An imported network initialises itself, with torch's random numbers seeded from the stream. So do others where
    `initialisation` is `torch`: VGG11 as torch does it, uniform within ±1 / √fan-in, and ResNet50 as torchvision does.

    Args:
        name: One of `NETWORKS`, or `imported`.
        input_shape: `[C, H, W]`.
        classes: Number of classes.
        generator: The `initialisation` stream.
        initialisation: `he`, as above, or `torch`.
        arguments: Of the network, such as its width.
    """
    if name == IMPORTED or initialisation == TORCH:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
            if name == IMPORTED:
                return outline_network(name, input_shape, classes, **arguments)
            return NETWORKS[name](input_shape, classes, **arguments)
    network = outline_network(name, input_shape, classes, **arguments).to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING, generator=generator)
        elif name in TRANSFORMERS and isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            mode = "fan_out" if name in FAN_OUT and isinstance(module, nn.Conv2d) else "fan_in"
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            module.reset_parameters()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return network
