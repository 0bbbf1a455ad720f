"""What a symmetry is tried with: other weights, other inputs, and moves of the units that no mistake survives."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from permask.discovery.weights import Weights, memory_of
from permask.groups import Group

State = Mapping[str, Tensor]
Moves = dict[str, np.ndarray]  # an index array for every group, as in `Permutation`

# a random order of fewer units is often right by chance
FEW = 8
# at most, of swaps
TURNS = 5
# of positive scales: those of residual branches start as small as 1e-6, which would hide the branch
LEAST = 0.1
# uniform numbers times √(12 / fan-in) have the variance 1 / fan-in: layers keep the variance of their inputs, so that
# what these do to a deep network is not lost next to what its biases do
VARIANCE = 12
PIECE = 2**16  # entries that are in the processor's cache at once


def randomised(state: State, parameters: Set[str], seed: int) -> Weights:
    """Other float64 weights of about the same scale, and running statistics; positive scales stay positive.

    Of other buffers every entry is scaled, so that zeros and signs, which masks are made of, remain. Tensors
    that share memory get the same numbers. Those on the meta device, of which no scale is known, are drawn on the CPU.
    """
    first: dict[object, tuple[int, bool]] = {}  # of every memory, its number, and whether noise is added to it
    draws: dict[str, tuple[int, bool]] = {}
    for name, old in state.items():
        free = name in parameters or name.endswith("running_mean")
        draws[name] = first.setdefault(memory_of(name, old), (len(first), free))

    def redrawn(name: str, old: Tensor) -> Tensor:
        number, free = draws[name]
        return _redrawn(old.detach(), free, np.random.SFC64([seed % 2**63, number]))

    return Weights.of(state, redrawn, torch.float64)


def _redrawn(old: Tensor, free: bool, bits: np.random.BitGenerator) -> Tensor:
    """A tensor plus noise, or times 1 + noise; piece by piece, since a large network has little memory to spare."""
    entries = old.reshape(-1)
    if old.is_meta:
        known = torch.zeros if not old.is_floating_point() or (free and old.ndim > 1) else torch.ones
        entries = known((), dtype=old.dtype).expand(old.numel())
    if not old.is_floating_point():
        return entries.reshape(old.shape) if old.is_meta else old
    noise = torch.from_numpy(np.random.Generator(bits).random(tuple(old.shape))).to(entries.device)
    initialised = bool(torch.isfinite(entries.sum()))  # or else memory that may hold anything
    positive = old.ndim < 2 and bool((entries > 0).all())
    scale = (VARIANCE / max(1, old.shape[1:].numel())) ** 0.5 if old.ndim > 1 else 1.0
    for x, part in zip(noise.view(-1).split(PIECE), entries.split(PIECE), strict=True):
        y = part.double()
        x.sub_(0.5)
        if not free:
            x.add_(1).mul_(y)
            continue
        y = y if initialised else y.nan_to_num(0.0, 0.0, 0.0)
        if positive:
            x.add_(1).mul_(y.clamp_min(LEAST))
        else:
            x.mul_(scale).add_(y)
    return noise


def in_float64(state: State) -> Weights:
    """The weights as they are."""
    return Weights.of(state, lambda _, x: x.detach().double() if x.is_floating_point() else x, torch.float64)


def in_float32(state: Weights) -> Weights:
    """The weights rounded."""
    return state.map(lambda _, x: x.float() if x.is_floating_point() else x, torch.float32)


def resampled(x: Tensor, generator: torch.Generator) -> Tensor:
    """A tensor whose entries are drawn from those of another, with replacement: type, shape and range stay."""
    chosen = torch.randint(max(1, x.numel()), x.shape, generator=generator)
    return x.flatten()[chosen.to(x.device)]


def real_constant(x: Any, number: int) -> Any:
    """A constant of a network; one on the meta device, of which nothing is known, becomes numbers above 0, or zeros."""
    if not (isinstance(x, Tensor) and x.is_meta):
        return x
    return _redrawn(x, False, np.random.SFC64([number])).to(x.dtype)


def real(x: Tensor, generator: torch.Generator) -> Tensor:
    """A tensor; one on the meta device becomes numbers: normal ones, zeros and ones, or trues."""
    if not x.is_meta:
        return x
    if x.dtype == torch.bool:
        return torch.ones(x.shape, dtype=x.dtype)
    if x.is_floating_point() or x.is_complex():
        return torch.randn(x.shape, dtype=x.dtype, generator=generator)
    return torch.randint(2, x.shape, dtype=x.dtype, generator=generator)


def moves(groups: Sequence[Group], seed: int) -> list[Moves]:
    """Permutations of all groups: along a cycle of all units, then swaps of two units of small groups.

    A uniformly random permutation of two units moves nothing half the time. A cycle of all units together with a swap
    of two neighbours in it generates every permutation, so that nothing that is wrong of a group passes both; of many
    units, a cycle in random order is enough. What is wrong of two groups because they may only move together shows
    where one of them moves alone: every block has a number, the bits of which say in which permutations it is swapped.

    Args:
        groups: What moves; a group that is missing in a permutation stays as it is.
        seed: For the order of the units along their cycles, and for the numbers of the blocks.
    """
    rng = np.random.default_rng(seed)
    units = {group.name: np.broadcast_to(np.arange(group.size), group.index_shape) for group in groups}
    rings = {name: rng.permuted(order, axis=-1) for name, order in units.items()}
    small = [group.name for group in groups if group.size < FEW]
    blocks = sum(rings[name][..., 0].size for name in small)
    turns = min(blocks.bit_length(), TURNS)
    numbers = iter(1 + rng.permutation(blocks) % max(1, 2**turns - 1))
    codes = {name: np.array([next(numbers) for _ in range(rings[name][..., 0].size)]) for name in small}
    found = [{name: _moved(ring, np.roll(ring, 1, axis=-1)) for name, ring in rings.items()}]
    for turn in range(turns):
        swapped = {name: (codes[name] >> turn & 1).reshape(rings[name].shape[:-1]) for name in small}
        found.append({name: _moved(rings[name], _swapped(rings[name], where)) for name, where in swapped.items()})
    return found


def _moved(ring: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """The index array that sends every unit of a ring to the one at the same place of another."""
    index = np.empty_like(ring)
    np.put_along_axis(index, ring, onto, axis=-1)
    return index


def _swapped(ring: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The first two units of every ring traded, in the blocks that are chosen."""
    traded = np.concatenate([ring[..., 1::-1], ring[..., 2:]], axis=-1)
    return np.where(where[..., None] == 1, traded, ring)
