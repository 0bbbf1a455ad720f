"""Merge networks of one architecture into one: line them up, average their weights, mend the statistics."""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from permask.batches import Batch
from permask.connectivity.batchnorm import reset_batchnorm
from permask.connectivity.repair import repair_many
from permask.discovery.discover import discover
from permask.errors import NetworkError, PermaskError
from permask.inputs import Example, Inputs
from permask.matching.alignment import Alignment
from permask.matching.many import match_many
from permask.matching.matchers import MATCHERS, MatchOptions
from permask.symmetry import Symmetry
from permask.wrapped import copied, plain, readable, tensors_of

Statistics = Literal["keep", "reset", "repair", "none"]
Match = Literal["activations", "weights", "none"]

ROUNDED = 0.011  # shares such as 0.33, 0.33, 0.33 sum to 1


def merge(
    networks: Sequence[nn.Module],
    inputs: Example | None = None,
    *,
    weights: Sequence[float] | None = None,
    match: Match = "activations",
    statistics: Statistics = "repair",
    batches: Iterable[Example] | None = None,
    symmetry: Symmetry | None = None,
    seed: int = 0,
) -> nn.Module:
    """Merge networks of one architecture that were trained independently into one network: Σ w_i·π_i(θ_i).

    First, permutations line all networks up with the first one; `match_many` finds those of three or more networks
    together. Then the weights are averaged. Averaging shrinks the variance of the activations, so their statistics are
    corrected last. No labels are needed, and the given networks are not changed.

    Args:
        networks: Two or more networks. The units of the merged network are in the order of the first one.
        inputs: One batch of inputs, in any form that `discover` takes. It has to be real data, unless there are
            `batches` as well, or weights alone are matched and averaged.
        weights: The share of every network in the average. The shares sum to 1, and are equal by default.
        match: How networks are lined up: by `activations` on the data, by `weights`, or not at all (`none`), if they
            line up already, as fine-tuned copies of one network do.
        statistics: How statistics are corrected. `repair` rescales activations to those of the networks (see
            `repair_many`), in layers with a BatchNorm or a bias. `reset` recomputes the statistics of BatchNorm. `keep`
            averages them like weights. `none` takes those of the first network.
        batches: Data to match and correct with, such as a DataLoader. By default, this is `inputs` alone. Batches are
            read several times, so they are kept in memory.
        symmetry: The symmetry that `discover` found for one of the networks, if you have it already.
        seed: The seed of the order of the groups, if weights are matched.

    Returns:
        A network of the same class, with tensors of the same names, shapes and types.

    Raises:
        NetworkError: If the networks have different architectures, or weights are not finite.
        PermaskError: If there are fewer than two networks, one is given twice, the shares do not sum to 1, or there are
            no data where they are needed.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        a, b, c = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(3))
        inputs = torch.randn(64, 4)
        merged = permask.merge([a, b, c], inputs)
        merged = permask.merge([a, b], batches=[inputs], weights=[0.7, 0.3], statistics="reset")
        merged = permask.merge([a, b], inputs[:2], match="weights", statistics="keep")
        ```
    """
    shares = shares_of(weights, len(networks))
    if match not in get_args(Match) or statistics not in get_args(Statistics):
        raise PermaskError(
            f"expected match to be one of {', '.join(get_args(Match))} and statistics one of "
            f"{', '.join(get_args(Statistics))}, got {match} and {statistics}"
        )
    run = match == "activations" or statistics in ("reset", "repair")
    networks = [readable(network) if run else plain(network) for network in networks]
    origins = [f"network {number}" for number in range(1, len(networks) + 1)]
    check_mergeable(networks, origins)
    given = [Inputs.of(networks[0], batch) for batch in ([inputs] if batches is None else batches) if batch is not None]
    if match != "none" and symmetry is None:
        if not given and inputs is None:
            raise PermaskError("expected inputs, batches or a symmetry, to find which units can move; got none of them")
        symmetry = discover(networks[0], _few(Inputs.of(networks[0], inputs) if inputs is not None else given[0]))
    alignments = align(networks, symmetry, match, given, seed)
    return combine(permuted(networks, alignments), shares, statistics, given)


def align(
    networks: Sequence[nn.Module],
    symmetry: Symmetry | None,
    match: Match,
    batches: Sequence[Inputs],
    seed: int = 0,
) -> list[Alignment | None]:
    """What lines networks up with the first one; None for those that stay as they are.

    Args:
        networks: Two or more.
        symmetry: Of their architecture; is not looked at if nothing is matched.
        match: As of `merge`.
        batches: Data to match on.
        seed: As of `merge`.

    Raises:
        NetworkError: A network that does not fit the symmetry.
        PermaskError: No data to match on.
    """
    if match == "none":
        return [None] * len(networks)
    assert symmetry is not None
    if len(networks) > 2:
        return [None, *match_many(symmetry, networks, batches if match == "activations" else None, seed=seed)[1:]]
    target, source = networks
    without_labels = [Batch(given.args, keywords=given.kwargs) for given in batches]
    return [None, MATCHERS[match](symmetry, source, target, without_labels, MatchOptions(seed=seed))]


def permuted(networks: Sequence[nn.Module], alignments: Sequence[Alignment | None]) -> list[nn.Module]:
    """Networks where they line up."""
    return [
        alignment.permutation.apply(network) if alignment else network
        for network, alignment in zip(networks, alignments, strict=True)
    ]


def combine(
    networks: Sequence[nn.Module], shares: Sequence[float], statistics: Statistics, batches: Sequence[Example]
) -> nn.Module:
    """The weighted mean of networks that line up, with its statistics mended.

    Args:
        networks: Two or more.
        shares: One for each, which sum to 1.
        statistics: As of `merge`.
        batches: Data to mend them with.

    Raises:
        NetworkError: Networks whose tensors differ in name or shape.
        PermaskError: No data, where they are needed.
    """
    merged = average(networks, shares)
    if statistics == "reset":
        return reset_batchnorm(merged, batches)
    if statistics == "repair":
        return repair_many(networks, merged, batches, weights=shares, new_biases=False)
    if statistics == "none":
        for name, norm in merged.named_modules():
            if isinstance(norm, _BatchNorm):
                norm.load_state_dict({**norm.state_dict(), **dict(networks[0].get_submodule(name).named_buffers())})
    return merged


@torch.no_grad()
def average(networks: Sequence[nn.Module], shares: Sequence[float]) -> nn.Module:
    """The network Σ w_i·θ_i: all floating-point parameters and buffers; any other tensor is the first network's.

    The sum is taken in float32 at least, and the result has the types of the first network.

    Raises:
        NetworkError: Networks whose tensors differ in name or shape.
    """
    networks = [plain(network) for network in networks]
    states = [tensors_of(network)[0] for network in networks]
    for number, state in enumerate(states[1:], start=2):
        for name in [*states[0], *state]:
            shapes = [list(one[name].shape) if name in one else "nothing" for one in (states[0], state)]
            if shapes[0] != shapes[1]:
                raise NetworkError(f"{name}: network 1 has {shapes[0]}, network {number} has {shapes[1]}")
    merged = copied(networks[0])
    mean = {
        name: _mean([state[name] for state in states], shares).to(x.dtype)
        for name, x in states[0].items()
        if x.is_floating_point()
    }
    merged.load_state_dict({**merged.state_dict(), **mean})
    return merged


def shares_of(weights: Sequence[float] | None, count: int) -> list[float]:
    """The share of every network, which sum to 1; equal ones if no weights are given.

    Raises:
        PermaskError: Fewer than two networks, another number of weights, negative ones, or weights that do not sum to 1
            but for their last digit.
    """
    if count < 2:
        raise PermaskError(f"expected two networks or more to merge, got {count}")
    if weights is None:
        return [1 / count] * count
    if len(weights) != count:
        raise PermaskError(f"weights: expected one for each of {count} networks, got {len(weights)}")
    total = sum(weights)
    if not all(math.isfinite(w) and w >= 0 for w in weights):
        raise PermaskError(f"weights: expected numbers from 0 to 1, got {', '.join(f'{w:g}' for w in weights)}")
    if not abs(total - 1) < ROUNDED:
        hint = f"; did you mean {', '.join(f'{w / total:.3g}' for w in weights)}?" if total else ""
        raise PermaskError(f"weights: expected shares that sum to 1, got a sum of {total:g}{hint}")
    return [w / total for w in weights]


def check_mergeable(networks: Sequence[nn.Module], origins: Sequence[str]) -> None:
    """Refuse networks that nothing can come of.

    Args:
        networks: The networks.
        origins: What to call each of them.

    Raises:
        NetworkError: Weights that are not finite, or statistics that are not numbers.
        PermaskError: Two networks with the same weights.
    """
    for network, origin in zip(networks, origins, strict=True):
        for name, x in tensors_of(network)[0].items():
            if x.isnan().any():
                raise NetworkError(f"{origin}: {name} holds NaN, so it cannot be merged")
        learned = [*network.named_parameters(), *_running_statistics(network)]  # other buffers may be masks, with -inf
        for name, x in learned:
            if x.isinf().any():
                raise NetworkError(f"{origin}: {name} holds infinite values, so it cannot be merged")
    states = [list(network.parameters()) for network in networks]
    for i, j in combinations(range(len(networks)), 2):
        if len(states[i]) == len(states[j]) and all(map(_same, states[i], states[j])):
            raise PermaskError(f"{origins[j]} has the same weights as {origins[i]}: give every network once")


def _running_statistics(network: nn.Module) -> list[tuple[str, Tensor]]:
    norms = [(name, module) for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
    return [(f"{name}.{key}".lstrip("."), x) for name, norm in norms for key, x in norm.named_buffers()]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b.to(a))


def _mean(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    precise = torch.promote_types(tensors[0].dtype, torch.float32)
    total = torch.zeros_like(tensors[0], dtype=precise)
    for x, share in zip(tensors, shares, strict=True):
        total.add_(x.to(total), alpha=share)
    return total


def _few(inputs: Inputs) -> Inputs:
    """Two samples, to trace a network with."""
    first = inputs.tensors[0].shape[:1]
    return inputs.map(lambda x: x[:2] if x.shape[:1] == first else x)
