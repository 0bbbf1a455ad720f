"""`permask connect`: loss and error along the line between two checkpoints."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from permask.cli.arguments import ALIGNED, JSON, Ends, RequiredData, one_of
from permask.cli.devices import DEVICE, computes
from permask.cli.expand import expand
from permask.matching.matchers import MATCHERS, MatchOptions

BY = one_of(MATCHERS, help="In place of --alignment: permute SOURCE first, by this matcher, on the calibration data.")

MEASURED = {
    "keep": "statistics of BatchNorm: at the ends as in the checkpoints, interpolated between them",
    "reset": "statistics of BatchNorm: recomputed from data at every point, also at the ends; --statistics keep "
    "measures the ends as the checkpoints are",
    "repair": "statistics: the ends are measured as the checkpoints are, and activations are rescaled between them",
}


@computes
@expand
def connect(
    *,
    ends: Ends,
    data: RequiredData,
    alignment: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help=f"Permute SOURCE first. {ALIGNED}")
    ] = None,
    by: Annotated[str | None, BY] = None,
    options: MatchOptions,
    alphas: Annotated[
        int, typer.Option(min=2, max=10_000, metavar="N", help="Points along the path, with its two ends.")
    ] = 11,
    statistics: Annotated[
        Literal["keep", "reset", "repair"],
        typer.Option(
            help="What to do about statistics at every point: keep leaves those of BatchNorm interpolated, reset "
            "recomputes them, repair rescales all activations (REPAIR)."
        ),
    ] = "reset",
    calibration: Annotated[
        str | None, typer.Option(metavar="DATA", help="Other data for reset, repair and --by. [default: --data]")
    ] = None,
    merged: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Write a checkpoint of the network half-way, too."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.json", help="Where to write the path.")
    ] = None,
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Measure loss and error along the straight line from SOURCE to TARGET, and the barrier between them.

    Examples:

    `permask connect net.py:make_net a.pt b.pt --data test.npz --alignment alignment.json`

    `permask connect net.py:make_net a.pt b.pt --data test.npz --statistics repair --merged half.safetensors`

    The barrier is the most by which a value on the path exceeds the straight line between the values at its two ends.
    """
    from torch import nn

    from permask.cli.data import Shown, check_labels, example_of, read
    from permask.cli.evaluation import measure
    from permask.cli.network import load_ends
    from permask.cli.output import bar, check_safetensors, check_writable, say, write_whole
    from permask.cli.units import units_of
    from permask.connectivity.batchnorm import reset_batchnorm
    from permask.connectivity.interpolate import connect as connect_networks
    from permask.connectivity.interpolate import interpolate
    from permask.connectivity.repair import repair
    from permask.errors import PermaskError
    from permask.matching.alignment import Alignment
    from permask.tensors import save_tensors

    if alignment and by:
        raise PermaskError("--alignment and --by both permute the source: give one of them")
    check_writable(out, merged)
    check_safetensors(merged)
    source, target = load_ends(ends, device)
    if alignment:
        found = Alignment.load(alignment)
        found.check(source)
        source = found.permutation.apply(source)
    test = read(data, source)
    check_labels(test, data, "measuring loss and error")
    reference = replace(data, data=calibration or data.data)
    calibrating = read(reference, source) if calibration else test
    if by:
        if MATCHERS[by].needs == "labels":
            check_labels(calibrating, reference, f"--by {by}")
        symmetry = units_of(source, example_of(calibrating), None)
        with bar(as_json) as progress:
            seen = Shown(calibrating, progress, f"matching by {by}")
            source = MATCHERS[by](symmetry, source, target, seen, options).permutation.apply(source)
    inputs = [batch.given for batch in calibrating]

    def prepare(network: nn.Module, alpha: float) -> nn.Module:
        if statistics == "reset":
            reset_batchnorm(network, inputs)
        elif statistics == "repair" and 0 < alpha < 1:
            repair(source, target, network, inputs, alpha)
        return network

    with bar(as_json) as progress:
        task = progress.add_task("connecting", total=alphas)

        def evaluate(network: nn.Module, alpha: float) -> dict[str, float]:
            values = measure(prepare(network, alpha), test)
            progress.advance(task)
            return values

        path = connect_networks(source, target, evaluate, alphas)
    content = {"alphas": path.alphas, "values": path.values, "barrier": path.barrier, "statistics": statistics}
    if out:
        write_whole(out, lambda path: path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8"))
    if merged:
        state = prepare(interpolate(source, target, 0.5), 0.5).state_dict()
        write_whole(merged, lambda path: save_tensors(state, path))
    if as_json:
        typer.echo(json.dumps(content, indent=1))
        return
    _show(content)
    for file in filter(None, (out, merged)):
        say(f"wrote {file}")


def _show(content: dict[str, Any]) -> None:
    from permask.cli.output import print_table

    path = zip(content["alphas"], content["values"]["loss"], content["values"]["error"], strict=True)
    rows = [(f"{alpha:.2f}", f"{loss:.4f}", f"{error:.2f}") for alpha, loss, error in path]
    print_table(("α", "loss (nats)", "error (%)"), rows, "from source (0) to target (1)")
    typer.echo(MEASURED[content["statistics"]])
    barrier = content["barrier"]
    typer.echo(f"barrier: {barrier['loss']:.4f} nats, {barrier['error']:.2f} points of error")
