"""`permask publish`: a mask and what belongs to it, as a folder for others."""

import json
from pathlib import Path
from typing import Annotated

import typer

from permask.cli.arguments import ALIGNED, JSON


def publish(
    mask: Annotated[Path, typer.Argument(help="The mask to publish.", metavar="MASK")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write: a new or empty folder.")],
    alignment: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help=f"{ALIGNED} The mask is of its source."),
    ] = None,
    symmetry: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="The symmetry of the network, as `permask inspect --save` wrote it. [default: the alignment's]",
            show_default=False,
        ),
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="The title of the model card.")] = "A sparse mask",
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="What follows the title, in Markdown.", show_default=False)
    ] = "",
    licence: Annotated[
        str | None, typer.Option("--license", metavar="ID", help="The licence, such as apache-2.0.", show_default=False)
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="The network on the Hub that the mask is for.")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A data set on the Hub; repeatable.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A further tag of the card; repeatable.")] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Write a mask with its symmetry, its alignment and a model card to a folder, as Hugging Face's Hub takes it.

    Examples:

    `permask publish mask.safetensors --out my-mask --title "A ticket for ResNet20" --license mit`

    `permask publish mask.safetensors --alignment alignment.json --base-model me/resnet20 --dataset cifar10 -o ticket`

    Nothing is sent anywhere. `permask.load_published` reads the folder, and all commands read its files.
    """
    from permask.cli.output import say
    from permask.masks.formats import read_mask
    from permask.matching.alignment import Alignment
    from permask.publication import publish as publish_mask
    from permask.symmetry import Symmetry

    given = {"license": licence, "base_model": base_model, "datasets": dataset, "tags": tag}
    files = publish_mask(
        out,
        read_mask(mask),
        Alignment.load(alignment) if alignment else None,
        Symmetry.load(symmetry) if symmetry else None,
        title,
        description=description,
        metadata={key: value for key, value in given.items() if value},
    )
    if as_json:
        typer.echo(json.dumps({"folder": str(out), "files": [file.name for file in files]}, indent=1))
    else:
        say(f"wrote {out}: {', '.join(file.name for file in files)}")
