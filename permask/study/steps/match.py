"""Find the permutation that lines network A up with network B."""

from permask.discovery.discover import discover
from permask.matching.activations import match_activations
from permask.study.steps.files import ALIGNMENT, Run

BATCH_SIZE = 512


def compute(run: Run) -> None:
    """Match by activations on all training images, in one pass."""
    source, target = run.network_of("source"), run.network_of("target")
    images = run.data.train.inputs(BATCH_SIZE)
    symmetry = discover(source, (images[0][:2],))
    alignment = match_activations(symmetry, source, target, images)
    alignment.save(run.folder / ALIGNMENT)
    run.write_metrics(
        {
            "groups": [
                {
                    "group": group.group,
                    "size": group.size,
                    "correlation": group.correlation,
                    "correlation_identity": group.correlation_identity,
                    "dead_source": group.dead_source,
                    "dead_target": group.dead_target,
                }
                for group in alignment.groups
            ]
        }
    )
