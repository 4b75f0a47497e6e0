"""Several people's marks of the same pictures: their agreement, and one annotation made from them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from blackbox_conformal.annotations.annotation_file import (
    LONGEST_ANNOTATOR,
    PEOPLE,
    Levels,
    Origin,
    Pair,
    Sidecar,
    read_levels,
    read_sidecar,
    stored,
    write_levels,
)
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.support.blocks import Block, Faces, Facts, How, Table, words
from blackbox_conformal.support.text import counted, printable
from blackbox_conformal.support.wording import share

Rule = Literal["mean", "max"]
_COMBINED = re.compile(r"(mean|max) of \d+")  # The source that the JSON file names for combined marks.


@dataclass(frozen=True)
class PictureAgreement:
    """The agreement of `people` about one picture (`stem`: its files' name; `name`: the photograph's, if known).

    `overlap`: mean intersection over union of all pairs' marks, in [0, 1]; 1 if both marked nothing, None for one
    person. `krippendorff_alpha`: at most 1; None if nothing varies or for one person. `shares`: each person's marked
    share of the picture, in [0, 1].
    """

    stem: str
    people: int
    overlap: float | None
    krippendorff_alpha: float | None
    shares: tuple[float, ...]
    name: str | None


@dataclass(frozen=True)
class Agreement(Faces):
    """The agreement of `people` (sorted names), with an entry in `pictures` for each pair that anyone marked.

    `krippendorff_alpha` is over the pixels of all pictures; None if nothing varies or no picture was marked by two
    people.
    """

    people: tuple[str, ...]
    pictures: tuple[PictureAgreement, ...]
    krippendorff_alpha: float | None

    def blocks(self) -> Iterator[Block]:
        columns: dict[str, How] = {
            "picture": lambda row: row["name"] or row["picture"],
            "people": "{people}",
            "overlap": "{overlap:share}",
            "agreement": "{krippendorff_alpha:.3f}",
            "marked by each": lambda row: ", ".join(map(share, row["shares"])),
        }
        rows = [{"picture": row.pop("stem"), **row} for row in map(asdict, self.pictures)]
        yield Table("pictures", columns, rows, title="Agreement")
        together = {"people": list(self.people), "krippendorff_alpha": self.krippendorff_alpha}
        alpha = words("{krippendorff_alpha:.3f}", together)
        yield Facts({"people": "; ".join(self.people), "Krippendorff's alpha": alpha}, together)


class _Sums(NamedTuple):
    """Exact whole-number sums for computing alpha."""

    values: int = 0
    total: int = 0
    squares: int = 0
    within: Fraction = Fraction(0)

    def plus(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.values + other.values,
            self.total + other.total,
            self.squares + other.squares,
            self.within + other.within,
        )

    @property
    def alpha(self) -> float | None:
        """Compute Krippendorff's alpha; pixels are units, differences are squared (interval metric).

        1 − (mean squared difference of two people's grades of a pixel) / (mean squared difference of any two grades),
        over pairs of values (Krippendorff 2011). None if all are equal everywhere, or for fewer than two people.
        """
        n = self.values
        expected = Fraction(2 * (n * self.squares - self.total**2), n * (n - 1)) if n > 1 else Fraction(0)
        return None if expected == 0 else float(1 - self.within / n / expected)


def people_of(folder: Path) -> dict[str, Path]:
    """Return every person with a folder of marks below ``people``, by name, sorted."""
    found: dict[str, Path] = {}
    for own in sorted(path for path in (folder / PEOPLE).glob("*") if path.is_dir()):
        names = {read_sidecar(path).annotator for path in stored(own)}
        if len(names) > 1 or names & found.keys():
            raise FileFormatError(
                f"{printable(own)}: expected the marks of one person, and of each person in one folder; got those of "
                f"{', '.join(printable(name, 60) for name in sorted(names))}. Import them into separate folders"
            )
        found |= dict.fromkeys(names, own)
    return dict(sorted(found.items()))


def agreement(folder: str | Path, annotators: Sequence[str] | None = None) -> Agreement:
    """Measure how far people agree on each picture, by their marks in `folder`.

    `annotators`: the people to compare; None compares everyone.
    """
    people = _chosen(Path(folder), annotators)
    sums, pictures = _Sums(), []
    marked = _marked(people)
    for stem in _stems(marked):
        read = [_read(folder, stem) for name, folder in people.items() if stem in marked[name]]
        levels = [each for _, each in read]
        if len({each.shape for each in levels}) > 1:
            raise FileFormatError(f"expected marks of one picture as {stem}; got those of several. Mark it again")
        own = alpha_sums(levels)
        sums = sums.plus(own)
        shares = tuple(float((each > 0).mean()) for each in levels)
        both = overlap(levels) if len(levels) > 1 else None
        called = next((sidecar.picture for sidecar, _ in read if sidecar.picture), None)
        pictures.append(PictureAgreement(stem, len(levels), both, own.alpha, shares, called))
    return Agreement(tuple(people), tuple(pictures), sums.alpha)


def combine(
    folder: str | Path, rule: Rule = "mean", annotators: Sequence[str] | None = None, *, force: bool = False
) -> list[Path]:
    """Combine several people's marks in `folder` into the annotations that the metric `semantic` reads there.

    A pixel's grade is the mean of all people's (rounded up to a level) or with the rule ``max`` the largest. Every
    picture needs marks by the same people (`annotators`; None: everyone): otherwise the grades would not be one metric,
    and a calibration would promise nothing. `force` replaces imported annotations. Return the JSON files.
    """
    target = Path(folder)
    people = _chosen(target, annotators)
    marked = _marked(people)
    stems = _stems(marked)
    for name, own in marked.items():
        missing = [stem for stem in stems if stem not in own]
        if missing:
            raise UsageError(
                f"expected everyone's marks of every picture; {printable(name, 60)} has not marked "
                f"{counted(len(missing), 'picture')} that others did, first {missing[0]}. Save them, if with nothing "
                "marked, or name only those who marked all of them: --annotator NAME, once for each"
            )
    origin = Origin(_together(list(people)), datetime.now(UTC).date().isoformat(), f"{rule} of {len(people)}")
    for stem in stems:
        path = target / f"{stem}.json"
        imported = path.is_file() and not force
        if imported:
            # A damaged file may be an import, so it does not count as combined.
            with suppress(FileFormatError):
                imported = _COMBINED.fullmatch(read_sidecar(path).source) is None
        if imported:
            raise UsageError(
                f"{printable(path)} was imported, or is damaged, and is not replaced by what people marked; give "
                "--force or another folder"
            )
    return [_combined(target, people, stem, rule, origin) for stem in stems]


def overlap(levels: Sequence[Levels]) -> float:
    """Return the mean intersection over union of all pairs of people's marks; 1 if both marked nothing."""
    marked = [each > 0 for each in levels]
    unions = [((a & b).sum(), (a | b).sum()) for a, b in combinations(marked, 2)]
    return float(np.mean([inside / whole if whole else 1.0 for inside, whole in unions]))


def alpha_sums(levels: Sequence[Levels]) -> _Sums:
    m = len(levels)
    if m < 2:
        # A unit with one value forms no pair.
        return _Sums()
    total = np.zeros(levels[0].shape, np.int64)
    squares = 0
    for each in levels:
        total += each
        squares += int(np.square(each.astype(np.int64)).sum())
    within = Fraction(2 * (m * squares - int(np.square(total).sum())), m - 1)
    return _Sums(m * total.size, int(total.sum()), squares, within)


def _combined(folder: Path, people: dict[str, Path], stem: str, rule: Rule, origin: Origin) -> Path:
    total: np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None = None
    pair: Pair | None = None
    for own in people.values():
        sidecar, levels = _read(own, stem)
        found = Pair(sidecar.reference, sidecar.output)
        if pair not in (None, found) or (total is not None and total.shape != levels.shape):
            raise FileFormatError(f"expected marks of one picture as {stem}; got those of several. Mark it again")
        pair = found
        values = levels.astype(np.int64)
        if total is None:
            total = values
        else:
            total = total + values if rule == "mean" else np.maximum(total, values)
    assert total is not None
    assert pair is not None
    count = len(people) if rule == "mean" else 1
    levels = (-(-total // count)).astype(np.uint8)
    return write_levels(folder, pair, levels, origin, force=True)


def _read(own: Path, stem: str) -> tuple[Sidecar, Levels]:
    path = own / f"{stem}.json"
    sidecar, levels = read_levels(path)
    if sidecar.stem != stem:
        raise FileFormatError(f"{printable(path)}: expected the annotation of that name; it is {sidecar.stem}")
    return sidecar, levels


def _chosen(folder: Path, annotators: Sequence[str] | None) -> dict[str, Path]:
    people = people_of(folder)
    if not people:
        raise UsageError(
            f"expected marks of people in {printable(folder)}; there are none. Import some with "
            f"`blackbox-conformal annotate import … --folder {printable(folder)}/{PEOPLE}/NAME --annotator NAME`"
        )
    if annotators is None:
        return people
    missing = sorted(set(annotators) - people.keys())
    if missing or not annotators:
        raise UsageError(
            f"expected names of people who marked, {', '.join(printable(name, 60) for name in people)}; got "
            f"{printable(missing[0], 60) if missing else 'none'}"
        )
    return {name: people[name] for name in sorted(set(annotators))}


def _marked(people: dict[str, Path]) -> dict[str, set[str]]:
    return {name: {path.stem for path in stored(own)} for name, own in people.items()}


def _stems(marked: dict[str, set[str]]) -> list[str]:
    return sorted(set[str]().union(*marked.values()))


def _together(names: list[str]) -> str:
    line = "; ".join(names)
    return line if len(line) <= LONGEST_ANNOTATOR else f"{len(names)} people"
