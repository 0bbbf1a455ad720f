"""Discover the symmetries of Hugging Face's transformers by family, and write what came out as docs/hugging-face.md.

Run from the root of the repository, with transformers installed: `python benchmarks/hugging_face.py [NAME ...]`; with
names, it prints their rows only. Every network is tiny and has random weights; nothing is downloaded.
"""

import sys
import time
import warnings
from collections.abc import Sequence
from types import SimpleNamespace
from unittest import mock

from measure import machine
from zoo import ROOT, reasons

PAGE = ROOT / "docs" / "hugging-face.md"

INTRODUCTION = """# Models of Hugging Face

What `permask.discover` finds in networks of `transformers`, tiny and with random weights. They are passed as users
pass them: `discover(model, tokenizer(...))`, without switching off caches and without unpacking anything. Of the two
towers only `logits_per_image` counts. `benchmarks/hugging_face.py` wrote this page.

- **groups** of interchangeable units, and how many of them lie inside the units of others (heads, convolution groups);
- **movable**: share of the parameter elements in use with an axis along which units move;
- **seconds** of processor time that discovery takes with one thread, in a single run;
- **change** of the outputs by random permutations of all groups, as `permask.verify` measures it, in float64;
- **the rest**: what holds the elements that cannot move, where they are more than 0.1%.

| network | parameters | groups | inside others | movable | seconds | change | the rest |
|---|--:|--:|--:|--:|--:|--:|---|
"""


def row(name: str) -> str:
    """Measure a network: a line of the table."""
    from support.hugging_face import MODELS

    import permask

    network, inputs = MODELS[name].make(), MODELS[name].inputs()
    with mock.patch("permask.discovery.discover.time", SimpleNamespace(perf_counter=time.process_time)):
        symmetry = permask.discover(network, inputs, outputs=MODELS[name].outputs)
    change = permask.verify(symmetry, network, inputs)
    parameters = sum(x.numel() for x in network.parameters())
    inside = sum(group.parent is not None for group in symmetry.groups)
    movable = f"{min(100 * symmetry.movable, 99.99):.2f}%" if symmetry.movable < 1 else "100%"
    rest = "; ".join(reasons(symmetry, network)) if symmetry.movable < 0.999 else ""
    seconds = sum(symmetry.report["seconds"].values())
    return (
        f"| {name} | {parameters:,} | {len(symmetry.groups)} | {inside} | {movable} | {seconds:.1f} | "
        f"{change:.0e} | {rest} |"
    )


def main(names: Sequence[str]) -> None:
    """Measure the networks that are named, or all of them, and write the page."""
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    from support.hugging_face import MODELS

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    row("BertForMaskedLM")
    rows, family = [], ""
    for name in names or MODELS:
        if MODELS[name].family != family:
            family = MODELS[name].family
            rows.append(f"| **{family}** | | | | | | | |")
        rows.append(row(name))
        print(rows[-1], flush=True)
    if not names:
        PAGE.write_text(f"{INTRODUCTION}{chr(10).join(rows)}\n\n{machine('cpu', 'transformers')}.\n")


if __name__ == "__main__":
    main(sys.argv[1:])
