"""The file that `tune --only-choose` leaves: what was chosen, and which photographs were looked at for it.

A choice made on a photograph makes its loss too hopeful, so it cannot calibrate. Calibration files carry such
photographs themselves; this file carries them to the calibration.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackbox_conformal.calibration import KnownPhotograph
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.files import write_new
from blackbox_conformal.images.duplicates import Distinct
from blackbox_conformal.pipeline.stages.prepare import Prepared

NAME = "tuning.json"
_LARGEST = 2**26


class LookedAt(BaseModel):
    """A choice and the photographs that it was made on.

    Attributes
    ----------
    score, draws
        The chosen score as it is typed, and its number of draws.
    alpha
        The level at which candidates were compared.
    photographs
        Every photograph that was looked at, for this choice and for earlier ones kept in the same file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["blackbox-conformal tuning"] = "blackbox-conformal tuning"
    version: Literal[1] = 1
    score: str
    draws: int = Field(ge=1)
    alpha: float
    photographs: tuple[KnownPhotograph, ...]

    def keep(self, path: Path) -> "LookedAt":
        """Write the file. Photographs of an earlier choice in it stay: looking at others does not undo it."""
        earlier = LookedAt.load(path).photographs if path.exists() else ()
        every = {one.truth: one for one in (*earlier, *self.photographs)}
        kept = self.model_copy(update={"photographs": tuple(every[truth] for truth in sorted(every))})
        write_new(path, json.dumps(kept.model_dump(mode="json"), indent=1).encode() + b"\n", force=True)
        return kept

    @classmethod
    def load(cls, path: Path) -> "LookedAt":
        """Read the file.

        Raises
        ------
        FileFormatError
            It is missing, damaged, or another file.
        """
        try:
            if path.stat().st_size > _LARGEST:
                raise FileFormatError(f"{path}: expected a tuning file below {_LARGEST} bytes; it is larger")
            found = cls.model_validate(json.loads(path.read_bytes()))
            for one in found.photographs:
                one.seen  # noqa: B018  refuses a sketch that is none
        except OSError as error:
            raise FileFormatError(f"{path}: expected a readable tuning file; {error.strerror}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise FileFormatError(
                f"{path}: expected the file that `tune --only-choose` writes; "
                f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise FileFormatError(f"{path}: expected JSON; {type(error).__name__}: the file is damaged") from None
        return found


def looked_at(run: Path, path: Path | None = None) -> tuple[KnownPhotograph, ...]:
    """The photographs that tuning looked at: those in `path`, and those in the run folder's own tuning file."""
    files = [] if path is None else [path]
    if (run / NAME).exists() and not (path is not None and path.resolve() == (run / NAME).resolve()):
        files.append(run / NAME)
    found = {one.truth: one for file in files for one in LookedAt.load(file).photographs}
    return tuple(found[truth] for truth in sorted(found))


def never_looked_at(pictures: Sequence[Prepared], photographs: Sequence[KnownPhotograph]) -> list[Prepared]:
    """Those of `pictures` that show none of `photographs`, copies included.

    Raises
    ------
    UsageError
        There are none.
    """
    known = Distinct(("a tuning photograph", one.seen) for one in photographs)
    left = [picture for picture in pictures if known.twin(picture.sketch) is None]
    if pictures and not left:
        raise UsageError(
            "expected photographs that tuning has not looked at; all of these were. Name others beside or instead"
        )
    return left
