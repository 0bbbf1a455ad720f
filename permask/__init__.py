"""permask carries a sparse mask from one neural network to another."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from permask.version import __version__ as __version__

if TYPE_CHECKING:
    import permask.dynamic as dynamic
    from permask.connectivity.batchnorm import reset_batchnorm
    from permask.connectivity.interpolate import LinearPath, connect
    from permask.connectivity.merge import merge
    from permask.connectivity.repair import repair, repair_many
    from permask.discovery.discover import discover
    from permask.discovery.verify import verify
    from permask.ensembles import Ensemble, evaluate_ensemble
    from permask.errors import PermaskError
    from permask.mask import Mask
    from permask.masks.hold import hold_mask
    from permask.masks.rescale import rescale_fan_in
    from permask.masks.scores import magnitude_mask, random_mask_like
    from permask.masks.transport import transport
    from permask.matching.activations import match_activations
    from permask.matching.alignment import Alignment
    from permask.matching.learned import match_learned
    from permask.matching.many import match_many
    from permask.matching.weights import match_weights
    from permask.patterns.pattern import pattern_mask
    from permask.patterns.permute import permute_for_pattern
    from permask.patterns.wanda import wanda_scores
    from permask.permutation import Permutation
    from permask.publication import Publication, load_published, publish
    from permask.symmetry import Symmetry

# public name -> module; imported on first use, so that `import permask` and `permask --help` need no torch
_HOME = {
    "Alignment": "permask.matching.alignment",
    "Ensemble": "permask.ensembles",
    "LinearPath": "permask.connectivity.interpolate",
    "Mask": "permask.mask",
    "Permutation": "permask.permutation",
    "PermaskError": "permask.errors",
    "Publication": "permask.publication",
    "Symmetry": "permask.symmetry",
    "connect": "permask.connectivity.interpolate",
    "discover": "permask.discovery.discover",
    "evaluate_ensemble": "permask.ensembles",
    "hold_mask": "permask.masks.hold",
    "load_published": "permask.publication",
    "magnitude_mask": "permask.masks.scores",
    "match_activations": "permask.matching.activations",
    "match_learned": "permask.matching.learned",
    "match_many": "permask.matching.many",
    "match_weights": "permask.matching.weights",
    "merge": "permask.connectivity.merge",
    "pattern_mask": "permask.patterns.pattern",
    "permute_for_pattern": "permask.patterns.permute",
    "publish": "permask.publication",
    "random_mask_like": "permask.masks.scores",
    "repair": "permask.connectivity.repair",
    "repair_many": "permask.connectivity.repair",
    "rescale_fan_in": "permask.masks.rescale",
    "reset_batchnorm": "permask.connectivity.batchnorm",
    "transport": "permask.masks.transport",
    "verify": "permask.discovery.verify",
    "wanda_scores": "permask.patterns.wanda",
}

# old public name -> new one; the old one works for one more release
_RENAMED = {"Path": "LinearPath"}

__all__ = [
    "Alignment",
    "Ensemble",
    "LinearPath",
    "Mask",
    "PermaskError",
    "Permutation",
    "Publication",
    "Symmetry",
    "connect",
    "discover",
    "dynamic",
    "evaluate_ensemble",
    "hold_mask",
    "load_published",
    "magnitude_mask",
    "match_activations",
    "match_learned",
    "match_many",
    "match_weights",
    "merge",
    "pattern_mask",
    "permute_for_pattern",
    "publish",
    "random_mask_like",
    "repair",
    "repair_many",
    "rescale_fan_in",
    "reset_batchnorm",
    "transport",
    "verify",
    "wanda_scores",
]


if not TYPE_CHECKING:  # a type checker knows the names imported above, and no others

    def __getattr__(name: str) -> Any:
        if name in _RENAMED:
            new = _RENAMED[name]
            warnings.warn(
                f"permask.{name} is now permask.{new}; the old name goes with the next release",
                DeprecationWarning,
                stacklevel=2,
            )
            return __getattr__(new)
        if name == "dynamic":
            return import_module("permask.dynamic")
        if name not in _HOME:
            raise AttributeError(f"module 'permask' has no attribute {name!r}")
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
