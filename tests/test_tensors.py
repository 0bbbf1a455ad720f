"""Tensors of any memory layout, written as safetensors."""

import torch
from safetensors.torch import load_file
from torch import nn

from permask.tensors import save_tensors


def test_tensors_are_saved_whatever_memory_they_share_or_how_they_lie_in_it(tmp_path):
    tied = nn.Parameter(torch.randn(4, 6))
    tensors = {
        "tied": tied,
        "again": tied,
        "part": tied[1:3],
        "transposed": tied.t(),
        "expanded": torch.ones(3).expand(2, 3),
        "channels_last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "scalar": torch.tensor(3),
    }
    save_tensors(tensors, tmp_path / "x.safetensors")
    loaded = load_file(tmp_path / "x.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], x) and loaded[name].dtype == x.dtype for name, x in tensors.items())
