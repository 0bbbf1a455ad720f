"""Files that almost are what they should be: whoever reads them gets it right, or raises an error of permask's own."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from hostile.mutate import as_json, bytes_of, values_of, with_header, with_pickle
from permask.cli.data import load_batches
from permask.cli.mask import _summary
from permask.cli.network import check_symmetry
from permask.errors import PermaskError
from permask.mask import Mask
from permask.masks.formats import load_weights, plain_state, read_state
from permask.masks.scores import magnitude_mask
from permask.masks.transport import transport
from permask.matching.alignment import Alignment
from permask.publication import load_published, publish
from permask.seal import CHECKSUM, sealed
from permask.symmetry import Symmetry

Use = Callable[[Path, Path], object]


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


def use_checkpoint(path: Path, valid: Path) -> None:
    state = plain_state(read_state(path))
    found = Alignment.load(valid / "alignment.json")
    found.symmetry.check_shapes({name: tuple(x.shape) for name, x in state.items()})
    found.permutation.permute_tensors(state)
    load_weights(network(), path)
    magnitude_mask({name: x for name, x in state.items() if x.is_floating_point()}, 0.5)


def use_mask(path: Path, valid: Path) -> None:
    mask = Mask.load(path)
    _summary(mask)
    repr(mask)
    transport(mask, Alignment.load(valid / "alignment.json"))


def use_symmetry(path: Path, valid: Path) -> None:
    symmetry = Symmetry.load(path)
    repr(symmetry), symmetry._repr_html_(), symmetry.hash, symmetry.positions, symmetry.freedom
    symmetry.random(0).apply(load_file(valid / "a.safetensors"))
    json.dumps(symmetry.to_json())
    check_symmetry(symmetry, network().eval(), None, str(path))


def use_alignment(path: Path, valid: Path) -> None:
    alignment = Alignment.load(path)
    repr(alignment), alignment._repr_html_()
    transport(Mask.load(valid / "mask.safetensors"), alignment)
    alignment.permutation.inverse().compose(alignment.permutation)


def use_data(path: Path, valid: Path) -> None:
    for batch in load_batches(str(path), 4, network=network()):
        batch.call(network())


def use_published(path: Path, valid: Path) -> None:
    load_published(path.parent)


def resealed(content: object) -> bytes:
    """With the checksum that fits, as somebody would make it who wants to be believed."""
    if isinstance(content, dict) and CHECKSUM in content:
        content = sealed({name: value for name, value in content.items() if name != CHECKSUM})
    return as_json(content)


@pytest.fixture(scope="module")
def valid(with_values, tmp_path_factory) -> Path:
    """The fixtures, with a few kinds of files more."""
    import shutil

    made = Path(shutil.copytree(with_values, tmp_path_factory.mktemp("mutations") / "valid"))
    np.save(made / "data.npy", np.ones((4, 6), np.float32))
    publish(made / "published", Mask.load(made / "mask.safetensors"), Alignment.load(made / "alignment.json"))
    return made


# the file, how it is changed, and what reads it
KINDS: dict[str, tuple[str, Callable[[bytes], st.SearchStrategy[bytes]], Use]] = {
    "bytes of a checkpoint": ("a.safetensors", bytes_of, use_checkpoint),
    "the header of a checkpoint": ("a.safetensors", lambda x: with_header(values_of, x), use_checkpoint),
    "bytes of a checkpoint of torch": ("a.pt", bytes_of, use_checkpoint),
    "the pickle of a checkpoint of torch": ("a.pt", with_pickle, use_checkpoint),
    "bytes of a mask": ("mask.safetensors", bytes_of, use_mask),
    "the header of a mask": ("mask.safetensors", lambda x: with_header(values_of, x), use_mask),
    "bytes of a symmetry": ("symmetry.json", bytes_of, use_symmetry),
    "values of a symmetry": ("symmetry.json", lambda x: values_of(json.loads(x)).map(resealed), use_symmetry),
    "bytes of an alignment": ("alignment.json", bytes_of, use_alignment),
    "values of an alignment": ("alignment.json", lambda x: values_of(json.loads(x)).map(resealed), use_alignment),
    "bytes of an array": ("data.npy", bytes_of, use_data),
    "bytes of arrays": ("data.npz", bytes_of, use_data),
    "bytes of data": ("data.safetensors", bytes_of, use_data),
    "the header of data": ("data.safetensors", lambda x: with_header(values_of, x), use_data),
    "values of a manifest": ("published/permask.json", lambda x: values_of(json.loads(x)).map(as_json), use_published),
    "bytes of a manifest": ("published/permask.json", bytes_of, use_published),
}


def check(kind: str, valid: Path, examples: int) -> None:
    name, change, use = KINDS[kind]
    original = (valid / name).read_bytes()
    path = (valid / name).with_name(f"mutated-{Path(name).name}") if "/" not in name else valid / name

    @settings(max_examples=examples, database=None)
    @given(change(original))
    def is_right_or_refused(content: bytes) -> None:
        path.write_bytes(content)
        try:
            use(path, valid)
        except PermaskError as error:
            assert str(error)

    try:
        is_right_or_refused()
    finally:
        path.write_bytes(original)


@pytest.mark.filterwarnings("ignore")  # of what numpy and torch think of such files
@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_is_read_or_refused(kind, valid) -> None:
    check(kind, valid, 50)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files_are_read_or_refused(kind, valid) -> None:
    check(kind, valid, 2000)
