"""What of a machine decides how networks are trained there, and the decision; without torch where it can be told so."""

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]

# any of them there: a driver of NVIDIA's, the same in Windows' Linux, or AMD's is loaded
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
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

    The GPU if there is one. A network with convolutions computes in bfloat16 where the hardware multiplies it. It is
    compiled on a GPU, if one process trains it; on a CPU that saves two to four hundredths of a step
    (docs/benchmarks.md), and the first step takes a minute or two.

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
        precision = "bfloat16" if convolves() and machine.multiplies_bfloat16(device) else "float32"
    if compile == "auto":
        compile = device == "cuda" and machine.trains_alone and convolves()
    return Decided(device, precision, compile)


@cache
def has_gpu() -> bool:
    """Whether torch has a GPU here. It is imported to tell, but where it can have none."""
    no_driver = not any(Path(driver).exists() for driver in DRIVERS)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    if no_driver or hidden or not _is_made_for_gpus():
        return False
    import torch

    return torch.cuda.is_available()


def _is_made_for_gpus() -> bool:
    """Whether the torch that is installed is, as its own version file says; True where that says nothing."""
    specification = importlib.util.find_spec("torch")  # which imports nothing
    for folder in (specification and specification.submodule_search_locations) or ():
        try:
            text = (Path(folder) / "version.py").read_text(encoding="utf-8")
        except OSError:
            continue
        said = re.findall(r"^(?:cuda|hip)\b[^=\n]*= *(.*)$", text, re.MULTILINE)
        return not said or any(value.strip() != "None" for value in said)
    return True


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
