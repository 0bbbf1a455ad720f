"""Whether a study's network takes its inputs and tells their classes apart, seen before anything is trained."""

import torch
from torch import Tensor, nn

from permask.errors import NetworkError, PermaskError
from permask.masks.scope import scope_of
from permask.study.data import data_options
from permask.study.load import Prepared
from permask.study.network import Imported, network_arguments
from permask.study.spec import Study
from permask.training.data.dataset import Split
from permask.training.data.load import load_data
from permask.training.imported import summary
from permask.training.networks import outline_network


@torch.no_grad()
def check_fit(prepared: Prepared) -> None:
    """Give two test inputs to a study's network, and see a number per class come out for each label; look for weights.

    Args:
        prepared: The study; its data are there.

    Raises:
        NetworkError: The network fails, or gives something else.
            It is also raised where a last batch of one input is too small for its BatchNorm.
        PermaskError: It has no weights to prune.
    """
    data = load_data(**data_options(prepared.data_in_keys, prepared.data_root, prepared.folder))
    arguments = network_arguments(prepared.study.network, prepared.folder)
    of_tokens = data.test.labels.ndim > 1
    what = "tokens" if of_tokens else "images" if len(data.input_shape) == 3 else "inputs"
    inputs, labels = data.test.batch(range(2))
    expected = (*labels.shape, data.classes)
    try:
        network = outline_network(**arguments, input_shape=data.input_shape, classes=data.classes)
        found = network.eval()(inputs.to(_device(network)))
    except PermaskError:
        raise
    except Exception as error:
        shape = "×".join(map(str, data.input_shape))
        of_numbers = f"{shape} tokens" if of_tokens else f"{what} of {shape} numbers"
        raise NetworkError(f"network: it fails on {of_numbers}: {summary(error)}") from error
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if shape != expected:
        remedy = f"the data have {data.classes} classes: tell the network so, in network.arguments"
        if not isinstance(prepared.study.network, Imported):
            remedy = "the network for tokens is gpt"
        raise NetworkError(
            f"network: expected a number per class for each of {labels.numel()} {what}, {expected}, got {shape}; "
            f"{remedy}"
        )
    scope_of(network, prepared.study.prune.exclude, prepared.study.prune.include)
    _check_last_batch(network, prepared.study, data.train)


def _check_last_batch(network: nn.Module, study: Study, train: Split) -> None:
    """Give a last batch of one input, if training has one, to a network in training: BatchNorm may refuse it."""
    sections = [name for name in ("dense", "prune", "sparse") if not getattr(study, name).drop_last]
    if len(train) % study.batch_size != 1 or not sections:
        return
    try:
        network.train()(train.batch(range(1))[0].to(_device(network)))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        changes = " ".join(f"{name}.drop_last=true" for name in sections)
        raise NetworkError(
            f"network: the last of the batches of {study.batch_size} has one input alone, of which BatchNorm cannot "
            f"take a variance; leave that batch out with drop_last ({changes}), or choose another batch_size"
        ) from error


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
