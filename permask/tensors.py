"""Tensors by name: in files, and between a device and the host."""

import io
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: str | Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name as a safetensors file, whatever memory they share and in whatever order it holds them.

    Who may read it is settled by the umask; a file that safetensors itself writes is for its owner alone.
    """
    Path(path).write_bytes(save(apart(tensors), metadata))


def save_pickled(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name as `torch.save` does; a full disk is an `OSError`, not one of torch's."""
    buffer = io.BytesIO()
    torch.save(dict(tensors), buffer)
    path.write_bytes(buffer.getbuffer())


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in main memory, each contiguous and on its own, as safetensors wants them: tied weights become two."""
    return {name: x.detach().to("cpu", copy=True, memory_format=torch.contiguous_format) for name, x in tensors.items()}


def on_host(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The same tensors in the host's memory, where they may be already; the host waits for a device once per dtype."""
    if all(x.device.type == "cpu" for x in tensors.values()):
        return tensors
    return _moved(tensors, lambda packed: packed.cpu())


def packed_to(device: torch.device, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Tensors of the host on a device, in one copy per dtype, for which the host does not wait."""
    if device.type == "cpu":
        return tensors
    return _moved(tensors, lambda packed: pinned(packed).to(device, non_blocking=True))


def pinned(x: Tensor) -> Tensor:
    """A copy in memory that a GPU reads by itself."""
    return x.pin_memory()


def _moved(tensors: Mapping[str, Tensor], move: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Tensors that were moved side by side, those of a dtype together."""
    names: defaultdict[torch.dtype, list[str]] = defaultdict(list)
    for name, x in tensors.items():
        names[x.dtype].append(name)
    moved: dict[str, Tensor] = {}
    for same in names.values():
        packed = move(torch.cat([tensors[name].flatten() for name in same]))
        parts = packed.split([tensors[name].numel() for name in same])
        moved |= {name: part.view(tensors[name].shape) for name, part in zip(same, parts, strict=True)}
    return {name: moved[name] for name in tensors}
