"""Inputs in every form in which people hold them, to discovery, verification and matching."""

from collections import UserDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import permask
from permask.errors import DataError, NetworkError
from permask.inputs import Inputs

X, MASK, LABELS = torch.randn(4, 6), torch.ones(4, 6), torch.arange(4)


class OneOrTwo(nn.Module):
    """Takes an optional mask and labels, as models of language libraries do, and returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.other = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: float = 1.0) -> dict[str, Any]:
        hidden = torch.relu(self.first(x if mask is None else x * mask)) * scale
        return {"logits": self.second(hidden), "inside": (self.other(hidden), hidden), "cache": None}


class OneDict(nn.Module):
    """Takes a whole batch as its only argument."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.net(batch["x"])


def taken(given: Any, model: nn.Module | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    inputs = Inputs.of(model or OneOrTwo(), given)
    return inputs.args, dict(inputs.kwargs)


@pytest.mark.parametrize(
    ("given", "args", "kwargs"),
    [
        pytest.param(X, (X,), {}, id="tensor"),
        pytest.param((X,), (X,), {}, id="tuple"),
        pytest.param((X, MASK), (X, MASK), {}, id="tuple of all arguments"),
        pytest.param({"mask": MASK, "x": X}, (), {"mask": MASK, "x": X}, id="dict"),
        pytest.param(UserDict({"x": X, "mask": None}), (), {"x": X, "mask": None}, id="mapping of a tokenizer"),
        pytest.param({"x": X, "labels": LABELS, "scale": 2.0}, (), {"x": X, "scale": 2.0}, id="dict with labels"),
        pytest.param([X, LABELS], (X,), {}, id="batch with labels"),
        pytest.param([X, MASK], (X, MASK), {}, id="batch of two inputs"),
        pytest.param([X, MASK, LABELS], (X, MASK), {}, id="batch of two inputs and labels"),
        pytest.param([(X, MASK), LABELS], (X, MASK), {}, id="nested batch"),
        pytest.param([{"x": X}, LABELS], (), {"x": X}, id="batch of a dict and labels"),
        pytest.param((X, None), (X, None), {}, id="an argument that is None"),
    ],
)
def test_every_form_becomes_arguments(given: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    got_args, got_kwargs = taken(given)
    assert len(got_args) == len(args) and all(a is b for a, b in zip(got_args, args, strict=True))
    assert got_kwargs.keys() == kwargs.keys() and all(got_kwargs[name] is kwargs[name] for name in kwargs)


def test_a_dict_is_the_argument_itself_where_the_network_takes_one() -> None:
    batch = {"x": X, "y": LABELS}
    assert taken(batch, OneDict()) == ((batch,), {})


@pytest.mark.parametrize("given", [7, None, "text", [], {}, {"labels": LABELS}, [None], object()])
def test_what_is_no_input_is_refused_in_one_sentence(given: Any) -> None:
    with pytest.raises(DataError, match="expected a tensor, a tuple of tensors, a dict of keyword arguments") as told:
        Inputs.of(OneOrTwo(), given)
    assert "\n" not in str(told.value)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(DataError, match=r"for forward\(x, mask, scale\), got mask=float32 \[4, 6\]: missing .* 'x'"):
        permask.discover(OneOrTwo(), {"mask": MASK})


FORMS = [X, (X,), {"x": X}, {"mask": MASK, "x": X}, [X, LABELS], [{"x": X, "scale": 0.5}, LABELS]]


@pytest.mark.parametrize("given", FORMS)
def test_discover_and_verify_take_every_form(given: Any) -> None:
    model = OneOrTwo()
    symmetry = permask.discover(model, given, outputs="logits")
    assert [group.size for group in symmetry.groups] == [8]
    assert permask.verify(symmetry, model, given) < 1e-12


def test_matchers_take_a_data_loader_as_it_is() -> None:
    source, loader = OneOrTwo(), DataLoader(TensorDataset(torch.randn(40, 6), torch.arange(40)), batch_size=16)
    symmetry = permask.discover(source, next(iter(loader)), outputs=["logits"])
    planted = symmetry.random(3)
    target = planted.apply(source)
    found = permask.match_activations(symmetry, source, target, loader)
    assert found.permutation.index["first"].tolist() == planted.index["first"].tolist()
    _, back = permask.match_many(symmetry, [source, target], loader)
    torch.testing.assert_close(back.permutation.apply(target).first.weight, source.first.weight)


def test_batchnorm_statistics_and_repair_take_one_too() -> None:
    loader = DataLoader(TensorDataset(torch.randn(40, 6), torch.arange(40)), batch_size=20)
    networks = [nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(3)]
    by_loader = permask.reset_batchnorm(networks[0], loader)[1].running_mean.clone()
    by_tensors = permask.reset_batchnorm(networks[0], [x for x, _ in loader])[1].running_mean
    assert torch.equal(by_loader, by_tensors)
    permask.repair(networks[0], networks[1], networks[2], loader)


def test_outputs_that_count_by_name_and_by_place() -> None:
    model = OneOrTwo()
    whole = permask.discover(model, X)
    assert whole.groups == ()  # one of the outputs shows the hidden units
    assert whole.report["outputs"] == ["logits", "inside.0", "inside.1"]
    (reason,) = {pin.reason for pin in whole.pinned if pin.parameter == "first.bias"}
    assert reason == "output inside.1 of the network"
    for outputs in ("logits", 0, ["logits", "inside.0"], ("inside.0",)):
        symmetry = permask.discover(model, X, outputs=outputs)
        assert [group.size for group in symmetry.groups] == [8]
        assert permask.verify(symmetry, model, X) < 1e-12
    assert set(permask.discover(model, X, outputs="logits").report["unused"]) == {"other.weight", "other.bias"}


@pytest.mark.parametrize("outputs", ["logit", 3, -4, ["logits", "x"], []])
def test_outputs_that_there_are_not(outputs: Any) -> None:
    with pytest.raises(NetworkError, match=r"no output|at least one output"):
        permask.discover(OneOrTwo(), X, outputs=outputs)


class Dropped(OneOrTwo):
    """Computes something that it does not return."""

    def forward(self, x: Tensor) -> Tensor:
        self.other(torch.relu(x @ x.mT @ torch.ones(4, 8)))
        return self.second(torch.relu(self.first(x)))


def test_what_is_computed_and_not_returned_is_unused() -> None:
    symmetry = permask.discover(Dropped(), X)
    assert symmetry.report["unused"] == ["other.bias", "other.weight"] and symmetry.report["unseen"] == []


class Writes(nn.Module):
    """One output is written into after it was computed, the other has nothing to do with it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.first(x)
        logits = self.second(hidden.relu())
        kept = logits.clone()
        kept[:, 0] = 1.0
        return kept, hidden


def test_what_is_written_in_place_belongs_to_the_output_that_it_changes() -> None:
    model = Writes()
    symmetry = permask.discover(model, X, outputs=0)
    assert [group.size for group in symmetry.groups] == [8]
    assert permask.verify(symmetry, model, X) < 1e-12
    from permask.discovery.capture import capture

    program = capture(model, X, outputs=0)
    (kept,) = program.run([model.state_dict()], [X])
    torch.testing.assert_close(kept, model(X)[0], rtol=0, atol=0)
