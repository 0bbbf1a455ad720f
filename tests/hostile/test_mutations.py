"""Files of studies, results, stores and data with anything changed: an error of ours or the right result."""

import contextlib
import shutil
from io import StringIO
from pathlib import Path
from random import Random

import pytest
import yaml
from rich.console import Console

from hostile.mutated import Examples, changed_bytes, changed_json, changed_value, hypothetically
from permask.errors import PermaskError
from permask.report.comparison import compare
from permask.report.terminal import summary
from permask.report.write import write_tables
from permask.study.budget import budgets
from permask.study.engines.cluster import load_cluster
from permask.study.load import open_study
from permask.study.plan import make_plan
from permask.study.results import Results
from permask.study.status import status_of
from permask.study.store import Store
from permask.study.upkeep import export, find_garbage, list_results, verify
from permask.training.data.archive import unpacked

CLUSTER = {
    "steps": {"all": {"cpus": 2, "memory": "8G", "hours": 1.5, "options": ["-p", "x"]}, "dense": {"gpus": 1}},
    "setup": "module load x",
    "address": "auto",
}


def as_yaml(value: object, random: Random) -> bytes:
    """YAML of a changed value, its bytes changed now and then."""
    text = yaml.safe_dump(changed_value(value, random), allow_unicode=random.random() < 0.5)
    content = text.encode("utf-8", "surrogatepass")
    return changed_bytes(content, random) if random.random() < 0.3 else content


@Examples
def test_studies(examples: int, with_study: Path, tmp_path: Path) -> None:
    path, study = tmp_path / "study.yaml", yaml.safe_load((with_study / "study.yaml").read_text())

    def check(random: Random) -> None:
        path.write_bytes(as_yaml(study, random))
        with contextlib.suppress(PermaskError):
            make_plan(open_study(path))

    hypothetically(examples, check)


@Examples
def test_clusters(examples: int, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"

    def check(random: Random) -> None:
        path.write_bytes(as_yaml(CLUSTER, random))
        with contextlib.suppress(PermaskError):
            load_cluster(path)

    hypothetically(examples, check)


@Examples
def test_results(examples: int, with_study: Path, tmp_path: Path) -> None:
    whole = Results.load(with_study / "results" / "results.json")
    content, path = (with_study / "results" / "results.json").read_bytes(), tmp_path / "results.json"
    console = Console(file=StringIO(), markup=False)

    def check(random: Random) -> None:
        path.write_bytes(changed_json(content, random))
        try:
            results = Results.load(path)
            console.print(summary(results))
            write_tables(results, tmp_path)
            compare(whole, results)
        except PermaskError:
            pass

    hypothetically(examples, check)


@Examples
@pytest.mark.parametrize("name", ["manifest.json", "metrics.json"])
def test_stores(examples: int, name: str, with_study: Path, tmp_path: Path) -> None:
    root = shutil.copytree(with_study / "store", tmp_path / "store")
    plan = make_plan(open_study(with_study / "study.yaml"))
    files = sorted(root.glob(f"??/*/{name}"))

    def check(random: Random) -> None:
        path = random.choice(files)
        content = path.read_bytes()
        path.write_bytes(changed_json(content, random))
        try:
            store, key = Store(root, existing=True), path.parent.name
            list_results(store), find_garbage(store), status_of(plan, store), budgets(plan, store)
            same = path.read_bytes() == content
            assert (key in verify(store, [key])) != same
            export(store, [key], Store(tmp_path / "other"))
            assert same
        except PermaskError:
            pass
        finally:
            path.write_bytes(content)
            shutil.rmtree(tmp_path / "other", ignore_errors=True)

    hypothetically(examples, check)


@Examples
def test_tracks_and_notes(examples: int, with_study: Path, tmp_path: Path) -> None:
    root = shutil.copytree(with_study / "store", tmp_path / "store")
    prepared = open_study(with_study / "study.yaml")
    plan = make_plan(prepared)
    step = next(reversed(plan.steps.values()))
    shutil.rmtree(Store(root, existing=True).folder(step.key))
    track = root / "tracks" / step.key[:2] / f"{step.key}.jsonl"
    files = {path: path.read_bytes() for path in (track, root / "store.json", *(root / "machines").glob("*.json"))}

    def check(random: Random) -> None:
        path = random.choice(list(files))
        lines = files[path].splitlines() if path == track else [files[path]]
        path.write_bytes(b"\n".join(changed_json(line, random) for line in lines))
        try:
            store = Store(root, existing=True)
            status_of(plan, store)
            for machines in type(prepared.machines).recorded(store):
                make_plan(prepared.on(machines))
        except PermaskError:
            pass
        finally:
            path.write_bytes(files[path])

    hypothetically(examples, check)


@Examples
@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_archives(examples: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "cache"))
    for place in ("train/a", "test/a"):
        (tmp_path / "data" / place).mkdir(parents=True)
        (tmp_path / "data" / place / "1.png").write_bytes(b"image" * 20)
    content = Path(shutil.make_archive(str(tmp_path / "made"), kind, tmp_path / "data")).read_bytes()
    archive = tmp_path / "archive"
    archive.touch()
    there = set(tmp_path.iterdir())

    def check(random: Random) -> None:
        archive.write_bytes(changed_bytes(content, random))
        try:
            unpacked(archive)
        except PermaskError:
            pass
        finally:
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        assert set(tmp_path.iterdir()) == there

    hypothetically(examples, check)
