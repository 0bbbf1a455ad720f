"""What masks keep of every layer, how far they suit network B, and what networks cost under them."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from permask.report.numbers import MISSING, percent, short
from permask.report.plot import Dots, Marks, Plot
from permask.report.rows import plot_rows
from permask.report.statistics import Summary, summarise, summarise_known
from permask.report.style import BEFORE_AND_AFTER, METHOD_STYLES, Style
from permask.report.table import Cell, Table, TableRow
from permask.study.steps.mask import Layer, MeasuredMask

_, AFTER = BEFORE_AND_AFTER
CHANCE = "by chance"
OVERLAP = {**BEFORE_AND_AFTER, CHANCE: METHOD_STYLES["random"]}
# sparsities, from light to dark
SHADES = [Style(*look, "-") for look in (("#9ecae1", "o"), ("#4a98c9", "s"), ("#1764ab", "^"), ("#08306b", "D"))]

Masks = Sequence[MeasuredMask]
Share = Callable[[Layer], float | None]


def by_sparsity(masks: Masks) -> dict[float, list[MeasuredMask]]:
    """The masks of every sparsity, ascending."""
    found: defaultdict[float, list[MeasuredMask]] = defaultdict(list)
    for mask in masks:
        found[mask.sparsity].append(replace(mask, layers=_in_network_order(mask.layers)))
    return dict(sorted(found.items()))


def _in_network_order(layers: list[Layer]) -> list[Layer]:
    """Layers as the network has them; older results have them by name, `14.weight` before `4.weight`."""
    names = [layer["layer"] for layer in layers]
    if names != sorted(names):
        return layers

    def numbered(layer: Layer) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", layer["layer"])
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]

    return sorted(layers, key=numbered)


def overlap(name: str) -> Share:
    """Share of what a layer's mask keeps that is among B's largest weights, in percent; None where nothing is kept."""

    def share(layer: Layer) -> float | None:
        both = layer.get("kept_by_both_permuted") if name == AFTER else layer["kept_by_both"]
        if not layer["kept"] or both is None:
            return None
        return 100 * layer["kept"] / layer["size"] if name == CHANCE else 100 * both / layer["kept"]

    return share


def layer_sparsity(layer: Layer) -> float:
    """In percent."""
    return 100 * (1 - layer["kept"] / layer["size"])


def by_layer(masks: Masks, share: Share) -> dict[str, Summary | None]:
    """Layer to a share over masks of one sparsity."""
    found: defaultdict[str, list[float | None]] = defaultdict(list)
    for mask in masks:
        for layer in mask.layers:
            found[layer["layer"]].append(share(layer))
    return {layer: summarise_known(shares) for layer, shares in found.items()}


def plots(masks: Masks) -> list[Plot]:
    """Sparsity layer by layer, for four sparsities at most, and at the highest one how far masks suit B."""
    found = by_sparsity(masks)
    step = max(1.0, (len(found) - 1) / (len(SHADES) - 1))
    shown = [list(found)[round(i * step)] for i in range(min(len(SHADES), len(found)))]
    looks = dict(zip(map(percent, shown), SHADES[-len(shown) :], strict=True))
    highest = shown[-1]
    sparsities = {percent(s): by_layer(found[s], layer_sparsity) for s in shown}
    overlaps = {name: by_layer(found[highest], overlap(name)) for name in OVERLAP}
    what = "Sparsity of every layer under A's mask, by sparsity of all pruned layers together."
    suits = (
        f"A's mask keeps k weights of a layer at sparsity {percent(highest)}. Shown is which share of them is also "
        "among the k largest weights of that layer in dense B: before permuting the mask, after it, and for a mask "
        "with random positions (by chance)."
    )
    return [
        plot_rows("layer_sparsity", what, _dots("sparsity of the layer (%)", sparsities, looks)),
        plot_rows("mask_overlap", suits, _dots("kept weights that are among B's largest (%)", overlaps, OVERLAP)),
    ]


def _dots(title: str, shares: Mapping[str, Mapping[str, Summary | None]], looks: Mapping[str, Style]) -> Dots:
    layers = list(next(iter(shares.values())))
    return Dots(
        title, layers, [Marks(name, list(row.values()), [looks[name]] * len(row)) for name, row in shares.items()]
    )


def layer_tables(masks: Masks) -> list[Table]:
    """For every sparsity a row per layer; a column of which nothing is known is left out."""
    tables = []
    for sparsity, found in by_sparsity(masks).items():
        shares = {"sparsity (%)": by_layer(found, layer_sparsity)}
        shares |= {f"{name} (%)": by_layer(found, overlap(name)) for name in OVERLAP}
        shares = {name: share for name, share in shares.items() if any(share.values())}
        rows = [
            TableRow(name, [Cell(f"{layer['size']:,}"), *(Cell.of(share[name]) for share in shares.values())])
            for layer in found[0].layers
            for name in [layer["layer"]]
        ]
        over = f"mean ± standard deviation over n = {len(found)} pairs" if len(found) > 1 else "one pair"
        caption = (
            "the share of every layer that A's mask prunes; and, of the k weights that it keeps there, the share that "
            "is also among dense B's k largest weights of the layer: before permuting, after permuting, and for a mask "
            f"with random positions (by chance); {over}."
        )
        tables.append(Table(caption, ["layer", "weights", *shares], [rows], f"Sparsity {percent(sparsity)}"))
    return tables


def size_table(masks: Masks, network_sparsity: dict[float, float]) -> Table:
    """A row per sparsity: what the network costs under the mask, and which share of the dense network's cost that is.

    Args:
        masks: Of the results.
        network_sparsity: Sparsity of the pruned scope to that of the whole network.
    """
    found = by_sparsity(masks)
    dense = next(iter(found.values()))[0].dense
    keys: tuple[Literal["parameters", "bytes", "flops"], ...] = ("parameters", "bytes", "flops")
    rows = [TableRow("dense", [Cell("0.0%"), *(Cell(short(dense[key])) for key in keys)])]
    for sparsity, masks_there in found.items():
        cells = []
        for key in keys:
            summary = summarise([mask.sparse[key] for mask in masks_there])
            share = f" ({100 * summary.mean / dense[key]:.1f}%)" if dense[key] else ""
            cells.append(Cell(f"{short(summary.mean)}{share}", value=summary))
        of_all = network_sparsity.get(sparsity)
        rows.append(TableRow(percent(sparsity), [Cell(MISSING if of_all is None else f"{100 * of_all:.1f}%"), *cells]))
    caption = (
        "what the network costs: parameters that are not pruned, bytes (kept values, and a bitmap of what may be "
        "pruned), and floating-point operations of a forward pass over one image where every zero is skipped, with "
        "the share of the dense network's; mean over pairs."
    )
    return Table(caption, ["sparsity of the pruned layers", "of all weights", "parameters", "bytes", "FLOPs"], [rows])
