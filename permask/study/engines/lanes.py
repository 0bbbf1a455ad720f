"""How many steps share a GPU: as many as were measured to train most images per second together, if they fit."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from permask.study.budget import like, manifests
from permask.study.manifest import Manifest
from permask.study.plan import Plan
from permask.study.store import Store

SPARED = 0.9  # share of a GPU's memory that steps may take
CONTEXT = 600 << 20  # bytes that a process takes besides what torch reserves, about


def measured_lanes(plan: Plan, store: Store | None, model: str, memory: int) -> int:
    """The number of lanes under which like steps trained fastest on such a GPU; 1 where nothing else was tried.

    Args:
        plan: What is to be computed.
        store: Where like steps may be.
        model: Of the GPU.
        memory: Of it, in bytes.
    """
    if store is None:
        return 1
    wanted = {like(step.specification) for step in plan.steps.values() if step.epochs}
    told = [manifest for manifest in manifests(store) if _tells(manifest, model) and _like(manifest) in wanted]
    return fastest(told, memory)


def fastest(told: Iterable[Manifest], memory: int) -> int:
    """The number of lanes under which some trainings had most images per second together, of those that fit.

    Args:
        told: The manifests of trainings that are alike, on one kind of GPU.
        memory: Of it, in bytes.
    """
    rates: dict[int, list[float]] = defaultdict(list)
    most = 0
    for manifest in told:
        rates[manifest["provenance"]["lanes"]].append(manifest["throughput"]["images_per_second"])
        most = max(most, manifest.get("gpu_memory", 0))
    fitting = max(1, int(SPARED * memory / (most + CONTEXT)))
    together = {lanes: lanes * median(found) for lanes, found in rates.items() if lanes <= fitting}
    return max(together, key=lambda lanes: (together[lanes], -lanes), default=1)


def _tells(manifest: Manifest, model: str) -> bool:
    provenance = manifest.get("provenance", {})
    known = provenance.get("gpu") == model and "lanes" in provenance
    return known and "images_per_second" in manifest.get("throughput", {})


def _like(manifest: Manifest) -> str:
    return like(manifest.get("specification", {}))
