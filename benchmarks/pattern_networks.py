"""What the search for a pattern's order does on networks of every kind, with random weights: docs/patterns.md.

    python benchmarks/pattern_networks.py [--part networks|widths] [NAME ...]

Needs transformers and timm; nothing is downloaded. Every network of the zoo, ten families of transformers and three
networks of timm are brought into the order that `permask.permute_for_pattern` finds for 2:4, and one layer like
Llama's at several widths. With names, it prints what it finds of these only; without, it writes
docs/results/measured/pattern-networks.json and the tables of the page.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from measure import machine, stopwatch
from patterns import write_tables
from torch import nn

import permask
from permask.cli.devices import exactly
from permask.discovery.verify import changed_by
from permask.patterns.kept import kept_by_layer, together
from permask.patterns.pattern import Pattern, pattern_dims, scores_of

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
RESULTS = ROOT / "docs" / "results" / "measured" / "pattern-networks.json"
PATTERN = Pattern(2, 4)
FAMILIES = {
    "BERT": "BertForMaskedLM",
    "GPT-2": "GPT2LMHeadModel",
    "BLOOM": "BloomForCausalLM",
    "OPT": "OPTForCausalLM",
    "Llama": "LlamaForCausalLM",
    "Qwen 3": "Qwen3ForCausalLM",
    "Gemma 2": "Gemma2ForCausalLM",
    "T5": "T5ForConditionalGeneration",
    "ViT": "ViTForImageClassification",
}
DETR = {"layers": 1, "attention_heads": 4, "ffn_dim": 48}
TIMM = {"mobilenetv2_100": (3, 64, 64), "ghostnet_100": (3, 64, 64), "convnext_atto": (3, 64, 64)}
WIDTHS = (512, 1024, 2048, 4096)
START, END = "<!-- tables: benchmarks/pattern_networks.py -->", "<!-- end of these tables -->"

INTRODUCTION = """
These networks have random weights, so every weight is as likely to matter as any other. In wide layers, an order then
gains little. The table has the share of the magnitude that is kept, in percent: with 2:4 in the order as it is, with
2:4 in the order that was found, and with as many weights anywhere in the same layers. **change** is the change of the
outputs when the order is applied, relative to [their spread](discovery.md#what-the-certificate-says), in float64.
**seconds** is the processor time of the search.

| network | as it is | found | no pattern | change | seconds |
|---|--:|--:|--:|--:|--:|
"""

WIDTH = """
The next table is of a layer like Llama's, with weights from the normal distribution. **seconds** is the time of the
search by the clock, on {threads} cores. **memory** is what the search takes in addition to the weights, as a
multiple of their memory.

| width | hidden units | weights | seconds | of the processor | memory | as it is | found |
|--:|--:|--:|--:|--:|--:|--:|--:|
"""


@dataclass(frozen=True)
class Found:
    """What the search made of a network.

    Attributes:
        before: The share of the magnitude that the pattern keeps in the order as it is.
        after: In the order that was found.
        unstructured: Of as many weights anywhere.
        change: Of the outputs, relative to their spread.
        seconds: Of the processor, for the search.
    """

    before: float
    after: float
    unstructured: float
    change: float
    seconds: float


def found_in(network: nn.Module, inputs: Any) -> Found | None:
    """What is found, or None where no weight has enough inputs."""
    try:
        dims = pattern_dims(network, PATTERN)
    except permask.PermaskError:
        return None
    symmetry = permask.discover(network, inputs)
    with stopwatch() as spent:
        order = permask.permute_for_pattern(symmetry, network, PATTERN)
    kept = together(kept_by_layer(scores_of(network, dims, None), dims, PATTERN, order))
    change = changed_by(order, *exactly(network, inputs))
    return Found(kept.before, kept.after, kept.unstructured, change, spent.processor)


def networks() -> dict[str, Callable[[], tuple[nn.Module, Any]]]:
    """Name to a network and its inputs."""
    from support.hugging_face import MODELS
    from support.invariance import randomise_
    from support.zoo import ZOO

    def of_zoo(name: str) -> tuple[nn.Module, Any]:
        network = ZOO[name].make()
        randomise_(network)
        return network, ZOO[name].inputs()

    def detr() -> tuple[nn.Module, Any]:
        from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

        backbone = ResNetConfig(
            embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], out_features=["stage2"], layer_type="basic"
        )
        sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in DETR.items()}
        config = DetrConfig(backbone_config=backbone, d_model=32, num_queries=5, num_labels=4, **sizes)
        torch.manual_seed(0)
        return DetrForObjectDetection(config).eval(), {"pixel_values": torch.randn(2, 3, 64, 64)}

    def of_timm(name: str) -> tuple[nn.Module, Any]:
        import timm

        network = timm.create_model(name).eval()
        randomise_(network)
        return network, torch.randn(2, *TIMM[name], generator=torch.Generator().manual_seed(0))

    made = {
        f"transformers: {title}": lambda n=name: (MODELS[n].make(), MODELS[n].inputs())
        for title, name in FAMILIES.items()
    }
    made["transformers: DETR"] = detr
    made |= {f"timm: {name}": lambda n=name: of_timm(n) for name in TIMM}
    return made | {name: lambda n=name: of_zoo(n) for name in ZOO}


def of_width(width: int) -> dict[str, float]:
    """Search one layer like Llama's: what it took, and what it found."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": width, "intermediate_size": width * 43 // 16, "num_attention_heads": width // 128}
    with torch.device("meta"):
        network = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=1, vocab_size=256)).eval()
    symmetry = permask.discover(network, {"input_ids": torch.randint(0, 256, (2, 32))})
    network = network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(generator=generator)
    size = sum(weight.nbytes for weight in network.parameters())
    before = peak()
    with stopwatch() as spent:
        order = permask.permute_for_pattern(symmetry, network, PATTERN)
    memory = (peak() - before) / size
    dims = pattern_dims(network, PATTERN)
    kept = together(kept_by_layer(scores_of(network, dims, None), dims, PATTERN, order))
    return {
        "hidden": sizes["intermediate_size"],
        "weights": size // 4,
        "seconds": spent.clock,
        "processor": spent.processor,
        "memory": memory,
        "before": kept.before,
        "after": kept.after,
    }


def peak() -> int:
    """The most bytes that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def page_of(results: dict[str, Any]) -> str:
    """Both tables, each with how it was made."""
    rows = [
        f"| {name} | {100 * one['before']:.2f} | {100 * one['after']:.2f} | {100 * one['unstructured']:.2f} | "
        f"{one['change']:.0e} | {one['seconds']:.1f} |"
        for name, one in results.get("networks", {}).items()
    ]
    widths = [
        f"| {int(width):,} | {one['hidden']:,} | {one['weights']:,} | {one['seconds']:.1f} | {one['processor']:.1f} | "
        f"{one['memory']:.1f} | {100 * one['before']:.2f} | {100 * one['after']:.2f} |"
        for width, one in results.get("widths", {}).items()
    ]
    first = f"{INTRODUCTION}{chr(10).join(rows)}\n\n{results.get('networks with')}."
    second = f"{WIDTH.format(threads=results.get('threads'))}{chr(10).join(widths)}\n\n{results.get('widths with')}."
    return f"{first}\n{second}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="print what is found of these networks or widths only")
    parser.add_argument("--part", choices=("networks", "widths"), help="measure one part, and keep the other")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    made_with = machine("cpu", "transformers", "timm")
    if given.part != "widths":
        results |= {"networks": {}, "networks with": made_with}
        for name, make in networks().items():
            if (not given.names or name in given.names) and (found := found_in(*make())):
                results["networks"][name] = asdict(found)
                print(name, found, flush=True)
    if given.part != "networks":
        results |= {"threads": torch.get_num_threads(), "widths": {}, "widths with": made_with}
        for width in WIDTHS:
            if not given.names or str(width) in given.names:
                # each in a process of its own, as the most that one has held never falls
                with multiprocessing.get_context("spawn").Pool(1) as process:
                    results["widths"][str(width)] = process.apply(of_width, (width,))
                print(width, results["widths"][str(width)], flush=True)
    if not given.names:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_tables(START, END, page_of(results))


if __name__ == "__main__":
    main()
