"""BatchNorm statistics of a network whose weights were averaged, pruned or permuted."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from permask.errors import PermaskError
from permask.inputs import Example, Inputs, in_mode
from permask.wrapped import observable


class Pooled:
    """Mean and variance per channel, pooled exactly over parts of different sizes (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Float[Tensor, "channels"] = torch.zeros(())
        self._squares: Float[Tensor, "channels"] = torch.zeros(())

    def add(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Add a part of `count` values per channel, by its mean and its biased variance."""
        mean, squares = mean.double(), variance.double() * count
        if self.count == 0:
            self.count, self.mean, self._squares = count, mean, squares
            return
        total, difference = self.count + count, mean - self.mean
        self._squares = self._squares + squares + difference.square() * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count = total

    def add_values(self, x: Tensor, dim: int) -> None:
        """Add all values of a tensor whose channels lie along a dim."""
        others = [d for d in range(x.ndim) if d != dim % x.ndim]
        x = x.float()
        if x.device.type == "cpu":  # where `torch.var_mean` takes as long as a network
            mean = x.mean(others, keepdim=True)
            variance, mean = (x - mean).square_().mean(others), mean.flatten()
        else:
            variance, mean = torch.var_mean(x, others, correction=0)
        self.add(mean, variance, x.numel() // x.shape[dim])

    @property
    def variance(self) -> Float[Tensor, "channels"]:
        """Biased variance."""
        return self._squares / self.count

    @property
    def unbiased_variance(self) -> Float[Tensor, "channels"]:
        """Unbiased variance, which BatchNorm keeps as its running statistic."""
        return self._squares / max(1, self.count - 1)


@torch.no_grad()
def reset_batchnorm(model: nn.Module, batches: Iterable[Example]) -> nn.Module:
    """Recompute the running statistics of every BatchNorm from data, in place, in one pass.

    During the pass, BatchNorm normalises by the statistics of each batch, and all other layers are in evaluation mode.
    The new statistics are the mean and variance over all batches together. Every sample has the same weight, whatever
    the sizes of the batches. Training modes and momenta do not change. A network without BatchNorm is not changed and
    does not run.

    Args:
        model: The network, which may be wrapped.
        batches: Batches of inputs, each in any form that `discover` takes. You can pass a DataLoader.

    Returns:
        The same network.

    Raises:
        NetworkError: If modules of the network cannot be observed, as in a scripted network.
        PermaskError: If there are no batches, or a batch has a single value per channel.
    """
    network = observable(model)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        return model
    pooled: dict[nn.Module, Pooled] = {norm: Pooled() for norm in norms}

    def observe(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        pooled[norm].add_values(inputs[0], dim=1)

    with by_batch_statistics(network, norms):
        hooks = [norm.register_forward_pre_hook(observe) for norm in norms]
        try:
            run(network, batches)
        finally:
            for hook in hooks:
                hook.remove()
    for norm in norms:
        if pooled[norm].count:
            set_statistics(norm, pooled[norm])
    return model


def set_statistics(norm: _BatchNorm, seen: Pooled) -> None:
    """Make pooled statistics the running ones of a BatchNorm that keeps any."""
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.copy_(seen.mean)
        norm.running_var.copy_(seen.unbiased_variance)


@contextmanager
def by_batch_statistics(model: nn.Module, norms: Iterable[_BatchNorm]) -> Iterator[None]:
    """Evaluation mode but for some BatchNorm layers, which normalise by each batch and record nothing.

    A network that runs meanwhile raises a `PermaskError` where a batch has a single value per channel.
    """
    norms = list(norms)
    recorded = [(norm.running_mean, norm.running_var, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # without running statistics a BatchNorm uses those of the batch
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    checks = [norm.register_forward_pre_hook(_check_variance) for norm in norms]
    try:
        with in_mode(model, training=False):
            yield
    finally:
        for check in checks:
            check.remove()
        for norm, statistics in zip(norms, recorded, strict=True):
            norm.running_mean, norm.running_var, norm.num_batches_tracked = statistics


def _check_variance(_norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if inputs[0].numel() == inputs[0].shape[1]:
        raise PermaskError("a batch has one value per channel, which has no variance: expected larger batches")


def run(model: nn.Module, batches: Iterable[Example]) -> None:
    """Run a network over batches for what its hooks see.

    Raises:
        PermaskError: No batches.
        NetworkError: The network fails on one of them.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    seen = False
    for batch in batches:
        seen = True
        Inputs.of(model, batch).to(device).answer(model)
    if not seen:
        raise PermaskError("there is no data: expected at least one batch of inputs, got none")
