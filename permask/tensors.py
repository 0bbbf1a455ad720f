"""Tensors by name, in files."""

import io
from collections.abc import Mapping
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
