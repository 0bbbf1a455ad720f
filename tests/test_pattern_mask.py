"""N:M masks: exact counts, the input dim of every kind of layer, what is left over, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

import permask
from permask.errors import NetworkError, PermaskError


def counts(kept: torch.Tensor, dim: int, of: int) -> set[int]:
    """How many are kept of every `of` neighbours along a dim."""
    columns = kept.movedim(dim, -1)
    return set(columns[..., : columns.shape[-1] // of * of].unflatten(-1, (-1, of)).sum(-1).flatten().tolist())


@pytest.mark.parametrize("kept, of", [(2, 4), (1, 4), (4, 8), (1, 2)])
@pytest.mark.parametrize(
    "layer, dim",
    [
        (nn.Linear(18, 5), 1),
        (nn.Conv2d(9, 5, 3), 1),
        (nn.Conv1d(16, 8, 3, groups=2), 1),
        (nn.ConvTranspose2d(12, 5, 3), 0),
    ],
)
def test_exactly_n_of_m_inputs_are_kept(layer, dim, kept, of):
    (mask,) = permask.pattern_mask(nn.Sequential(layer), (kept, of)).values()
    size = layer.weight.shape[dim]
    assert counts(mask, dim, of) == {kept}
    assert mask.movedim(dim, -1)[..., size // of * of :].all()
    assert mask.sum() == mask.numel() // size * (size // of * kept + size % of)


def test_the_largest_are_kept_and_of_equal_ones_the_first():
    layer = nn.Linear(8, 1)
    layer.weight.data = torch.tensor([[1.0, -3.0, 2.0, 0.0, 5.0, 5.0, 5.0, 5.0]])
    mask = permask.pattern_mask(nn.Sequential(layer), "2:4")
    assert mask["0.weight"].tolist() == [[False, True, True, False, True, True, False, False]]


def test_scores_decide_where_they_are_given():
    scores = {"0.weight": torch.tensor([[0.0, 1.0, 2.0, 3.0]])}
    mask = permask.pattern_mask(nn.Sequential(nn.Linear(4, 1)), scores=scores)
    assert mask["0.weight"].tolist() == [[False, False, True, True]]


def test_weights_with_too_few_inputs_are_no_part_of_it():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 2, 1))
    assert list(permask.pattern_mask(network)) == ["2.weight"]


def test_a_layout_says_where_the_inputs_of_experts_are():
    state = {"experts.weight": torch.randn(3, 8, 5), "router.weight": torch.randn(3, 8)}
    assert list(permask.pattern_mask(state)) == ["router.weight"]
    mask = permask.pattern_mask(state, layouts={"experts.*": 1})
    assert counts(mask["experts.weight"], 1, 4) == {2}


@pytest.mark.parametrize("pattern", ["2-4", (4, 4), (0, 4), (1, 2, 3), "a:b", 4, (2, float("inf"))])
def test_a_pattern_that_is_none(pattern):
    with pytest.raises(PermaskError, match="expected N:M"):
        permask.pattern_mask(nn.Sequential(nn.Linear(8, 2)), pattern)


@pytest.mark.parametrize(
    "scores, said",
    [
        ({}, r"0\.weight: expected a score for each of its weights"),
        ({"0.weight": torch.ones(2, 4)}, r"0\.weight: expected scores \[2, 8\], got \[2, 4\]"),
        ({"0.weight": torch.full((2, 8), torch.nan)}, r"0\.weight: expected finite scores"),
        ([torch.ones(2, 8)], "expected scores by the names of weights, got a list"),
        ({"0.weight": np.ones((2, 8))}, r"0\.weight: expected its scores in a dense tensor of real numbers"),
        ({"0.weight": torch.ones(2, 8, device="meta")}, "dense tensor of real numbers"),
        ({"0.weight": torch.ones(2, 8).to_sparse()}, "dense tensor of real numbers"),
        ({"0.weight": torch.ones(2, 8) * 1j}, "dense tensor of real numbers"),
    ],
)
def test_scores_that_do_not_fit(scores, said):
    with pytest.raises(NetworkError, match=said):
        permask.pattern_mask(nn.Sequential(nn.Linear(8, 2)), scores=scores)


def test_a_network_without_a_weight_that_is_wide_enough():
    with pytest.raises(NetworkError, match="no weight has the 4 inputs that the pattern 2:4 needs"):
        permask.pattern_mask(nn.Sequential(nn.Linear(3, 8)))


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64, torch.uint16])
def test_weights_that_are_no_floating_point_numbers(kind):
    with pytest.raises(NetworkError, match=r"a\.weight: expected floating-point weights, got torch"):
        permask.pattern_mask({"a.weight": torch.ones(2, 8).to(kind)})


def test_weights_of_8_bits_are_sorted():
    x = torch.tensor([[1.0, -4.0, 3.0, 2.0]])
    assert permask.pattern_mask({"a.weight": x.to(torch.float8_e4m3fn)})["a.weight"].tolist() == [[0, 1, 1, 0]]
