"""`permask match`: the permutation that lines one checkpoint up with another."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permask.cli.arguments import JSON, SYMMETRY, Ends, Examples, one_of
from permask.cli.devices import DEVICE, computes
from permask.cli.expand import expand
from permask.matching.matchers import MATCHERS, MatchOptions

if TYPE_CHECKING:
    from permask.matching.alignment import Alignment

BY = one_of(
    MATCHERS,
    "--by",
    "--method",
    help="What to match by. straight-through and sinkhorn learn the permutation from the loss of the network half-way. "
    "[default: activations if there is --data, else weights]",
    renamed={"learned": "straight-through"},
)


@computes
@expand
def match(
    *,
    ends: Ends,
    by: Annotated[str | None, BY] = None,
    examples: Examples,
    symmetry: Annotated[Path | None, SYMMETRY] = None,
    source_mask: Annotated[
        Path | None, typer.Option(metavar="MASK", help="A mask of SOURCE. Pruned weights count as zero.")
    ] = None,
    target_mask: Annotated[Path | None, typer.Option(metavar="MASK", help="A mask of TARGET.")] = None,
    options: MatchOptions,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.json", help="Where to write the alignment.")] = Path(
        "alignment.json"
    ),
    aligned: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Write the permuted checkpoint of SOURCE, too."),
    ] = None,
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Find the permutation of the units of SOURCE that lines it up best with TARGET, and write the alignment.

    Examples:

    `permask match torchvision.models:resnet18 a.pt b.pt --data images.npy`

    `permask match net.py:make_net a.safetensors b.safetensors width=64 --by weights --input 3x32x32`

    `permask match net.py:make_net a.pt b.pt --data net.py:batches --by straight-through --aligned a_in_b.safetensors`
    """
    from permask.cli.data import Shown, read_for
    from permask.cli.network import load_ends
    from permask.cli.output import bar, check_safetensors, check_writable, say, write_whole
    from permask.cli.units import example_from, units_of
    from permask.errors import PermaskError
    from permask.masks.formats import read_mask
    from permask.tensors import save_tensors

    by = by or ("activations" if examples.data else "weights")
    masks = {"source_mask": source_mask, "target_mask": target_mask}
    if any(masks.values()) and not MATCHERS[by].masked:
        masked = " or ".join(name for name, matcher in MATCHERS.items() if matcher.masked)
        raise PermaskError(f"--source-mask and --target-mask go with --by {masked}")
    check_writable(out, aligned)
    check_safetensors(aligned)
    source, target = load_ends(ends, device)
    batches = read_for(by, MATCHERS[by].needs, examples, source)
    options = replace(options, **{name: read_mask(file) for name, file in masks.items() if file})
    units = units_of(source, example_from(source, batches, examples), symmetry)
    with bar(as_json) as progress:
        seen = Shown(batches, progress, f"matching by {by}")
        alignment = MATCHERS[by](units, source, target, seen, options)

    permuted = alignment.permutation.apply(source).state_dict()
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
        say(f"wrote {file}")


def _show(alignment: "Alignment") -> None:
    from permask.cli.output import print_table

    rows = []
    for group in alignment.groups:
        ends = (group.correlation_identity, group.correlation)
        numbers = ["–" if value is None else f"{value:.3f}" for value in ends]
        dead = max(group.dead_source, group.dead_target)
        rows.append((group.group, str(group.size), *numbers, str(dead) if dead else ""))
    title = "mean correlation of units at equal places"
    print_table(("group", "units", "before", "after", "dead"), rows, title)
    if alignment.used.get("moved") == 0:
        typer.echo(f"no epoch changed the permutation: it is that of matching by {alignment.used['start']}")
    typer.echo(f"objective {alignment.objective:.6g} after {alignment.seconds:.1f} s, by {alignment.method}")
