"""Masks as sets of kept weights: combined, moved, read from networks and from files."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.masks.scores import magnitude_mask


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    return Mask({name: torch.rand(shape, generator=generator) > 0.6 for name, shape in (("a", (3, 5)), ("b", (7, 2)))})


def network(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers or (nn.Linear(6, 8), nn.Linear(8, 3)))


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_masks_combine_as_the_sets_of_what_they_keep(first, second):
    a, b = drawn(first), drawn(second)
    kept_a, kept_b = ({(n, i) for n, x in m.items() for i in x.flatten().nonzero().flatten().tolist()} for m in (a, b))
    assert (a & b).count == len(kept_a & kept_b)
    assert (a | b).count == len(kept_a | kept_b)
    assert (~a).count == a.size - len(kept_a)
    assert ~(a & b) == ~a | ~b
    assert a & a == a == ~~a


def test_masks_of_other_weights_do_not_combine():
    one, other = Mask({"a": torch.ones(2, 3).bool()}), Mask({"b": torch.ones(2, 3).bool()})
    for combine in (Mask.__and__, Mask.__or__):
        with pytest.raises(NetworkError, match="two masks of the same parameters; a is in one only"):
            combine(one, other)
        with pytest.raises(NetworkError, match=r"same shapes; those of a are \[2, 3\] and \[3, 2\]"):
            combine(one, Mask({"a": torch.ones(3, 2).bool()}))
    with pytest.raises(TypeError):
        one & {"a": torch.ones(2, 3).bool()}


def test_a_combined_mask_is_one_of_its_own():
    a = drawn(0)
    kept, before = a & a, a.count
    kept["a"].zero_()
    assert a.count == before


def test_a_mask_goes_to_a_device():
    assert all(x.device == torch.device("meta") for x in drawn(0).to("meta").values())
    assert drawn(0).to(torch.device("cpu")) == drawn(0)


@pytest.mark.gpu
def test_a_mask_on_a_gpu_combines_with_one_in_main_memory():
    a, b = drawn(0), drawn(1)
    assert (a.to("cuda") & b).to("cpu") == a & b


def test_the_mask_of_a_network_is_where_its_weights_are_zero():
    mask = magnitude_mask(network(), 0.6)
    assert Mask.of(mask.apply_(network())) == mask


@pytest.mark.parametrize("make", [network, lambda: network(nn.Embedding(5, 4, padding_idx=2), nn.Linear(4, 3))])
def test_a_dense_network_has_no_mask(make):
    with pytest.raises(PermaskError, match=r"network is dense.*make a mask by permask\.magnitude_mask") as raised:
        Mask.of(make())
    assert "\n" not in str(raised.value)


def test_a_pruned_embedding_counts_with_the_row_that_stands_for_padding():
    model = network(nn.Embedding(5, 4, padding_idx=-1), nn.Linear(4, 3))
    with torch.no_grad():
        model[0].weight[1, 2] = 0.0
    mask = Mask.of(model)
    assert set(mask) == {"0.weight"} and mask["0.weight"].sum() == 20 - 4 - 1


def test_a_mask_is_read_under_the_names_it_was_written_with(tmp_path):
    mask = Mask({f"module.{name}": kept for name, kept in drawn(0).items()})
    for path in (tmp_path / "mask.safetensors", tmp_path / "mask"):
        mask.save(path)
        assert Mask.load(path) == mask


def test_a_checkpoint_without_a_mask_is_an_error_that_names_the_file(tmp_path):
    torch.save(network().state_dict(), tmp_path / "dense.pt")
    with pytest.raises(PermaskError, match=r"dense\.pt: there is no mask here"):
        Mask.load(tmp_path / "dense.pt")
