"""Valid files with something changed: bytes flipped, cut or put in; keys gone or renamed, other types and values."""

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DEEP: list[Any] = []
for _ in range(60):
    DEEP = [DEEP]
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2, 10**30, -(10**30), 0.5, 1e308, float("nan"), float("inf")),
    *("", "1", "lth", "[red]a[/blue]", "\x1b[2J", "\ud800", "../../x", "a" * 10_000, "é😀", "\0"),
    *([], {}, [[]], [None], {"a": []}, {"": 1}, [1, 2, 3], DEEP),
)
Examples = pytest.mark.parametrize("examples", [50, pytest.param(2000, marks=pytest.mark.slow)])


def hypothetically(examples: int, check: Callable[[Random], object]) -> None:
    """Check something that random choices make, so often."""
    limits = settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    limits(given(st.randoms(use_true_random=False))(check))()


def changed_bytes(content: bytes, random: Random) -> bytes:
    """Other bytes in up to three places."""
    made = bytearray(content)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(made) + 1)
        match random.randrange(4):
            case 0 if place < len(made):
                made[place] ^= 1 << random.randrange(8)
            case 1:
                del made[place:]
            case 2:
                del made[place : place + random.randint(1, 20)]
            case _:
                made[place:place] = bytes(random.randrange(256) for _ in range(random.randint(1, 4)))
    return bytes(made)


def changed_value(value: Any, random: Random) -> Any:
    """A JSON value with up to three changes anywhere in it."""
    root = [deepcopy(value)]
    for _ in range(random.randint(1, 3)):
        holder, key = _place(root, random)
        match random.randrange(4):
            case 0 if isinstance(holder, dict):
                holder[random.choice(("", "name", "[red]", "step", "\x1b"))] = holder.pop(key)
            case 1 if holder is not root:
                del holder[key]
            case 2:
                holder[key] = [holder[key]] if random.random() < 0.5 else str(holder[key])
            case _:
                holder[key] = deepcopy(random.choice(HOSTILE))
    return root[0]


def changed_json(content: bytes, random: Random) -> bytes:
    """JSON of another value, or a file that is no JSON."""
    if random.random() < 0.3:
        return changed_bytes(content, random)
    return json.dumps(changed_value(json.loads(content), random)).encode()


def _place(root: list[Any], random: Random) -> tuple[Any, Any]:
    """What holds a value, and under which key; the deeper, the rarer."""
    holder, key = root, 0
    while (inside := holder[key]) and isinstance(inside, dict | list) and random.random() < 0.85:
        holder, key = inside, random.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
    return holder, key
