"""Measure memory and time of discovery on large and small networks, and write what came out as docs/large-models.md.

Run from the root of the repository on Linux, with torchvision and transformers installed, on a machine that does little
else: `python benchmarks/large.py [NAME ...]`; with names, it prints their rows only. Nothing is downloaded: weights are
random. Every row is measured in a process of its own.
"""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import machine, seconds, take_turns, with_interval
from torch import nn

import permask
from permask.training.networks import NETWORKS as SMALL

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "large-models.md"
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

INTRODUCTION = """# Large networks

This page shows how much memory and time `permask.discover` takes on large networks with random weights. With a full
certificate it took at most {ratio:.2f} times the memory of the parameters, in addition to the network. With the other
certificates, and on networks without weights, it took less. Each row is a single run. `benchmarks/large.py` wrote this
page.

- **certificate**: `full` tries the symmetry on the network itself, `narrow` on a copy with at most 8 units in every
  group, and `off` tries nothing ([what that means](discovery.md#large-networks)). Networks with `meta` in their name
  are made without weights;
- **peak**: the largest resident memory during `discover`, less that of the process just before. **× parameters** is the
  peak as a multiple of the memory of the parameters in float32;
- **seconds**: processor time with one thread. **export** is the part of `torch.export` in it;
- **error**: the largest change of an output when all groups are permuted, relative to its spread.

| network | parameters | groups | movable | certificate | peak | × parameters | seconds | export | error |
|---|--:|--:|--:|---|--:|--:|--:|--:|--:|
"""

SMALL_ONES = """
Inputs are two images of 224 × 224 pixels, or two sequences of 32 tokens. The peak is read as `VmHWM` of Linux, which is
reset just before `discover`; by then the modules of torch that discovery needs are loaded.

## Small networks

The table compares discovery with `torch.export` alone, on the networks of the [studies](studies.md): seconds of
processor time with one thread, for two images. A **first call** is made in a new process that has imported torch and
permask. Most of it is what torch loads for its first export. **Later calls** of export and discover take turns in one
process, n = {rounds} times each. The table has their medians, and the median ratio of two calls in a row with its 95%
bootstrap interval.

| network | parameters | first call: export | discover | later calls: export | discover | discover / export |
|---|--:|--:|--:|--:|--:|--:|
"""
ROUNDS = 20
SHAPES = {"mlp": (1, 28, 28), "cnn": (3, 32, 32), "resnet20": (3, 32, 32)}  # of the inputs of small networks


@dataclass(frozen=True)
class Large:
    """A network to measure.

    Attributes:
        make: Makes it.
        images: Whether it takes images, or else tokens.
        meta: Whether it is made on the meta device.
        certificates: Those that are measured.
    """

    make: Callable[[], nn.Module]
    images: bool = False
    meta: bool = False
    certificates: Sequence[str] = ("off", "full", "narrow")


def vision(name: str) -> Callable[[], nn.Module]:
    """A network of torchvision."""

    def make() -> nn.Module:
        import torchvision

        return getattr(torchvision.models, name)()

    return make


def language(kind: str, **settings: int) -> Callable[[], nn.Module]:
    """A network of transformers, from its configuration; in float32."""

    def make() -> nn.Module:
        import transformers

        model = getattr(transformers, kind)
        return model(model.config_class(**settings))

    return make


LLAMA = {"num_attention_heads": 32, "vocab_size": 32000}
BILLION = LLAMA | {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_key_value_heads": 4}
SEVEN = LLAMA | {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
NETWORKS = {
    "vit_b_16": Large(vision("vit_b_16"), images=True),
    "vit_l_16": Large(vision("vit_l_16"), images=True),
    "bert-base": Large(language("BertForMaskedLM")),
    "gpt2-medium": Large(language("GPT2LMHeadModel", n_embd=1024, n_layer=24, n_head=16)),
    "llama-1b": Large(language("LlamaForCausalLM", **BILLION)),
    "llama-1b, meta": Large(language("LlamaForCausalLM", **BILLION), meta=True, certificates=("off", "narrow")),
    "llama-7b, meta": Large(language("LlamaForCausalLM", **SEVEN), meta=True, certificates=("off", "narrow")),
}


def row(name: str, certificate: str) -> str:
    """Measure a network in this process: a line of the table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    large = NETWORKS[name]
    # what torch loads for its first export
    permask.discover(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(2, 8))
    with torch.device("meta" if large.meta else "cpu"):
        network = large.make().eval()
    inputs: Any = torch.randn(2, 3, 224, 224) if large.images else {"input_ids": torch.randint(0, 1000, (2, 32))}
    size = sum(x.numel() for x in network.parameters())
    before = resident("VmRSS")
    RESET.write_text("5", encoding="utf-8")
    started = time.process_time()
    symmetry = permask.discover(network, inputs, certify=certificate)
    seconds, peak = time.process_time() - started, resident("VmHWM") - before
    assert symmetry.report["certificate"] == certificate and not symmetry.report["failed"]
    error = symmetry.report["error"]
    capturing = seconds_of_export(network, inputs)
    movable, spent = f"{100 * symmetry.movable:.1f}%", f"{seconds:.1f} | {capturing:.1f}"
    memory = f"{peak / 1e9:.2f} GB | {peak / (4 * size):.2f}"
    shown = "" if error is None else f"{error:.0e}"
    return f"| {name} | {size:,} | {len(symmetry.groups)} | {movable} | {certificate} | {memory} | {spent} | {shown} |"


def resident(which: str) -> int:
    """Bytes of resident memory: `VmRSS` now, `VmHWM` at most."""
    return (
        next(int(line.split()[1]) for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(which))
        * 1024
    )


def seconds_of_export(network: nn.Module, inputs: Any) -> float:
    """What capturing the network takes, of which nearly all is `torch.export`."""
    from permask.discovery.capture import capture

    started = time.process_time()
    capture(network, inputs)
    return time.process_time() - started


def small_row(name: str) -> str:
    """Measure a small network beside `torch.export` of it: a line of the table."""
    network, ways = small(name)
    first = [process("--first", name, way) for way in ways]
    times = take_turns({way: partial(seconds, time.process_time, call) for way, call in ways.items()}, ROUNDS)
    medians = [f"{np.median(times[way]):.3f}" for way in ways]
    size = sum(x.numel() for x in network.parameters())
    ratio = with_interval(times["discover"] / times["export"], "{:.2f}".format)
    return f"| {name} | {size:,} | {' | '.join([*first, *medians])} | {ratio} |"


def small(name: str) -> tuple[nn.Module, dict[str, Callable[[], object]]]:
    """A small network, and what is done to it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, inputs = SMALL[name](SHAPES[name], 10).eval(), torch.randn(2, *SHAPES[name])

    def export() -> object:
        with torch.no_grad():
            return torch.export.export(network, (inputs,), strict=False)

    return network, {"export": export, "discover": lambda: permask.discover(network, inputs)}


def process(*arguments: str) -> str:
    """The last line that this script prints in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def main(names: Sequence[str]) -> None:
    """Measure the networks that are named, or all of them, and write the page."""
    tables: dict[str, list[str]] = {"--one": [], "--small": []}
    for name in names or [*NETWORKS, *SHAPES]:
        kind = "--one" if name in NETWORKS else "--small"
        for options in [(certificate,) for certificate in NETWORKS[name].certificates] if name in NETWORKS else [()]:
            tables[kind].append(process(kind, name, *options))
            print(tables[kind][-1], flush=True)
    torch.set_num_threads(1)
    if not names:
        made_with = machine("cpu", "torchvision", "transformers")
        PAGE.write_text(page(*tables.values(), made_with), encoding="utf-8")


def page(large: Sequence[str], small_ones: Sequence[str], made_with: str) -> str:
    """The page, of the lines of both tables."""
    ratio = max(float(line.split("|")[7]) for line in large if "| full |" in line)
    first, second = INTRODUCTION.format(ratio=ratio), SMALL_ONES.format(rounds=ROUNDS)
    return "\n".join([first + "\n".join(large), second + "\n".join(small_ones), "", f"{made_with}.", ""])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--one", name, certificate]:
            print(row(name, certificate))
        case ["--small", name]:
            print(small_row(name))
        case ["--first", name, way]:
            print(f"{seconds(time.process_time, small(name)[1][way]):.2f}")
        case names:
            main(names)
