"""The paper's claims, one by one: what results say of each, at which scale, and what would decide what is open.

A claim is a difference that is to lie above a border, with Student's interval over pairs of networks. It is reproduced
where the whole interval lies above, not reproduced where it lies below, and not decided otherwise, or with fewer than
three pairs. Some claims have a second difference besides, without which the first would say less than it seems to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any, Literal

from permask.report.numbers import format_difference, percent
from permask.report.power import pairs_for
from permask.report.statistics import Difference, summarise, t_interval
from permask.study.results import Results

REPRODUCED, NOT_REPRODUCED, NOT_DECIDED = "reproduced", "not reproduced", "not decided"
FEWEST = 3  # pairs of which an interval says something
MOST = 1000  # pairs, beyond which nobody would go

ByPair = Mapping[int, float]  # the number of a pair to a difference of it
Measure = Callable[[Sequence[Results]], ByPair]


@dataclass(frozen=True)
class Claim:
    """What the paper says.

    Attributes:
        name: In words.
        difference: What is to lie above `border`, in words.
        of_pairs: That difference, of every pair.
        studies: Names of studies that tell of it, nearest to the paper's own scale first; the first is the paper's.
        published: The paper's figures.
        border: In the difference's unit.
        besides: A second difference, in words; empty for none.
        besides_of_pairs: The same of every pair.
        besides_is: Where the second difference has to lie for the claim to stand: above 0, not above it, or anywhere.
        across: Whether it takes results of several widths to tell.
    """

    name: str
    difference: str
    of_pairs: Measure
    studies: Sequence[str]
    published: str
    border: float = 0.0
    besides: str = ""
    besides_of_pairs: Measure = lambda results: {}
    besides_is: Literal["above", "not above", "anywhere"] = "anywhere"
    across: bool = False


@dataclass(frozen=True)
class Judged:
    """What the results of one study say of a claim.

    Attributes:
        study: Its name.
        file: The name of its results file.
        scale: Network, data, length of training, sparsities.
        difference: That of the claim.
        besides: The second one, if the claim has one and the study tells it.
        verdict: Whether the claim is reproduced.
        decides: What would decide it at this scale; empty where it is decided.
    """

    study: str
    file: str
    scale: str
    difference: Difference
    besides: Difference | None
    verdict: str
    decides: str

    @property
    def n(self) -> int:
        """Pairs, or ensembles."""
        return self.difference.n


def judge(claim: Claim, results: Sequence[Results], study: str, file: str) -> Judged | None:
    """What some results say of a claim; None if they do not tell of it.

    Args:
        claim: The claim.
        results: Of one study, or of several widths of it.
        study: As of `Judged`.
        file: As of `Judged`.
    """
    values = list(claim.of_pairs(results).values())
    if not values:
        return None
    difference, second = _interval(values), list(claim.besides_of_pairs(results).values())
    besides = _interval(second) if second else None
    verdict = _verdict(difference, claim.border)
    decides = _pairs_to_decide(values, claim.border) if verdict == NOT_DECIDED else ""
    if claim.besides_is == "not above" and _verdict(besides) == REPRODUCED:
        verdict, decides = NOT_REPRODUCED, ""
    if claim.besides_is == "above" and verdict == REPRODUCED and _verdict(besides) != REPRODUCED:
        verdict, decides = NOT_DECIDED, _pairs_to_decide(second, 0.0)
    return Judged(
        study=study,
        file=file,
        scale=scale(results),
        difference=difference,
        besides=besides,
        verdict=verdict,
        decides=decides,
    )


def _interval(values: Sequence[float]) -> Difference:
    """Student's, of three values or more."""
    found = t_interval(values)
    return found if found.n >= FEWEST else Difference(found.mean, None, None, found.n)


def _verdict(difference: Difference | None, border: float = 0.0) -> str:
    if difference is None or difference.low is None or difference.high is None:
        return NOT_DECIDED
    return REPRODUCED if difference.low > border else NOT_REPRODUCED if difference.high < border else NOT_DECIDED


def _pairs_to_decide(values: Sequence[float], border: float) -> str:
    """How many pairs bring the border out of the interval, if the differences go on as they are."""
    found = summarise(values) if values else None
    if found is None or found.std is None or found.n < FEWEST:
        return f"more pairs than {len(values)}"
    away = abs(found.mean - border)
    if isclose(away, 0, abs_tol=1e-9) or (n := pairs_for(found.std, away)) is None or n > MOST:
        return "no number of pairs that one could run: the difference is too near the border"
    return f"about {max(n, found.n + 1)} pairs in all, if differences go on as here"


def scale(results: Sequence[Results]) -> str:
    """What was trained, on what, and how long, in words."""
    study: Any = results[0].study
    network, data = study["network"], study["data"]
    widths = list(dict.fromkeys(_widths(one.study["network"]) for one in results))
    size = data.get("train_size") or data.get("train")
    return ", ".join(
        [
            f"{network['name']} {' to '.join([widths[0], widths[-1]] if len(widths) > 1 else widths)}".strip(),
            f"{data['name']}{f' ({size:,} training inputs)' if size else ''}",
            f"{study['epochs']} epochs",
            ", ".join(map(percent, study["sparsities"])),
        ]
    )


def _widths(network: Any) -> str:
    if "widths" in network:
        return "-".join(map(str, network["widths"]))
    return f"×{network['width']}" if network["name"].startswith(("resnet", "vgg")) else str(network.get("width", ""))


def judged(claim: Claim, known: Mapping[str, Results]) -> list[Judged]:
    """What results say of a claim, those nearest to the paper's own scale first.

    Args:
        claim: The claim.
        known: Name of a study to its results, as far as there are any.
    """
    there = [known[name] for name in claim.studies if name in known]
    of_widths = [one for one in there if claim.across and not one.combinations]
    found = [judge(claim, of_widths, ", ".join(one.name for one in of_widths), of_widths[0].name)] if of_widths else []
    for one in there:
        parts = list(one.combinations.values())
        if claim.across:
            found += [judge(claim, parts, one.name, one.name)] if parts else []
        else:
            found += [judge(claim, [part], part.name, one.name) for part in parts or [one]]
    return [one for one in found if one]


CLAIM_HEADINGS = ("verdict", "study", "n", "difference", "second difference", "what would decide it here")


def claim_lines(found: Judged | None) -> list[str]:
    """The cells of a line of a claim's table."""
    if found is None:
        return [NOT_DECIDED, "not run yet", "0", "–", "–", "–"]
    study = f"[{found.study}](results/{found.file}.json): {found.scale}"
    second = format_difference(found.besides) if found.besides else "–"
    difference = f"**{format_difference(found.difference)}**"
    return [found.verdict, study, str(found.n), difference, second, found.decides or "–"]
