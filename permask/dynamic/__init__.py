"""Sparse training that changes its mask, for any training loop: SET, RigL and gradual magnitude pruning."""

from permask.dynamic.gradual import GradualMagnitude
from permask.dynamic.rigl import RigL
from permask.dynamic.set import SET
from permask.dynamic.updates import MaskUpdates

__all__ = ["SET", "GradualMagnitude", "RigL"]

# by the name that studies give them
UPDATES: dict[str, type[MaskUpdates]] = {"set": SET, "rigl": RigL, "gmp": GradualMagnitude}
