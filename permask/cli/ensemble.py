"""`permask ensemble`: what several checkpoints score together, and how much they differ."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permask.cli.arguments import JSON, MODEL, RequiredData
from permask.cli.devices import DEVICE, computes
from permask.cli.expand import expand

if TYPE_CHECKING:
    from permask.ensembles import Ensemble

MEMBERS = typer.Argument(
    help="Two checkpoints or more, one per member (.safetensors, .pt). Then what to call MODEL with, such as width=64.",
    metavar="CHECKPOINT CHECKPOINT... [key=value ...]",
)


@computes
@expand
def ensemble(
    model: Annotated[str, MODEL],
    members: Annotated[list[str], MEMBERS],
    data: RequiredData,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.json", help="Where to write what was measured.")
    ] = None,
    device: Annotated[str, DEVICE] = "auto",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Measure how well an ensemble of classifiers predicts, and how much its members differ.

    Examples:

    `permask ensemble net.py:make_net a.pt b.pt c.pt --data test.npz`

    `permask ensemble net.py:make_net runs/a.safetensors runs/b.safetensors width=64 --data net.py:test_batches --json`

    The ensemble predicts the mean of its members' distributions. Measured are the accuracy, the negative
    log-likelihood and the calibration error of the ensemble and of its members; the share of samples on which two
    members disagree; and the Kullback–Leibler and Jensen–Shannon divergence between their predictions.
    """
    import torch

    from permask.cli.data import check_labels, read
    from permask.cli.network import load_network
    from permask.cli.output import bar, check_writable, say, write_whole
    from permask.ensembles import evaluate_ensemble
    from permask.errors import PermaskError
    from permask.masks.formats import load_weights

    check_writable(out)
    arguments = [text for text in members if "=" in Path(text).name and not Path(text).exists()]
    files = [Path(text) for text in members if text not in arguments]
    if len(files) < 2:
        raise PermaskError(f"expected the weights of two members or more, got {len(files)}")
    test = read(data, load_network(model, arguments, device))
    check_labels(test, data, "measuring accuracy")
    logits = []
    with bar(as_json) as progress, torch.inference_mode():
        task = progress.add_task("predicting", total=len(files) * len(test))
        for file in files:
            network = load_weights(load_network(model, arguments, device), file).eval()
            predicted = []
            for batch in test:
                predicted.append(batch.logits(network).cpu())
                progress.advance(task)
            logits.append(torch.cat(predicted))
    labels = torch.cat([batch.labels.cpu() for batch in test if batch.labels is not None])
    found = evaluate_ensemble(torch.stack(logits), labels)
    text = json.dumps({"files": [str(file) for file in files], **asdict(found)}, indent=1)
    if out:
        write_whole(out, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    if as_json:
        typer.echo(text)
        return
    _show(found)
    if out:
        say(f"wrote {out}")


def _show(found: "Ensemble") -> None:
    from permask.cli.output import print_table

    rows = [
        ("accuracy (%)", f"{found.accuracy:.2f}", f"{found.member_accuracy:.2f}"),
        ("negative log-likelihood (nats)", f"{found.loss:.4f}", f"{found.member_loss:.4f}"),
        ("expected calibration error", f"{found.calibration_error:.4f}", f"{found.member_calibration_error:.4f}"),
    ]
    title = f"{found.members} members on {found.samples:,} samples"
    print_table(("", "ensemble", "member, mean"), rows, title)
    normalised = found.normalised_disagreement
    of_error = "" if normalised is None else f" ({normalised:.2f} of a member's error)"
    typer.echo(
        f"two members disagree on {100 * found.disagreement:.2f}% of samples{of_error}, "
        f"KL {found.kl:.4f} nats, JS {found.js:.4f} nats"
    )
