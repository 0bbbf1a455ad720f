"""What the loop steps with: SGD with momentum of our own, or any optimizer of torch, under a mask if there is one."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from permask.dynamic.updates import Held
from permask.errors import PermaskError
from permask.mask import Mask
from permask.masks.hold import Hold
from permask.masks.scope import scope_of
from permask.training.momentum import MomentumSGD

Decayed = Literal["all", "weights"]


@dataclass(frozen=True)
class UpdateRule:
    """What a step makes of the gradients; the attributes are those of a `Recipe`."""

    optimizer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    momentum: float = 0.0
    weight_decay: float = 0.0
    decay: Decayed = "all"
    clip: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether `MomentumSGD` follows it."""
        return self.optimizer == "sgd" and not self.options and self.decay == "all"


class MaskedOptimizer(Held, Protocol):
    """Updates a network from its gradients, and keeps at zero what a mask prunes; it ends with its `with` block."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """All that it keeps from step to step; the next one may change the tensors."""
        ...

    def step(self, learning_rate: float) -> None:
        """Take a step with every parameter that has a gradient, and drop the gradients."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


def make_optimizer(
    model: nn.Module, rule: UpdateRule, *, mask: Mask | None = None, state: Mapping[str, Tensor] | None = None
) -> MaskedOptimizer:
    """The optimizer of a rule.

    Args:
        model: The network, on its device; its pruned weights are set to zero at once.
        rule: Names it.
        mask: Which weights to keep; None for all.
        state: Where it was, as an earlier one's `state`; None for the beginning.

    Raises:
        PermaskError: torch has no such optimizer, or it does not take the network's parameters or the options.
    """
    if rule.is_plain:
        momentum, decay = rule.momentum, rule.weight_decay
        return MomentumSGD(model, momentum, decay, mask=mask, buffers=state, clip=rule.clip)
    return TorchOptimizer(model, rule, mask=mask or Mask({}), state=state or {})


class TorchOptimizer:
    """An optimizer of `torch.optim` under a mask, as `permask.hold_mask` holds it.

    Args:
        model: The network, on its device.
        rule: Names the optimizer.
        mask: Which weights to keep; those that it does not name are not pruned.
        state: `exp_avg/conv.weight` and the like, as of `state`.
    """

    def __init__(self, model: nn.Module, rule: UpdateRule, *, mask: Mask, state: Mapping[str, Tensor]):
        self._named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._optimizer = self._made(model, rule)
        if state:
            self._optimizer.load_state_dict(self._resumed(state))
        self._held = Hold(model, mask, self._optimizer)
        self.update, self.before_masking = self._held.update, self._held.before_masking
        if rule.clip is not None:
            self._optimizer.register_step_pre_hook(self._clipping(rule.clip))  # after the mask's

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.remove()

    @property
    def mask(self) -> Mask:
        """What is pruned now."""
        return self._held.mask

    @property
    def weights(self) -> Mapping[str, nn.Parameter]:
        """The masked parameters by name."""
        return self._held.weights

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The optimizer's tensors by `NAME OF THE TENSOR/PARAMETER`."""
        of_parameter = ((name, self._optimizer.state.get(parameter, {})) for name, parameter in self._named.items())
        return {f"{key}/{name}": torch.as_tensor(x) for name, kept in of_parameter for key, x in kept.items()}

    def step(self, learning_rate: float) -> None:
        """Take a step with every parameter that has a gradient, and drop the gradients."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _made(self, model: nn.Module, rule: UpdateRule) -> torch.optim.Optimizer:
        options = dict(rule.options)
        if rule.optimizer == "sgd":
            kind, options["momentum"] = torch.optim.SGD, rule.momentum
        else:
            kind = _OPTIMIZERS.get(rule.optimizer.lower())
        if kind is None:
            raise PermaskError(f"optimizer: expected sgd or a name in torch.optim, got {rule.optimizer}")
        decayed = self._named.keys()
        if rule.decay == "weights":
            embeddings = (f"{name}.weight" for name, m in model.named_modules() if isinstance(m, nn.Embedding))
            decayed = {*scope_of(model), *embeddings}
        decay = {"weight_decay": rule.weight_decay} if rule.weight_decay or _decays(kind) else {}
        groups: list[dict[str, Any]] = [{"params": [p for name, p in self._named.items() if name in decayed], **decay}]
        if others := [p for name, p in self._named.items() if name not in decayed]:
            groups.append({"params": others, "weight_decay": 0.0})
        try:
            return kind(groups, lr=1.0, **options)  # every step has its own
        except (TypeError, ValueError) as error:
            raise PermaskError(f"torch.optim.{kind.__name__} cannot be made as the study asks for: {error}") from error

    def _resumed(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """What the optimizer loads: its own groups, with the state of their parameters in order."""
        kept: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for place, tensor in state.items():
            key, _, name = place.partition("/")
            kept[name][key] = tensor.clone()
        name_of = {id(parameter): name for name, parameter in self._named.items()}
        in_order = [name_of[id(p)] for group in self._optimizer.param_groups for p in group["params"]]
        known = {number: kept[name] for number, name in enumerate(in_order) if name in kept}
        return self._optimizer.state_dict() | {"state": known}

    def _clipping(self, largest: float) -> Callable[..., None]:
        parameters = list(self._named.values())

        def clip(*_: Any) -> None:
            clip_grad_norm_(parameters, largest)

        return clip


def _decays(kind: type[torch.optim.Optimizer]) -> bool:
    return "weight_decay" in signature(kind).parameters


# those that step without evaluating a closure, and take dense gradients
_OPTIMIZERS: dict[str, Any] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and kind not in (torch.optim.Optimizer, torch.optim.LBFGS, torch.optim.SparseAdam)
}
