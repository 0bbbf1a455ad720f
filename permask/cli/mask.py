"""`permask mask`: make, show, compare and export masks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from permask.cli.arguments import EXCLUDE, INCLUDE, JSON, Examples, Pruned, one_of
from permask.cli.devices import DEVICE, computes
from permask.cli.expand import expand
from permask.cli.verbs import Verb, Verbs
from permask.masks.sources import SOURCES, MaskOptions

mask = typer.Typer(cls=Verbs, help="Make, show, compare and export masks.", no_args_is_help=True)

MASK = typer.Argument(
    help="A mask (.safetensors), or a checkpoint that was pruned: torch's prune buffers, or zeros.", metavar="MASK"
)


@mask.command(cls=Verb)
@computes
@expand
def make(
    *,
    sparsity: Annotated[
        float, typer.Option("--sparsity", "-s", metavar="SHARE", help="The share of the weights to prune, such as 0.9.")
    ],
    by: Annotated[str, one_of(SOURCES, help="How to choose the weights that are kept.")] = "magnitude",
    pruned: Pruned,
    examples: Examples,
    exclude: Annotated[list[str] | None, EXCLUDE] = None,
    include: Annotated[list[str] | None, INCLUDE] = None,
    earlier: Annotated[
        Path | None, typer.Option(metavar="MASK", help="With magnitude: prune further from this mask.")
    ] = None,
    options: MaskOptions,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.safetensors", help="Where to write the mask.")
    ] = Path("mask.safetensors"),
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Make a mask of a sparsity, which is met to the weight.

    Examples:

    `permask mask make checkpoint.pt --sparsity 0.9`

    `permask mask make --model net.py:make_net width=64 --by snip --data train.npz --sparsity 0.95 -o snip.safetensors`
    """
    from permask.cli.data import Shown
    from permask.cli.masking import load_pruned
    from permask.cli.output import bar, check_safetensors, check_writable, write_whole
    from permask.errors import PermaskError
    from permask.masks.formats import read_mask

    source, weights = SOURCES[by], pruned.weights
    if earlier and not source.prunes_further:
        further = " or ".join(name for name, other in SOURCES.items() if other.prunes_further)
        raise PermaskError(f"--earlier goes with --by {further}")
    check_writable(out)
    check_safetensors(out)
    if weights is not None and "=" in weights.name and not weights.exists():  # the first of the key=value arguments
        pruned = replace(pruned, weights=None, arguments=[str(weights), *(pruned.arguments or [])])
    network, batches = load_pruned(by, source.needs, pruned, examples, device)
    options = replace(options, exclude=exclude or (), include=include or ())
    if earlier is not None:
        options = replace(options, earlier=read_mask(earlier))
    with bar(as_json) as progress:
        made = source(network, Shown(batches, progress, f"pruning by {by}"), sparsity, options)
    write_whole(out, made.save)
    _tell(_summary(made) | {"out": str(out)}, as_json)


@mask.command(cls=Verb)
def show(path: Annotated[Path, MASK], as_json: Annotated[bool, JSON] = False) -> None:
    """Show what a mask keeps, layer by layer.

    Example: `permask mask show mask.safetensors`
    """
    from permask.masks.formats import read_mask

    _tell(_summary(read_mask(path)), as_json)


@mask.command(cls=Verb)
def compare(
    first: Annotated[Path, MASK], second: Annotated[Path, MASK], as_json: Annotated[bool, JSON] = False
) -> None:
    """Compare two masks of one network: how many weights both keep, and how many by chance.

    Example: `permask mask compare mask.safetensors transported.safetensors`
    """
    from permask.cli.output import print_table
    from permask.masks.formats import read_mask
    from permask.masks.overlap import overlaps

    a, b = read_mask(first), read_mask(second)
    layers = [vars(layer) for layer in overlaps(a, b)]
    totals = {key: sum(layer[key] for layer in layers) for key in ("both", "either", "by_chance")}
    content = {"layers": layers, **totals, "kept": [a.count, b.count], "equal": a == b}
    if as_json:
        typer.echo(json.dumps(content, indent=1))
        return
    rows = [(x["name"], f"{x['both']:,}", f"{x['by_chance']:,.0f}", f"{x['either']:,}") for x in layers]
    print_table(("weight", "kept by both", "by chance", "by either"), rows)
    typer.echo(f"{totals['both']:,} weights kept by both, {totals['by_chance']:,.0f} expected by chance")


@mask.command(cls=Verb)
def export(
    path: Annotated[Path, MASK],
    to: Annotated[
        Literal["safetensors", "prune", "zeros", "2:4"],
        typer.Option(
            help="safetensors is a mask; prune is the checkpoint with the buffers of torch.nn.utils.prune, zeros with "
            "pruned weights set to zero, 2:4 compressed for kernels that skip pruned weights."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Where to write: a .pt or .safetensors file, or a new folder for shards.",
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT", help="The checkpoint that the mask is of; of one in shards, the folder or the index."
        ),
    ] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Write a mask, or a checkpoint under it, in a form that other tools read.

    Examples:

    `permask mask export mask.safetensors --to prune --weights checkpoint.pt -o pruned.pt`

    `permask mask export mask.safetensors --to 2:4 --weights checkpoint.pt -o compressed.safetensors`

    `permask mask export mask.safetensors --to zeros --weights llama/ -o llama-pruned`
    """
    from permask.cli.output import check_safetensors, check_writable, write_whole
    from permask.errors import PermaskError
    from permask.masks.exports import shards_with_zeros, state_with_buffers, state_with_two_four, state_with_zeros
    from permask.masks.formats import plain_state, read_mask, read_state
    from permask.shards import Shards, in_shards
    from permask.tensors import save_pickled, save_tensors

    sharded = to == "zeros" and weights is not None and in_shards(weights)
    if not sharded:
        check_writable(out)
    if to == "safetensors":
        check_safetensors(out)
    found = read_mask(path)
    if weights is not None and sharded:
        shards_with_zeros(Shards(weights), found, out)
        _tell(_summary(found) | {"out": str(out)}, as_json)
        return
    if to == "safetensors":
        write_whole(out, found.save)
        _tell(_summary(found) | {"out": str(out)}, as_json)
        return
    if weights is None:
        raise PermaskError(f"--to {to} needs --weights")
    state = plain_state(read_state(weights))
    under = {"prune": state_with_buffers, "zeros": state_with_zeros, "2:4": state_with_two_four}
    exported = under[to](state, found)
    save = save_tensors if out.suffix == ".safetensors" else save_pickled
    write_whole(out, lambda path: save(exported, path))
    _tell(_summary(found) | {"out": str(out)}, as_json)


def _summary(found: Any) -> dict[str, Any]:
    from permask.masks.exports import fits_two_four

    layers = [
        {"name": name, "shape": list(kept.shape), "size": kept.numel(), "kept": int(kept.sum())}
        | {"two_four": fits_two_four(kept)}
        for name, kept in found.items()
    ]
    return {"layers": layers, "size": found.size, "kept": found.count, "sparsity": found.sparsity}


def _tell(summary: dict[str, Any], as_json: bool) -> None:
    from permask.cli.output import print_table, say

    if as_json:
        typer.echo(json.dumps(summary, indent=1))
        return
    rows = [
        (x["name"], "×".join(map(str, x["shape"])), f"{x['size']:,}", f"{x['kept']:,}", f"{_pruned(x):.4f}")
        for x in summary["layers"]
    ]
    print_table(("weight", "shape", "size", "kept", "sparsity"), rows)
    typer.echo(f"{summary['kept']:,} of {summary['size']:,} weights kept, sparsity {summary['sparsity']:.4f}")
    if fitting := sum(layer["two_four"] for layer in summary["layers"]):
        typer.echo(f"{fitting} of {len(rows)} weights fit 2:4")
    if "out" in summary:
        say(f"wrote {summary['out']}")


def _pruned(layer: dict[str, Any]) -> float:
    return 1 - layer["kept"] / layer["size"] if layer["size"] else 0.0
