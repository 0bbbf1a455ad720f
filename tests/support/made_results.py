"""Results as a study would find them, made from a formula, for the tests of what reports them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np

from permask.study.results import Results
from permask.study.rows import Row
from permask.study.steps.connect import PathPoint
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.mask import MeasuredMask
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained

# points of accuracy that a method loses at sparsity 0.98 and rewind 5
LOSS = {"lth": 1.2, "own-ticket": 1.5, "permuted": 2.3, "naive": 4.9, "random": 26.0}
DENSE = 98.4
PROVENANCE: dict[str, object] = {
    "permask": "0.1.0",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "torch": "2.15.0",
    "python": "3.11.9",
    "hardware": "2 cores of a made machine",
}


def made_results(
    methods: Sequence[str] = ("lth", "naive", "permuted", "random"),
    sparsities: Sequence[float] = (0.90, 0.95, 0.98, 0.99),
    rewinds: Sequence[int] = (0, 5, 20),
    pairs: int = 5,
    alphas: int = 11,
) -> Results:
    """Results of the shape of studies/digits.yaml; `alphas=0` leaves connectivity and matching out."""
    generator = np.random.default_rng(0)
    rows: list[Row] = []

    def add(method: str, sparsity: float, rewind: int | None, pair: int, trained: str, accuracy: float) -> None:
        made = made_network(method, sparsity, rewind, pair, accuracy=round(accuracy, 4), trained=trained)
        rows.append(replace(made, step=_key(method, sparsity, rewind, pair, trained)))

    for pair in range(pairs):
        for trained in "AB":
            add("dense", 0, None, pair, trained, DENSE + 0.3 * generator.normal())
        for method in methods:
            for sparsity in sparsities:
                for rewind in rewinds:
                    loss = LOSS[method] * (0.02 / (1 - sparsity)) ** 0.8 * (1.3 if rewind == 0 else 1)
                    accuracy = DENSE - loss * np.exp(0.15 * generator.normal()) - 0.3 * generator.normal()
                    add(method, sparsity, rewind, pair, "A" if method == "lth" else "B", min(accuracy, 100.0))

    for pair in range(pairs if alphas else 0):
        for permuted, depth in ((False, 7.4), (True, 0.8)):
            height = depth * np.exp(0.1 * generator.normal())
            rows += [
                PathPoint(
                    **_seeds(pair),
                    permuted=permuted,
                    alpha=round(float(alpha), 4),
                    accuracy=DENSE - float(height * 4 * alpha * (1 - alpha)),
                    loss=0.1,
                    step=_key("connect", pair, permuted),
                )
                for alpha in np.linspace(0, 1, alphas)
            ]
        rows += [
            MatchedGroup(
                **_seeds(pair),
                group=group,
                size=256,
                correlation=0.7 + 0.02 * float(generator.normal()),
                correlation_identity=0.02 * float(generator.normal()),
                step=_key("match", pair),
            )
            for group in ("hidden.0", "hidden.1")
        ]
    return Results({"name": "made", "pairs": pairs, "sparsities": list(sparsities)}, PROVENANCE, rows)


def made_network(method: str, sparsity: float, rewind: int | None, pair: int, **columns: Any) -> Trained:
    """A row of a trained network; `columns` are those that are to differ from what is usual here."""
    accuracy = columns.get("accuracy", DENSE)
    usual = {
        **{"study": "made", "dataset": "digits", "network": "mlp", "sparsity_network": 0.99 * sparsity},
        **{"trained": "B", "accuracy": accuracy, "loss": round((100 - accuracy) / 25, 4), "epochs": 60 - (rewind or 0)},
        **{"step": f"{method}{pair}", **{name: PROVENANCE[name] for name in ("permask", "commit", "torch")}},
    }
    return Trained(method=method, sparsity=sparsity, rewind=rewind, **_seeds(pair), **usual | columns)


def three_pairs() -> list[Trained]:
    """Networks of two methods over three pairs, for figures that a hand can check."""
    return [
        made_network(method, 0.9, 5, pair, accuracy=accuracy, sparsity_network=0.829)
        for method, accuracies in {"naive": [90.0, 92.0, 94.0], "permuted": [92.0, 93.0, 97.0]}.items()
        for pair, accuracy in enumerate(accuracies)
    ]


def with_pruned(results: Results, names: str = "A") -> Results:
    """Results with the pruned networks of every pair besides: A, or A and B."""
    trained = results.of(Trained)
    places = sorted({(row.pair, row.sparsity) for row in trained if row.method != "dense"})
    rows = [
        replace(
            made_network("pruned", sparsity, None, pair, accuracy=97.0 + pair / 10, trained=name),
            step=_key("pruned", sparsity, pair, name),
        )
        for pair, sparsity in places
        for name in names
    ]
    return replace(results, rows=[*results.rows, *rows])


def changed(results: Results, kind: type[Row] = Trained, **columns: Callable[[Any], object]) -> Results:
    """Results whose rows of one kind have other values in some columns, given as functions of the row."""
    return replace(
        results,
        rows=[
            replace(row, **{name: value(row) for name, value in columns.items()}) if isinstance(row, kind) else row
            for row in results.rows
        ],
    )


def without(results: Results, left_out: Callable[[Trained], bool]) -> Results:
    """Results without some of their trained networks."""
    return replace(results, rows=[row for row in results.rows if not (isinstance(row, Trained) and left_out(row))])


def measured_results(pairs: int = 6, members: int = 3, every: int = 3, **made: Any) -> Results:
    """Made results with ensembles, rounds of pruning, masks and costs besides."""
    results = made_results(pairs=pairs, **made)
    generator = np.random.default_rng(1)
    sparsities = sorted({row.sparsity for row in results.of(Trained) if row.method != "dense"})
    rows: list[Row] = [_with_costs(row) if isinstance(row, Trained) else row for row in results.rows]
    for pair in range(pairs):
        for number, sparsity in enumerate((0.0, 0.36, 0.59, *sparsities)):
            for statistics, height in (("keep", 9.0 + number), ("reset", 2.0 + number), ("repair", 2.0)):
                high = height * float(np.exp(0.1 * generator.normal()))
                rows += [
                    RoundPoint(
                        **_seeds(pair),
                        round=number,
                        sparsity=sparsity,
                        statistics=statistics,
                        alpha=alpha,
                        accuracy=DENSE - high * 4 * alpha * (1 - alpha),
                        loss=0.1,
                        step=_key("round", pair, sparsity),
                    )
                    for alpha in (0.0, 0.5, 1.0)
                ]
        for sparsity in sparsities:
            layers = []
            for layer, size in (("0.weight", 4000), ("2.weight", 1000)):
                kept = round(size * (1 - sparsity))
                shared = {"kept_by_both": kept // 10, "kept_by_both_permuted": kept // 3 + int(generator.integers(3))}
                layers.append({"layer": layer, "shape": [size // 100, 100], "size": size, "kept": kept} | shared)
            dense = {"parameters": 5050, "bytes": 20200, "flops": 10000}
            sparse = {key: round(value * (1 - sparsity)) for key, value in dense.items()}
            measured = {"layers": layers, "dense": dense, "sparse": sparse}
            rows.append(MeasuredMask(**_seeds(pair), sparsity=sparsity, step=_key("mask", pair, sparsity), **measured))
        if pair % every:
            continue
        places = [("dense", 0.0, None)]
        places += [(method, s, 5) for s in sparsities for method in ("lth", "imp", "permuted", "naive", "random")]
        for method, sparsity, rewind in places:
            apart = {"lth": 0.01, "imp": 0.06, "permuted": 0.1}.get(method, 0.04) * np.exp(0.1 * generator.normal())
            accuracy = DENSE - LOSS.get(method, 1) + float(generator.normal())
            rows.append(
                MeasuredEnsemble(
                    **_seeds(pair),
                    pairs=[(pair + i) % pairs for i in range(members)],
                    method=method,
                    sparsity=sparsity,
                    rewind=rewind,
                    members=members,
                    samples=1605,
                    **{"accuracy": accuracy, "loss": 0.2, "calibration_error": 0.02},
                    **{"member_accuracy": accuracy - 1, "member_loss": 0.3, "member_calibration_error": 0.03},
                    **{"disagreement": float(apart), "kl": float(apart) / 2, "js": float(apart) / 10},
                    step=_key("ensemble", method, pair, sparsity),
                )
            )
    return replace(results, rows=rows)


def _with_costs(row: Trained) -> Trained:
    ticket = 0 if row.method == "dense" else 130
    total = ticket + (60 if row.method in ("dense", "permuted") else row.rewind or 0) + row.epochs
    seconds = {"seconds": 0.5, "seconds_total": 0.02 * total, "seconds_ticket": 0.02 * ticket}
    marginal = total if row.method == "lth" else total - ticket
    flops = {"flops": 6000 * row.epochs, "flops_total": 6000 * total, "flops_marginal": 6000 * marginal}
    seconds["seconds_marginal"] = 0.02 * marginal
    return replace(row, epochs_total=total, epochs_ticket=ticket, epochs_marginal=marginal, **flops, **seconds)


def _seeds(pair: int) -> dict[str, int]:
    return {"pair": pair, "seed_a": 2 * pair, "seed_b": 2 * pair + 1}


def _key(*words: object) -> str:
    """What would be the hash of a step."""
    return sha256(" ".join(map(str, words)).encode()).hexdigest()
