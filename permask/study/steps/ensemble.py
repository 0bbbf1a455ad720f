"""What an ensemble of a study's networks scores on the test set, and how much its members differ."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

from permask.study.method import BUILT_IN
from permask.study.rows import Line, Number, PairRow, Part, Percent
from permask.study.step import Reported, Step
from permask.study.steps.outcome import Outcome
from permask.study.steps.sparse import train_sparse

if TYPE_CHECKING:
    from permask.study.collect import Found
    from permask.study.plan import Planner
    from permask.study.steps.run import Run

VERSION = 1
BATCH_SIZE = 1024


@dataclass(frozen=True, kw_only=True)
class MeasuredEnsemble(PairRow):
    """An ensemble around one network A; its measures are those of `permask.ensembles.Ensemble`.

    Attributes:
        pair: Whose network A the ensemble is around.
        pairs: Numbers of the pairs that the members come from.
        method: dense, lth, imp, permuted, naive or random.
        members: How many.
    """

    table: ClassVar[str] = "ensembles"

    pairs: list[Number]
    method: str
    sparsity: Part
    rewind: Number | None
    members: Number
    samples: Number
    accuracy: Percent
    loss: float
    calibration_error: float
    member_accuracy: Percent
    member_loss: float
    member_calibration_error: float
    disagreement: float
    kl: float
    js: float
    step: str

    @property
    def normalised_disagreement(self) -> float | None:
        """As of `permask.ensembles.Ensemble`, which a report need not load torch for."""
        error = 1 - self.member_accuracy / 100
        return self.disagreement / error if error > 0 else None

    def lines(self) -> list[Line]:
        """One line, the pairs with spaces between them."""
        (line,) = super().lines()
        return [{**line, "pairs": " ".join(map(str, self.pairs))}]


ROW = MeasuredEnsemble


def plan(planner: "Planner") -> Iterator[Reported]:
    """Ensembles by method, sparsity and rewind epoch, around every n-th pair's network A."""
    options, study, tickets = planner.study.ensembles, planner.study, planner.tickets
    if options is None:
        return
    for first in range(0, study.pairs, options.step):
        a, members = tickets[first], [tickets[(first + i) % study.pairs] for i in range(options.members)]

        def around_a(method: str, sparsity: float, rewind: int | None, networks: list[Step], *, a=a, members=members):
            labels = {**a.labels, "pairs": [b.labels["pair"] for b in members]}
            label = {"method": method, "sparsity": sparsity, "rewind": rewind}
            parents = {f"member {i:02}": network for i, network in enumerate(networks)}
            return Reported(labels | label, planner.step("ensemble", {}, parents))

        yield around_a("dense", 0.0, None, [b.dense_b[study.epochs] for b in members])
        for sparsity in options.sparsities or study.sparsities:
            for rewind in options.rewinds or study.rewinds:
                where = {"sparsity": sparsity, "rewind": rewind}
                for method in study.compositions:
                    networks = [train_sparse(planner, method, a, b, **where) for b in members]
                    yield around_a(method.name, sparsity, rewind, networks)
                if study.has("lth"):
                    networks = [train_sparse(planner, BUILT_IN["lth"], b, b, **where) for b in members]
                    yield around_a("imp", sparsity, rewind, networks)


def compute(run: "Run") -> Outcome:
    """Let every parent predict, and measure the ensemble of all of them."""
    import torch

    from permask.ensembles import evaluate_ensemble

    test = run.data.test
    predictions = []
    with torch.inference_mode():
        labels = torch.cat([labels.flatten() for _, labels in test.batches(BATCH_SIZE)])
        for number, role in enumerate(run.parents):
            network = run.network_of(role).eval()
            predictions.append(torch.cat([network(inputs).flatten(0, -2) for inputs in test.inputs(BATCH_SIZE)]))
            run.progress(number + 1, len(run.parents))
        return Outcome(asdict(evaluate_ensemble(torch.stack(predictions), labels)))


def rows(found: "Found") -> list[MeasuredEnsemble]:
    """The ensemble."""
    return [MeasuredEnsemble(**found.labelled, **found.metrics)]
