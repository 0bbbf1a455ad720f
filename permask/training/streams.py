"""One random stream per purpose, so that no draw in one place shifts the draws in another."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import torch

Purpose = Literal["initialisation", "order", "augmentation", "noise", "split", "mask"]


def stream(seed: int, purpose: Purpose, use: str = "") -> torch.Generator:
    """A CPU generator that depends on all three arguments and on nothing else.

    Args:
        seed: The seed that a study assigns to a network or to a pair of them.
        purpose: What the draws are for.
        use: Tells apart the uses of one purpose under one seed, for instance the epoch.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{use}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@dataclass(frozen=True)
class Streams:
    """The random streams of a training: new ones for every epoch, so that it may stop and resume between any two.

    Attributes:
        seed: The seed that a study assigns.
        training: Tells this training from others of the same seed.
        augments: Whether images are augmented; otherwise they are trained on as they are.
        seeds_network: Whether what the network itself draws, for dropout and the like, depends on the streams;
            otherwise torch's own random numbers are left as they are.
    """

    seed: int
    training: str = ""
    augments: bool = True
    seeds_network: bool = True

    def order(self, epoch: int) -> torch.Generator:
        """What orders the images of an epoch; epochs count from 0."""
        return stream(self.seed, "order", self._use(epoch))

    def augmentation(self, epoch: int) -> torch.Generator | None:
        """What augments the images of an epoch."""
        return stream(self.seed, "augmentation", self._use(epoch)) if self.augments else None

    def noise(self, epoch: int) -> int | None:
        """The seed of what the network draws in the first step of an epoch; the steps after it count up from there."""
        return stream(self.seed, "noise", self._use(epoch)).initial_seed() if self.seeds_network else None

    @property
    def mask(self) -> int:
        """The seed of what is drawn for changes of the mask, below 2³¹."""
        return stream(self.seed, "mask", self.training).initial_seed() >> 32

    def _use(self, epoch: int) -> str:
        return f"{self.training} epoch {epoch}".lstrip()
