"""`permask merge`: one checkpoint of several, or all of them where they line up."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from permask.cli.arguments import JSON, SEEDS, SYMMETRY, Examples
from permask.cli.devices import DEVICE, computes
from permask.cli.expand import expand

if TYPE_CHECKING:
    from permask.matching.alignment import Alignment

WORDS = typer.Argument(
    help="The function or class that makes the network: `package.module:name` or `path/to/file.py:name`. Without it, "
    "transformers makes the network of the first folder's config.json. Then two checkpoints or more: files "
    "(.safetensors, .pt), or folders with safetensors files as Hugging Face writes them. Then what to call MODEL with.",
    metavar="[MODEL] CHECKPOINT CHECKPOINT... [key=value ...]",
)


@dataclass(frozen=True)
class Part:
    """What became of one checkpoint.

    Attributes:
        checkpoint: Its path.
        share: Its share in the merged one.
        moved: How many of its units changed places.
        before: Mean similarity of its units to the first checkpoint's at equal places, over groups, as it was.
        after: The same where it lines up.
    """

    checkpoint: str
    share: float
    moved: int = 0
    before: float | None = None
    after: float | None = None


@computes
@expand
def merge(
    *,
    words: Annotated[list[str], WORDS],
    by: Annotated[
        Literal["activations", "weights", "none"] | None,
        typer.Option(
            help="What to match by. none leaves the units where they are. [default: activations if there is --data, "
            "else weights]",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="W,W,...",
            help="The share of every checkpoint. They sum to 1. [default: equal shares]",
            show_default=False,
        ),
    ] = None,
    statistics: Annotated[
        Literal["keep", "reset", "repair", "none"] | None,
        typer.Option(
            help="What to do about statistics: keep averages those of BatchNorm, reset recomputes them, repair "
            "rescales all activations (REPAIR), none takes those of the first checkpoint. [default: repair if there "
            "is --data, else keep]",
            show_default=False,
        ),
    ] = None,
    examples: Examples,
    symmetry: Annotated[Path | None, SYMMETRY] = None,
    seed: Annotated[int, typer.Option(**SEEDS, help="With weights: the seed of the order of the groups.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Where to write the merged checkpoint, in the form of the first: a file, or a new folder. "
            "[default: merged, unless there is --aligned]",
            show_default=False,
        ),
    ] = None,
    aligned: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write all checkpoints into this new folder, too, with their units in the order of the first. Each "
            "computes what it did, and other tools can merge them.",
        ),
    ] = None,
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Merge networks that were trained apart into one: line their units up with the first, and average the weights.

    Examples:

    `permask merge net.py:make_net a.pt b.pt c.pt --data train.npz -o merged.pt`

    `permask merge timm:create_model a.safetensors b.safetensors model_name=resnet18 --data images --weights 0.7,0.3`

    `permask merge llama-a/ llama-b/ --input input_ids=16:int64:1000 --by weights -o llama-merged`

    `permask merge llama-a/ llama-b/ --data net.py:batches --aligned aligned`

    Data need no labels, and `--by weights` needs no data, only `--input`.
    """
    from permask.cli.checkpoints import Given, suffix_of
    from permask.cli.data import Shown, read
    from permask.cli.merging import check_new, write_all
    from permask.cli.output import bar, say
    from permask.cli.units import example_from, units_of
    from permask.connectivity.merge import align, check_mergeable, combine, permuted, shares_of
    from permask.errors import PermaskError

    by = by or ("activations" if examples.data else "weights")
    statistics = statistics or ("repair" if examples.data else "keep")
    if by == "activations" and examples.data is None:
        raise PermaskError("--by activations needs --data")
    if by == "none" and symmetry is not None:
        raise PermaskError("--by none moves no units: leave --symmetry out, or match --by activations or weights")
    given = Given.of(words)
    shares = shares_of(_numbers(weights), len(given.checkpoints))
    if out is None and aligned is None:
        out = Path("merged").with_suffix(suffix_of(given.checkpoints[0]))
    if statistics in ("reset", "repair") and out is not None and examples.data is None:
        raise PermaskError(f"--statistics {statistics} needs --data")
    check_new(given.checkpoints[0], out, aligned)
    networks = given.load(device)
    check_mergeable(networks, list(map(str, given.checkpoints)))
    batches = read(examples, networks[0])
    units = None if by == "none" else units_of(networks[0], example_from(networks[0], batches, examples), symmetry)
    with bar(as_json) as progress:
        seen = Shown([batch.given for batch in batches], progress, "merging")
        alignments = align(networks, units, by, seen, seed)
        merged = combine(permuted(networks, alignments), shares, statistics, seen) if out is not None else None
    write_all(given.checkpoints, merged, out, alignments, aligned)
    parts = [
        _part(path, share, alignment)
        for path, share, alignment in zip(given.checkpoints, shares, alignments, strict=True)
    ]
    if as_json:
        places = {"out": out and str(out), "aligned": aligned and str(aligned)}
        content = {"by": by, "statistics": statistics if out else None, "checkpoints": list(map(asdict, parts))}
        typer.echo(json.dumps(content | places, indent=1))
        return
    _show(parts)
    for path in filter(None, (out, aligned)):
        say(f"wrote {path}")


def _numbers(text: str | None) -> list[float] | None:
    from permask.errors import PermaskError

    try:
        return None if text is None else [float(word) for word in text.split(",")]
    except ValueError as error:
        raise PermaskError(
            f"--weights {text}: expected numbers with commas between them, such as 0.5,0.3,0.2"
        ) from error


def _part(checkpoint: Path, share: float, alignment: "Alignment | None") -> Part:
    if alignment is None:
        return Part(str(checkpoint), share)
    seen = [(g.correlation_identity, g.correlation) for g in alignment.groups]
    known = [(before, after) for before, after in seen if before is not None and after is not None]
    means = [sum(column) / len(known) for column in zip(*known, strict=True)] if known else [None, None]
    return Part(str(checkpoint), share, sum(alignment.permutation.moved.values()), *means)


def _show(parts: Sequence[Part]) -> None:
    from permask.cli.output import print_table

    rows = [
        (
            part.checkpoint,
            f"{part.share:.3g}",
            f"{part.moved:,}",
            *("–" if x is None else f"{x:.3f}" for x in (part.before, part.after)),
        )
        for part in parts
    ]
    title = "similarity of units to those of the first checkpoint, mean over groups"
    print_table(("checkpoint", "share", "units moved", "before", "after"), rows, title)
