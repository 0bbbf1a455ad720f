"""`permask inspect`: what may move in a network."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from permask.cli.arguments import DATA, INPUT, JSON, KEY_VALUES, MODEL, Data
from permask.cli.devices import DEVICE, computes


@computes
def inspect(
    model: Annotated[str, MODEL],
    arguments: Annotated[list[str] | None, KEY_VALUES] = None,
    inputs: Annotated[list[str] | None, INPUT] = None,
    data: Annotated[str | None, DATA] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            metavar="NAME",
            help="A returned tensor that has to stay as it is, by its name or number; repeatable. [default: all]",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on an op without a rule. Otherwise, what it touches is pinned.")
    ] = False,
    certify: Annotated[
        Literal["full", "narrow", "off"] | None,
        typer.Option(
            help="How to verify what was found: full on the network itself, narrow on a copy with few units in every "
            "group, which is quick for large networks, off not at all. [default: full]",
            show_default=False,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every axis of every group.")] = False,
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, JSON] = False,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE.json", help="Write the symmetry, for other commands.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE.html", help="Write a page that shows the network with its groups in colour."
        ),
    ] = None,
) -> None:
    """Find the units of a network that can trade places without a change of what it computes, and verify that.

    Examples:

    `permask inspect torchvision.models:resnet18 --input 3x64x64`

    `permask inspect torchvision.models:vit_b_16 image_size=64 --input 3x64x64 --html vit.html`

    `permask inspect net.py:make_net width=64 --input 16:int64:50 --input 16x8 --save symmetry.json`

    `permask inspect net.py:make_bert --input input_ids=16:int64:50 --output last_hidden_state`

    `permask inspect net.py:make_net --data net.py:make_loader`
    """
    from permask.cli.data import example_of, read
    from permask.cli.devices import exactly
    from permask.cli.inspection import Inspection
    from permask.cli.network import example_inputs, load_network
    from permask.cli.output import check_writable, say, write_whole
    from permask.discovery.cached import discover_cached

    check_writable(save, html)
    network = load_network(model, arguments or [], device)
    batches = read(Data(data=data, batches=1, batch_size=2), network)
    examples = example_of(batches) if batches else example_inputs(network, inputs or [])
    network, examples = exactly(network, examples)
    wanted = outputs and list(map(_place_or_name, outputs))
    symmetry = discover_cached(network, examples, strict=strict, outputs=wanted, certify=certify)
    title = " ".join([model, *(arguments or [])])
    inspection = Inspection(title, examples, sum(x.numel() for x in network.parameters()), symmetry)
    if save is not None:
        write_whole(save, symmetry.save)
    if html is not None:
        from permask.discovery.capture import capture
        from permask.report.network_page import network_page

        page = network_page(capture(network, examples), symmetry, title, inspection.summary)
        write_whole(html, lambda path: path.write_text(page, encoding="utf-8"))
    if as_json:
        typer.echo(inspection.json())
        return
    inspection.show(every)
    for file in filter(None, (save, html)):
        say(f"wrote {file}")


def _place_or_name(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdecimal() else text
