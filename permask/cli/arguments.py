"""Arguments and options that several verbs share, alone or as the fields of a value that `expand` takes apart."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

STUDY = typer.Argument(help="The study: a YAML file, or a name that `permask studies` lists.", metavar="STUDY")
SMOKE = typer.Option("--smoke", help="The smallest form of the study: a few images, epochs and rounds, width 1.")
OVERRIDES = typer.Argument(help="Changes to the study, such as prune.epochs=3.", metavar="key=value")
STORE = typer.Option("--store", help="Folder that keeps the result of every step.")
JOBS = typer.Option(
    "--jobs",
    "-j",
    min=1,
    help="Worker processes. [default: one per core, or one for every lane of every GPU]",
    show_default=False,
)
LANES = typer.Option(
    "--lanes",
    min=1,
    help="Steps that share a GPU. [default: 1, or what steps in the store were fastest with, if they fit its memory]",
    show_default=False,
)
PROCESSES = typer.Option(
    min=1,
    help="Processes that train each network together, under torchrun, each with a GPU of its own if there are any. "
    "Those of a cluster are in its file.",
)
RETRIES = typer.Option(min=0, help="How often a step that failed, or whose process died, is tried again.")
TRACK = typer.Option(
    "--track", help="Send loss and images per second, epoch by epoch, there as well (wandb: offline unless WANDB_MODE)."
)
ENGINE = typer.Option("--engine", help="Where the steps run.")
CLUSTER = typer.Option(
    "--cluster",
    metavar="FILE.yaml",
    help="With slurm and ray: what steps ask for. [default: a core]",
    show_default=False,
)
DETACH = typer.Option("--detach", help="With slurm: return once everything is submitted.")
MODEL = typer.Argument(help="What makes the network: `package.module:name` or `path/to/file.py:name`.", metavar="MODEL")
KEY_VALUES = typer.Argument(
    help="What to call it with; values are Python literals, or text.", metavar="[key=value ...]"
)
DATA = typer.Option(
    metavar="DATA",
    help="A `.npy`, `.npz`, `.safetensors` or `.pt` file with `inputs` and perhaps `labels`, one sample per row; a "
    "folder `CLASS/IMAGE`; or `file.py:name` of something that returns batches, such as a DataLoader. uint8 images "
    "are scaled to [0, 1].",
)
SYMMETRY = typer.Option(
    metavar="FILE.json", help="A symmetry that `permask inspect --save` wrote, not to find it again."
)
EXCLUDE = typer.Option(metavar="PATTERN", help="Names of weights to leave dense, such as `*.shortcut.*`.")
INCLUDE = typer.Option(metavar="PATTERN", help="Names of parameters to prune besides the weights of layers.")
JSON = typer.Option("--json", help="Print JSON instead.")


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Two checkpoints of one network."""

    model: Annotated[str, MODEL]
    source: Annotated[
        Path, typer.Argument(help="Weights of the network to permute (.safetensors, .pt).", metavar="SOURCE")
    ]
    target: Annotated[Path, typer.Argument(help="Weights of the network to line up with.", metavar="TARGET")]
    arguments: Annotated[list[str] | None, KEY_VALUES] = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """Data, if there are any, and how to read them."""

    data: Annotated[str | None, DATA] = None
    batch_size: Annotated[int, typer.Option(min=1, max=2**31, help="Samples per batch, of a file or folder.")] = 256
    batches: Annotated[
        int | None, typer.Option(min=1, max=2**31, help="How many batches to read. [default: all]", show_default=False)
    ] = None


@dataclass(frozen=True, kw_only=True)
class RequiredData(Data):
    """Data, and how to read them."""

    data: Annotated[str, DATA] = field()


@dataclass(frozen=True, kw_only=True)
class Examples(Data):
    """What to run a network on: data, or else inputs of some shapes."""

    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="[NAME=]SIZES[:DTYPE[:BELOW]]",
            help="Shape of one example, such as `3x32x32`, once per input, where there is no data.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A checkpoint to prune, or a network that is made first."""

    weights: Annotated[
        Path | None, typer.Argument(help="A checkpoint; without one, --model as it is made.", metavar="[WEIGHTS]")
    ] = None
    arguments: Annotated[list[str] | None, KEY_VALUES] = None
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="`module:name` or `file.py:name`; snip, grasp and synflow need it."),
    ] = None


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
