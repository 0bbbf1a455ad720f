"""What masks keep of every layer, how far they suit network B, and what networks cost under them."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from permask.report.plot import Marks, Plot, Rows
from permask.report.rows import lay_out_rows
from permask.report.sheet import Cell, Sheet
from permask.report.statistics import Summary, summarise
from permask.report.style import METHOD_STYLES, Style
from permask.report.tables import MISSING, percent
from permask.study.steps.mask import Layer, MeasuredMask

BEFORE, AFTER, CHANCE = "before permuting", "after permuting", "by chance"
OVERLAP = {
    BEFORE: METHOD_STYLES["naive"],
    AFTER: METHOD_STYLES["permuted"],
    CHANCE: METHOD_STYLES["random"],
}
# sparsities, from light to dark
SHADES = (
    Style("#9ecae1", "o", "-"),
    Style("#4a98c9", "s", "-"),
    Style("#1764ab", "^", "-"),
    Style("#08306b", "D", "-"),
)
UNITS = ("", "k", "M", "G", "T", "P")

Masks = Sequence[MeasuredMask]
Share = Callable[[Layer], float | None]


def by_sparsity(masks: Masks) -> dict[float, list[MeasuredMask]]:
    """The masks of every sparsity, ascending."""
    found: defaultdict[float, list[MeasuredMask]] = defaultdict(list)
    for mask in masks:
        found[mask.sparsity].append(mask)
    return dict(sorted(found.items()))


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
    found: defaultdict[str, list[float]] = defaultdict(list)
    for mask in masks:
        for layer in mask.layers:
            value = share(layer)
            found[layer["layer"]] += [] if value is None else [value]
    return {layer: summarise(values) if values else None for layer, values in found.items()}


def plots(masks: Masks) -> list[Plot]:
    """Sparsity layer by layer, for four sparsities at most, and at the highest one how far masks suit B."""
    found = by_sparsity(masks)
    step = max(1.0, (len(found) - 1) / (len(SHADES) - 1))
    shown = [list(found)[round(i * step)] for i in range(min(len(SHADES), len(found)))]
    looks = dict(zip(map(percent, shown), SHADES[-len(shown) :], strict=True))
    highest = shown[-1]
    n = max(map(len, found.values()))
    bars = f"Marks: mean; bars: ± one standard deviation over n = {n} pairs." if n > 1 else "One pair of networks."
    sparsities = {percent(s): by_layer(found[s], layer_sparsity) for s in shown}
    overlaps = {name: by_layer(found[highest], overlap(name)) for name in OVERLAP}
    layers = list(next(iter(sparsities.values())))

    def plot(name: str, caption: str, found: dict[str, dict[str, Summary | None]], looks: dict[str, Style], title: str):
        marks = [Marks(name, list(row.values()), [looks[name]] * len(row)) for name, row in found.items()]
        rows = Rows(title, layers, marks)
        return Plot(name, f"{caption} {bars}", lay_out_rows(rows, bars), [rows])

    what = "Sparsity of every layer under A's mask, by sparsity of all pruned layers together."
    suits = "kept weights that are among B's largest (%)"
    return [
        plot("layer_sparsity", what, sparsities, looks, "sparsity of the layer (%)"),
        plot("mask_overlap", _overlap_caption(highest), overlaps, OVERLAP, suits),
    ]


def _overlap_caption(sparsity: float) -> str:
    return (
        f"How many of the weights that A's mask keeps at sparsity {percent(sparsity)} are among those of dense B that "
        "are largest, as many in each layer, before and after permuting the mask."
    )


def layer_sheets(masks: Masks) -> list[Sheet]:
    """For every sparsity a row per layer."""
    sheets = []
    for sparsity, found in by_sparsity(masks).items():
        shares = {"sparsity (%)": by_layer(found, layer_sparsity)}
        shares |= {f"{name} (%)": by_layer(found, overlap(name)) for name in OVERLAP}
        rows = {
            layer["layer"]: (Cell(f"{layer['size']:,}"), *(Cell.of(share[layer["layer"]]) for share in shares.values()))
            for layer in found[0].layers
        }
        over = f"mean ± standard deviation over n = {len(found)} pairs" if len(found) > 1 else "one pair"
        caption = (
            "what A's mask keeps of every layer, and how many of the weights that it keeps are among dense B's "
            f"largest, before and after permuting; {over}."
        )
        sheet = Sheet(f"Sparsity {percent(sparsity)}", caption, ("layer", "weights", *shares), rows)
        sheets.append(sheet.without_empty_columns())
    return sheets


def size_sheet(masks: Masks, network_sparsity: dict[float, float]) -> Sheet:
    """A row per sparsity: what the network costs under the mask, and which share of the dense network's cost that is.

    Args:
        masks: Of the results.
        network_sparsity: Sparsity of the pruned scope to that of the whole network.
    """
    found = by_sparsity(masks)
    dense = next(iter(found.values()))[0].dense
    keys = ("parameters", "bytes", "flops")
    rows = {"dense": (Cell("0.0%"), *(Cell(_short(dense[key])) for key in keys))}
    for sparsity, masks_there in found.items():
        cells = []
        for key in keys:
            summary = summarise([mask.sparse[key] for mask in masks_there])
            cells.append(Cell(f"{_short(summary.mean)} ({100 * summary.mean / dense[key]:.1f}%)", summary))
        of_all = network_sparsity.get(sparsity)
        rows[percent(sparsity)] = (Cell(MISSING if of_all is None else f"{100 * of_all:.1f}%"), *cells)
    caption = (
        "what the network costs: parameters that are not pruned, bytes (kept values, and a bitmap of what may be "
        "pruned), and floating-point operations of a forward pass over one image where every zero is skipped, with "
        "the share of the dense network's; mean over pairs."
    )
    headings = ("sparsity of the pruned layers", "of all weights", "parameters", "bytes", "FLOPs")
    return Sheet("", caption, headings, rows)


def _short(number: float) -> str:
    """Three digits and a prefix: 1.23 M."""
    power = 0
    while number >= 999.5 and power < len(UNITS) - 1:
        number, power = number / 1000, power + 1
    digits = 0 if power == 0 else 2 - min(2, len(str(int(number))) - 1)
    return f"{number:.{digits}f} {UNITS[power]}".strip()
