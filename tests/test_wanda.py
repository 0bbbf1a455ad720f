"""Wanda's scores, against the formula computed layer by layer, and over every way to multiply by a weight."""

import pytest
import torch
from torch import nn

import permask
from permask.errors import NetworkError, PermaskError


def test_a_score_is_the_weight_times_the_norm_of_its_input():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 3))
    batches = [torch.randn(4, 5), torch.randn(2, 5)]
    scores = permask.wanda_scores(network, batches)
    x = torch.cat(batches)
    for name, given in {"0.weight": x, "3.weight": network[1](network[0](x))}.items():
        torch.testing.assert_close(scores[name], network.get_parameter(name).abs().detach() * given.norm(dim=0))
    assert network[2].training


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_has_a_norm_for_each_input_channel(groups):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 6, 3, groups=groups), nn.ConvTranspose2d(6, 4, 2, groups=groups))
    x = torch.randn(3, 4, 5, 5)
    scores = permask.wanda_scores(network, [x])
    norms = [given.square().sum((0, 2, 3)).sqrt().detach() for given in (x, network[0](x))]
    weight = network[0].weight.detach().abs()
    of_output = norms[0].view(groups, -1).repeat_interleave(6 // groups, dim=0)
    torch.testing.assert_close(scores["0.weight"], weight * of_output[..., None, None])
    torch.testing.assert_close(scores["1.weight"], network[1].weight.detach().abs() * norms[1][:, None, None, None])


class Shared(nn.Module):
    """A weight that is multiplied from both sides, twice, and slices of one in which others lie."""

    def __init__(self):
        super().__init__()
        self.weight, self.weights = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(3, 4, 2))

    def forward(self, x):
        both = (self.weight @ x.mT).mT + x @ self.weight[:, :2].repeat(1, 2) * 0
        return torch.bmm(both.expand(3, -1, -1), self.weights)


def test_slices_experts_and_weights_on_the_left_are_seen():
    torch.manual_seed(0)
    network, x = Shared(), torch.randn(5, 4)
    scores = permask.wanda_scores(network, [x], include=["weights"])
    torch.testing.assert_close(scores["weight"], network.weight.detach().abs() * x.norm(dim=0))
    inside = (x @ network.weight.T).norm(dim=0).detach()
    torch.testing.assert_close(scores["weights"], network.weights.detach().abs() * inside[None, :, None])


def test_attention_is_seen_inside():
    torch.manual_seed(0)
    network = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 3, 8)
    scores = permask.wanda_scores(network, [x])
    expected = network.self_attn.in_proj_weight.detach().abs() * x.norm(dim=(0, 1))
    torch.testing.assert_close(scores["self_attn.in_proj_weight"], expected)
    assert all((score >= 0).all() and score.count_nonzero() > 0 for score in scores.values())
    assert {"self_attn.out_proj.weight", "linear2.weight"} <= set(scores)


def test_what_cannot_be_scored_is_named():
    network = nn.ModuleDict({"used": nn.Linear(4, 4), "idle": nn.Linear(4, 4)})
    network.forward = lambda x: network["used"](x)
    with pytest.raises(NetworkError, match=r"^idle.weight: nothing was seen"):
        permask.wanda_scores(network, [torch.randn(2, 4)])
    assert set(permask.wanda_scores(network, [torch.randn(2, 4)], exclude=["idle*"])) == {"used.weight"}
    with pytest.raises(PermaskError, match="at least one batch"):
        permask.wanda_scores(network, [])


def test_a_pattern_keeps_what_scores_most():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    x = torch.randn(64, 8) * torch.tensor([10.0, 1, 1, 1, 1, 1, 1, 10.0])
    mask = permask.pattern_mask(network, (1, 4), permask.wanda_scores(network, [x]))
    assert mask["0.weight"][:, [0, 7]].float().mean() > 0.8
