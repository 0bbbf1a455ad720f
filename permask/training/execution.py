"""How training is executed: on which device, in which precision, compiled or not, bit for bit the same or not."""

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn

from permask.batches import label_loss
from permask.errors import PermaskError
from permask.training import settings
from permask.training.distributed import BatchNormOver, Processes
from permask.training.machine import Device, Precision, ThisMachine, decide, has_gpu, has_mps

LossFunction = Callable[[Tensor, Tensor], Tensor]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@dataclass(frozen=True)
class Execution:
    """How a network is trained.

    Attributes:
        device: Where.
        precision: Of convolutions and matrix products; weights, their updates and the loss are float32 in any case.
        compile: Whether `torch.compile` makes one program of forward pass, loss and backward pass.
        deterministic: Whether a GPU must take algorithms that give the same bits every time. A CPU does that anyway,
            with the same number of threads.
        batchnorm: In several processes: normalise by the whole batch, as one process does, or each by its share.
    """

    device: torch.device
    precision: Precision = "float32"
    compile: bool = False
    deterministic: bool = False
    batchnorm: BatchNormOver = "batch"

    @classmethod
    def of(
        cls,
        model: nn.Module,
        device: Literal["auto"] | Device = "auto",
        precision: Precision | Literal["auto"] = "auto",
        *,
        compile: bool | Literal["auto"] = "auto",
        deterministic: bool = False,
        batchnorm: BatchNormOver = "batch",
    ) -> "Execution":
        """Decide by `permask.training.machine.decide` what is left to decide.

        Args:
            model: The network.
            device: As of `find_device`.
            precision: As of `Execution`.
            compile: As of `Execution`.
            deterministic: As of `Execution`.
            batchnorm: As of `Execution`.
        """
        decided = decide(
            ThisMachine(trains_alone=Processes.here().count == 1),
            lambda: has_convolutions(model),
            device=device,
            precision=precision,
            compile=compile,
        )
        place = torch.device(decided.device)
        return cls(place, decided.precision, decided.compile, deterministic, batchnorm)

    @property
    def described(self) -> dict[str, str | bool]:
        """What was decided, as JSON values."""
        return asdict(self) | {"device": self.device.type}

    def place(self, model: nn.Module) -> nn.Module:
        """Move a network to the device, its convolutions to channels-last, in place."""
        return model.to(self.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def loss_function(self, model: nn.Module, label_smoothing: float = 0.0) -> LossFunction:
        """A batch of inputs and labels to the mean cross-entropy over its labels, in nats."""
        compute = _compiled() if self.compile else mean_loss
        dtype = torch.bfloat16 if self.precision == "bfloat16" else None
        return lambda inputs, labels: compute(model, inputs, labels, dtype, label_smoothing)

    @contextmanager
    def in_force(self, seeds: bool = False) -> Iterator[None]:
        """Let the settings of torch that are the process's own be what they say here, and what they were afterwards.

        Args:
            seeds: Whether torch's random numbers are seeded meanwhile.
        """
        on_gpu = self.device.type == "cuda"
        own = torch.random.fork_rng(devices=[self.device] if on_gpu else [], enabled=seeds)
        with own, settings.in_force(self.device, self.deterministic):
            yield

    def seed(self, number: int) -> None:
        """Begin torch's random numbers anew where the network draws them; `torch.manual_seed` takes far longer."""
        torch.default_generator.manual_seed(number)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(number)
        elif self.device.type == "mps":
            torch.mps.manual_seed(number)


CPU = Execution(torch.device("cpu"))


def find_device(wanted: str = "auto") -> torch.device:
    """The GPU if there is one and nothing else is wanted.

    Raises:
        PermaskError: What is wanted is not here.
    """
    if wanted == "auto":
        wanted = "cuda" if has_gpu() else "cpu"
    elif wanted == "cuda" and not has_gpu():
        raise PermaskError("device cuda: this machine has no GPU that torch can use; leave it to auto, or choose cpu")
    elif wanted == "mps" and not has_mps():
        raise PermaskError("device mps: this machine has no GPU of Apple's; leave it to auto, or choose cpu")
    return torch.device(wanted)


def has_convolutions(model: nn.Module) -> bool:
    """Whether a network has convolutions of images."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def mean_loss(
    model: nn.Module, inputs: Tensor, labels: Tensor, dtype: torch.dtype | None, label_smoothing: float
) -> Tensor:
    """The mean cross-entropy of a batch, with matrix products and convolutions in a precision of their own, or not.

    It is the mean over labels: logits are `[B, classes]` for labels `[B]`, or `[B, T, vocabulary]` for labels `[B, T]`.
    """
    with torch.autocast(inputs.device.type, dtype) if dtype is not None else nullcontext():
        logits = model(inputs)
    return label_loss(logits.float(), labels, label_smoothing=label_smoothing)


def keep_freed_memory() -> None:
    """Let this process keep what a step frees for the next one, where the C library is glibc.

    What goes back to the system comes again page by page, which takes a tenth of a step (`mallopt(3)`).
    """
    if platform.libc_ver()[0] == "glibc":
        glibc = ctypes.CDLL(None)
        glibc.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the largest that it takes
        glibc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@cache
def _compiled() -> Callable[..., Tensor]:
    """One program for all networks of a shape.

    It makes no CUDA graphs of its own, which would be recorded anew for the addresses of every network, and kept: those
    of `permask.training.recorded` hold the whole step, and serve one network after another.
    """
    return torch.compile(mean_loss, dynamic=False)
