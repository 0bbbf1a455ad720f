"""Discover the symmetries of networks of other people's libraries, and write what came out as docs/hugging-face.md.

Run from the root of the repository, with transformers and as many of timm, diffusers and peft as there are:
`python benchmarks/hugging_face.py [NAME ...]`; with names, it prints their rows only. Nothing is downloaded.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from statistics import median

import torch
from measure import machine
from zoo import LEGEND, ROOT, TABLE, cells_of, measure, percent

import permask

PAGE = ROOT / "docs" / "hugging-face.md"

INTRODUCTION = """\
# Models of Hugging Face, timm and diffusers

This page shows what `permask.discover` finds in networks of transformers, timm, diffusers and PEFT. In {most} of
{count} networks, at least 99% of the elements of used parameters can move. For the others, the last column of the long
table names what holds the rest in place. Random permutations of all groups change the outputs by rounding alone: at
most {change} of their spread (column **change**). `benchmarks/hugging_face.py` wrote this page.

| family | networks | movable: lowest | median |
|---|--:|--:|--:|
{families}

## How to read the table

The networks of transformers and diffusers are tiny and have random weights. Those of timm have their full size. PEFT
wraps the tiny BERT of the table. Each network is called as a user would call it, `discover(model, tokenizer(...))`: its
caches stay on, and the inputs are passed as the tokenizer returns them. Of a network with two towers, only
`logits_per_image` counts as an output; of all others, everything that they return. Some encoder–decoders also return
what their encoder computes (`encoder_last_hidden_state`), which holds its units in place; `outputs="logits"` would let
these move. An element cannot move if it is held along all its axes. It is listed under the reason of its first axis. So
where an encoder's output holds the columns of an embedding, its elements are listed under the vocabulary, which holds
the rows.

"""

CHANGE = """\
- **change**: the change of the outputs when all groups are permuted at random, relative to the same spread, as
  `permask.verify` measures it on the network's own code, with three draws of other weights;
"""

AND_THEN = """
[How discovery works](discovery.md#how-much-was-found) explains the common reasons in the last column.

## Every network

"""


def row(name: str) -> str:
    """Measure a network: a line of the table."""
    from support.hugging_face import MODELS
    from support.libraries import LISTED

    if name in MODELS:
        network, inputs, outputs = MODELS[name].make(), MODELS[name].inputs(), MODELS[name].outputs
    else:
        network, outputs = LISTED[name].make(), None
        inputs = LISTED[name].example(network)
    return measure(network, inputs, permask.verify, outputs).row(name)


def main(names: Sequence[str]) -> None:
    """Measure the networks that are named, or all of them, and write the page."""
    from support.hugging_face import MODELS
    from support.libraries import LISTED

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = {name: model.family for name, model in MODELS.items()}
    found |= {name: listed.library for name, listed in LISTED.items() if find_spec(listed.library)}
    row("BertForMaskedLM")
    rows, family = [], ""
    for name in names or found:
        if found[name] != family:
            family = found[name]
            rows.append(f"| **{family}** | | | | | | | | | | | | |")
        rows.append(row(name))
        print(rows[-1], flush=True)
    if not names:
        libraries = ["transformers", *(name for name in ("timm", "diffusers", "peft") if find_spec(name))]
        PAGE.write_text(page(rows, machine("cpu", *libraries)), encoding="utf-8")


def page(rows: Sequence[str], made_with: str) -> str:
    """The page, of the lines of its table."""
    found: dict[str, list[list[str]]] = {}
    for line in rows:
        cells = cells_of(line)
        if cells[1].startswith("**"):
            found[cells[1].strip("*")] = []
        else:
            found[next(reversed(found))].append(cells)
    families = [summary(name, [percent(one[5]) for one in networks]) for name, networks in found.items()]
    every = [one for networks in found.values() for one in networks]
    head = INTRODUCTION.format(
        most=sum(percent(one[5]) >= 99 for one in every),
        count=len(every),
        change=max((one[12] for one in every), key=float),
        families="\n".join(families),
    )
    before = f"{head}{LEGEND}{CHANGE}{TABLE}".replace("\n\n| network", f"\n{AND_THEN}| network")
    return "\n".join([f"{before}{rows[0]}", *rows[1:], "", f"{made_with}.", ""])


def summary(family: str, movable: Sequence[float]) -> str:
    """A line of the short table."""
    return f"| {family} | {len(movable)} | {min(movable):.2f}% | {median(movable):.2f}% |"


if __name__ == "__main__":
    main(sys.argv[1:])
