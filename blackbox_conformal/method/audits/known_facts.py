"""In how many pictures an answer differs from its input by more than is usual, and in how many of these the truth does
not: there the difference is an error.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blackbox_conformal.method.pair_facts import is_compared, pair_facts
from blackbox_conformal.support.blocks import Block, Note, Table
from blackbox_conformal.support.types import Image

_NAMED = 3  # Kinds in a sentence.

KnownFacts = Mapping[str, bool]
"""One picture: by the kind of each fact of its answer, whether the truth differs from the input so, too."""


def known_facts(low: Image, answer: Image, truth: Image) -> KnownFacts | None:
    """Return the facts of an answer and of the truth; None where an input is too small, or of declared bands.

    `low` is (h, w, 3) uint8, `answer` and `truth` are (H, W, 3) uint8, whole multiples.
    """
    if not is_compared(low, answer):
        return None
    told = dict.fromkeys(fact.kind for fact in pair_facts(low, answer, whole=False).facts)
    shared = [fact.kind for fact in pair_facts(low, truth, whole=False).facts] if told else []
    return {kind: kind in shared for kind in told}


@dataclass(frozen=True, slots=True)
class FactCounts:
    """Facts of `pictures`, of which `differing` have any; `told` has each kind's count, the most frequent first.

    `errors` counts the pictures in which the truth does not differ from the input so.
    """

    pictures: int
    differing: int
    told: Mapping[str, int]
    errors: Mapping[str, int]

    @classmethod
    def of(cls, found: Sequence[KnownFacts | None]) -> "FactCounts":
        looked = [one for one in found if one is not None]
        told = Counter(kind for one in looked for kind in one)
        errors = Counter(kind for one in looked for kind, shared in one.items() if not shared)
        ordered = dict(sorted(told.items(), key=lambda each: (-each[1], each[0])))
        return cls(len(looked), sum(map(bool, looked)), ordered, {kind: errors[kind] for kind in ordered})

    @staticmethod
    def short(data: Mapping[str, Any]) -> str:
        """Say of `data` how many pictures have any fact, and of which kind most: a cell of a table."""
        if not data["pictures"]:
            return "–"
        most = f", {data['kinds'][0]['kind']} in {data['kinds'][0]['told']}" if data["kinds"] else ""
        return f"{data['differing']} of {data['pictures']}{most}"

    @property
    def data(self) -> dict[str, Any]:
        """Return the counts for scripts."""
        return {"pictures": self.pictures, "differing": self.differing, "kinds": self._rows}

    @property
    def _rows(self) -> list[dict[str, Any]]:
        return [{"kind": kind, "told": told, "not_in_truth": self.errors[kind]} for kind, told in self.told.items()]

    def blocks(self) -> Iterator[Block]:
        """Yield a sentence, where any picture has a fact, and as a detail the table of kinds."""
        named = [
            f"{kind} in {told} of {self.pictures} pictures ({self.errors[kind]} of their originals do not)"
            if place == 0
            else f"{kind} in {told} ({self.errors[kind]})"
            for place, (kind, told) in enumerate(self.told.items())
        ]
        more = f" and {len(named) - _NAMED} kinds more" if len(named) > _NAMED else ""
        said = f"Differing from the input by more than is usual: {', '.join(named[:_NAMED])}{more}."
        yield Note(said if named else "")
        columns = {"differs by": "{kind}", "pictures": "{told}", "where the original does not": "{not_in_truth}"}
        title = "How answers differ from their inputs, and originals do not"
        yield Table("facts", columns, self._rows, {"facts": self.data}, title=title, detail=True)


NO_FACTS = FactCounts.of(())  # Nothing was looked at.
