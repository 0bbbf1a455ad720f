"""Arguments and options that several verbs share, alone or as the fields of a value that `expand` takes apart."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from permask.errors import PermaskError

STUDY = typer.Argument(help="The study: a YAML file, or a name that `permask studies` lists.", metavar="STUDY")
SMOKE = typer.Option(
    "--smoke",
    help="Take the smallest form of the study, with few images, epochs and rounds. It checks that the study runs; the "
    "results mean nothing.",
)
OVERRIDES = typer.Argument(help="Changes to the study, such as prune.epochs=3.", metavar="[key=value ...]")
STORE = typer.Option("--store", metavar="FOLDER", help="The store: the folder that keeps the result of every step.")
JOBS = typer.Option(
    "--jobs",
    "-j",
    min=1,
    metavar="N",
    help="How many worker processes to start. [default: one per core, or one for every lane of every GPU]",
    show_default=False,
)
LANES = typer.Option(
    "--lanes",
    min=1,
    metavar="N",
    help="How many steps share a GPU. [default: the number with which steps in the store were fastest, else 1]",
    show_default=False,
)
PROCESSES = typer.Option(
    min=1,
    metavar="N",
    help="How many processes train each network together, under torchrun. Each has a GPU of its own, if there are any. "
    "For a cluster, the cluster's file says it.",
)
RETRIES = typer.Option(min=0, metavar="N", help="How often to try a step again that failed or whose process died.")
TRACK = typer.Option(
    "--track",
    metavar="<tensorboard|wandb>",
    help="Send the loss and the images per second of every epoch there, too; repeatable. wandb stays offline unless "
    "WANDB_MODE says otherwise.",
)
ENGINE = typer.Option("--engine", help="Where the steps run.")
CLUSTER = typer.Option(
    "--cluster",
    metavar="FILE.yaml",
    help="With slurm and ray: what every step asks for. [default: one core]",
    show_default=False,
)
DETACH = typer.Option("--detach", help="With slurm: return once everything is submitted.")
MODEL = typer.Argument(
    help="The function or class that makes the network: `package.module:name` or `path/to/file.py:name`.",
    metavar="MODEL",
)
KEY_VALUES = typer.Argument(
    help="What to call MODEL with, such as width=64. Values are Python literals, or else text.",
    metavar="[key=value ...]",
)
DATA = typer.Option(
    metavar="DATA",
    help="A `.npy`, `.npz`, `.safetensors` or `.pt` file with `inputs` and perhaps `labels`, one sample per row; a "
    "folder `CLASS/IMAGE`; or `file.py:name` of a function that returns batches, such as a DataLoader. Images of uint8 "
    "are scaled to [0, 1].",
)
INPUT = typer.Option(
    "--input",
    "-i",
    metavar="[NAME=]SIZES[:DTYPE[:BELOW]]",
    help="Where there is no data: the shape of one example, without the batch, such as `3x32x32`; repeatable, once per "
    "input. `16:int64:50` are 16 token numbers below 50, and `input_ids=16:int64` gives an input by its name.",
)
SYMMETRY = typer.Option(
    metavar="FILE.json",
    help="The symmetry of the network, as `permask inspect --save` wrote it. [default: it is found anew]",
    show_default=False,
)
ALIGNED = "The alignment of the two networks, as `permask match` wrote it."
EXCLUDE = typer.Option(metavar="PATTERN", help="Weights to leave dense, by name, such as `*.shortcut.*`; repeatable.")
INCLUDE = typer.Option(
    metavar="PATTERN", help="Parameters to prune besides the weights of layers, by name; repeatable."
)
JSON = typer.Option("--json", help="Print JSON in place of tables.")
SEEDS = {"min": 0, "max": 2**63 - 1, "metavar": "N"}


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Two checkpoints of one network."""

    model: Annotated[str, MODEL]
    source: Annotated[
        Path, typer.Argument(help="Checkpoint of the network to permute (.safetensors, .pt).", metavar="SOURCE")
    ]
    target: Annotated[Path, typer.Argument(help="Checkpoint of the network to line it up with.", metavar="TARGET")]
    arguments: Annotated[list[str] | None, KEY_VALUES] = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """Data, if there are any, and how to read them."""

    data: Annotated[str | None, DATA] = None
    batch_size: Annotated[
        int, typer.Option(min=1, max=2**31, metavar="N", help="Samples per batch, where data are a file or a folder.")
    ] = 256
    batches: Annotated[
        int | None,
        typer.Option(
            min=1, max=2**31, metavar="N", help="How many batches to read. [default: all]", show_default=False
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class RequiredData(Data):
    """Data, and how to read them."""

    data: Annotated[str, DATA] = field()


@dataclass(frozen=True, kw_only=True)
class Examples(Data):
    """What to run a network on: data, or else inputs of some shapes."""

    inputs: Annotated[list[str] | None, INPUT] = None


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A checkpoint to prune, or a network that is made first."""

    weights: Annotated[
        Path | None,
        typer.Argument(
            help="The checkpoint to prune; without one, the network that --model makes is.", metavar="[CHECKPOINT]"
        ),
    ] = None
    arguments: Annotated[list[str] | None, KEY_VALUES] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="What makes the network: `package.module:name` or `path/to/file.py:name`. snip, grasp and synflow "
            "need it.",
        ),
    ] = None


def check_order(first: Path, alignment: Path) -> None:
    """Raise a `PermaskError` if an alignment is named before what it is to permute."""
    if first.suffix == ".json" != alignment.suffix:
        raise PermaskError(f"{first} {alignment}: expected the alignment last; write {alignment} {first}")


def one_of(names: Iterable[str], *flags: str, help: str, renamed: Mapping[str, str] | None = None) -> Any:
    """An option that takes one of some names.

    Args:
        names: The names.
        flags: The option itself; by the name of the parameter if none is given.
        help: What it is for.
        renamed: Earlier name to name; those are taken for one release, with a line that says so.
    """

    def parse(text: str) -> str:
        name = (renamed or {}).get(text, text)
        if name not in names:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(names)}")
        if name != text:
            typer.echo(f"{text} is now called {name}; the next release will not know the earlier name", err=True)
        return name

    return typer.Option(
        *flags, parser=parse, metavar=f"<{'|'.join(names)}>", help=help, autocompletion=lambda: [*names]
    )
