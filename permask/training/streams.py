"""One random stream per purpose, so that no draw in one place shifts the draws in another."""

import hashlib
from typing import Literal

import torch

Purpose = Literal["initialisation", "order", "augmentation", "noise", "split"]


def stream(seed: int, purpose: Purpose, step: str = "") -> torch.Generator:
    """A CPU generator that depends on all three arguments and on nothing else.

    Args:
        seed: The seed that a study assigns to a network or to a pair of them.
        purpose: What the draws are for.
        step: Tells apart the uses of one purpose under one seed, for instance the epoch.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
