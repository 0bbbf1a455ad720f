"""What all rows of the hostile table start from."""

from pathlib import Path

import pytest

NETWORK = """
import torch
from torch import nn

def mlp(width=8, bias=True):
    return nn.Sequential(nn.Linear(6, width, bias=bias), nn.ReLU(), nn.Linear(width, 3))
"""


@pytest.fixture(scope="session")
def with_network(tmp_path_factory) -> Path:
    """A folder with the code of a network, two checkpoints and data."""
    import torch
    from safetensors.torch import save_file
    from torch import nn

    made = tmp_path_factory.mktemp("hostile") / "network"
    made.mkdir()
    (made / "net.py").write_text(NETWORK)
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        save_file(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).state_dict(), made / f"{name}.safetensors")
    save_file({"inputs": torch.randn(16, 6), "labels": torch.arange(16) % 3}, made / "data.safetensors")
    return made
