"""Decide which photographs calibrate: all that are not held out and that no choice was made on.

A photograph by which anything was chosen gives no guarantee for the choice. Commands leave records of such
photographs. This file looks for records in the run folder, beside it, and in and below the working folder and ``runs``.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from blackbox_conformal.documents.stored import Stored
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.images.duplicates import Distinct
from blackbox_conformal.study.stages.prepare import Prepared

Item = TypeVar("Item")


def split(
    photographs: Sequence[Item], held_out: int, seed: int = 0, *, digest: Callable[[Item], str]
) -> tuple[list[Item], list[Item]]:
    """Split `held_out` photographs off by a hash of seed and `digest` of the content; return the others and these.

    Neither names nor order matter, so renaming files moves none across the split. The unit is the photograph, so no
    part of one stands on both sides.
    """
    if not 0 <= held_out <= len(photographs):
        raise ValueError(f"expected to hold out 0 to {len(photographs)} photographs; got {held_out}")
    ranked = sorted(photographs, key=lambda item: hashlib.sha256(f"split {seed} {digest(item)}".encode()).digest())
    return ranked[held_out:], ranked[:held_out]


def split_prepared(pictures: Sequence[Prepared], held_out: int, seed: int) -> tuple[list[Prepared], list[Prepared]]:
    """Split prepared pictures by their high-resolution versions, whatever a vendor is sent."""
    return split(pictures, held_out, seed, digest=lambda picture: picture.truth_digest or picture.input_digest)


TUNING_FILE = "tuning.json"


class TuningRecord(BaseModel):
    """A choice and the photographs that it was made on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The chosen score as typed, or the first of several compared, and its number of draws.
    score: str
    draws: int = Field(ge=1)
    alpha: float | None  # The level at which candidates were compared; None for several levels.
    # Every photograph looked at, for this choice and earlier ones in the same file.
    photographs: tuple[KnownPhotograph, ...]

    def keep(self, path: Path) -> "TuningRecord":
        """Write the file, with an earlier choice's photographs in it: looking at others does not undo that look."""
        earlier = TuningRecord.load(path).photographs if path.exists() else ()
        record = self.model_copy(update={"photographs": together(earlier, self.photographs)})
        _RECORDS.write(record, path)
        return record

    @classmethod
    def load(cls, path: Path) -> "TuningRecord":
        """Read the file."""
        record = _RECORDS.read(path)
        with _RECORDS.refusing(str(path)):
            for photograph in record.photographs:
                photograph.as_sketch  # noqa: B018  refuses a sketch that is none
        return record


_RECORDS = Stored(
    TuningRecord,
    "tuning",
    1,
    anew="Name the file that `tune`, `compare` or `plan --pilot` wrote, or restore a copy of it",
    limit=2**26,
)


def note_looked_at(
    folder: Path, pictures: Iterable[Prepared], score: str, draws: int = 1, alpha: float | None = None
) -> tuple[KnownPhotograph, ...]:
    """Keep in a run folder, before anybody sees what photographs show, that a choice is made on them; return them."""
    photographs = together(KnownPhotograph.of(picture.sketch) for picture in pictures)
    TuningRecord(score=score, draws=draws, alpha=alpha, photographs=photographs).keep(folder / TUNING_FILE)
    return photographs


@dataclass(frozen=True, slots=True)
class Unseen:
    """Photographs that calibrate, and what is known of others."""

    pictures: list[Prepared]
    known: tuple[KnownPhotograph, ...]  # Photographs that were looked at and do not calibrate.
    overruled: int = 0  # How many of `pictures` were looked at although the user says that nothing was chosen by them.

    @classmethod
    def of(
        cls,
        pictures: Sequence[Prepared],
        run: Path,
        taught: Iterable[KnownPhotograph],
        files: Sequence[Path] = (),
        *,
        nothing_chosen: bool = False,
        everywhere: bool = False,
    ) -> "Unseen":
        """Leave out photographs that `run` or `files` name as looked at, photographs that taught the score, and copies.

        With `nothing_chosen` only `files` and what taught the score count. With `everywhere` the photographs that other
        run folders looked at are left out, too, instead of an error.
        """
        own = run / TUNING_FILE
        read = [*files, *([own] if own.exists() and not nothing_chosen else [])]
        apart = {file.resolve() for file in read}
        elsewhere = {file: seen_in(file, pictures) for file in records_around(run) if file.resolve() not in apart}
        known = together(taught, *(TuningRecord.load(file).photographs for file in read))
        if everywhere and not nothing_chosen:
            known, elsewhere = together(known, *(seen.values() for seen in elsewhere.values())), {}
        distinct = Distinct(("a photograph that was looked at", photograph.as_sketch) for photograph in known)
        unseen = [picture for picture in pictures if distinct.twin(picture.sketch) is None]
        if pictures and not unseen:
            raise UsageError(
                "expected photographs that were not looked at before; all of these were. Name others beside or "
                "instead. If nothing was chosen by them, and no score learned, `calibrate` and `tune` take "
                "--nothing-chosen (nothing_chosen=True in Python)"
            )
        left = {picture.truth_digest for picture in unseen}
        looked_at = set[str | None]().union(*elsewhere.values()) & left
        if looked_at and not nothing_chosen:
            file = max(elsewhere, key=lambda file: len(elsewhere[file].keys() & left))
            raise UsageError(
                f"{len(elsewhere[file].keys() & left)} of these photographs were looked at by `tune`, `compare` or "
                f"`plan --pilot` ({file}), and they give no guarantee for what was chosen by them. Add --tuning "
                f"{file} (tuning in Python) to leave them out, or --nothing-chosen (nothing_chosen=True) if nothing "
                "was chosen by them"
            )
        return cls(unseen, known, len(looked_at))


def together(*parts: Iterable[KnownPhotograph]) -> tuple[KnownPhotograph, ...]:
    """Join `parts`, each photograph once, by digest."""
    photographs = {photograph.truth: photograph for part in parts for photograph in part}
    return tuple(photographs[truth] for truth in sorted(photographs))


def records_around(run: Path) -> list[Path]:
    """Find the tuning files in `run`, beside it, and in and below the working folder and ``runs``."""
    found = [run / TUNING_FILE]
    for folder in (run.parent, Path(), Path("runs")):
        found += [folder / TUNING_FILE, *sorted(folder.glob(f"*/{TUNING_FILE}"))]
    return list({file.resolve(): file for file in reversed(found) if file.is_file()}.values())


def seen_in(file: Path, pictures: Sequence[Prepared]) -> dict[str, KnownPhotograph]:
    """Return which of `pictures`, by digest, show which photographs of a tuning file; empty where it is damaged."""
    photographs: dict[str, KnownPhotograph] = {}
    # Another run's damaged file does not concern this one.
    with suppress(FileFormatError):
        photographs = {photograph.truth: photograph for photograph in TuningRecord.load(file).photographs}
    seen = Distinct((truth, photograph.as_sketch) for truth, photograph in photographs.items())
    twins = [(picture.truth_digest or "", seen.twin(picture.sketch)) for picture in pictures]
    return {truth: photographs[twin.name] for truth, twin in twins if twin is not None}
