"""One training in several processes: every batch is shared out, and the gradient is what one process would have.

Each process takes its share of the rows of every batch, and its loss is weighted by them when torch's
DistributedDataParallel averages the gradients: shares may differ by an image, and none is trained on or evaluated
twice. Weights, momentum and masks are the same in all processes, step by step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from permask.errors import PermaskError
from permask.training.data.shares import Share

BatchNormOver = Literal["batch", "share"]
MEET = 16  # steps after which processes add up what they measure, so that it may be saved


@dataclass(frozen=True)
class Processes:
    """The processes that train one network together.

    Attributes:
        rank: Number of this one, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> "Processes":
        """Those that torch.distributed was set up for in this process; without that, this one alone."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def share(self) -> Share:
        """This process's part of a batch."""
        return self.rank, self.count

    def check(self, images: int, batch_size: int) -> None:
        """Raise a `PermaskError` if a batch of an epoch has fewer images than there are processes."""
        smallest = min(images, images % batch_size or batch_size)
        if smallest < self.count:
            raise PermaskError(
                f"{images} images in batches of {batch_size}: the smallest batch has {smallest} for {self.count} "
                "processes; choose another batch_size, or fewer processes"
            )

    def weighted(self, mean_loss: Tensor, images: int, batch: int) -> Tensor:
        """The mean loss of a share, so weighted that the mean over processes is the mean over the batch.

        Args:
            mean_loss: Over this process's images.
            images: How many these are.
            batch: How many all processes have.
        """
        return mean_loss if self.count == 1 else mean_loss * (images * self.count / batch)

    def sum(self, value: Tensor) -> Tensor:
        """Add up a tensor over the processes, in place."""
        if self.count > 1:
            dist.all_reduce(value)
        return value

    def meet_after(self, step: int) -> bool:
        """Whether to add up after so many steps of an epoch what each process has summed; one process always may."""
        return self.count == 1 or step % MEET == 0

    def agree(self, model: nn.Module) -> None:
        """Give every process the buffers, such as running statistics, of the first."""
        if self.count > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over the processes; the tensor stays as it is."""
        return value if self.count == 1 else self.sum(value.clone())

    @contextmanager
    def training(self, model: nn.Module, batchnorm: BatchNormOver) -> Iterator[nn.Module]:
        """The network with a backward pass that averages the gradients.

        Args:
            model: The network, trained in place.
            batchnorm: Whether BatchNorm normalises by the statistics of the whole batch, as one process does, or each
                process by those of its share.
        """
        if self.count == 1:
            yield model
            return
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and batchnorm == "batch"]
        kinds = [type(norm) for norm in norms]
        on_gpu = any(parameter.is_cuda for parameter in model.parameters())
        for norm in norms:
            norm.__class__ = nn.SyncBatchNorm if on_gpu else WholeBatchNorm
            vars(norm)["process_group"] = None  # all processes, as SyncBatchNorm reads it
        try:
            yield DistributedDataParallel(model, broadcast_buffers=False)
        finally:
            for norm, kind in zip(norms, kinds, strict=True):
                norm.__class__ = kind
                del norm.process_group


class WholeBatchNorm(_BatchNorm):
    """BatchNorm by mean and variance over all processes' shares; torch's SyncBatchNorm does not compute on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, ...]` to the same."""
        if not self.training:
            return super().forward(input)
        dims, column = [0, *range(2, input.dim())], [-1, *[1] * (input.dim() - 2)]
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        own = x.new_full((1,), x.numel() // x.shape[1])
        total = _sum(torch.cat([x.sum(dims), own]))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = x - mean.view(column)
        variance = _sum(centred.square().sum(dims)) / count
        self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        normal = centred * scale.view(column)
        return (normal if self.bias is None else normal + self.bias.view(column)).to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions will do."""

    def _follow(self, mean: Tensor, unbiased: Tensor) -> None:
        """Update the running statistics, as BatchNorm does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        factor = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), factor)


class _Sum(torch.autograd.Function):
    """The sum over processes; every process's gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def _sum(x: Tensor) -> Tensor:
    return _Sum.apply(x)  # pyright: ignore[reportReturnType]
