"""What the names of the methods that are built in mean, in a sentence each, for the pages of studies."""

from typing import Any

from permask.report.outcomes import Outcomes, in_order
from permask.study.results import Results
from permask.study.steps.ensemble import MeasuredEnsemble

MEANINGS = {
    "dense": "A network with all of its weights.",
    "pruned": "A network as pruning left it, in rounds of training and removing the smallest weights.",
    "lth": "The lottery ticket of A: A's early weights, trained under the mask that pruning A gave.",
    "imp": "Ensembles alone: the lottery tickets of several networks, each with its own mask.",
    "naive": "B's early weights, trained under A's mask as it is.",
    "permuted": "B's early weights, trained under A's mask after it was permuted to match B.",
    "random": "B's early weights, trained under A's mask with its positions shuffled inside every layer.",
    "any-symmetry": "B's early weights, trained under A's mask after A's units were put in a random order.",
    "own-ticket": "B's early weights, trained under the mask that pruning B itself gave.",
    "one-shot": "B's early weights, trained under a mask of the largest weights of B after dense training.",
    "erk": "B's early weights, trained under a random mask that keeps more of small layers (Erdős–Rényi kernel).",
    "uniform": "B's early weights, trained under a random mask that keeps the same share of every layer.",
    "snip": "B's early weights, trained under the mask that scores of SNIP give, without any network A.",
    "grasp": "B's early weights, trained under the mask that scores of GraSP give, without any network A.",
    "synflow": "B's early weights, trained under the mask that scores of SynFlow give, without any network A.",
    "set": "B's early weights, trained under a random mask that SET changes during training.",
    "rigl": "B's early weights, trained under a random mask that RigL changes during training.",
    "gmp": "B's early weights, trained while gradual magnitude pruning removes more and more of them.",
}


def meanings(results: Results, outcomes: Outcomes) -> dict[str, str]:
    """Names of built-in methods, as the tables of a study have them, to what they mean.

    A method that the study itself writes is not among them; its specification says what it is.
    """
    methods: Any = results.study.get("methods", ())
    own = {method["name"] for method in methods if isinstance(method, dict) and "name" in method}
    found: dict[str, str] = {}
    trained = {method for method, _, _ in outcomes.conditions}
    for name in in_order(trained | {row.method for row in results.of(MeasuredEnsemble)}):
        base, at, epoch = name.partition(" t=")
        if base in MEANINGS and base not in own:
            found[name] = f"{MEANINGS[base][:-1]} at its epoch {epoch}." if at else MEANINGS[base]
    return found
