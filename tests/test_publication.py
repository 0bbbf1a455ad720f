"""What is published comes back as it was, and nothing bad goes out or in."""

import hashlib
import json
import sys

import pytest
import torch
import yaml
from torch import nn

from permask.cli.main import main
from permask.discovery.discover import discover
from permask.errors import NetworkError, PermaskError
from permask.masks.scores import magnitude_mask
from permask.masks.transport import transport
from permask.matching.weights import match_weights
from permask.publication import TAGS, load_published, publish


def mlp(seed, width=8):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))


@pytest.fixture(scope="module")
def parts():
    a, b = mlp(0), mlp(1)
    symmetry = discover(a, (torch.zeros(2, 6),))
    return magnitude_mask(a, 0.5), match_weights(symmetry, a, b), symmetry


def test_everything_comes_back_as_it_was(parts, tmp_path):
    mask, alignment, symmetry = parts
    metadata = {"license": "apache-2.0", "base_model": "me/net", "datasets": ["cifar10"], "tags": ["mine"]}
    files = publish(tmp_path / "out", mask, alignment, title="A ticket", description="From *A*.", metadata=metadata)
    assert [file.name for file in files] == [
        *("README.md", "alignment.json", "mask.safetensors", "permask.json", "symmetry.json")
    ]
    found = load_published(tmp_path / "out")
    assert found.mask == mask
    assert found.symmetry is not None
    assert found.symmetry.hash == symmetry.hash
    assert found.alignment is not None
    assert transport(found.mask, found.alignment) == transport(mask, alignment)
    expected = {"library_name": "permask", **metadata, "tags": [*TAGS, "mine"]}
    assert found.metadata == expected


def test_the_card_says_what_the_mask_keeps(parts, tmp_path):
    mask, *_ = parts
    publish(tmp_path / "out", mask, title="A ticket")
    text = (tmp_path / "out" / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {"library_name": "permask", "tags": list(TAGS)}
    assert body.startswith("\n# A ticket\n")
    assert f"{mask.count} of {mask.size} weights are kept" in body
    kept = int(mask["0.weight"].sum())
    assert f"| `0.weight` | 8×6 | {kept} | {1 - kept / 48:.2%} |" in body
    assert "alignment" not in body
    found = load_published(tmp_path / "out")
    assert (found.symmetry, found.alignment) == (None, None)


def test_a_card_that_people_edit_still_loads(parts, tmp_path):
    publish(tmp_path / "out", parts[0])
    (tmp_path / "out" / "README.md").write_text("---\nlicense: mit\n---\nMine\n")
    assert load_published(tmp_path / "out").metadata == {"license": "mit"}
    (tmp_path / "out" / "README.md").write_text("No metadata")
    assert load_published(tmp_path / "out").metadata == {}
    (tmp_path / "out" / "README.md").unlink()
    with pytest.raises(PermaskError, match=r"README.md: missing from what was published"):
        load_published(tmp_path / "out")


def test_what_cannot_be_published_is_refused_and_leaves_nothing(parts, tmp_path):
    mask, alignment, _ = parts
    other = discover(mlp(0, width=9), (torch.zeros(2, 6),))
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("")
    refused = [
        (full, {}, "expected an empty folder"),
        (full / "file", {}, "expected an empty folder"),
        (full / "file" / "below", {}, "cannot publish there"),
        (tmp_path / "out", {"symmetry": other}, r"mask of 0.weight: expected shape \[9, 6\]"),
        (tmp_path / "out", {"symmetry": other, "alignment": alignment}, "the symmetry that the alignment belongs to"),
        (tmp_path / "out", {"metadata": {"license": "Apache 2"}}, "license: expected an identifier"),
        (tmp_path / "out", {"metadata": {"base_model": "a b"}}, "base_model: expected the name of a repository"),
        (tmp_path / "out", {"metadata": {"datasets": ["x", "../y/z"]}}, "datasets: expected the name"),
        (tmp_path / "out", {"metadata": {"other": object()}}, "metadata: expected text, numbers"),
        (tmp_path / "out", {"title": "two\nlines"}, "expected one line"),
        (tmp_path / "out", {"title": " "}, "expected one line"),
    ]
    for folder, options, message in refused:
        with pytest.raises(PermaskError, match=message):
            publish(folder, mask, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert [path.name for path in full.iterdir()] == ["file"]


def test_files_of_different_networks_are_not_loaded_together(parts, tmp_path):
    mask, alignment, _ = parts
    other = discover(mlp(0, width=9), (torch.zeros(2, 6),))
    for name, save, error, message in [
        ("mask.safetensors", magnitude_mask(mlp(0, width=9), 0.5).save, NetworkError, "expected shape"),
        ("symmetry.json", other.save, PermaskError, "expected the symmetry that the alignment belongs to"),
    ]:
        folder = tmp_path / name
        publish(folder, mask, alignment)
        save(folder / name)
        manifest = json.loads((folder / "permask.json").read_text())
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        (folder / "permask.json").write_text(json.dumps(manifest))
        with pytest.raises(error, match=message):
            load_published(folder)


def test_what_was_altered_is_not_loaded(parts, tmp_path):
    mask, alignment, _ = parts
    folder = tmp_path / "out"
    publish(folder, mask, alignment)
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(good["permask.json"])
    for name, content, message in [
        ("mask.safetensors", good["mask.safetensors"][:-1], "mask.safetensors: not the file that was published"),
        ("alignment.json", good["alignment.json"] + b" ", "alignment.json: not the file"),
        ("symmetry.json", None, "symmetry.json: missing"),
        ("permask.json", None, "expected a folder that `permask publish` wrote"),
        ("permask.json", b"[]", "expected a folder"),
        (
            "permask.json",
            json.dumps(manifest | {"version": 2}).encode(),
            "this permask reads permask-publication version 1",
        ),
        ("permask.json", json.dumps(manifest | {"files": {}}).encode(), "mask.safetensors: not the file"),
        ("README.md", b"---\n[:\n---\n", "its metadata is not YAML"),
    ]:
        path = folder / name
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(PermaskError, match=message):
            load_published(folder)
        path.write_bytes(good[name])
    load_published(folder)
    with pytest.raises(PermaskError, match="expected a folder that"):
        load_published(tmp_path / "missing")


def command(capsys, *arguments):
    sys.argv = ["permask", "publish", *map(str, arguments)]
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code, out, " ".join(err.split())


def test_the_command_publishes_what_files_hold(parts, tmp_path, capsys):
    mask, alignment, _ = parts
    mask.save(tmp_path / "mask.safetensors")
    alignment.save(tmp_path / "alignment.json")
    options = ("--license", "mit", "--dataset", "cifar10", "--tag", "mine", "--title", "Mine", "--json")
    code, out, _ = command(
        capsys,
        tmp_path / "mask.safetensors",
        "--alignment",
        tmp_path / "alignment.json",
        "-o",
        tmp_path / "x",
        *options,
    )
    assert (code, json.loads(out)["folder"]) == (0, str(tmp_path / "x"))
    found = load_published(tmp_path / "x")
    assert found.mask == mask
    assert found.metadata["datasets"] == ["cifar10"]
    assert "mine" in found.metadata["tags"]
    code, _, err = command(capsys, tmp_path / "mask.safetensors", "-o", tmp_path / "x")
    assert code == 2
    assert "expected an empty folder, or none" in err
    code, _, err = command(capsys, tmp_path / "missing.pt", "-o", tmp_path / "y")
    assert code == 2
    assert "missing.pt: no such file" in err
