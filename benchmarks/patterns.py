"""What an N:M pattern costs trained networks, by the order of their units: docs/patterns.md.

    python benchmarks/patterns.py STORE --cifar10 ARCHIVE --text FOLDER...

Trains networks of `benchmarks/matcher_pairs.py`, or reads them from the folder STORE if they were trained before, and
prunes them to 2:4: in the order that they have, in random orders and in the order that `permask.permute_for_pattern`
finds; and without a pattern, to the largest weights, as many in every layer. All are then trained for one more epoch at
a tenth of the highest learning rate, on the same images in the same order. `--text` takes weights of networks of
`studies/gpt-text.yaml`. What is done is kept in STORE/patterns.json, so that a run goes on where it was stopped; a run
that is complete writes docs/results/measured/patterns.json and the tables of the page.
"""

import argparse
import copy
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matcher_pairs import BATCH, CASES
from measure import machine
from merging import loss
from torch import Tensor, nn

import permask
from permask.checkpoints import read_state
from permask.masks.scores import keep_largest
from permask.patterns.kept import kept_score
from permask.patterns.pattern import Pattern, pattern_dims, scores_of
from permask.permutation import Permutation
from permask.report.numbers import format_difference
from permask.report.statistics import t_interval
from permask.training.networks import create_network
from permask.training.streams import Streams, stream

ROOT = Path(__file__).parent.parent
PAGE, RESULTS = ROOT / "docs" / "patterns.md", ROOT / "docs" / "results" / "measured" / "patterns.json"
PATTERN = Pattern(2, 4)
SEEDS, RANDOM = range(5), 3
WAYS = {
    "as it is": "in the order as it is",
    "random": "in random orders",
    "found": "in the order that was found",
    "unstructured": "without a pattern",
}
START, END = "<!-- tables: benchmarks/patterns.py -->", "<!-- end of tables -->"


@dataclass(frozen=True)
class Trained:
    """A trained network, what it takes, and how it is judged and trained on.

    Attributes:
        network: In evaluation mode.
        example: Two of its inputs.
        judge: Accuracy in percent, or loss in nats.
        batches: One epoch of inputs and labels, the same in every call.
        optimizer: For one more epoch.
    """

    network: nn.Module
    example: Tensor
    judge: Callable[[nn.Module], float]
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def of_images(name: str, seed: int, store: Path, archive: Path | None) -> Trained:
    """A network of `matcher_pairs`."""
    case = CASES[name]
    data = case.data(archive)
    return Trained(
        case.trained(data, seed, store / "networks"),
        next(data.train.batches(2))[0],
        partial(accuracy, batches=list(data.test.batches(1000))),
        lambda: data.train.epoch(BATCH, Streams(seed).order(case.epochs), Streams(seed).augmentation(case.epochs)),
        lambda weights: torch.optim.SGD(weights, case.learning_rate / 10, 0.9, weight_decay=5e-4, nesterov=True),
    )


def of_text(folder: Path, seed: int) -> Trained:
    """A network of `studies/gpt-text.yaml`."""
    from permask.training.data.text import load_text
    from permask.training.data.text_files import TextFiles

    sizes = {"context": 64, "train_size": 4096, "test_size": 1024, "validation": 0}
    files = {"files": "*", "content": TextFiles.read("", "*").content}
    data = load_text(**files, **sizes, level="character", split_seed=0)
    network = create_network("gpt", (64,), data.classes, stream(0, "initialisation"), layers=2, width=64)
    network.load_state_dict(read_state(folder / "weights.safetensors"))
    tokens, labels = next(data.test.batches(1024))
    return Trained(
        network.eval(),
        tokens[:2],
        partial(loss, tokens=tokens.split(128), labels=labels.split(128)),
        lambda: data.train.epoch(32, Streams(seed).order(12), Streams(seed).augmentation(12)),
        partial(torch.optim.AdamW, lr=1e-4, weight_decay=0.05),
    )


@torch.no_grad()
def accuracy(network: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    """In percent."""
    right = sum((network(images).argmax(-1) == labels).sum().item() for images, labels in batches)
    return 100 * right / sum(len(labels) for _, labels in batches)


def measured(trained: Trained, seed: int) -> dict[str, dict[str, float]]:
    """For every way to prune, the share of the magnitude that is kept, and what the network is worth then."""
    network = trained.network
    symmetry = permask.discover(network, trained.example)
    orders = [symmetry.random(1000 * (seed + 1) + number) for number in range(RANDOM)]
    found = {
        "dense": {"kept": 1.0, "pruned": trained.judge(network)},
        "as it is": under(trained, Permutation((), {})),
        "found": under(trained, permask.permute_for_pattern(symmetry, network, PATTERN)),
    }
    each = [under(trained, order) for order in orders]
    found["random"] = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
    found["unstructured"] = under(trained, None)
    return found


def under(trained: Trained, order: Permutation | None) -> dict[str, float]:
    """A network under the pattern in an order of its units; without an order, under as many weights anywhere."""
    dims = pattern_dims(trained.network, PATTERN)
    scores = scores_of(trained.network, dims, None)
    if order is None:
        counts = permask.pattern_mask(trained.network, PATTERN)
        kept = {name: keep_largest({"": x}, 1 - float(counts[name].float().mean()))[""] for name, x in scores.items()}
        mask = permask.Mask(kept)
        share = sum(float(scores[name][kept].double().sum()) for name, kept in mask.items())
    else:
        # the network as it is, under the mask that fits the pattern in that order: it computes the same
        mask = permask.pattern_mask(order.apply(trained.network), PATTERN).permuted(order.inverse())
        share = sum(kept_score(order.permute_tensor(name, x), dims[name], PATTERN) for name, x in scores.items())
    network = copy.deepcopy(trained.network)
    optimizer = trained.optimizer(network.parameters())
    with permask.hold_mask(network, mask, optimizer):
        pruned = trained.judge(network.eval())
        for inputs, labels in trained.batches():
            optimizer.zero_grad()
            F.cross_entropy(network.train()(inputs).flatten(0, -2), labels.flatten()).backward()
            optimizer.step()
        tuned = trained.judge(network.eval())
    return {"kept": share / sum(float(x.double().sum()) for x in scores.values()), "pruned": pruned, "tuned": tuned}


def jobs(given: argparse.Namespace) -> Iterator[tuple[str, int, Callable[[], Trained]]]:
    """Title of a network, seed, and what makes it."""
    for name, case in CASES.items():
        for seed in SEEDS:
            yield case.title, seed, partial(of_images, name, seed, given.store, given.cifar10)
    for seed, folder in enumerate(given.text):
        yield "GPT, text", seed, partial(of_text, folder, seed)


def page_of(results: dict[str, dict[str, dict[str, dict[str, float]]]], made_with: str) -> str:
    """The tables, and how they were made."""
    return "\n".join([*(table(title, list(by_seed.values())) for title, by_seed in results.items()), f"{made_with}.\n"])


def write_tables(start: str, end: str, tables: str) -> None:
    """Put tables into the page, between two marks."""
    before, _, rest = PAGE.read_text().partition(start)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{start}\n{tables}{end}{after}")


def table(title: str, found: Sequence[dict[str, dict[str, float]]]) -> str:
    """One network: means, differences of pairs with Student's 95% intervals, and the shares of the gap."""
    text = title.startswith("GPT")
    digits = 3 if text else 1
    unit, dense = ("loss in nats", "loss") if text else ("accuracy in %", "accuracy")
    lines = [
        f"**{title}** (n = {len(found)}; {dense} of the dense networks "
        f"{np.mean([one['dense']['pruned'] for one in found]):.{digits}f})\n",
        f"| 2:4 | magnitude kept, % | {unit}, pruned | after one more epoch |\n|---|--:|--:|--:|",
    ]
    for way, said in WAYS.items():
        kept, pruned, tuned = (np.array([one[way][key] for one in found]) for key in ("kept", "pruned", "tuned"))
        shown = (f"{100 * kept.mean():.2f}", *(f"{x.mean():.{digits}f}" for x in (pruned, tuned)))
        lines.append(f"| {said} | {' | '.join(shown)} |")
    for other in ("as it is", "random"):
        cells = []
        for key, scale, places in (("kept", 100, 2), ("pruned", 1, digits), ("tuned", 1, digits)):
            gained = t_interval([scale * (one["found"][key] - one[other][key]) for one in found])
            cells.append(format_difference(gained, places))
        lines.append(f"| found − {other} | {' | '.join(cells)} |")
    closed = []
    for key in ("kept", "pruned"):
        start, reached, end = (
            np.mean([one[way][key] for one in found]) for way in ("as it is", "found", "unstructured")
        )
        closed.append(f"{100 * (reached - start) / (end - start):.0f}%")
    lines.append(f"| (found − as it is) / (without a pattern − as it is) | {' | '.join(closed)} | |\n")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--text", nargs="*", type=Path, default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.store.mkdir(parents=True, exist_ok=True)
    kept = given.store / "patterns.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for title, seed, make in jobs(given):
        by_seed = results.setdefault(title, {})
        if str(seed) not in by_seed:
            by_seed[str(seed)] = measured(make(), seed)
            kept.write_text(json.dumps(results, indent=1))
            print(title, seed, json.dumps(by_seed[str(seed)]), flush=True)
    made_with = machine()
    RESULTS.write_text(json.dumps({"machine": made_with, "networks": results}, indent=1) + "\n")
    write_tables(START, END, page_of(results, made_with))


if __name__ == "__main__":
    main()
