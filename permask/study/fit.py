"""Whether a study's network takes its images and tells their classes apart, seen before anything is trained."""

import torch
from torch import Tensor, nn

from permask.errors import NetworkError
from permask.study.load import Prepared
from permask.training.data.load import load_data
from permask.training.networks import outline_network
from permask.training.networks.imported import summary


@torch.no_grad()
def check_fit(prepared: Prepared) -> None:
    """Give two test images to a study's network, and see a number per class come out for each.

    Args:
        prepared: The study; its data are there.

    Raises:
        NetworkError: The network fails, or gives something else.
    """
    study = prepared.study
    data = load_data(**{**study.data.model_dump(), **prepared.data_in_keys})
    network = outline_network(**study.network.model_dump(), image_shape=data.image_shape, classes=data.classes).eval()
    images, _ = data.test.batch(range(2))
    expected = (len(images), data.classes)
    try:
        found = network(images.to(_device(network)))
    except Exception as error:
        shape = "×".join(map(str, data.image_shape))
        raise NetworkError(f"network: it fails on images of {shape} numbers: {summary(error)}") from error
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if shape != expected:
        raise NetworkError(
            f"network: expected a number per class for each of {len(images)} images, {expected}, got {shape}; the data "
            f"have {data.classes} classes: tell the network so, in network.arguments"
        )


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
