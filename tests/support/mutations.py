"""Edits of honest files, of the kind that damage, haste or malice make; every file stays well formed where it can."""

import copy
import json
import random
import re
from typing import Any

from blackbox_conformal.support.canonical import digest_json

WRONG = (None, True, False, 0, 1, -1, 2, 0.0, -0.5, 0.01, 1e308, 1e-308, 10**40, float("inf"), "", "a", "inf")
WRONG += ("../../x", "evil.module:Class", "\ud800", "x" * 5000, [], {}, [1, 2])
WRONG += ({"name": "expected"}, {"name": 3}, {"self": 1, "name": "expected"})


def nested(depth: int) -> Any:
    """A list in a list in a list …"""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    paths = [path] if path else []
    if len(path) > 12:
        return paths
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        paths += places(child, (*path, key))
    return paths


def mutate(content: Any, rng: random.Random, times: int = 1) -> tuple[Any, list[tuple[Any, ...]]]:
    """A copy of `content` with a few edits, and the places that were edited."""
    content = copy.deepcopy(content)
    edited = []
    for _ in range(times):
        place = rng.choice(places(content))
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        _edit(parent, place[-1], rng)
        edited.append(place)
    return content, edited


def _edit(parent: Any, key: Any, rng: random.Random) -> None:
    old = parent[key]
    kind = rng.randrange(7)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, old)
    elif kind == 1:
        parent[rng.choice(["name", "self", "x", "bound", "weights", "leaked", "bound_new"])] = rng.choice(WRONG)
    elif kind == 2 and isinstance(parent, list):
        rng.shuffle(parent)
    elif kind == 3 and isinstance(old, str) and old:
        spot = rng.randrange(len(old))
        parent[key] = old[:spot] + rng.choice("0a/=A é") + old[spot + rng.randrange(2) :]
    elif kind == 3 and isinstance(old, int | float):
        parent[key] = rng.choice([old * 2, old / 2, old + 1, -old, old * 10, float(old), str(old)])
    elif kind == 4 and rng.random() < 0.1:
        parent[key] = nested(3000)
    else:
        parent[key] = rng.choice(WRONG)


def redigested(content: Any) -> str:
    """The text of `content` with fingerprint and digest computed anew, as a forger would."""
    try:
        if isinstance(content.get("procedure"), dict) and "fingerprint" in content:
            content["fingerprint"] = digest_json(content["procedure"])
        content.pop("digest", None)
        content["digest"] = digest_json(content)
        return json.dumps(content)
    except (ValueError, RecursionError, AttributeError):
        return _text(content)


def _text(value: Any) -> str:
    """JSON without recursion, for what the ordinary writer refuses."""
    depth = 0
    while isinstance(value, dict) and depth == 0:
        parts = [f"{json.dumps(str(key))}: {_text_of(child)}" for key, child in value.items()]
        return "{" + ", ".join(parts) + "}"
    return _text_of(value)


def _text_of(value: Any) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return "[" * 3000 + "]" * 3000


def mutate_text(text: str, rng: random.Random) -> str:
    """`text` with one word, number or line changed, repeated, removed, nested or made absurd."""
    kind = rng.randrange(6)
    numbers = list(re.finditer(r"-?\d+(\.\d+)?", text))
    words = list(re.finditer(r"[A-Za-z_][A-Za-z_.-]*", text))
    lines = text.split("\n")
    if kind == 0 and numbers:
        spot = rng.choice(numbers)
        new = rng.choice(["0", "-1", "1e308", "1e999", "1000000", "nan", "inf", "9" * 30, "0.5", "''", "true"])
        return text[: spot.start()] + new + text[spot.end() :]
    if kind == 1 and words:
        spot = rng.choice(words)
        new = rng.choice(["x", "", "a:b", "é", "{a.b.c}", "../..", "[" * 3000, "name", "utf-99"])
        return text[: spot.start()] + new + text[spot.end() :]
    if kind == 2:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
        return "\n".join(lines)
    if kind == 3:
        del lines[rng.randrange(len(lines))]
        return "\n".join(lines)
    if kind == 4:
        spot = rng.randrange(len(text) + 1)
        return text[:spot] + rng.choice(['"', "[", "]", "{", "}", "=", "\x00", "<", "&", "\n", "#"]) + text[spot:]
    start, stop = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    return text[:start] + text[min(stop, start + 80) :]
