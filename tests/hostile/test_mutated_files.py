"""Files that almost are what they should be: whoever reads them gets it right, or raises an error of permask's own."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from safetensors.torch import load_file

from hostile.mutations import Change, bytes_of, header_of, json_of, lines_of, pickle_of, yaml_of
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
from permask.report.comparison import compare
from permask.report.terminal import summary
from permask.report.write import write_tables
from permask.study.budget import budgets
from permask.study.engines.cluster import load_cluster
from permask.study.load import Prepared, open_study
from permask.study.plan import Plan, make_plan
from permask.study.results import Results
from permask.study.status import status_of
from permask.study.store import Store
from permask.study.upkeep import export, find_garbage, list_results, verify
from permask.symmetry import Symmetry
from permask.training.data.archive import unpacked

CLUSTER = """\
steps:
  all: {cpus: 2, memory: 8G, hours: 1.5, options: [-p, x]}
  dense: {gpus: 1}
setup: module load x
address: auto
"""


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


def use_study(path: Path, valid: Path) -> None:
    make_plan(open_study(path))


def use_cluster(path: Path, valid: Path) -> None:
    load_cluster(path)


def use_results(path: Path, valid: Path) -> None:
    results = Results.load(path)
    Console(file=StringIO(), markup=False).print(summary(results))
    write_tables(results, path.parent)
    compare(Results.load(valid / "whole.json"), results)


@cache
def studied(path: Path) -> tuple[Prepared, Plan]:
    prepared = open_study(path)
    return prepared, make_plan(prepared)


def use_result(path: Path, valid: Path) -> None:
    """Damage is told, and what is damaged is not passed on."""
    store, key, (_, plan) = Store(valid / "store", existing=True), path.parent.name, studied(valid / "whole.yaml")
    same = path.read_bytes() == valid.joinpath("whole-store", path.relative_to(valid / "store")).read_bytes()
    list_results(store), find_garbage(store), status_of(plan, store), budgets(plan, store)
    assert (key in verify(store, [key])) != same
    with TemporaryDirectory() as other:
        export(store, [key], Store(Path(other, "store")))
    assert same


def use_notes(path: Path, valid: Path) -> None:
    """Tracks of a step whose result is not there, records of machines, and what the store says of itself."""
    store, (prepared, plan) = Store(valid / "store", existing=True), studied(valid / "whole.yaml")
    status_of(plan, store)
    for machines in type(prepared.machines).recorded(store):
        make_plan(prepared.on(machines))


def use_archive(path: Path, valid: Path) -> None:
    """Nothing is written but to the cache."""
    there = set(valid.iterdir())
    with TemporaryDirectory() as cached, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERMASK_CACHE", cached)
        try:
            unpacked(path)
        finally:
            assert set(valid.iterdir()) == there


@pytest.fixture(scope="module")
def valid(with_values, with_study, tmp_path_factory) -> Path:
    """One of every kind of file."""
    made = Path(shutil.copytree(with_values, tmp_path_factory.mktemp("mutations") / "valid"))
    shutil.copytree(with_study, made, dirs_exist_ok=True)
    np.save(made / "data.npy", np.ones((4, 6), np.float32))
    publish(made / "published", Mask.load(made / "mask.safetensors"), Alignment.load(made / "alignment.json"))
    shutil.copy(made / "study.yaml", made / "whole.yaml")
    shutil.copy(made / "results" / "results.json", made / "whole.json")
    (made / "cluster.yaml").write_text(CLUSTER)
    last = next(reversed(studied(made / "whole.yaml")[1].steps))
    shutil.rmtree(Store(made / "store").folder(last))
    for track in (made / "store" / "tracks").glob("*/*.jsonl"):
        track.unlink() if track.stem != last else None
    shutil.copytree(made / "store", made / "whole-store")
    for place in ("train/a", "test/a"):
        (made / "images" / place).mkdir(parents=True)
        (made / "images" / place / "1.png").write_bytes(b"image" * 20)
    for kind in ("zip", "tar", "gztar"):
        shutil.make_archive(str(made / f"images-{kind}"), kind, made / "images")
    return made


# which files, how one of them is changed, and what reads it
KINDS: dict[str, tuple[str, Change, Callable[[Path, Path], object]]] = {
    "bytes of a checkpoint": ("a.safetensors", bytes_of, use_checkpoint),
    "the header of a checkpoint": ("a.safetensors", header_of, use_checkpoint),
    "bytes of a checkpoint of torch": ("a.pt", bytes_of, use_checkpoint),
    "the pickle of a checkpoint of torch": ("a.pt", pickle_of, use_checkpoint),
    "bytes of a mask": ("mask.safetensors", bytes_of, use_mask),
    "the header of a mask": ("mask.safetensors", header_of, use_mask),
    "bytes of a symmetry": ("symmetry.json", bytes_of, use_symmetry),
    "values of a symmetry": ("symmetry.json", json_of, use_symmetry),
    "bytes of an alignment": ("alignment.json", bytes_of, use_alignment),
    "values of an alignment": ("alignment.json", json_of, use_alignment),
    "bytes of an array": ("data.npy", bytes_of, use_data),
    "bytes of arrays": ("data.npz", bytes_of, use_data),
    "bytes of data": ("data.safetensors", bytes_of, use_data),
    "the header of data": ("data.safetensors", header_of, use_data),
    "bytes of what is published": ("published/permask.json", bytes_of, use_published),
    "values of what is published": ("published/permask.json", json_of, use_published),
    "bytes of a study": ("study.yaml", bytes_of, use_study),
    "values of a study": ("study.yaml", yaml_of, use_study),
    "bytes of a cluster": ("cluster.yaml", bytes_of, use_cluster),
    "values of a cluster": ("cluster.yaml", yaml_of, use_cluster),
    "bytes of results": ("results/results.json", bytes_of, use_results),
    "values of results": ("results/results.json", json_of, use_results),
    "bytes of a manifest": ("store/??/*/manifest.json", bytes_of, use_result),
    "values of a manifest": ("store/??/*/manifest.json", json_of, use_result),
    "bytes of a result": ("store/??/*/*", bytes_of, use_result),
    "values of metrics": ("store/??/*/metrics.json", json_of, use_result),
    "lines of a track": ("store/tracks/*/*.jsonl", lines_of, use_notes),
    "the version of a store": ("store/store.json", lambda x: json_of(x) | bytes_of(x), use_notes),
    "a record of machines": ("store/machines/*.json", lambda x: json_of(x) | bytes_of(x), use_notes),
    "bytes of a zip": ("images-zip.zip", bytes_of, use_archive),
    "bytes of a tar": ("images-tar.tar", bytes_of, use_archive),
    "bytes of a compressed tar": ("images-gztar.tar.gz", bytes_of, use_archive),
}


@pytest.mark.filterwarnings("ignore")  # of what numpy and torch think of such files
@pytest.mark.parametrize("examples", [15, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_is_read_or_refused(kind, examples, valid) -> None:
    pattern, change, use = KINDS[kind]
    whole = {path: path.read_bytes() for path in sorted(valid.glob(pattern)) if path.stat().st_size}
    changed = st.sampled_from(list(whole)).flatmap(lambda path: st.tuples(st.just(path), change(whole[path])))

    @settings(max_examples=examples, database=None)
    @given(changed)
    def is_right_or_refused(changed: tuple[Path, bytes]) -> None:
        path, content = changed
        path.write_bytes(content)
        try:
            use(path, valid)
        except PermaskError as error:
            assert str(error)
        finally:
            path.write_bytes(whole[path])

    is_right_or_refused()
