"""What discovery found before, kept on disk by the structure of the network: for commands, which look again and again.

Capturing a network is never saved, since that is what shows its structure; solving and the certificate are.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from permask.cache import cache_place
from permask.discovery.discover import Captured, captured, find
from permask.discovery.evidence import How, chosen
from permask.discovery.outputs import Wanted
from permask.discovery.program import Node, Ref
from permask.discovery.rules import RULES
from permask.errors import DataError, PermaskError
from permask.files import read_json
from permask.inputs import Example
from permask.symmetry import Symmetry
from permask.wrapped import readable

FORMAT = "permask-cached-symmetry-1"
OWN = "permask.discovery."
STATISTICS = ("running_mean", "running_var")  # which training changes, as it does parameters
PLAIN = (bool, int, float, complex, str, torch.dtype, torch.device, torch.layout, torch.memory_format)


def discover_cached(
    model: nn.Module,
    example_inputs: Example,
    strict: bool = False,
    *,
    outputs: Wanted = None,
    certify: How | None = None,
) -> Symmetry:
    """As `discover`, but a network of the same structure is not solved and certified twice on a machine.

    What was found lies in permask's folder among the user's caches, or in `$PERMASK_CACHE`. The seconds in the report
    say `cache` in place of `solve` and `certify` if it was taken from there. It is found again where anything differs
    that it depends on: an op, a shape, a name, a buffer, an argument, torch, or permask's own discovery. Networks whose
    structure cannot be told for sure, and what failed the certificate or was not seen by it, are not kept.

    Args:
        model: As in `discover`, which raises the same errors.
        example_inputs: Likewise.
        strict: Likewise.
        outputs: Likewise.
        certify: Likewise.
    """
    model = readable(model)
    how = chosen(certify, model)
    network = captured(model, example_inputs, outputs)
    started = time.perf_counter()
    key = structure_key(network, model, strict, how)
    place = _place(key) if key else None
    if key is None or place is None:
        return find(network, model, strict, how)
    kept = _read(place, key)
    if kept is not None:
        seconds = {"capture": network.seconds, "cache": time.perf_counter() - started}
        return replace(kept, report={**kept.report, "seconds": seconds})
    symmetry = find(network, model, strict, how)
    if not symmetry.report["failed"] and not symmetry.report["unseen"]:
        _write(place, key, symmetry)
    return symmetry


def structure_key(network: Captured, model: nn.Module, strict: bool, how: How = "full") -> str | None:
    """SHA-256 of all that a symmetry depends on; None if something cannot be told, such as the rule of a user.

    Weights are not among it, nor running statistics; the contents of other buffers and of constants are.
    """
    program, state = network.readable, model.state_dict()
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    read = {name for node in program.nodes for name in node.inputs}
    calls = {node.function for node in program.nodes if node.kind == "call"}
    if not all(RULES[call].__module__.startswith(OWN) for call in calls & RULES.keys()):
        return None
    shapes = {name: (str(x.dtype), tuple(x.shape), name in parameters) for name, x in state.items()}
    numbers: dict[int, int] = {}  # memory -> how many others there were before
    content = hashlib.sha256()
    try:
        for part in (FORMAT, torch.__version__, _sources(), strict, how, shapes, network.aliases):
            content.update(f"{part!r}\n".encode())
        for node in program.nodes:
            memory = sorted(numbers.setdefault(one, len(numbers)) for one in node.storages)
            content.update(f"{_said(node)!r} {memory}\n".encode())
            known = program.constants.get(node.name)
            trained = node.key in parameters or node.key.endswith(STATISTICS)
            if known is None and node.kind == "state" and node.name in read:
                known = state[node.key] if not (trained and state[node.key].is_floating_point()) else None
            if known is not None:
                content.update(_bytes(known))
    except NotImplementedError:
        return None
    return content.hexdigest()


def _said(node: Node) -> tuple[Any, ...]:
    """All that rules and names read of a node; not the line, which a comment moves."""
    shapes = [None if x is None else (str(x.dtype), tuple(x.shape)) for x in node.outputs]
    call = (node.function, node.overload, _plain(node.arguments), node.many, node.writes)
    return (node.name, node.kind, node.key, node.module, shapes, *call)


def _plain(x: Any) -> Any:
    """An argument as a value whose repr tells it from all others."""
    if x is None or isinstance(x, PLAIN):
        return type(x).__name__, str(x)
    if isinstance(x, Ref):
        return "ref", x.name
    if isinstance(x, list | tuple):
        return [_plain(item) for item in x]
    if isinstance(x, Mapping):
        return [(key, _plain(x[key])) for key in sorted(x)]
    raise NotImplementedError(f"no way to tell {type(x)} from others")


def _bytes(x: Any) -> bytes:
    """The entries of a tensor."""
    if not isinstance(x, Tensor) or x.is_meta or x.layout != torch.strided:
        raise NotImplementedError("no entries to tell it from others by")
    entries = x.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return entries.reshape(-1).view(torch.uint8).numpy().tobytes()


@cache
def _sources() -> str:
    """SHA-256 of the files of discovery itself."""
    folder = Path(__file__).parent
    content = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        content.update(f"{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()


def _place(key: str) -> Path | None:
    """Where a symmetry is kept; None if there can be no such folder."""
    try:
        return cache_place("symmetries", f"{key}.json")
    except DataError:
        return None


def _read(place: Path, key: str) -> Symmetry | None:
    """What was kept; None if there is nothing, or nothing that can be trusted."""
    try:
        content = read_json(place)
        told = content["symmetry"]
        if (content["format"], content["key"], content["digest"]) != (FORMAT, key, _digest(told)):
            return None
        return Symmetry.from_json(told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, PermaskError):
        return None


def _write(place: Path, key: str, symmetry: Symmetry) -> None:
    """Keep a symmetry, whole or not at all; a folder that cannot be written to is no error."""
    told = symmetry.to_json()
    text = json.dumps({"format": FORMAT, "key": key, "digest": _digest(told), "symmetry": told})
    unfinished = place.with_name(f"unfinished-{secrets.token_hex(4)}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        Path(unfinished).replace(place)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
