"""Discover the symmetries of networks of other people's libraries, and write what came out as docs/hugging-face.md.

Run from the root of the repository, with transformers and as many of timm, diffusers and peft as there are:
`python benchmarks/hugging_face.py [NAME ...]`; with names, it prints their rows only. Nothing is downloaded.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec

import torch
from measure import machine
from zoo import LEGEND, ROOT, TABLE, measure

import permask

PAGE = ROOT / "docs" / "hugging-face.md"

INTRODUCTION = f"""# Models of Hugging Face, timm and diffusers

What `permask.discover` finds in the networks of other people's libraries. `benchmarks/hugging_face.py` wrote this page.
Those of `transformers` and `diffusers` are tiny and have random weights, those of `timm` are as large as they are, and
PEFT wraps the tiny BERT of the table. They are passed as users pass them: `discover(model, tokenizer(...))`, without
switching off caches and without unpacking anything. Of the two towers only `logits_per_image` counts, of all others
whatever they return: where an encoder–decoder also returns what its encoder computes, `outputs="logits"` would let
that move. [How discovery works](discovery.md#how-much-was-found) says what the reasons in the last column mean.
{LEGEND}
- **change** of the outputs by random permutations of all groups, relative to the same spread, as `permask.verify`
  measures it on the network's own code, with three draws of other weights;{TABLE}"""


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
        PAGE.write_text(f"{INTRODUCTION}{chr(10).join(rows)}\n\n{machine('cpu', *libraries)}.\n")


if __name__ == "__main__":
    main(sys.argv[1:])
