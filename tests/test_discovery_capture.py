import pytest
import torch
from torch import Tensor, nn

from permask.discovery.capture import capture
from permask.errors import NetworkError, PermaskError


class InPlace(nn.Module):
    """Writes through a view into a value that is read again afterwards."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x))
        y.view(-1, 4, 2).relu_()
        y[:, :3] = 0
        with torch.no_grad():
            shift = torch.arange(8, dtype=torch.float32)
        return self.second(y + shift)


def networks(count: int) -> list[nn.Module]:
    nets = []
    for seed in range(count):
        torch.manual_seed(seed)
        nets.append(InPlace().eval())
    return nets


def test_running_several_networks_gives_what_each_gives_alone():
    nets, x = networks(3), torch.randn(4, 6)
    outputs = capture(nets[0], (x,)).run([net.state_dict() for net in nets], (x,))
    for net, output in zip(nets, outputs, strict=True):
        torch.testing.assert_close(output, net(x), rtol=0, atol=0)


def test_a_run_in_float64_casts_what_the_network_hard_codes():
    (net,), x = networks(1), torch.randn(4, 6)
    captured = capture(net, (x,))
    (output,) = captured.run([net.double().state_dict()], (x.double(),))
    assert output.dtype == torch.float64
    torch.testing.assert_close(output, net(x.double()), rtol=0, atol=0)


def test_a_watched_value_is_seen_before_it_is_modified_in_place():
    (net,), x = networks(1), torch.randn(4, 6)
    seen = {}

    def visit(name: str, values: list[Tensor]) -> None:
        seen[name] = values[0].clone()

    outputs = capture(net, (x,)).run([net.state_dict()], (x,), visit, frozenset({"batch_norm"}))
    torch.testing.assert_close(seen["batch_norm"], net.norm(net.first(x)), rtol=0, atol=0)
    assert outputs == []


def test_a_run_in_training_mode_leaves_the_statistics_alone():
    (net,), x = networks(1), torch.randn(4, 6)
    captured = capture(net, (x,), training=True)
    assert not net.training
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    (output,) = captured.run([net.state_dict()], (x,))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    torch.testing.assert_close(output, net.train()(x))


def test_capturing_keeps_every_module_in_its_mode():
    (net,) = networks(1)
    net.train()
    net.norm.eval()
    capture(net, (torch.randn(4, 6),))
    assert net.training and net.first.training and not net.norm.training


def test_names_are_the_same_at_every_capture():
    x = torch.randn(4, 6)
    first, second = (capture(net, (x,)) for net in networks(2))
    assert [node.name for node in first.nodes] == [node.name for node in second.nodes]


def test_ops_know_their_arguments_by_name_and_who_called_them():
    (net,) = networks(1)
    nodes = {node.name: node for node in capture(net, (torch.randn(4, 6),)).nodes}
    norm = nodes["batch_norm"]
    assert (norm.function, norm.module, norm.shape) == ("batch_norm", "norm", (4, 8))
    assert norm.arguments["training"] is False
    assert norm.arguments["weight"].name == "p_norm_weight" and nodes["p_norm_weight"].key == "norm.weight"
    assert nodes["relu_"].writes == ("view",)
    assert "test_discovery_capture.py" in nodes["view"].line


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return 2 * x


def test_a_graph_that_depends_on_the_data_is_refused_with_the_line(capsys):
    with pytest.raises(NetworkError, match="its graph depends on the data") as caught:
        capture(Branches(), (torch.randn(3),))
    assert "test_discovery_capture.py" in str(caught.value) and "if x.sum() > 0:" in str(caught.value)
    assert capsys.readouterr().err == ""


class Picks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x[x > 0].sum()


def test_a_shape_that_depends_on_the_data_is_refused_with_the_line():
    with pytest.raises(NetworkError, match=r"test_discovery_capture\.py:\d+: its graph depends on the data: .* index"):
        capture(Picks(), (torch.randn(3),))


def test_inputs_of_another_shape_are_refused():
    (net,) = networks(1)
    captured = capture(net, (torch.randn(4, 6),))
    with pytest.raises(NetworkError, match=r"\(4, 6\).*\(5, 6\)"):
        captured.run([net.state_dict()], (torch.randn(5, 6),))
    with pytest.raises(PermaskError, match="nowhere"):
        captured.run([net.state_dict()], (torch.randn(4, 6),), watch=frozenset({"nowhere"}))
    with pytest.raises(NetworkError, match=r"first\.weight"):
        captured.run([{}], (torch.randn(4, 6),))
