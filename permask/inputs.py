"""What a network is called with, in whatever form its owner holds it.

A tensor, a tuple of positional arguments, a dict or a tokenizer's `BatchEncoding` of keyword arguments, or a batch of a
DataLoader with its labels: `Inputs.of` makes positional and keyword arguments of each.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from permask.errors import DataError, NetworkError, PermaskError, place_of, summary

Example = Any  # what `Inputs.of` takes
Described = list[dict[str, Any]]  # JSON values by name, for every argument: `name`, `shape`, `dtype`, `below`

EXPECTED = "expected a tensor, a tuple of tensors, a dict of keyword arguments, or a batch of a DataLoader"
LARGEST = 2**30  # numbers in an input that is drawn
_P = inspect.Parameter


@dataclass(frozen=True)
class Inputs:
    """The arguments of one call of a network.

    Attributes:
        args: Positional arguments.
        kwargs: Keyword arguments.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, given: Example) -> Self:
        """Arguments for a network, by the signature of its `forward`.

        A dict is keyword arguments; keys that `forward` does not know, such as a data set's labels, are left out. A
        tuple or list is positional arguments; those beyond what `forward` takes are left out, as are labels: in a list,
        as a DataLoader gives it, a vector with one integer per sample in the place of an argument that need not be
        given. In a pair of a container and a tensor, the container is the inputs and the tensor the labels.

        Args:
            model: Whose `forward` is called.
            given: The inputs.

        Raises:
            DataError: Something else, inputs without a tensor that `forward` takes, or without one that it requires.
        """
        if isinstance(given, cls):
            return given
        accepted = _Signature.of(model)
        inputs = cls(*accepted.arguments(given))
        if not inputs.tensors:
            raise DataError(f"{EXPECTED}; got {_said(given)} without a tensor in it that forward{accepted} takes")
        try:
            inspect.signature(model.forward).bind(*inputs.args, **inputs.kwargs)
        except TypeError as error:
            raise DataError(f"expected inputs for forward{accepted}, got {inputs}: {error}") from None
        return inputs

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors inside, in the order in which `torch.export` numbers them."""
        return [x for x in pytree.tree_leaves((self.args, dict(self.kwargs))) if isinstance(x, Tensor)]

    @property
    def form(self) -> str:
        """Shapes, types and all that is no tensor: equal for inputs that one captured graph can take."""
        return repr(pytree.tree_map_only(Tensor, _said, (self.args, dict(self.kwargs))))

    def map(self, change: Callable[[Tensor], Tensor]) -> "Inputs":
        """The same with every tensor changed."""
        args, kwargs = pytree.tree_map_only(Tensor, change, (self.args, dict(self.kwargs)))
        return Inputs(args, kwargs)

    def to(self, device: torch.device) -> "Inputs":
        """The same on a device."""
        return self.map(lambda x: x.to(device))

    def double(self) -> "Inputs":
        """The same with floating-point tensors in float64."""
        return self.map(lambda x: x.double() if x.is_floating_point() else x)

    def float(self) -> "Inputs":
        """The same with floating-point tensors in float32."""
        return self.map(lambda x: x.float() if x.is_floating_point() else x)

    @property
    def described(self) -> Described | None:
        """Shape, type, and of whole numbers the range of every argument; None unless all are tensors with values."""
        named = [*(("", x) for x in self.args), *self.kwargs.items()]
        if not all(type(x) is Tensor and x.numel() and not x.is_meta for _, x in named):
            return None
        return [
            {
                "name": name,
                "shape": list(x.shape),
                "dtype": str(x.dtype).removeprefix("torch."),
                "below": None if x.is_floating_point() or x.is_complex() else int(x.max()) + 1,
            }
            for name, x in named
        ]

    @classmethod
    def drawn(cls, described: Described) -> Self:
        """Random arguments, the same every time, of which `described` said this.

        Raises:
            DataError: It does not describe inputs.
        """
        generator = torch.Generator().manual_seed(0)
        args, kwargs = [], {}
        try:
            for one in described:
                x = random_tensor(one["shape"], one["dtype"], one["below"], generator)
                if one["name"]:
                    kwargs[str(one["name"])] = x
                else:
                    args.append(x)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"expected inputs by name, shape, dtype and below, got {str(described)[:80]}") from error
        return cls(tuple(args), kwargs)

    def call(self, model: nn.Module) -> Any:
        """What the network returns for them."""
        return model(*self.args, **self.kwargs)

    def answer(self, model: nn.Module) -> Any:
        """Likewise, where its code is other people's.

        Raises:
            NetworkError: Its code fails or exits.
        """
        try:
            return self.call(model)
        except PermaskError:
            raise
        except (Exception, SystemExit) as error:
            raise NetworkError(f"the network fails{place_of(error)} on inputs {self}: {summary(error)}") from error

    def __str__(self) -> str:
        shapes = [_said(x) for x in self.args] + [f"{name}={_said(x)}" for name, x in self.kwargs.items()]
        return ", ".join(shapes)


def random_tensor(sizes: Sequence[int], dtype: str, below: int | None, generator: torch.Generator) -> Tensor:
    """A tensor of random numbers: standard normal, or whole ones.

    Args:
        sizes: Its shape.
        dtype: Name of its type, such as `float32`.
        below: Whole numbers are below it; None for normal ones.
        generator: What draws them.

    Raises:
        DataError: A type that there is not, or sizes that are none or too large.
    """
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        raise DataError(f"expected a type of tensors such as float32 or int64, got {dtype}")
    if not all(type(size) is int and size >= 0 for size in sizes) or math.prod(sizes) > LARGEST:
        raise DataError(f"expected at most {LARGEST:,} numbers in an input, got sizes {'×'.join(map(str, sizes))}")
    try:
        if below is None:
            return torch.randn(tuple(sizes), generator=generator).to(kind)
        return torch.randint(max(1, below), tuple(sizes), generator=generator).to(kind)
    except (RuntimeError, OverflowError, ValueError) as error:  # of quantised types, of numbers that torch cannot hold
        reason = str(error).splitlines()[0]
        raise DataError(f"cannot draw {dtype} of sizes {'×'.join(map(str, sizes))}: {reason}") from error


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put every module of a network in training or evaluation mode, and back as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def names_of(model: nn.Module) -> frozenset[str]:
    """What a network's `forward` can be given by name."""
    return _Signature.of(model).named


@dataclass(frozen=True)
class _Signature:
    """The parameters of a network's `forward`.

    Attributes:
        positional: Names of those that can be given by position.
        required: How many of them have no default.
        named: Those that can be given by name.
        any_number: Whether it takes any number of positional arguments.
        any_name: Whether it takes any keyword.
    """

    positional: tuple[str, ...]
    required: int
    named: frozenset[str]
    any_number: bool
    any_name: bool

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        parameters = inspect.signature(model.forward).parameters.values()
        positional = [p for p in parameters if p.kind in (_P.POSITIONAL_ONLY, _P.POSITIONAL_OR_KEYWORD)]
        return cls(
            positional=tuple(p.name for p in positional),
            required=sum(p.default is _P.empty for p in positional),
            named=frozenset(p.name for p in parameters if p.kind in (_P.POSITIONAL_OR_KEYWORD, _P.KEYWORD_ONLY)),
            any_number=any(p.kind is _P.VAR_POSITIONAL for p in parameters),
            any_name=any(p.kind is _P.VAR_KEYWORD for p in parameters),
        )

    def __str__(self) -> str:
        return f"({', '.join((*self.positional, *sorted(self.named - set(self.positional))))})"

    def arguments(self, given: Example) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments."""
        if isinstance(given, Tensor):
            return (given,), {}
        if isinstance(given, Mapping):
            return self._keywords(given)
        if isinstance(given, list | tuple):
            return self._positions(given)
        raise DataError(f"{EXPECTED}; got {_said(given)}")

    def _keywords(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        known = {name: x for name, x in given.items() if self.any_name or name in self.named}
        if not known and self.named == set(self.positional[:1]):  # a forward that takes a dict as its only argument
            return (dict(given),), {}
        return (), known

    def _positions(self, given: list[Any] | tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if len(given) == 2 and isinstance(given[0], Mapping | list | tuple) and isinstance(given[1], Tensor):
            return self.arguments(given[0])
        args = list(given) if self.any_number else list(given[: len(self.positional)])
        from_loader = isinstance(given, list)
        while from_loader and len(args) > max(self.required, 1) and _labels(args[-1], args[0]):
            args.pop()
        return tuple(args), {}


def _labels(x: Any, inputs: Any) -> bool:
    """Whether a tensor looks like labels of inputs: an integer for each of them."""
    if not (isinstance(x, Tensor) and isinstance(inputs, Tensor)):
        return False
    return x.ndim == 1 < inputs.ndim and len(x) == len(inputs) and not x.is_floating_point()


def _said(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
    if isinstance(x, Mapping):
        return f"a dict of {', '.join(map(str, x)) or 'nothing'}"
    if isinstance(x, list | tuple):
        return f"a {type(x).__name__} of {', '.join(_said(item) for item in x[:4]) or 'nothing'}"
    return repr(x) if x is None or isinstance(x, bool | int | float) else type(x).__name__
