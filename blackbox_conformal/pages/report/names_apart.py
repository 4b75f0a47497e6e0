"""Names of pictures: where several of a kind have one name, each says where it is from."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.support.canonical import digest_bytes


@dataclass(frozen=True, slots=True)
class Named:
    """A picture's stem, which tells it from every other one, its name and kind, and where it is from, by `end_of`."""

    stem: str
    name: str
    kind: str
    source: str


def end_of(path: Path | None) -> str:
    """The end of a path that tells pictures of one name apart; empty where there is none."""
    return "" if path is None else "/".join(path.parts[-2:])


def picture_stem(kind: str, identity: str) -> str:
    """How the names of the files begin that are kept of a picture."""
    return f"{kind}-{digest_bytes(identity.encode()).removeprefix('sha256:')[:24]}"


def by_name(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people do: IMG_9 before IMG_10."""
    parts = enumerate(re.split("0*([0-9]+)", name))
    # Of two numbers the longer is the larger; `int` would refuse very long ones.
    return [(len(part) if place % 2 else 0, part) for place, part in parts]


def names_apart(pictures: Sequence[Named]) -> list[str]:
    """The name of each picture, followed by what tells it from others of its kind and name, where there are any."""
    named = Counter((one.kind, one.name) for one in pictures)
    from_there = Counter((one.kind, one.name, one.source) for one in pictures)
    names = []
    for one in pictures:
        more = [one.source] if one.source else []
        if from_there[one.kind, one.name, one.source] > 1:
            more.append(one.stem.rpartition("-")[2][:6])
        names.append(f"{one.name} ({', '.join(more)})" if named[one.kind, one.name] > 1 else one.name)
    return names
