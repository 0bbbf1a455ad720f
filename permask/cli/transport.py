"""`permask transport`: a mask, permuted for another network."""

import json
from pathlib import Path
from typing import Annotated

import typer

from permask.cli.arguments import ALIGNED, JSON, check_order


def transport(
    mask: Annotated[Path, typer.Argument(help="The mask to carry, of the alignment's source.", metavar="MASK")],
    alignment: Annotated[Path, typer.Argument(help=ALIGNED, metavar="ALIGNMENT.json")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Where to write the permuted mask: a safetensors file, or a new folder for shards.",
        ),
    ] = Path("transported.safetensors"),
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Carry a mask from the network that it was found on to the one that was matched to it.

    Examples:

    `permask transport mask.safetensors alignment.json -o mask_b.safetensors`

    `permask transport pruned_checkpoint.pt alignment.json`

    `permask transport llama-mask/ alignment.json -o llama-mask-b`
    """
    from permask.cli.output import check_safetensors, check_writable, say, write_whole
    from permask.masks.formats import read_mask
    from permask.masks.transport import transport as transport_mask
    from permask.masks.transport import transport_shards
    from permask.matching.alignment import Alignment
    from permask.shards import Shards, in_shards

    check_order(mask, alignment)
    sharded = in_shards(mask)
    if not sharded:
        check_writable(out)
        check_safetensors(out)
    found = Alignment.load(alignment)
    if sharded:
        kept, size = transport_shards(Shards(mask), found, out)
    else:
        moved = transport_mask(read_mask(mask), found)
        write_whole(out, moved.save)
        kept, size = moved.count, moved.size
    sparsity = 1 - kept / size if size else 0.0
    if as_json:
        typer.echo(json.dumps({"kept": kept, "size": size, "sparsity": sparsity, "out": str(out)}, indent=1))
    else:
        say(f"wrote {out}: {kept:,} of {size:,} weights kept, sparsity {sparsity:.4f}")
