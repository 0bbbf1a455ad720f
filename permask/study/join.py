"""Results of one study from several stores or machines as one: each has other pairs of networks.

What is joined was computed alike: the studies are equal but for `pairs` and `first_seed`, and so are the keys of their
steps but for the seeds in them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from permask.errors import PermaskError
from permask.study.results import COMPUTED_WITH, IN_KEYS, Results
from permask.study.rows import Row
from permask.study.spec import Study
from permask.study.steps.ensemble import MeasuredEnsemble

PAIRS = ("pairs", "first_seed")
OF_A_MACHINE = ("data.root", "data.content")  # a path is in no key, and what keys hold tells of the content
ALIKE = ("device", "precision", "compile")  # of what results of before tell of their steps
JOINED = "joined"  # in the provenance of results

Named = tuple[str, Results]
Seeds = tuple[int, int]
Told = Mapping[str, Collection[str]]  # name to the values that keys hold of it


def joined(results: Mapping[str, Results]) -> Results:
    """The results of a study with all pairs of several results of it, numbered by their seeds.

    A pair that several of them have is taken once, from the one that has most of it. Ensembles stay those of the pairs
    that their results had together. A step that several results have counts several times in what the steps were
    computed with.

    Args:
        results: Name, for messages, to results.

    Raises:
        PermaskError: Results of other studies or computed otherwise, different results of one pair, pairs that share a
            network.
    """
    first, *others = results.items()
    for other in others:
        _check_studies(first, other)
        _check_keys(first, other)
    pairs = _pairs(results.values())
    study = {**first[1].study, "pairs": len(pairs), "first_seed": min((a for a, _ in pairs), default=0)}
    return Results(study, _provenance(results), [*_of_pairs(results, pairs), *_of_no_pair(results.values())])


def _check_studies(first: Named, second: Named) -> None:
    """Raise an error that names the first option in which two studies differ."""
    here, there = (dict(_options(_complete(results.study))) for _, results in (first, second))
    for option in dict.fromkeys((*here, *there)):
        if option not in (*PAIRS, *OF_A_MACHINE) and here.get(option) != there.get(option):
            _refuse(option, {first[0]: here.get(option), second[0]: there.get(option)}, "of one study, equal but for")
    sweep: Any = first[1].study.get("sweep") or {}
    if swept := [option for option in PAIRS if option in sweep]:
        raise PermaskError(f"expected results of a study with one value of {swept[0]}, got those of one that sweeps it")


def _complete(study: dict[str, object]) -> Mapping[str, object]:
    """A study with the defaults of options that an earlier version did not know."""
    try:
        return Study.model_validate(study).model_dump(mode="json")
    except ValidationError:
        return study


def _options(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Option, with dots, to its value."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _options(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _check_keys(first: Named, second: Named) -> None:
    """Raise an error if the keys of the steps hold different things, as far as both results tell."""
    here, there = (results.provenance.get(IN_KEYS) for _, results in (first, second))
    if not (isinstance(here, dict) and isinstance(there, dict)):
        here, there = _told(first[1]), _told(second[1])
        here, there = ({what: of[what] for what in here if here[what] and there[what]} for of in (here, there))
    for what in dict.fromkeys((*here, *there)):
        values = {name: of.get(what, ["none"]) for (name, _), of in ((first, here), (second, there))}
        if values[first[0]] != values[second[0]]:
            of_kinds = set(values[first[0]]) == set(values[second[0]])  # then it is of other kinds of steps
            said = {name: _said(found, of_kinds) for name, found in values.items()}
            _refuse(what, said, "whose steps were computed alike, with keys equal but for")


def _told(results: Results) -> Told:
    """What any results tell of what their keys hold, those of before as well."""
    found, data = results.computed_with, results.study.get("data")
    torch = {".".join(version.split(".")[:2]) for version in found.get("torch", ())}
    in_keys: Any = results.provenance.get(IN_KEYS, {})
    stated = [data["content"]] if isinstance(data, dict) and data.get("content") else []
    content = {"content of data": set(in_keys.get("content of data", stated))}
    return {"torch": torch} | {name: set(found.get(name, ())) for name in ALIKE} | content


def _said(values: Any, of_kinds: bool) -> str:
    return ", ".join(f"{value} ({', '.join(values[value])})" if of_kinds else value for value in values)


def _refuse(what: str, values: Mapping[str, object], expected: str) -> None:
    said = " and ".join(f"{'not given' if value is None else value} in {name}" for name, value in values.items())
    raise PermaskError(f"{what} is {said}: expected results {expected} {' and '.join(PAIRS)}")


def _pairs(results: Iterable[Results]) -> list[Seeds]:
    """The pairs of seeds of all results, in order."""
    pairs = sorted({seeds for one in results for seeds in _seeds(one).values()})
    if shared := [seed for seed, count in Counter(seed for pair in pairs for seed in pair).items() if count > 1]:
        raise PermaskError(
            f"the network of seed {shared[0]} is in two pairs: expected pairs that share none, for intervals to hold"
        )
    return pairs


def _seeds(results: Results) -> dict[int, Seeds]:
    """Number of a pair in some results to its seeds."""
    return {row.pair: (row.seed_a, row.seed_b) for row in _about_pairs(results)}


def _about_pairs(results: Results) -> list[Any]:
    return [row for row in results.rows if hasattr(row, "pair")]


def _of_pairs(results: Mapping[str, Results], pairs: list[Seeds]) -> list[Row]:
    """The rows about pairs, pair by pair, with the pairs' new numbers."""
    number = {seeds: i for i, seeds in enumerate(pairs)}
    groups: dict[tuple[str, int, str], tuple[str, list[Row]]] = {}  # what is swept, pair, table: whose rows, and these
    for name, one in results.items():
        new = {pair: number[seeds] for pair, seeds in _seeds(one).items()}
        for place, rows in _grouped(one, new).items():
            who, there = groups.setdefault(place, (name, rows))
            if (steps := {row.step for row in rows}) > (known := {row.step for row in there}):
                groups[place] = name, rows
            elif not steps <= known:
                a, b = pairs[place[1]]
                raise PermaskError(
                    f"the {place[2]} of the pair of seeds {a} and {b} are those of other steps in {name} than in "
                    f"{who}: leave one of the two out"
                )
    swept = list(dict.fromkeys(which for which, _, _ in groups))
    order = sorted(groups, key=lambda place: (swept.index(place[0]), place[1]))
    return [row for place in order for row in groups[place][1]]


def _grouped(results: Results, new: Mapping[int, int]) -> dict[tuple[str, int, str], list[Row]]:
    """The rows about pairs with their new numbers, by what is swept, pair and table."""
    found: dict[tuple[str, int, str], list[Row]] = {}
    for row in _about_pairs(results):
        changes: dict[str, Any] = {"pair": new[row.pair]}
        if isinstance(row, MeasuredEnsemble):
            changes["pairs"] = [new[pair] for pair in row.pairs]
        found.setdefault((repr(row.swept), new[row.pair], row.table), []).append(replace(row, **changes))
    return found


def _of_no_pair(results: Iterable[Results]) -> list[Row]:
    """The other rows, such as throughput, each step's once."""
    rows = [row for one in results for row in one.rows if not hasattr(row, "pair")]
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.table, row.step, repr(row.swept)), []).append(row)
    return [same[0] for same in found.values()]


def _provenance(results: Mapping[str, Results]) -> dict[str, object]:
    """What all were made with; where that differs, every value, after commas."""
    all_of = [one.provenance for one in results.values()]
    names = [
        name for name in dict.fromkeys(name for of in all_of for name in of) if name not in (COMPUTED_WITH, IN_KEYS)
    ]
    values = {name: list(dict.fromkeys(of[name] for of in all_of if name in of)) for name in names}
    made: dict[str, object] = {n: v[0] if len(v) == 1 else ", ".join(map(str, v)) for n, v in values.items()}
    counts: dict[str, Counter[str]] = {}
    for one in results.values():
        for name, of_name in one.computed_with.items():
            counts.setdefault(name, Counter()).update(of_name)
    made[COMPUTED_WITH] = {name: dict(sorted(of_name.items())) for name, of_name in counts.items()}
    silent = [name for name, one in results.items() if IN_KEYS not in one.provenance]
    if not silent:
        made[IN_KEYS] = next(iter(all_of))[IN_KEYS]
    made[JOINED] = f"{len(results)} results" + (
        f"; not all that is in the keys of their steps could be compared, as {', '.join(silent)} "
        f"{'does' if len(silent) == 1 else 'do'} not tell it" * bool(silent)
    )
    return made
