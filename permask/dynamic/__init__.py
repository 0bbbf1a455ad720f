"""Sparse training that changes its mask, for any training loop: SET, RigL and gradual magnitude pruning."""

from permask.dynamic.gradual import GradualMagnitude
from permask.dynamic.rigl import RigL
from permask.dynamic.set import SET

__all__ = ["SET", "GradualMagnitude", "RigL"]
