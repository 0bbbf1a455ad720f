"""`permask permute`: a checkpoint with its units in the order of another network's."""

import json
from pathlib import Path
from typing import Annotated

import typer

from permask.cli.arguments import ALIGNED, JSON, check_order


def permute(
    weights: Annotated[
        Path,
        typer.Argument(
            help="The checkpoint to permute, of the alignment's source; of one in shards, the folder or the index.",
            metavar="CHECKPOINT",
        ),
    ],
    alignment: Annotated[Path, typer.Argument(help=ALIGNED, metavar="ALIGNMENT.json")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Where to write the permuted checkpoint: a file, or a new folder for shards.",
        ),
    ] = Path("permuted.safetensors"),
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Permute the units of a checkpoint as an alignment says. What the network computes stays the same.

    Examples:

    `permask permute a.safetensors alignment.json -o a_in_b.safetensors`

    `permask permute llama-a/ alignment.json -o llama-a-in-b`

    Safetensors files are read one tensor at a time, so that large ones need little memory.
    """
    from permask.checkpoints import read_state
    from permask.cli.output import check_writable, say, write_whole
    from permask.matching.alignment import Alignment
    from permask.shards import Shards, is_safetensors
    from permask.tensors import save_pickled, save_tensors

    check_order(weights, alignment)
    found = Alignment.load(alignment)
    if is_safetensors(weights):
        shards = Shards(weights)
        shards.check_out(out)
        found.symmetry.check_shapes(shards.shapes)
        shards.rewrite(out, found.permutation.permute_tensor)
        count = len(shards)
    else:
        check_writable(out)
        state = read_state(weights)
        found.symmetry.check_shapes({name: tuple(x.shape) for name, x in state.items()})
        permuted = found.permutation.permute_tensors(state)
        save = save_tensors if out.suffix == ".safetensors" else save_pickled
        write_whole(out, lambda path: save(permuted, path))
        count = len(permuted)
    if as_json:
        typer.echo(json.dumps({"tensors": count, "out": str(out)}, indent=1))
    else:
        say(f"wrote {out}: {count:,} tensors")
