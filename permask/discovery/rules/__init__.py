"""The rules, by families of ops; importing this package registers them all."""

from permask.discovery.rules import (
    attention,
    convolution,
    elementwise,
    experts,
    frequency,
    indexing,
    linear,
    norm,
    pooling,
    recurrent,
    reduction,
    segments,
    shape,
    spatial,
)
from permask.discovery.rules.registry import READ_PLACES, RULES, Op, Rule, UnsupportedError

__all__ = [
    "READ_PLACES",
    "RULES",
    "Op",
    "Rule",
    "UnsupportedError",
    "attention",
    "convolution",
    "elementwise",
    "experts",
    "frequency",
    "indexing",
    "linear",
    "norm",
    "pooling",
    "recurrent",
    "reduction",
    "segments",
    "shape",
    "spatial",
]
