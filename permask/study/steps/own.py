"""The user's own functions inside a step: called by the names of their arguments, and what they return is checked."""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from permask.errors import PermaskError
from permask.mask import Mask
from permask.masks.scores import kept_count
from permask.matching.alignment import Alignment, GroupMatch
from permask.permutation import Permutation
from permask.study.steps.run import Run
from permask.symmetry import Symmetry
from permask.training.imported import call, defined_at, load_callable
from permask.training.source import source_of


def own_mask(run: Run, arguments: Mapping[str, Any]) -> Mask:
    """The mask that the function returns that the step names; `check_mask` has still to see it.

    Raises:
        PermaskError: Code that is not what was planned, a function that fails, anything else than a mask.
    """
    made, who = _called(run, arguments)
    if not isinstance(made, Mask):
        raise PermaskError(f"{who} returned a {type(made).__name__}, expected a permask.Mask")
    return made


def own_alignment(run: Run, symmetry: Symmetry, arguments: Mapping[str, Any]) -> Alignment:
    """The alignment that the function returns that the step names, as one of the network's symmetry.

    Raises:
        PermaskError: As of `own_mask`; an alignment of another symmetry, a permutation that is not in it, an objective
            that is no number.
    """
    made, who = _called(run, {**arguments, "symmetry": symmetry})
    if not isinstance(made, Alignment):
        raise PermaskError(f"{who} returned a {type(made).__name__}, expected a permask Alignment")
    if made.symmetry.hash != symmetry.hash:
        raise PermaskError(f"{who} returned an alignment of another symmetry than the one that it was given")
    try:
        permutation = Permutation(symmetry.groups, made.permutation.index)
        objective, groups = float(made.objective), tuple(made.groups)
    except (PermaskError, AttributeError, TypeError, ValueError) as error:
        raise PermaskError(f"{who} returned an alignment that is no element of the symmetry: {error}") from error
    if not isfinite(objective) or not all(isinstance(group, GroupMatch) for group in groups):
        raise PermaskError(
            f"{who} returned an alignment with the objective {objective}, expected a finite number, and groups that "
            "are GroupMatch"
        )
    return replace(made, symmetry=symmetry, permutation=permutation, objective=objective, groups=groups)


def check_mask(mask: Mask, scope: Mapping[str, Tensor], sparsity: float, who: str) -> Mask:
    """See that a mask prunes what the study prunes, at the exact count; as tensors of its own, in the network's order.

    Args:
        mask: The mask.
        scope: The weights that the study prunes, by name.
        sparsity: That was asked for.
        who: Made it.

    Raises:
        PermaskError: It does not: nothing is rounded.
    """
    missing, others = ([name for name in one if name not in other] for one, other in ((scope, mask), (mask, scope)))
    if missing or others:
        wrong = f"it lacks {', '.join(missing)}" if missing else f"it also has {', '.join(others)}"
        raise PermaskError(
            f"mask by {who}: expected the weights that the study prunes, {', '.join(scope)}; {wrong}; "
            "prune.exclude and prune.include say which"
        )
    for name, weight in scope.items():
        if mask[name].shape != weight.shape:
            raise PermaskError(
                f"mask by {who}: expected shape {list(weight.shape)} of {name}, got {list(mask[name].shape)}"
            )
    if mask.count != (wanted := kept_count(mask.size, sparsity)):
        raise PermaskError(f"mask by {who}: expected {wanted} of {mask.size} weights to be kept, got {mask.count}")
    return Mask({name: mask[name].detach().cpu().clone() for name in scope})


def who_made(run: Run) -> str:
    """The function that a step names, and where it begins."""
    by = run.specification["by"]
    return f"{by}{defined_at(load_callable(by, run.study_folder))}"


def _called(run: Run, arguments: Mapping[str, Any]) -> tuple[Any, str]:
    """What the function returns, with torch's random numbers seeded, and how to speak of it."""
    by, seed = run.specification["by"], run.specification["seed"]
    if source_of(by, run.study_folder) != run.specification["source"]:
        raise PermaskError(f"{by}: its code has changed since this run began; run again")
    run.progress(0, 1, by)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = call(by, {**arguments, "seed": seed}, PermaskError, run.study_folder)
    return made, who_made(run)
