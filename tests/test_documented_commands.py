"""README and the guides run as a reader meets them: every block of Python and every command, from an empty folder.

Before a page begins, the folder gets what the page supposes that its reader has: checkpoints, data, the files that it
shows. Everything else the blocks have to make themselves, in the order in which they stand.
"""

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.documentation import ROOT, RUN, RUN_WITH_LIBRARIES, blocks, commands
from torch import nn

import permask
from permask.cli.main import main
from permask.shards import INDEX


@dataclass(frozen=True)
class Elsewhere:
    """Where a command runs that does not run here.

    Attributes:
        why: What keeps it from running here.
        test: The file and the name of a test that runs as much of it as it can.
    """

    why: str
    test: str


DEMO = Elsewhere("takes a minute", "test_interruption.py::test_the_demo_killed_at_20_random_moments")
SMOKE = "test_studies.py::test_the_smallest_form_runs"
TRANSFORMERS = Elsewhere(
    "needs transformers and language models",
    "test_cli_merge.py::test_folders_of_transformers_are_merged_and_load_again",
)
ELSEWHERE = {
    "permask demo": DEMO,
    "permask run studies/digits.yaml pairs=10 sparsities=[0.95, 0.99] --store store --jobs 4": Elsewhere(
        "takes minutes", "test_cli_run.py::test_a_study_from_file_to_results"
    ),
    "permask run resnet20x1-cifar10-row data.root=data": Elsewhere("takes hours, and needs CIFAR-10", SMOKE),
    "permask run cifar10-resnet8 --smoke data.root=cifar10-jpeg.tar.xz": Elsewhere(
        "needs an archive of CIFAR-10", SMOKE
    ),
    "permask merge timm:create_model a.safetensors b.safetensors model_name=resnet18 --data images --weights 0.7,0.3": (
        Elsewhere("needs timm", "test_cli_merge.py::test_networks_of_timm_are_merged_and_load_again")
    ),
    "permask merge llama-a/ llama-b/ --data net.py:batches -o llama-merged": TRANSFORMERS,
    "permask merge llama-a/ llama-b/ --by weights --input input_ids=16:int64:32000 -o llama-merged": TRANSFORMERS,
    "permask merge llama-a/ llama-b/ --data net.py:batches --aligned aligned": TRANSFORMERS,
}

NET = """\
import numpy as np
import torch
from torch import nn


def make(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )


make_net = make
"""
Make = Callable[[int], nn.Module]


def written(text: str, name: str) -> Make:
    """The function of that name in `net.py`, which gets this text."""
    Path("net.py").write_text(text, encoding="utf-8")
    return runpy.run_path("net.py")[name]


def save_trained(make: Make, *names: str) -> None:
    for seed, name in enumerate(names):
        torch.save(make(seed).state_dict(), f"{name}.pt")


def save_shards(folder: str, tensors: dict[str, torch.Tensor]) -> None:
    """A folder with a safetensors file for each tensor, and their index."""
    Path(folder).mkdir()
    places = {name: f"{place}.safetensors" for place, name in enumerate(tensors)}
    for name, file in places.items():
        save_file({name: tensors[name]}, Path(folder, file))
    Path(folder, f"model{INDEX}").write_text(json.dumps({"weight_map": places}), encoding="utf-8")


def a_clone() -> None:
    shutil.copytree(ROOT / "studies", "studies")


def three_networks() -> None:
    save_trained(written(NET, "make_net"), "a", "b", "c")
    np.savez("train.npz", inputs=pixels(64))


def two_networks() -> None:
    (own_batches,) = (block.code for block in blocks() if (block.page, block.language) == ("matching", "python"))
    make = written(f"{NET}\n\n{own_batches}", "make")
    save_trained(make, "a", "b")
    for name, count in (("images", 64), ("train", 64), ("test", 300)):
        np.savez(f"{name}.npz", inputs=pixels(count), labels=np.arange(count) % 3)
    mask = permask.magnitude_mask(make(0), 0.5)
    mask.save("mask.safetensors")
    torch.save(mask.apply_(make(0)).state_dict(), "pruned.pt")
    for seed, name in enumerate("ab"):
        save_shards(f"llama-{name}", make(seed).state_dict())
    save_shards("llama-mask", dict(mask))


def three_networks_as_shown() -> None:
    save_trained(runpy.run_path("net.py")["make_net"], "a", "b", "c")
    np.savez("train.npz", inputs=np.random.default_rng(0).normal(size=(64, 6)))


def an_average() -> None:
    torch.save(runpy.run_path("net.py")["make_net"]().state_dict(), "average.pt")


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(count, 32, 32, 3), dtype=np.uint8)


# what a reader of a page has before it begins, in addition to the files that the page shows
GIVEN: dict[str, Callable[[], None]] = {
    "../README": a_clone,
    "index": three_networks,
    "matching": two_networks,
    "merging": three_networks_as_shown,
    "patterns": an_average,
}
# the libraries on that page warn of their own ways
LOOPS = [pytest.param(page, marks=pytest.mark.filterwarnings("ignore")) for page in RUN_WITH_LIBRARIES]


@pytest.mark.parametrize("page", [*RUN, *LOOPS])
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    for library in ("transformers", "accelerate", "lightning") if page in RUN_WITH_LIBRARIES else ():
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "net", raising=False)
    found = [block for block in blocks() if block.page == page]
    assert found
    for block in found:
        if block.title:
            Path(block.title).write_text(block.code, encoding="utf-8")
    GIVEN.get(page, lambda: None)()
    torch.manual_seed(0)
    namespace: dict[str, object] = {"__name__": f"docs_{page}"}
    for block in found:
        if block.language == "python" and not block.title:
            exec(compile(block.code, f"{page}.md", "exec"), namespace)
        elif block.language in ("", "sh"):
            for words in commands(block):
                if words[0] == "permask" and " ".join(words) not in ELSEWHERE:
                    monkeypatch.setattr(sys, "argv", words)
                    with pytest.raises(SystemExit) as ended:
                        main()
                    assert ended.value.code == 0, words
    sys.modules.pop("net", None)


def test_what_runs_elsewhere_is_on_a_page_and_has_its_test():
    found = [block for block in blocks() if block.page in RUN and block.language in ("", "sh")]
    shown = {" ".join(words) for block in found for words in commands(block)}
    assert ELSEWHERE.keys() <= shown
    for elsewhere in ELSEWHERE.values():
        file, name = elsewhere.test.split("::")
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text()
