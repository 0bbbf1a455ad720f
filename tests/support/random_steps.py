"""What a random network is made of: for every rank of tensor, functions that draw one layer that takes it.

Vectors are [batch, units], sequences [batch, time, units], images [batch, units, height, width]. Sizes are
few and small, so that units, positions, heads and batch often have the same number by chance.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

Draw = Callable[[st.SearchStrategy], Any]
Step = Callable[[Draw, Tensor], nn.Module]

VECTOR, SEQUENCE, IMAGE = 2, 3, 4
STEPS: dict[int, list[Step]] = {VECTOR: [], SEQUENCE: [], IMAGE: []}
WIDTHS = st.sampled_from([2, 3, 4, 6, 8])


class Apply(nn.Module):
    """A function of a tensor and of parameters, which are named after their order."""

    def __init__(self, text: str, function: Callable[..., Tensor], *shapes: tuple[int, ...]):
        super().__init__()
        self.text, self.function = text, function
        self.own = nn.ParameterList(torch.zeros(shape) for shape in shapes)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs, *self.own)

    def extra_repr(self) -> str:
        return self.text


def units_dim(x: Tensor) -> int:
    return 2 if x.ndim == SEQUENCE else 1


def divisor(draw: Draw, n: int) -> int:
    return draw(st.sampled_from([k for k in range(1, n + 1) if n % k == 0]))


def step(*ranks: int) -> Callable[[Step], Step]:
    """Decorator: this step can follow tensors of these ranks, if perhaps not of every shape."""

    def enter(function: Step) -> Step:
        for rank in ranks:
            STEPS[rank].append(function)
        return function

    return enter


@step(VECTOR, SEQUENCE, IMAGE)
def pointwise(draw: Draw, x: Tensor) -> nn.Module:
    return draw(st.sampled_from([nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.Hardswish, nn.ELU]))()


@step(VECTOR, SEQUENCE, IMAGE)
def functional(draw: Draw, x: Tensor) -> nn.Module:
    """Operations without weights along the units: free, structured, or bound to their order."""
    d, n = units_dim(x), x.shape[units_dim(x)]
    half = n // 2
    order = draw(st.permutations(range(n)))
    rows = x.shape[0] * x.shape[1]
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "softmax": lambda x: torch.softmax(x, d),
        "centre": lambda x: x - x.mean(d, keepdim=True),
        "times largest": lambda x: x * x.amax(d, keepdim=True),
        "times reversed": lambda x: x * x.flip(d),
        "reversed": lambda x: torch.relu(x).flip(d),
        "rolled": lambda x: x + x.roll(1, d),
        "reordered": lambda x: x * x.index_select(d, torch.tensor(order)),
        "two functions": lambda x: torch.cat([x.narrow(d, 0, half).sin(), x.narrow(d, half, n - half)], d),
        "twice": lambda x: torch.cat([x.sin(), x.cos()], d),
        "every other": lambda x: x.index_select(d, torch.arange(0, n, 2)),
        "halves swapped": lambda x: torch.cat([x.narrow(d, half, n - half), x.narrow(d, 0, half)], d),
        "first half only": lambda x: x.narrow(d, 0, max(half, 1)),
        "running sum": lambda x: x.cumsum(d),
        "sorted": lambda x: x.sort(d).values,
        "largest two": lambda x: x.topk(min(2, n), d).values,
        "normalised": lambda x: F.normalize(x, dim=d),
        "repeated": lambda x: x.repeat_interleave(2, d),
        "tiled": lambda x: torch.cat([x, x], d),
        "padded": lambda x: torch.cat([x, torch.zeros_like(x).narrow(d, 0, 1)], d),
        "weighted by place": lambda x: (
            x * torch.linspace(1, 2, n, dtype=x.dtype).view([-1 if k == d else 1 for k in range(x.ndim)])
        ),
        "regrouped": lambda x: x.reshape(rows, -1).tanh().reshape(x.shape),
        "transposed and reshaped": lambda x: x.transpose(0, d).reshape(x.shape),
        "over the batch": lambda x: x - x.mean(0, keepdim=True),
        "written in place": lambda x: _write_in_place(x.clone(), d, half),
        "written through a transpose": lambda x: _write_transposed(x.clone(), d),
        "masked": lambda x: x.masked_fill(x > 0.3, 0.1),
        "where": lambda x: torch.where(x > 0, x, x.abs().mean(d, keepdim=True)),
        "pairs": lambda x: x.unflatten(d, (half, 2)).amax(d + 1) if n % 2 == 0 else x,
        "interleaved": lambda x: x.unflatten(d, (2, half)).transpose(d, d + 1).flatten(d, d + 1) if n % 2 == 0 else x,
    }
    name = draw(st.sampled_from(sorted(functions)))
    return Apply(name, functions[name])


def _write_in_place(x: Tensor, d: int, half: int) -> Tensor:
    x.narrow(d, 0, half).mul_(2)
    x.narrow(d, half, x.shape[d] - half).relu_()
    return x


def _write_transposed(x: Tensor, d: int) -> Tensor:
    x.transpose(0, d)[0] += 1
    return x


@step(VECTOR, SEQUENCE, IMAGE)
def scale(draw: Draw, x: Tensor) -> nn.Module:
    shape = [1] * x.ndim
    shape[units_dim(x)] = x.shape[units_dim(x)]
    if draw(st.booleans()):
        return Apply("scale", lambda x, w: x * w, tuple(shape))
    return Apply("shift and gate", lambda x, w, b: (x + b) * torch.sigmoid(w), tuple(shape), tuple(shape))


@step(VECTOR, SEQUENCE)
def linear(draw: Draw, x: Tensor) -> nn.Module:
    return nn.Linear(x.shape[-1], draw(WIDTHS), bias=draw(st.booleans()))


@step(VECTOR, SEQUENCE)
def perceptron(draw: Draw, x: Tensor) -> nn.Module:
    width = draw(WIDTHS)
    return nn.Sequential(nn.Linear(x.shape[-1], width), nn.ReLU(), nn.Linear(width, x.shape[-1]))


@step(VECTOR, SEQUENCE)
def weights_by_hand(draw: Draw, x: Tensor) -> nn.Module:
    n, m = x.shape[-1], draw(WIDTHS)
    kinds = {
        "there and back": Apply("there and back", lambda x, w: torch.relu(x @ w) @ w.t(), (n, m)),
        "low rank": Apply("low rank", lambda x, w, a, b: torch.tanh(x @ (w + a @ b)), (n, m), (n, 2), (2, m)),
        "gated": Apply("gated", lambda x, a, b, c: (F.silu(x @ a) * (x @ b)) @ c, (n, m), (n, m), (m, n)),
        "glu": Apply("glu", lambda x, a: F.glu(x @ a, -1), (n, 2 * m)),
        "experts": Apply(
            "experts",
            lambda x, a, b: torch.einsum("...eh,eho->...o", torch.relu(torch.einsum("...i,eih->...eh", x, a)), b),
            (3, n, m),
            (3, m, n),
        ),
        "squared weights": Apply("squared weights", lambda x, w: x @ (w * w).softmax(0), (n, m)),
        "outer": Apply(
            "outer",
            lambda x, a, b: ((x @ a)[..., :, None] * (x @ b)[..., None, :]).flatten(-2),
            (n, m),
            (n, 3),
        ),
        "distances": Apply("distances", lambda x, w: (x[..., None, :] - w).square().sum(-1), (m, n)),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]
