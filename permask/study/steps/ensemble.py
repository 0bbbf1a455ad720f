"""What an ensemble of a study's networks scores on the test set, and how much its members differ."""

from dataclasses import asdict

import torch

from permask.ensembles import evaluate_ensemble
from permask.study.steps.files import Run

BATCH_SIZE = 1024


@torch.inference_mode()
def compute(run: Run) -> None:
    """Let every parent predict, and measure the ensemble of all of them."""
    test = run.data.test
    labels = torch.cat([labels for _, labels in test.batches(BATCH_SIZE)])
    predictions = []
    for number, role in enumerate(run.parents):
        network = run.network_of(role).eval()
        predictions.append(torch.cat([network(images) for images in test.inputs(BATCH_SIZE)]))
        run.progress(number + 1, len(run.parents))
    run.write_metrics(asdict(evaluate_ensemble(torch.stack(predictions), labels)))
