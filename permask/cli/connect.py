"""`permask connect`: loss and error along the line between two checkpoints."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from permask.cli.arguments import BATCH_SIZE, BATCHES, DATA, JSON, KEY_VALUES, MODEL, SOURCE, TARGET


class Statistics(StrEnum):
    """What to do about the statistics of averaged networks."""

    keep = "keep"
    reset = "reset"
    repair = "repair"


def connect(
    model: Annotated[str, MODEL],
    source: Annotated[Path, SOURCE],
    target: Annotated[Path, TARGET],
    data: Annotated[str, DATA],
    arguments: Annotated[list[str] | None, KEY_VALUES] = None,
    batch_size: Annotated[int, BATCH_SIZE] = 256,
    batches: Annotated[int | None, BATCHES] = None,
    alignment: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Permute the source first, as `permask match` found.")
    ] = None,
    alphas: Annotated[int, typer.Option(min=2, help="Points along the path, the ends included.")] = 11,
    statistics: Annotated[
        Statistics,
        typer.Option(help="At every point: keep interpolated BatchNorm statistics, recompute them, or REPAIR."),
    ] = Statistics.reset,
    calibration: Annotated[
        str | None, typer.Option(metavar="DATA", help="Inputs for reset and repair. [default: --data]")
    ] = None,
    merged: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Also write the network half-way, repaired or reset."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE.json", help="Keep the path.")] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Measure loss and error along the straight line from SOURCE to TARGET, and the barrier between them.

    The barrier is the largest excess over the straight line between the values at the two ends.

    Examples:

    `permask connect net.py:make_net a.pt b.pt --data test.npz --alignment alignment.json`

    `permask connect net.py:make_net a.pt b.pt --data test.npz --statistics repair --merged half.safetensors`
    """
    from torch import nn

    from permask.cli.data import bar, example_of, load_batches
    from permask.cli.evaluation import measure
    from permask.cli.network import check_takes, load_network
    from permask.cli.output import check_writable, write_whole
    from permask.connectivity.batchnorm import reset_batchnorm
    from permask.connectivity.interpolate import connect as connect_networks
    from permask.connectivity.interpolate import interpolate
    from permask.connectivity.repair import repair
    from permask.errors import DataError
    from permask.masks.formats import load_weights
    from permask.matching.alignment import Alignment
    from permask.tensors import save_tensors

    for file in filter(None, (out, merged)):
        check_writable(file)
    first, last = (load_weights(load_network(model, arguments or []), file) for file in (source, target))
    if alignment:
        found = Alignment.load(alignment)
        found.check(first)
        first = found.permutation.apply(first)
    test = load_batches(data, batch_size, batches)
    if any(batch.labels is None for batch in test):
        raise DataError(f"{data}: expected labels beside the inputs, to measure loss and error with")
    check_takes(first, example_of(test), data)
    statistics_from = load_batches(calibration, batch_size, batches) if calibration else test
    check_takes(first, example_of(statistics_from), calibration or data)
    inputs = [batch.inputs for batch in statistics_from]

    def prepare(network: nn.Module, alpha: float) -> nn.Module:
        if statistics is Statistics.reset:
            reset_batchnorm(network, inputs)
        elif statistics is Statistics.repair and 0 < alpha < 1:
            repair(first, last, network, inputs, alpha)
        return network

    with bar(as_json) as progress:
        task = progress.add_task("connecting", total=alphas)

        def evaluate(network: nn.Module, alpha: float) -> dict[str, float]:
            values = measure(prepare(network, alpha), test)
            progress.advance(task)
            return values

        path = connect_networks(first, last, evaluate, alphas)
    content = {"alphas": path.alphas, "values": path.values, "barrier": path.barrier, "statistics": statistics}
    if out:
        write_whole(out, lambda path: path.write_text(json.dumps(content, indent=1) + "\n"))
    if merged:
        state = prepare(interpolate(first, last, 0.5), 0.5).state_dict()
        write_whole(merged, lambda path: save_tensors(state, path))
    if as_json:
        typer.echo(json.dumps(content, indent=1))
        return
    _show(content)
    for file in filter(None, (out, merged)):
        typer.echo(f"wrote {file}")


def _show(content: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("α", "loss (nats)", "error (%)", title="from source (0) to target (1)")
    for column in table.columns:
        column.justify = "right"
    for alpha, loss, error in zip(
        content["alphas"], content["values"]["loss"], content["values"]["error"], strict=True
    ):
        table.add_row(f"{alpha:.2f}", f"{loss:.4f}", f"{error:.2f}")
    Console().print(table)
    barrier = content["barrier"]
    typer.echo(f"barrier: {barrier['loss']:.4f} nats, {barrier['error']:.2f} points of error")
