"""The GPUs of this machine that the torch which is installed can use; without torch where there can be none."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# any of them there: a driver of NVIDIA's, the same in Windows' Linux, or AMD's is loaded
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: What `CUDA_VISIBLE_DEVICES` calls it.
        model: Its make, such as NVIDIA H200.
        memory: Bytes.
    """

    name: str
    model: str
    memory: int


@cache
def usable_gpus() -> tuple[Gpu, ...]:
    """Those that this process sees and torch has kernels for. Nothing is computed on them, and no memory taken."""
    no_driver = not any(Path(driver).exists() for driver in DRIVERS)
    visible = os.environ.get(VISIBLE)
    hidden = visible is not None and visible.strip() in ("", "-1")
    if no_driver or hidden or not _is_made_for_gpus():
        return ()
    import torch

    if not torch.cuda.is_available():
        return ()
    count = torch.cuda.device_count()
    names = visible.split(",") if visible else map(str, range(count))
    found = []
    for number, name in zip(range(count), names, strict=False):  # what follows a wrong name is not seen
        properties = torch.cuda.get_device_properties(number)
        if has_kernels((properties.major, properties.minor), torch.cuda.get_arch_list()):
            found.append(Gpu(name.strip(), properties.name, properties.total_memory))
    return tuple(found)


def has_kernels(capability: tuple[int, int], built_for: Sequence[str]) -> bool:
    """Whether a torch that was built for some architectures has kernels for a GPU.

    Code for `sm_XY` runs where the first number is the same and the second is at least as high; what is kept as
    `compute_XY` is translated for any later GPU. AMD's architectures have other names, and are not looked at.

    Args:
        capability: Of the GPU, such as (9, 0).
        built_for: As `torch.cuda.get_arch_list` names them, such as sm_90 and compute_90.
    """
    known = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", name) for name in built_for]
    if not all(known) or not known:
        return True
    for match in known:
        assert match is not None
        major, minor = int(match[2]), int(match[3])
        if major == capability[0] and minor <= capability[1]:
            return True
        if match[1] == "compute" and (major, minor) <= capability:
            return True
    return False


def _is_made_for_gpus() -> bool:
    """Whether the torch that is installed is, as its own version file says; True where that says nothing."""
    specification = find_spec("torch")  # which imports nothing
    for folder in (specification and specification.submodule_search_locations) or ():
        try:
            text = (Path(folder) / "version.py").read_text(encoding="utf-8")
        except OSError:
            continue
        said = re.findall(r"^(?:cuda|hip)\b[^=\n]*= *(.*)$", text, re.MULTILINE)
        return not said or any(value.strip() != "None" for value in said)
    return True
