"""The rules, by families of ops; importing this package registers them all."""

from permask.discovery.rules import convolution, elementwise, linear, norm, shape
from permask.discovery.rules.registry import RULES, Step, UnsupportedError

__all__ = ["RULES", "Step", "UnsupportedError", "convolution", "elementwise", "linear", "norm", "shape"]
