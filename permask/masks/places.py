"""Where masked parameters stand, so that other optimizers than the one that a mask is held in keep them pruned, too.

What is held is a place in a module, whatever parameter is there: `load_state_dict(assign=True)` puts another one there.
A hook of all optimizers looks, at every step, whether the optimizer trains what stands at such a place. In a deep copy
of a module the places are known as well, but not whether they are meant to be held: to train them is an error.
"""

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.weak import WeakIdKeyDictionary

from permask.errors import PermaskError
from permask.mask import parameters_by_name
from permask.masks.steps import Steps
from permask.wrapped import HELD, unwrap

Spot = tuple[nn.Module, str]  # a module, and the name of its parameter


@dataclass(frozen=True, eq=False)
class Place:
    """How the parameter is held that stands at a place.

    Attributes:
        name: What the mask calls it.
        kept: Which entries are kept.
        hold: Stands for the hold, for as long as it is not removed.
        optimizer: Whose steps the hold itself watches, if it is one that trains the parameter.
        copied: Whether it is in a deep copy of the module that is held.
    """

    name: str
    kept: Tensor
    hold: object
    optimizer: weakref.ref[Optimizer] | None = None
    copied: bool = False

    @property
    def is_watched(self) -> bool:
        """Whether a hold sees to it in the steps of an optimizer that there still is."""
        return self.optimizer is not None and self.optimizer() is not None

    def is_watched_in(self, optimizer: Optimizer) -> bool:
        """Whether the hold itself sees to it in the steps of this optimizer."""
        return self.optimizer is not None and self.optimizer() is optimizer


# module to places by the name of the parameter in it
_PLACES: WeakIdKeyDictionary = WeakIdKeyDictionary()
_STEPS: WeakIdKeyDictionary = WeakIdKeyDictionary()  # of optimizers that no hold watches


def spots_of(model: nn.Module) -> dict[str, Spot]:
    """Where each parameter of a network, wrapped or not, stands; by the names that `parameters_by_name` has."""
    spots: dict[int, Spot] = {}
    for module in unwrap(model).modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            spots.setdefault(id(parameter), (module, attribute))
    return {name: spots[id(parameter)] for name, parameter in parameters_by_name(model).items()}


def standing(spot: Spot) -> nn.Parameter | None:
    """The parameter at a spot; None if there is no longer one, as where a parametrization has moved it."""
    parameter = getattr(*spot, None)
    return parameter if isinstance(parameter, nn.Parameter) else None


def place_at(spot: Spot) -> Place | None:
    """How a spot is held; None if it is not."""
    return (_PLACES.get(spot[0]) or {}).get(spot[1])


def hold_at(spot: Spot, place: Place) -> None:
    """Have a spot held."""
    module, attribute = spot
    _PLACES[module] = {**(_PLACES.get(module) or {}), attribute: place}
    vars(module)[HELD] = _Mark(module)


def let_go(hold: object) -> None:
    """Let go of all places of a hold, and forget those in copies."""
    for module, places in list(_PLACES.items()):
        left = {attribute: place for attribute, place in places.items() if place.hold is not hold}
        if left:
            _PLACES[module] = left
        else:
            del _PLACES[module]
            vars(module).pop(HELD, None)


class _Mark:
    """Lies in a module with held places, and tells of deep copies of it; in its pickle, it is an empty dict."""

    def __init__(self, module: nn.Module):
        self._module = weakref.ref(module)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Mark | None":
        module = self._module()
        if (copied := memo.get(id(module))) is None:
            return None
        places: Mapping[str, Place] = _PLACES.get(module) or {}
        _PLACES[copied] = {
            attribute: replace(place, optimizer=None, copied=True) for attribute, place in places.items()
        }
        return _Mark(copied)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
        return dict, ()


def _trained(optimizer: Optimizer) -> Iterator[tuple[nn.Parameter, Place]]:
    """The held parameters of an optimizer that no hold watches in its steps."""
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for module, places in list(_PLACES.items()):
        for attribute, place in places.items():
            parameter = standing((module, attribute))
            if parameter is not None and id(parameter) in stepped and not place.is_watched_in(optimizer):
                yield parameter, place


def _before_any_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not len(_PLACES):
        return None
    found = list(_trained(optimizer))
    for parameter, place in found:
        if place.copied:
            raise PermaskError(
                f"{place.name} is in a copy of a network that a mask is held in, and the mask is not held in the copy: "
                "call permask.hold_mask(copy, mask, optimizer) before you train it (and its handle.remove() to train "
                "it densely)"
            )
        if parameter.shape != place.kept.shape:
            raise PermaskError(
                f"{place.name}: a mask of shape {list(place.kept.shape)} is held, and the parameter was replaced by "
                f"one of shape {list(parameter.shape)}: call handle.remove(), then permask.hold_mask with a mask that "
                "fits"
            )
    if not found:
        _STEPS.pop(optimizer, None)
        return None
    kept = {parameter: place.kept for parameter, place in found}
    steps: Steps | None = _STEPS.get(optimizer)
    if steps is None or [(id(p), id(x)) for p, x in steps.kept.items()] != [(id(p), id(x)) for p, x in kept.items()]:
        _STEPS[optimizer] = steps = Steps(kept)
    return steps.begin(args, kwargs)


def _after_any_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    steps: Steps | None = _STEPS.get(optimizer)
    if len(_PLACES) and steps is not None:
        steps.end(optimizer)


register_optimizer_step_pre_hook(_before_any_step)
register_optimizer_step_post_hook(_after_any_step)
