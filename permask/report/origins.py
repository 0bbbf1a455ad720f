"""With what the results of a study were computed, and a warning where that differs."""

from collections.abc import Mapping

from permask.study.join import JOINED
from permask.study.results import Results

Origins = Mapping[str, Mapping[str, int]]  # name to value to how many steps were computed with it

# what numbers may depend on, and what should therefore be one and the same
CURRENT = ("permask", "commit", "torch", "cpu")  # of these, also the same as where the results were gathered
EQUAL = ("permask", "commit", "torch", "device", "precision", "compile", "deterministic", "cpu")


def origins(results: Results) -> Origins:
    """What the steps of a study were computed with; results of before tell it of trained networks alone."""
    return results.computed_with


def sentences(results: Results) -> dict[str, str]:
    """By name, every value and how many steps were computed with it."""
    return {name: ", ".join(_counted(values)) for name, values in origins(results).items()}


def warning(results: Results) -> str:
    """What a reader must know before the numbers; empty if nothing.

    That the run was a smoke run; what is missing; in what the steps differ that numbers may depend on; what is stale.
    """
    said = []
    if results.is_smoke:
        said.append("this is a smoke run, the smallest form of the study. Its numbers mean nothing.")
    if results.missing:
        said.append(f"results are missing here, as the store lacks {results.missing}.")
    differing = {name: values for name, values in origins(results).items() if name in EQUAL and len(values) > 1}
    if differing:
        values = "; ".join(f"{name}: {', '.join(_counted(values))}" for name, values in differing.items())
        said.append(f"not all of these results were computed alike, and may differ for that reason. {values}.")
    if stale := _stale(results):
        said.append(
            f"the store had these results, computed with another {' and '.join(stale)} than is here. "
            f"{'; '.join(stale.values())}."
        )
    return " ".join(f"Warning: {sentence}" for sentence in said)


def _stale(results: Results) -> dict[str, str]:
    """By name, what no step was computed with although it was there when the results were gathered, in words."""
    if JOINED in results.provenance:
        return {}
    found = {}
    for name in CURRENT:
        values, here = origins(results).get(name, {}), results.provenance.get(name)
        if values and here is not None and str(here) not in values:
            found[name] = f"{name}: {', '.join(_counted(values))}, here {here or 'unknown'}"
    return found


def origin_sentences(results: Results) -> list[str]:
    """What the results were computed with, the warning first if there is one."""
    said = "; ".join(f"{name} {text}" for name, text in sentences(results).items())
    return [sentence for sentence in (warning(results), said and f"Computed with {said}.") if sentence]


def _counted(values: Mapping[str, int]) -> list[str]:
    return [f"{value or 'unknown'} ({count} step{'s' * (count != 1)})" for value, count in values.items()]
