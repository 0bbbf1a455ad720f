"""`permask pattern`: a checkpoint in the order under which an N:M pattern keeps most, and its mask."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from permask.cli.arguments import EXCLUDE, INCLUDE, JSON, SEEDS, SYMMETRY, Examples
from permask.cli.devices import DEVICE, computes
from permask.cli.expand import expand

if TYPE_CHECKING:
    from permask.patterns.kept import Kept
    from permask.patterns.pattern import Pattern

WORDS = typer.Argument(
    help="The function or class that makes the network: `package.module:name` or `path/to/file.py:name`. Without it, "
    "transformers makes the network of the folder's config.json. Then the checkpoint: a file (.safetensors, .pt), or a "
    "folder with safetensors files as Hugging Face writes them. Then what to call MODEL with.",
    metavar="[MODEL] CHECKPOINT [key=value ...]",
)
BESIDE = MASK, REPORT, ORDER = "mask.safetensors", "report.json", "order.json"


@computes
@expand
def pattern(
    *,
    words: Annotated[list[str], WORDS],
    pattern: Annotated[
        str, typer.Option("--pattern", metavar="N:M", help="Keep N of every M neighbours along a layer's inputs.")
    ] = "2:4",
    scores: Annotated[
        Literal["magnitude", "wanda"] | None,
        typer.Option(
            help="How to score weights: magnitude by their absolute values, wanda by these times the norms of their "
            "inputs. [default: wanda if there is --data, else magnitude]",
            show_default=False,
        ),
    ] = None,
    permute: Annotated[
        bool, typer.Option("--permute/--no-permute", help="Search for a better order of the units, or leave it.")
    ] = True,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1e9,
            metavar="SECONDS",
            help="How long to search. [default: a few seconds, more for larger networks]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(**SEEDS, help="The seed of the search.")] = 0,
    exclude: Annotated[list[str] | None, EXCLUDE] = None,
    include: Annotated[list[str] | None, INCLUDE] = None,
    examples: Examples,
    symmetry: Annotated[Path | None, SYMMETRY] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write: a new folder.")] = Path(
        "pattern"
    ),
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Find the order of a network's units under which an N:M pattern keeps most, and the mask of that pattern.

    Examples:

    `permask pattern net.py:make_net checkpoint.pt --input 3x32x32 -o two-of-four`

    `permask pattern llama/ --data net.py:batches --exclude "lm_head.*" -o llama-2-of-4`

    `permask pattern timm:create_model weights.safetensors model_name=mobilenetv2_100 --input 3x224x224 --pattern 1:4`

    The folder OUT gets the checkpoint in that order, under its own name; the mask, `mask.safetensors`; the order,
    `order.json`, which `permask permute` takes for other checkpoints of the network; and `report.json`, which says
    layer by layer what is kept. In that order, the network computes what it did before; the command verifies that.
    """
    from permask.cli.checkpoints import Given, check_new_folder, names_of, rewrite
    from permask.cli.data import Shown, read
    from permask.cli.devices import exactly
    from permask.cli.network import ROUNDING
    from permask.cli.output import bar, say, write_together
    from permask.cli.units import example_from, units_of
    from permask.discovery.verify import changed_by
    from permask.errors import NetworkError, PermaskError
    from permask.matching.alignment import Alignment
    from permask.patterns.kept import kept_by_layer, together
    from permask.patterns.pattern import Pattern, pattern_dims, pattern_mask, scores_of
    from permask.patterns.permute import permute_for_pattern
    from permask.patterns.wanda import wanda_scores
    from permask.permutation import Permutation

    wanted = Pattern.read(pattern)
    scores = scores or ("wanda" if examples.data else "magnitude")
    if scores == "wanda" and examples.data is None:
        raise PermaskError("--scores wanda needs --data")
    given = Given.of(words)
    if len(given.checkpoints) != 1:
        raise PermaskError(f"expected one checkpoint, got {len(given.checkpoints)}")
    check_new_folder(out, "what is written")
    (network,) = given.load(device)
    (checkpoint,), (name,) = given.checkpoints, names_of(given.checkpoints)
    if name in BESIDE:
        raise PermaskError(
            f"{checkpoint}: expected another name, as {name} is written beside the checkpoint; rename it"
        )
    batches = read(examples, network)
    dense, more = exclude or (), include or ()
    dims = pattern_dims(network, wanted, dense, include=more)
    example = example_from(network, batches, examples)
    units = units_of(network, example, symmetry) if permute else None
    order = Permutation((), {})
    with bar(as_json) as progress:
        seen = Shown([batch.given for batch in batches], progress, "scoring")
        measured = wanda_scores(network, seen, dense, include=more) if scores == "wanda" else None
        scored = scores_of(network, dims, measured)
        if units is not None:
            order = permute_for_pattern(
                units, network, wanted, scored, seconds=seconds, seed=seed, exclude=dense, include=more
            )
    layers = kept_by_layer(scored, dims, wanted, order)
    changed = changed_by(order, *exactly(network, example)) if example is not None else None
    if changed is not None and not changed <= ROUNDING:
        raise NetworkError(f"the order changes the outputs by {changed:.2g} of their spread; nothing was written")
    mask = pattern_mask(network, wanted, order.permute_tensors(scored), dense, include=more)
    report = {
        "pattern": str(wanted),
        "scores": scores,
        "changed": changed,
        "all": _told(together(layers)),
        "layers": list(map(_told, layers)),
    }

    def write(folder: Path) -> list[Path]:
        rewrite(checkpoint, folder / name, order.permute_tensor)
        mask.save(folder / MASK)
        (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        if units is not None:
            method, kept = f"pattern {wanted}", sum(layer.after * layer.score for layer in layers)
            Alignment(units, order, method, kept, ()).save(folder / ORDER)
        return [file for file in folder.rglob("*") if file.is_file()]

    write_together(out, write)
    if as_json:
        typer.echo(json.dumps(report | {"out": str(out)}, indent=1))
        return
    _show(layers, wanted)
    if changed is not None:
        typer.echo(f"in this order, outputs change by {changed:.1e} of their spread, in float64")
    say(f"wrote {out}")


def _told(kept: "Kept") -> dict[str, Any]:
    return asdict(kept) | {"closed": kept.closed}


def _show(layers: "Sequence[Kept]", pattern: "Pattern") -> None:
    from permask.cli.output import print_table
    from permask.patterns.kept import together

    rows = [
        (
            layer.name,
            f"{layer.count:,} of {layer.size:,}",
            *(f"{100 * share:.2f}" for share in (layer.before, layer.after, layer.unstructured)),
            "" if layer.closed is None else f"{100 * layer.closed:.1f}",
        )
        for layer in [*layers, together(layers)]
    ]
    header = ("weight", "kept", "before", "after", "unstructured", "closed")
    print_table(header, rows, f"{pattern} keeps: % of the scores")
