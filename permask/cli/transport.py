"""`permask transport`: a mask, permuted for another network."""

import json
from pathlib import Path
from typing import Annotated

import typer

from permask.cli.arguments import JSON


def transport(
    mask: Annotated[Path, typer.Argument(help="A mask of the alignment's source, in any form.", metavar="MASK")],
    alignment: Annotated[Path, typer.Argument(help="What `permask match` wrote.", metavar="ALIGNMENT.json")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.safetensors", help="Where to write the permuted mask.")
    ] = Path("transported.safetensors"),
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Carry a mask from the network that it was found on to the one that was matched to it.

    Examples:

    `permask transport mask.safetensors alignment.json -o mask_b.safetensors`

    `permask transport pruned_checkpoint.pt alignment.json`
    """
    from permask.cli.output import check_writable, write_whole
    from permask.masks.formats import read_mask
    from permask.masks.transport import transport as transport_mask
    from permask.matching.alignment import Alignment

    check_writable(out)
    moved = transport_mask(read_mask(mask), Alignment.load(alignment))
    write_whole(out, moved.save)
    if as_json:
        content = {"kept": moved.count, "size": moved.size, "sparsity": moved.sparsity, "out": str(out)}
        typer.echo(json.dumps(content, indent=1))
    else:
        typer.echo(f"wrote {out}: {moved.count:,} of {moved.size:,} weights kept, sparsity {moved.sparsity:.4f}")
