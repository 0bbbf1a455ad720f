"""What the paper claims, and how results tell of it: differences of every pair of networks.

Of every pair it is the mean over all sparsities and rewind epochs of a study. Pairs that lack one are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from permask.errors import PermaskError
from permask.report.claims import ByPair, Claim, Measure
from permask.report.numbers import signed
from permask.report.outcomes import Outcomes
from permask.report.published import BARRIERS, LTH_X4, PUBLISHED_STUDIES
from permask.report.rounds import STATISTICS, barriers_of_pairs
from permask.report.widths import width_of
from permask.study.results import Results
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.trained import Trained

EARLY = "permuted t="
LOSS_OF_EARLY = 1.0  # points below the late match that early matching may lie: the paper's lie up to 0.92 below


def _gain(first: str, second: str) -> Measure:
    """Accuracy of one method less that of another, in points."""
    return lambda results: _mean_by_pair(
        {
            (number, sparsity, rewind): _differences(outcomes, first, second, sparsity, rewind)
            for number, outcomes in enumerate(map(_outcomes, results))
            for sparsity in outcomes.sparsities
            for rewind in outcomes.rewinds
        }
    )


def _outcomes(results: Results) -> Outcomes:
    return Outcomes.of(results.of(Trained))


def _differences(outcomes: Outcomes, first: str, second: str, sparsity: float, rewind: int) -> ByPair:
    above, below = outcomes.by_pair(first, sparsity, rewind), outcomes.by_pair(second, sparsity, rewind)
    return {pair: above[pair] - below[pair] for pair in above if pair in below}


def _mean_by_pair(cells: Mapping[Any, ByPair]) -> ByPair:
    """The mean over all cells that have any pair, of the pairs that have all of these."""
    told = [of_pair for of_pair in cells.values() if of_pair]
    whole = set.intersection(*(set(of_pair) for of_pair in told)) if told else set()
    return {pair: fmean(of_pair[pair] for of_pair in told) for pair in sorted(whole)}


def _early(than: str) -> Measure:
    """Accuracy of the earliest match less that of another method, in points."""

    def measure(results: Sequence[Results]) -> ByPair:
        methods = {method for one in results for method in _outcomes(one).methods if method.startswith(EARLY)}
        if not methods:
            return {}
        return _gain(min(methods, key=lambda method: int(method.removeprefix(EARLY))), than)(results)

    return measure


def _closing(method: str) -> Measure:
    """How much less a method lies below lth at the largest width than at the smallest, in points."""

    def measure(results: Sequence[Results]) -> ByPair:
        by_width: defaultdict[int, list[Results]] = defaultdict(list)
        for one in results:
            try:
                by_width[width_of(one)].append(one)
            except (PermaskError, KeyError):  # of no one width
                return {}
        if len(by_width) < 2:
            return {}
        narrow, wide = (_gain("lth", method)(by_width[choose(by_width)]) for choose in (min, max))
        return {pair: narrow[pair] - wide[pair] for pair in narrow if pair in wide}

    return measure


def _diversity(per_error: bool) -> Measure:
    """Disagreement of two members of permuted ensembles less that of lth's around the same A, in points.

    Args:
        per_error: Whether to divide it by the members' error, in percent (Fort et al. 2019): bad networks differ, too.
    """

    def of(row: MeasuredEnsemble) -> float:
        return 100 * row.disagreement / ((100 - row.member_accuracy) / 100 if per_error else 1)

    def measure(results: Sequence[Results]) -> ByPair:
        cells: defaultdict[Any, defaultdict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for number, one in enumerate(results):
            for row in one.of(MeasuredEnsemble):
                cells[number, row.sparsity, row.rewind][row.method][row.pair] = of(row)
        return _mean_by_pair(
            {
                place: {p: by["permuted"][p] - by["lth"][p] for p in by["permuted"] if p in by["lth"]}
                for place, by in cells.items()
            }
        )

    return measure


def _growth(statistics: str, less: str = "") -> Measure:
    """How much the barrier grows from dense A to its last round of pruning, less another one's growth, in points."""

    def grows(results: Sequence[Results], name: str) -> ByPair:
        found = [barriers_of_pairs(one.of(RoundPoint)) for one in results]
        cells = {}
        for number, barriers in enumerate(found):
            sparsities = sorted(sparsity for of, sparsity in barriers if of == STATISTICS[name])
            if sparsities:
                first, last = (barriers[STATISTICS[name], s] for s in (sparsities[0], sparsities[-1]))
                cells[number] = {pair: last[pair] - first[pair] for pair in first if pair in last}
        return _mean_by_pair(cells)

    def measure(results: Sequence[Results]) -> ByPair:
        own, other = grows(results, statistics), grows(results, less) if less else {}
        return {pair: own[pair] - other.get(pair, 0.0) for pair in own if pair in other or not less}

    return measure


def _published(name: str, first: str, second: str) -> list[float]:
    """first − second wherever both were published."""
    known = PUBLISHED_STUDIES[name]
    cells = {(sparsity, rewind) for method, sparsity, rewind in known if method == first}
    return [known[first, *cell].mean - known[second, *cell].mean for cell in cells if (second, *cell) in known]


def _between(values: Iterable[float]) -> str:
    values = sorted(values)
    return f"{signed(values[0])} to {signed(values[-1])}"


MAIN, WIDE = "resnet20x1-cifar10", "resnet20x4-cifar10"
_LTH, _PERMUTED, _PERMUTED_X4 = (
    PUBLISHED_STUDIES[name][method, 0.97, 20].mean
    for name, method in ((MAIN, "lth"), (MAIN, "permuted"), (WIDE, "permuted"))
)
_RESET, _REPAIR = (barriers[-1] - barriers[0] for barriers in (BARRIERS["reset"], BARRIERS["repair"]))

CLAIMS = (
    Claim(
        "Permuted masks do better than naive ones",
        "accuracy, permuted − naive, points",
        _gain("permuted", "naive"),
        (
            *(MAIN, "early-matching", "resnet20x1-svhn", "cifar10-resnet8", "vit-cifar10"),
            *("gpt-text", "digits-ensembles", "digits"),
        ),
        f"{_between(_published(MAIN, 'permuted', 'naive'))}, width 1",
        besides="naive − random; where it is 0, the positions of a mask mean nothing",
        besides_of_pairs=_gain("naive", "random"),
    ),
    Claim(
        "The gap to lth closes as width grows",
        "accuracy, lth − permuted, in points: at the smallest width minus at the largest",
        _closing("permuted"),
        (MAIN, WIDE, "resnet20x8-cifar10", "resnet20x16-cifar10", "digits-width", "digits-width-sparser"),
        f"{signed(_LTH - _PERMUTED - (LTH_X4 - _PERMUTED_X4), 1)} from width 1 to 4 at 97%, read off a figure",
        besides="the same for lth − naive, where nothing is permuted",
        besides_of_pairs=_closing("naive"),
        across=True,
    ),
    Claim(
        "Early matching suffices",
        f"accuracy, permuted by the earliest match − by the last, points; has to lie above −{LOSS_OF_EARLY:g}",
        _early("permuted"),
        ("early-matching", "cifar10-resnet8", "gpt-text", "digits"),
        f"{_between(_published('early-matching', 'permuted t=5', 'permuted'))}, after 5 of 200 epochs",
        border=-LOSS_OF_EARLY,
        besides="permuted by the earliest match − naive; has to lie above 0",
        besides_of_pairs=_early("naive"),
        besides_is="above",
    ),
    Claim(
        "Ensembles of permuted masks are more diverse than those of lth",
        "disagreement of two members, permuted − lth, points",
        _diversity(per_error=False),
        ("ensembles", "cifar10-resnet8", "gpt-text", "digits-ensembles"),
        "figure without numbers",
        besides="disagreement / error of a member, permuted − lth, percent; has to lie above 0",
        besides_of_pairs=_diversity(per_error=True),
        besides_is="above",
    ),
    Claim(
        "REPAIR keeps the barrier flat along pruning",
        "growth of the barrier, BatchNorm reset − REPAIR, points",
        _growth("reset", less="repair"),
        ("repair-along-imp", "resnet20-small", "resnet8-small", "cifar10-resnet8"),
        f"{signed(_RESET - _REPAIR, 1)} ({signed(_RESET, 1)} minus {signed(_REPAIR, 1)}), read off a figure",
        besides="growth of the barrier with REPAIR, points; must not lie above 0",
        besides_of_pairs=_growth("repair"),
        besides_is="not above",
    ),
)
