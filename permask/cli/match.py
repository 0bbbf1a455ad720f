"""`permask match`: the permutation that lines one checkpoint up with another."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permask.cli.arguments import BATCH_SIZE, BATCHES, DATA, INPUT, JSON, KEY_VALUES, MODEL, SOURCE, TARGET

if TYPE_CHECKING:
    from permask.matching.alignment import Alignment


class By(StrEnum):
    """What to match by."""

    activations = "activations"
    weights = "weights"
    learned = "learned"
    sinkhorn = "sinkhorn"


def match(
    model: Annotated[str, MODEL],
    source: Annotated[Path, SOURCE],
    target: Annotated[Path, TARGET],
    arguments: Annotated[list[str] | None, KEY_VALUES] = None,
    by: Annotated[
        By | None,
        typer.Option(
            "--by",
            "--method",
            help="What to match by; learned and sinkhorn follow the loss half-way, straight through permutations or by "
            "soft ones. [default: activations if there is --data, else weights]",
            show_default=False,
        ),
    ] = None,
    data: Annotated[str | None, DATA] = None,
    batch_size: Annotated[int, BATCH_SIZE] = 256,
    batches: Annotated[int | None, BATCHES] = None,
    inputs: Annotated[list[str] | None, INPUT] = None,
    symmetry: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="A symmetry that `permask inspect --save` wrote, not to find it again."),
    ] = None,
    source_mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A mask of the source: pruned weights count as zero.")
    ] = None,
    target_mask: Annotated[Path | None, typer.Option(metavar="FILE", help="Likewise of the target.")] = None,
    restarts: Annotated[int, typer.Option(min=0, help="With weights: further runs from random starts.")] = 0,
    epochs: Annotated[
        int, typer.Option(min=1, help="With learned and sinkhorn: how often to go through the data.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="With weights and learned: decides the order of the groups.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.json", help="Where to write the alignment.")] = Path(
        "alignment.json"
    ),
    aligned: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Also write the source's weights, permuted."),
    ] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Find the permutation of the units of SOURCE with which it lines up best with TARGET.

    Examples:

    `permask match torchvision.models:resnet18 a.pt b.pt --data images.npy`

    `permask match net.py:make_net a.safetensors b.safetensors width=64 --by weights --input 3x32x32`

    `permask match net.py:make_net a.pt b.pt --data net.py:batches --by learned --aligned a_in_b.safetensors`
    """
    import torch.nn.functional as F

    from permask.cli.data import bar, example_of, load_batches, shown
    from permask.cli.network import check_takes, example_inputs, load_network
    from permask.cli.output import check_writable, write_whole
    from permask.discovery.discover import discover
    from permask.errors import PermaskError
    from permask.masks.formats import load_weights, read_mask
    from permask.matching.activations import match_activations
    from permask.matching.learned import match_learned
    from permask.matching.weights import match_weights
    from permask.symmetry import Symmetry
    from permask.tensors import save_tensors

    by = by or (By.activations if data else By.weights)
    if by is not By.weights and not data:
        raise PermaskError(f"matching by {by} needs --data")
    if by is not By.weights and (source_mask or target_mask):
        raise PermaskError("--source-mask and --target-mask go with --by weights")
    for file in filter(None, (out, aligned)):
        check_writable(file)
    a, b = (load_weights(load_network(model, arguments or []), file) for file in (source, target))
    found = load_batches(data, batch_size, batches) if data else []
    if data:
        check_takes(a, example_of(found), data)
    mask_a, mask_b = (read_mask(file) if file else None for file in (source_mask, target_mask))
    if symmetry:
        units = Symmetry.load(symmetry)
    elif found or inputs:
        units = discover(a, example_of(found) if found else example_inputs(a, inputs or []))
    else:
        raise PermaskError("to find out what may move, give --data, --input or --symmetry")

    if by is By.activations:
        alignment = match_activations(units, a, b, shown([batch.inputs for batch in found], "matching", as_json))
    elif by is By.weights:
        with bar(as_json) as progress:
            progress.add_task("matching weights", total=None)
            alignment = match_weights(units, a, b, seed, restarts, mask_a, mask_b)
    else:
        if any(batch.labels is None for batch in found):
            raise PermaskError(f"{data}: --by {by} needs labels beside the inputs")
        with bar(as_json) as progress:
            progress.add_task("learning", total=None)
            alignment = match_learned(
                units,
                a,
                b,
                lambda net, x: F.cross_entropy(net(*x.inputs), x.labels),
                found,
                epochs,
                seed=seed,
                through="sinkhorn" if by is By.sinkhorn else "straight-through",
            )
    permuted = alignment.permutation.apply(a).state_dict()
    write_whole(out, alignment.save)
    if aligned:
        write_whole(aligned, lambda path: save_tensors(permuted, path))
    if as_json:
        groups = [vars(group) for group in alignment.groups]
        content = {"method": alignment.method, "objective": alignment.objective, "groups": groups, "out": str(out)}
        typer.echo(json.dumps(content | {"history": alignment.history, "seconds": alignment.seconds}, indent=1))
        return
    _show(alignment)
    for file in filter(None, (out, aligned)):
        typer.echo(f"wrote {file}")


def _show(alignment: "Alignment") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("group", "units", "before", "after", "dead", title="mean correlation of units at equal places")
    for column in table.columns[1:]:
        column.justify = "right"
    for group in alignment.groups:
        ends = (group.correlation_identity, group.correlation)
        numbers = ["–" if value is None else f"{value:.3f}" for value in ends]
        dead = max(group.dead_source, group.dead_target)
        table.add_row(group.group, str(group.size), *numbers, str(dead) if dead else "")
    Console().print(table)
    typer.echo(f"objective {alignment.objective:.6g} after {alignment.seconds:.1f} s, by {alignment.method}")
