"""Check answers against their inputs: facts of pairs, without calibration, truth or a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.method.aligned import lies_at, moved_back
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.facts.levels import Levels
from blackbox_conformal.method.facts.sent_pair import SentPair
from blackbox_conformal.method.facts.statistics import SHIFTS
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.pair_facts import Fact, PairFacts, pair_facts
from blackbox_conformal.method.safe_pictures import picture_to_show
from blackbox_conformal.study.from_keywords import named_keywords
from blackbox_conformal.study.listeners import shown_progress
from blackbox_conformal.study.settings_table import CheckSettings
from blackbox_conformal.support.blocks import Block, Faces, Note, Table
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.text import counted, file_stem, printable
from blackbox_conformal.support.types import Image, eight_bit

# An answer with its facts marked, one colour for each kind.

COLOURS = {
    "colour": (230, 159, 0),
    "geometry": (86, 180, 233),
    "seams": (240, 228, 66),
    "ringing": (204, 121, 167),
    "flattened": (0, 158, 115),
    "content": (213, 94, 0),
    "repeats": (255, 0, 0),
    "borders": (0, 114, 178),
    "detail": (180, 110, 255),
    "lossy": (150, 150, 150),
}
"""By kind; most are those of Okabe and Ito (2008), which all kinds of colour vision tell apart."""

_LINE = 16  # Pixels of a line of the legend.


def facts_overlay(pixels: NDArray[np.generic], facts: Sequence[Fact]) -> Image:
    """Return the answer with a frame around each place, and below it a line for each fact: (H', W, 3) uint8.

    A fact of the whole answer frames all of it; frames of several lie inside each other.
    """
    answer = eight_bit(pixels)
    height, width = answer.shape[:2]
    canvas = PillowImage.new("RGB", (width, height + _LINE * len(facts)))
    canvas.paste(PillowImage.fromarray(np.ascontiguousarray(answer)), (0, 0))
    draw = ImageDraw.Draw(canvas)
    thick, inset = max(2, min(height, width) // 200), 0
    for index, fact in enumerate(facts):
        colour = COLOURS[fact.kind]
        for place in fact.places:
            right, bottom = place.left + place.width - 1, place.top + place.height - 1
            draw.rectangle((place.left, place.top, right, bottom), outline=colour, width=thick)
        if not fact.places:
            draw.rectangle((inset, inset, width - 1 - inset, height - 1 - inset), outline=colour, width=thick)
            inset += thick + 1
        line = height + _LINE * index
        draw.rectangle((2, line + 3, 11, line + 12), fill=colour)
        draw.text(
            (16, line + 2), f"{fact.kind}: {fact.sentence}".replace("×", "x").replace("−", "-"), fill=(255, 255, 255)
        )
    return np.asarray(canvas)


Picture = str | Path | NDArray[np.generic]  # A file, or pixels: (h, w, 3) uint8, or float in [0, 1].


@dataclass(frozen=True, slots=True, repr=False)
class CheckedPair:
    """One input and its `answer`: a file, or pixels as they were given.

    `mended` names deliveries of this package, each with what it does, after which facts that it is about are gone.
    """

    name: str
    facts: PairFacts
    answer: Picture
    mended: Mapping[str, str]

    def overlay(self) -> Image:
        """Return the answer with a frame around each fact in its kind's colour, and a legend: (H', W, 3) uint8."""
        return facts_overlay(_pixels(self.answer), self.facts.facts)


@dataclass(frozen=True, slots=True, repr=False)
class Check(Faces):
    """What the answers changed.

    Attributes
    ----------
    pairs
        One for each input.
    """

    pairs: tuple[CheckedPair, ...]

    @property
    def differing(self) -> int:
        """Return how many pairs have a fact beyond what is usual."""
        return sum(bool(pair.facts.facts) for pair in self.pairs)

    def levels(self) -> Levels:
        """Return what is usual by these pairs, at least 20: for `usual` of other checks."""
        return Levels.of([pair.facts.sizes for pair in self.pairs], f"{len(self.pairs)} pairs that were checked before")

    def __repr__(self) -> str:
        return f"<Check of {counted(len(self.pairs), 'pair')}: {self.differing} differ by more than is usual>"

    def blocks(self) -> Iterator[Block]:
        """Yield the facts of each pair, then what they are beside."""
        for pair in self.pairs:
            told = pair.facts.facts
            lines = [f"{fact.kind}: {fact.sentence}" + (f", {fact.reading}" if fact.reading else "") for fact in told]
            text = f"{printable(pair.name)}: " + (
                "\n  ".join(["", *lines]).lstrip(" ") if lines else "nothing beyond what is usual"
            )
            offered = [f"\n  mended by --delivery {name}, which {does}" for name, does in pair.mended.items()]
            yield Note(text + "".join(offered))
            yield Note(f"  {_added(pair.facts)}", detail=len(self.pairs) > 1)
        judged = self.pairs[0].facts.judged
        yield Note(
            f"Compared with {judged.about}. A pair that came as they did has a fact with probability "
            f"{judged.level:.2g} at most. To differ is not to be wrong: the input is no truth."
        )
        rows = [{"pair": pair.name, **fact.document()} for pair in self.pairs for fact in pair.facts.facts]
        yield Table("facts", {}, rows)
        yield Note(
            "", {"pairs": [_document(pair) for pair in self.pairs], "level": judged.level, "usual": judged.about}
        )


def _added(facts: PairFacts) -> str:
    if facts.scale == 1:
        return "nothing is enlarged"
    levels = facts.measures["detail.added"].size
    if facts.supported is None:
        return f"it adds {levels:.1f} levels (root mean square) of finer detail"
    return (
        f"it adds {levels:.1f} levels (root mean square) of finer detail; the free reference adds "
        f"{100 * facts.supported:.0f} % of it too where the input is most detailed"
    )


def _document(pair: CheckedPair) -> dict[str, Any]:
    facts = pair.facts
    return {
        "pair": pair.name,
        "scale": facts.scale,
        "facts": len(facts.facts),
        "p_value": min(facts.judged.p_values.values()),
        "supported_detail": facts.supported,
        "mended_by": list(pair.mended),
        "measures": facts.sizes,
        "p_values": dict(facts.judged.p_values),
    }


@named_keywords
def check(small: Picture, big: Picture, **settings: Unpack[CheckSettings]) -> Check:
    """Tell how answers differ from the inputs that were sent: colours, geometry, seams, halos, detail and more.

    Nothing is called or paid, and no truth is needed. So nothing is said to be wrong: a fact is a difference that is
    larger than those of honest vendors, of the pairs in `usual`, or of the answers of `calibration`.

    Parameters
    ----------
    small
        An input: a file, or (h, w, 3) pixels, uint8 or float in [0, 1]. Or a folder of inputs.
    big
        Its answer, likewise; or a folder with an answer for each input: ``NAME.png``, ``NAME_x4.png`` or, as of the
        adapter `folder`, ``NAME/0.png``.

    Raises
    ------
    ImageError
        A picture cannot be read, or is smaller than 16 pixels a side.
    UsageError
        An input has no answer, or several.

    Examples
    --------
    >>> bc.check("input.png", "answer.png")
    <Check of 1 pair: 0 differ by more than is usual>
    """
    levels, calibration = _levels(settings.get("usual")), settings.get("calibration")
    if levels is not None and calibration is not None:
        raise UsageError("expected --usual or --calibration (usual, calibration in Python); got both. Leave one out")
    if calibration is not None:
        loaded = calibration if isinstance(calibration, Calibration) else Calibration.load(calibration)
        levels = loaded.usual_differences()
    pairs = paired(small, big)
    found = []
    with shown_progress(settings.get("progress")) as step:
        for done, (name, first, second) in enumerate(pairs):
            step("checked", done, len(pairs))
            # Of large photographs a calibration knows the middle.
            told = partial(pair_facts, levels=levels, level=settings["level"], whole=calibration is None)
            sent, answer = _pixels(first), _pixels(second)
            facts = told(sent, answer)
            pair = CheckedPair(name, facts, second, dict(_mended(SentPair(sent, answer), facts.facts, told)))
            found.append(pair)
            if "out" in settings:
                file = Path(str(settings["out"])) / f"{file_stem(Path(name).stem)}-facts.png"
                write_new(file, image_png(pair.overlay()), force=settings.get("force", False))
        step("checked", len(pairs), len(pairs))
    return Check(tuple(found))


def _mended(
    pair: SentPair, left: Sequence[Fact], told: Callable[[Image, Image], PairFacts]
) -> Iterator[tuple[str, str]]:
    """Yield each delivery that mends facts of the pair, those `left`, and what it does, after trying it."""
    if pair.given != pair.big.shape[:2]:
        return
    picture = pair.big
    if any(fact.name in SHIFTS for fact in left):
        down, right = lies_at(picture, pair.small)
        moved = moved_back(picture, down, right)[0]
        after = told(pair.small, moved).facts
        if any(fact.name in SHIFTS for fact in after):
            return
        ways = [(right, "to the left", "to the right"), (down, "up", "down")]
        steps = [f"{counted(abs(one), 'pixel')} {back if one > 0 else on}" for one, back, on in ways if one]
        yield "aligned", f"moves it by {' and '.join(steps)}"
        # Colours of parts that lay elsewhere are mended with it.
        picture, left = moved, after
    if any(fact.kind == "colour" for fact in left):
        consistent = picture_to_show("consistent", picture, pair.small, Mixture.of_text("bicubic"))
        if not any(fact.kind == "colour" for fact in told(pair.small, consistent).facts):
            yield "consistent", "gives it the input's colours where inputs are made by a linear step such as bicubic"


def _levels(usual: Any) -> Levels | None:
    if usual is None or isinstance(usual, Levels):
        return usual
    try:
        pairs = json.loads(Path(usual).read_text(encoding="utf-8"))["pairs"]
        sizes: list[Mapping[str, float]] = [{name: float(v) for name, v in pair["measures"].items()} for pair in pairs]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"expected what `check --json` wrote of other pairs; got {printable(usual)} ({type(error).__name__}). "
            "Write it: blackbox-conformal check inputs/ answers/ --json > usual.json"
        ) from None
    return Levels.of(sizes, f"the {len(sizes)} pairs of {printable(Path(usual).name)}")


def paired(small: Picture, big: Picture) -> list[tuple[str, Picture, Picture]]:
    """Return the name, input and answer of each pair: of two pictures, or of two folders."""
    if isinstance(small, np.ndarray) or isinstance(big, np.ndarray):
        return [("the answer", small, big)]
    first, second = Path(small), Path(big)
    if not first.is_dir() and not second.is_dir():
        return [(second.name, first, second)]
    inputs = [one.path for one in find_photographs([first])]
    if not second.is_dir():
        raise UsageError(
            f"expected a folder of answers to the inputs of {printable(first)}; got the file {printable(second)}. Name "
            "the folder"
        )
    return [(path.stem, path, _answer(path.stem, second)) for path in inputs]


def _answer(stem: str, folder: Path) -> Path:
    """Return the answer to the input called `stem`, or its first draw."""
    draws = folder / stem
    if draws.is_dir():
        files: Sequence[Path] = sorted(one.path for one in find_photographs([draws]))
        return files[0]
    exact, longer = list[Path](), list[Path]()
    for one in folder.iterdir():
        if one.is_file() and one.stem.startswith(stem):
            (exact if one.stem == stem else longer).append(one)
    found = exact or longer
    if len(found) != 1:
        raise UsageError(
            f"expected one answer to the input {printable(stem)} in {printable(folder)}; got "
            f"{', '.join(sorted(printable(one.name) for one in found)) or 'none'}. Call it {printable(stem)}.png"
        )
    return found[0]


def _pixels(picture: Picture) -> NDArray[np.generic]:
    return picture if isinstance(picture, np.ndarray) else read_image(Path(picture), transparent=True).pixels
