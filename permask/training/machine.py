"""What of a machine decides how networks are trained there, and the decision; without torch where it can be told so."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from permask.training.gpus import usable_gpus

Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["float32", "bfloat16"]

BFLOAT16_FLAGS = {"amx_tile", "avx512_bf16"}  # Linux's names of what CPUs multiply bfloat16 with


class Machine(Protocol):
    """What `decide` asks."""

    @property
    def device(self) -> Device:
        """The GPU if there is one."""
        ...

    @property
    def trains_alone(self) -> bool:
        """Whether one process trains a network, not several."""
        ...

    def multiplies_bfloat16(self, device: Device) -> bool:
        """Whether the hardware does."""
        ...


@dataclass(frozen=True)
class ThisMachine:
    """The machine that this process runs on, looked at when it is asked for.

    Attributes:
        trains_alone: Whether one process trains a network, not several.
    """

    trains_alone: bool = True

    @property
    def device(self) -> Device:
        """The GPU if there is one."""
        return "cuda" if has_gpu() else "cpu"

    def multiplies_bfloat16(self, device: Device) -> bool:
        """Whether the hardware does: a GPU, a CPU with AMX or AVX-512 BF16."""
        return _cpu_multiplies_bfloat16() if device == "cpu" else _gpu_multiplies_bfloat16()


@dataclass(frozen=True)
class Decided:
    """How a network is trained.

    Attributes:
        device: Where.
        precision: Of convolutions and matrix products.
        compile: Whether by one compiled program.
    """

    device: Device
    precision: Precision
    compile: bool


def decide(
    machine: Machine,
    convolves: Callable[[], bool],
    *,
    device: Device | Literal["auto"] = "auto",
    precision: Precision | Literal["auto"] = "auto",
    compile: bool | Literal["auto"] = "auto",
) -> Decided:
    """Decide what is left to decide by what pays on a machine for a network.

    The GPU if there is one; Apple's (mps) only where it is asked for. A network with convolutions computes in bfloat16
    where the hardware multiplies it, on Apple's GPUs in float32. It is compiled on a GPU, if one process trains it; on
    a CPU that saves two to four hundredths of a step (docs/benchmarks.md), and the first step takes a minute or two.

    Args:
        machine: Where the network is trained.
        convolves: Whether the network has convolutions of images; asked where it matters.
        device: `auto`, or as of `Decided`, as are the others.
        precision: Likewise.
        compile: Likewise.
    """
    if device == "auto":
        device = machine.device
    if precision == "auto":
        multiplies = device != "mps" and convolves() and machine.multiplies_bfloat16(device)
        precision = "bfloat16" if multiplies else "float32"
    if compile == "auto":
        compile = device == "cuda" and machine.trains_alone and convolves()
    return Decided(device, precision, compile)


def has_gpu() -> bool:
    """Whether torch can use a GPU here. It is imported to tell, but where there can be none."""
    return bool(usable_gpus())


def has_mps() -> bool:
    """Whether torch has a GPU of Apple's here."""
    if sys.platform != "darwin":
        return False
    import torch

    return torch.backends.mps.is_available()


@cache
def _cpu_multiplies_bfloat16() -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return bool(flags and BFLOAT16_FLAGS & set(flags[1].split()))


@cache
def _gpu_multiplies_bfloat16() -> bool:
    if not has_gpu():
        return False
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)


@dataclass(frozen=True)
class KnownMachine:
    """Another machine, as far as it is known.

    Attributes:
        device: The GPU if it has one.
        bfloat16: Device to whether the hardware multiplies bfloat16, where that is known.
        trains_alone: Whether one process trains a network there, not several.
    """

    device: Device
    bfloat16: Mapping[str, bool]
    trains_alone: bool = True

    def multiplies_bfloat16(self, device: Device) -> bool:
        """Whether the hardware does.

        Raises:
            KeyError: It is not known.
        """
        return self.bfloat16[device]

    @classmethod
    def of(cls, machine: Machine) -> "KnownMachine":
        """What another process can be told of a machine."""
        if isinstance(machine, KnownMachine):
            return machine
        devices: tuple[Device, ...] = ("cpu", "cuda") if machine.device == "cuda" else ("cpu",)
        bfloat16 = {device: machine.multiplies_bfloat16(device) for device in devices}
        return cls(machine.device, bfloat16, machine.trains_alone)
