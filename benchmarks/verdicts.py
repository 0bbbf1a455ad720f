"""What the pages of docs/ say of differences between methods: the figures, and in words what their intervals tell."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from digits_page import listed

from permask.report.numbers import format_difference, format_summary, percent
from permask.report.outcomes import REFERENCES, Outcomes
from permask.report.statistics import Difference, Summary, holm, summarise
from permask.report.table import LEVEL, Cell, Table, TableRow, emphasised
from permask.study.steps.trained import Trained

FITTED = 95  # percent of the training images
Differences = Mapping[float, Difference]  # of two methods, by sparsity
Fits = Mapping[tuple[str, float], Summary]  # method and sparsity to accuracy on the training images


def compared(outcomes: Outcomes, first: str, second: str) -> Differences:
    """The difference of two methods at every sparsity."""
    (rewind,) = outcomes.rewinds
    found = {sparsity: outcomes.difference(first, second, sparsity, rewind) for sparsity in outcomes.sparsities}
    return {sparsity: difference for sparsity, difference in found.items() if difference}


def figures_of(found: Differences) -> str:
    """A difference with its interval at every sparsity."""
    return listed(f"{format_difference(difference)} at {percent(s)}" for s, difference in found.items())


def table_of(found: Mapping[tuple[str, str], Differences], sparsities: Sequence[float]) -> Table:
    """Pairs of methods down, sparsities across."""
    rows = [TableRow(" − ".join(pair), [*map(Cell.of, differences.values())]) for pair, differences in found.items()]
    caption = "Difference of test accuracy in points: mean over pairs of networks, with Student's 95% interval."
    return emphasised(Table(caption, ["methods", *map(percent, sparsities)], [rows]))


def standing(found: Differences, other: str) -> str:
    """Where a method is above or below another, and where intervals do not tell, in words."""
    signs = {
        s: (difference.mean > 0) - (difference.mean < 0) if difference.excludes_zero else 0
        for s, difference in found.items()
    }
    places = {
        sign: listed((percent(s) for s, its in signs.items() if its == sign), "and" if sign else "or")
        for sign in set(signs.values())
    }
    words = {
        1: f"is above `{other}` at {{}}",
        -1: f"is below `{other}` at {{}}",
        0: f"cannot be told apart from `{other}` at {{}}",
    }
    return listed(words[sign].format(places[sign]) for sign in words if sign in places)


def is_above(found: Differences) -> bool:
    """Whether a method is above another at every sparsity, by each interval alone."""
    return all(difference.excludes_zero and difference.mean > 0 for difference in found.values())


def decided(found: Differences) -> str:
    """At which sparsities a difference is told from zero, alone and among all."""
    apart = [percent(s) for s, difference in found.items() if difference.excludes_zero]
    if not apart:
        return "No interval excludes 0."
    adjusted = holm([difference.p for difference in found.values() if difference.p is not None])
    left = [percent(s) for s, p in zip(found, adjusted, strict=True) if p < LEVEL]
    return (
        f"The interval excludes 0 {'only ' * (len(apart) < len(found))}at {listed(apart)}. After Holm's correction for "
        f"{len(found)} sparsities, the difference is significant at {listed(left) if left else 'none of them'} "
        f"(smallest corrected p = {min(adjusted):.3f})."
    )


def fits(rows: Iterable[Trained]) -> Fits:
    """Accuracy on the training images, by method and sparsity."""
    found: defaultdict[tuple[str, float], list[float]] = defaultdict(list)
    for row in rows:
        assert row.train_accuracy is not None  # results of this version tell it
        found[row.method, row.sparsity].append(row.train_accuracy)
    return {condition: summarise(values) for condition, values in found.items()}


def fit_sentence(rows: Iterable[Trained]) -> str:
    """How far networks fit their training images, and what that means for differences on test images."""
    found = fits(rows)
    sparse = {place: fit for place, fit in found.items() if place[0] not in REFERENCES}
    (worst, low), (best, high) = (choose(sparse.items(), key=lambda item: item[1].mean) for choose in (min, max))
    said = (
        f"dense ones get {format_summary(found['dense', 0.0])}% of them right, and sparse ones from "
        f"{format_summary(low)}% (`{worst[0]}` at {percent(worst[1])}) to {format_summary(high)}% (`{best[0]}` at "
        f"{percent(best[1])})."
    )
    if low.mean >= FITTED:
        return f"Networks fit their training images: {said}"
    return (
        f"Networks do not fit their training images fully: {said} A difference on test images can therefore come from "
        "how fast a network learns under a mask as well as from what it can learn."
    )
