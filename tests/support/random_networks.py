"""Networks put together at random, with skips, products, concatenations and layers used twice."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from support.example import Inputs
from support.random_layers import convolution
from support.random_steps import IMAGE, SEQUENCE, STEPS, VECTOR, Apply, Draw, linear, pointwise, units_dim

LARGEST = 4000  # elements of a value: growth beyond it ends a network


class RandomNetwork(nn.Module):
    """Steps in a row; each takes one or two of the values so far, by number."""

    def __init__(self, steps: Sequence[tuple[nn.Module, tuple[int, ...]]]):
        super().__init__()
        self.layers = nn.ModuleList(layer for layer, _ in steps)
        self.sources = [sources for _, sources in steps]

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for layer, sources in zip(self.layers, self.sources, strict=True):
            values.append(layer(*(values[i] for i in sources)))
        return values[-1]

    def extra_repr(self) -> str:
        return f"sources={self.sources}"


@st.composite
def networks(draw: Draw) -> tuple[nn.Module, Inputs]:
    """A network in float64 and evaluation mode, and inputs for it."""
    batch, width = draw(st.integers(1, 4)), draw(st.sampled_from([2, 3, 4]))
    shape = draw(st.sampled_from([(batch, width), (batch, 3, width), (batch, width, 4, 4)]))
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values, steps = [x], []
    for _ in range(draw(st.integers(2, 7))):
        layer, sources = _next(draw, values, steps)
        layer = layer.double().eval()
        try:
            value = layer(*(values[i] for i in sources)).detach()
        except (RuntimeError, ValueError):  # does not take this shape
            continue
        if value.numel() > LARGEST:
            break
        values.append(value)
        steps.append((layer, sources))
    if draw(st.sampled_from([True, True, True, False])):
        steps.append((_head(values[-1]), (len(values) - 1,)))
    return RandomNetwork(steps).double().eval(), (x,)


def _next(
    draw: Draw, values: list[Tensor], steps: list[tuple[nn.Module, tuple[int, ...]]]
) -> tuple[nn.Module, tuple[int, ...]]:
    """The next layer and the values that it takes; the last of them more often than not."""
    last = len(values) - 1
    x = values[last]
    if not steps and draw(st.sampled_from([True, True, False])):
        return (convolution if x.ndim == IMAGE else linear)(draw, x), (last,)
    alike = [i for i, value in enumerate(values) if i and value.shape == x.shape and i != last]
    choice = draw(st.sampled_from(["layer"] * 5 + ["combine", "again"]))
    if choice == "combine" and alike:
        d = units_dim(x)
        combinations = {
            "add": lambda x, y: x + y,
            "multiply": lambda x, y: x * torch.sigmoid(y),
            "concatenate": lambda x, y: torch.cat([x, y], d),
            "add reversed": lambda x, y: x + y.flip(d),
            "larger": torch.maximum,
            "stack": lambda x, y: torch.stack([x, y], d).flatten(d, d + 1),
            "write into": lambda x, y: x.clone().copy_(y).add_(x),
        }
        name = draw(st.sampled_from(sorted(combinations)))
        return Apply(name, combinations[name]), (last, draw(st.sampled_from(alike)))
    if choice == "again":
        fitting = [layer for layer, sources in steps if len(sources) == 1 and values[sources[0]].shape == x.shape]
        if fitting:
            return draw(st.sampled_from(fitting)), (last,)
    return draw(st.sampled_from(STEPS.get(x.ndim, [pointwise])))(draw, x), (last,)


def _head(x: Tensor) -> nn.Module:
    if x.ndim == IMAGE:
        return nn.Conv2d(x.shape[1], 3, 1)
    if x.ndim in (VECTOR, SEQUENCE):
        return nn.Linear(x.shape[-1], 3)
    return nn.Flatten()
