"""What a run folder holds beside the draws: a manifest, its calibration, and which photographs tuning has seen."""

import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackbox_conformal.calibration import Calibration
from blackbox_conformal.calibration_images import KnownPhotograph
from blackbox_conformal.canonical import digest_json
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.files import make_private, refusal, write_new, write_once
from blackbox_conformal.images.duplicates import Distinct
from blackbox_conformal.pipeline.kept_results import KeptResults
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.procedure import Procedure
from blackbox_conformal.sampling.ledger.places import has_ledger
from blackbox_conformal.text import printable

CALIBRATION_FILE = "calibration.json"
CALIBRATION_NOTE = "calibration-elsewhere.json"
_LARGEST_NOTE = 2**16


def run_folder(root: Path, procedure: Procedure) -> Path:
    """Where the draws of a procedure are kept unless the user says otherwise: the same procedure, the same folder."""
    return root / f"{procedure.vendor['adapter']}-{procedure.fingerprint.removeprefix('sha256:')[:12]}"


def usual_folder(procedure: Procedure, calibration: Path | None = None) -> Path:
    """The run folder where the user names none.

    It is the folder in which the file `calibration` lies, else the one below ``runs`` that wrote the file, else the
    procedure's own below ``runs``.
    """
    runs = Path("runs")
    if calibration is not None:
        folder = calibration.parent
        if has_ledger(folder) or is_of(folder, procedure.fingerprint):
            return folder
        written = run_of(calibration, runs)
        if written is not None:
            return written
    return run_folder(runs, procedure)


def keep_calibration(run: Path, calibration: Calibration, path: Path, *, force: bool = False) -> Path:
    """Write the calibration to `path`, and where that is into the run folder, so that `find_calibration` finds it."""
    written = calibration.save(path, force=force)
    if written.resolve() != (run / CALIBRATION_FILE).resolve():
        note = {"path": str(written.resolve()), "digest": calibration.digest}
        write_new(run / CALIBRATION_NOTE, json.dumps(note).encode(), force=True)
    kept = KeptResults.of(run)
    if kept is not None:
        kept.keep([written], force=force)
    return written


def run_of(path: Path, runs: Path) -> Path | None:
    """The one run folder below `runs` that wrote a calibration to `path`; None where there is none, or several."""
    folders = []
    for note in sorted(runs.glob(f"*/{CALIBRATION_NOTE}")):
        # A damaged note of another run is no trouble of this one.
        with suppress(FileFormatError):
            if _read_note(note)[0] == path.resolve():
                folders.append(note.parent)
    return folders[0] if len(folders) == 1 else None


def find_calibration(run: Path) -> Calibration:
    """The calibration in the run folder, else the one that was last written elsewhere from it.

    Raises
    ------
    UsageError
        There is none, or what lies there now is another one.
    """
    if (run / CALIBRATION_FILE).is_file():
        return Calibration.load(run / CALIBRATION_FILE)
    note = run / CALIBRATION_NOTE
    if not note.is_file():
        raise UsageError(
            f"expected a calibration in {run}; there is no {CALIBRATION_FILE}. Name the file with --calibration, or "
            "`calibrate` with this --run"
        )
    path, digest = _read_note(note)
    if not path.is_file():
        raise UsageError(
            f"expected the calibration of {run} at {printable(path)}, where it was written; it is not there. Say where "
            "it is with --calibration FILE"
        )
    calibration = Calibration.load(path)
    if calibration.digest != digest:
        raise UsageError(
            f"expected the calibration of {run} at {printable(path)}; another one has been written there since. Name "
            "the one that is meant with --calibration FILE"
        )
    return calibration


def calibration_file(run: Path) -> Path:
    """Where `find_calibration` looks; errors as for that."""
    here, note = run / CALIBRATION_FILE, run / CALIBRATION_NOTE
    return _read_note(note)[0] if note.is_file() and not here.is_file() else here


def _read_note(note: Path) -> tuple[Path, str]:
    try:
        if note.stat().st_size > _LARGEST_NOTE:
            raise ValueError("too large")
        content = json.loads(note.read_bytes())
        return Path(str(content["path"])), str(content["digest"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(
            f"{note}: expected where the calibration was written; {type(error).__name__}. Delete the note and name the "
            "file with --calibration"
        ) from None


TUNING_FILE = "tuning.json"
_LARGEST_TUNING_FILE = 2**26


class TuningRecord(BaseModel):
    """A choice and the photographs that it was made on.

    Attributes
    ----------
    score, draws
        The chosen score as it is typed, and its number of draws.
    alpha
        The level at which candidates were compared; None where a pilot showed several levels.
    photographs
        Every photograph that was looked at, for this choice and for earlier ones kept in the same file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["blackbox-conformal tuning"] = "blackbox-conformal tuning"
    version: Literal[1] = 1
    score: str
    draws: int = Field(ge=1)
    alpha: float | None
    photographs: tuple[KnownPhotograph, ...]

    def keep(self, path: Path) -> "TuningRecord":
        """Write the file. Photographs of an earlier choice in it stay: looking at others does not undo it."""
        earlier = TuningRecord.load(path).photographs if path.exists() else ()
        photographs = {photograph.truth: photograph for photograph in (*earlier, *self.photographs)}
        record = self.model_copy(update={"photographs": tuple(photographs[truth] for truth in sorted(photographs))})
        write_new(path, json.dumps(record.model_dump(mode="json"), indent=1).encode() + b"\n", force=True)
        return record

    @classmethod
    def load(cls, path: Path) -> "TuningRecord":
        """Read the file.
        Raises
        ------
        FileFormatError
            It is missing, damaged, or another file.
        """
        try:
            if path.stat().st_size > _LARGEST_TUNING_FILE:
                raise FileFormatError(
                    f"{path}: expected a tuning file below {_LARGEST_TUNING_FILE} bytes; it is larger"
                )
            record = cls.model_validate(json.loads(path.read_bytes()))
            for photograph in record.photographs:
                photograph.as_sketch  # noqa: B018  refuses a sketch that is none
        except OSError as error:
            raise FileFormatError(f"{path}: expected a readable tuning file; {error.strerror}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise FileFormatError(
                f"{path}: expected the file that `tune --only-choose` or `plan --pilot` writes; "
                f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise FileFormatError(f"{path}: expected JSON; {type(error).__name__}: the file is damaged") from None
        return record


def tuning_photographs(run: Path, path: Path | None = None) -> tuple[KnownPhotograph, ...]:
    """The photographs that tuning looked at: those in `path`, and those in the run folder's own tuning file."""
    files = [] if path is None else [path]
    if (run / TUNING_FILE).exists() and not (path is not None and path.resolve() == (run / TUNING_FILE).resolve()):
        files.append(run / TUNING_FILE)
    photographs = {photograph.truth: photograph for file in files for photograph in TuningRecord.load(file).photographs}
    return tuple(photographs[truth] for truth in sorted(photographs))


def unseen_by_tuning(pictures: Sequence[Prepared], photographs: Sequence[KnownPhotograph]) -> list[Prepared]:
    """Those of `pictures` that show none of `photographs`, copies included.

    Raises
    ------
    UsageError
        There are none.
    """
    tuned_on = Distinct(("a tuning photograph", photograph.as_sketch) for photograph in photographs)
    unseen = [picture for picture in pictures if tuned_on.twin(picture.sketch) is None]
    if pictures and not unseen:
        raise UsageError(
            "expected photographs that tuning has not looked at; all of these were. Name others beside or instead"
        )
    return unseen


def refuse_looked_at(run: Path, pictures: Sequence[Prepared]) -> None:
    """Refuse photographs that were looked at in another run folder beside this one.

    For a user who named neither a run folder nor a tuning file: a choice that was made there, of a metric perhaps, may
    have led to this folder.

    Raises
    ------
    UsageError
        There are such photographs; the message says how to leave them out, or to use them.
    """
    truths = {picture.truth_digest for picture in pictures}
    for file in sorted(run.parent.glob(f"*/{TUNING_FILE}")):
        known = set()
        # A damaged file of another run is no trouble of this one.
        with suppress(FileFormatError):
            known = {photograph.truth for photograph in TuningRecord.load(file).photographs}
        if file.parent != run and truths & known:
            raise UsageError(
                f"{len(truths & known)} of these photographs were looked at in {file.parent} (`tune` or `plan "
                "--pilot`), and they give no guarantee for what was chosen by them. Add --tuning "
                f"{file} to leave them out, or --run {run} if nothing was chosen"
            )


LOOKS_FILE = "audited.jsonl"


def is_first_look(run: Path, truths: Sequence[str]) -> bool:
    """Note an audit of the photographs with these digests, and say whether none of them was audited with others before.

    The same photographs again are the same look: another level, another guarantee, or a run that is resumed.

    Raises
    ------
    FileFormatError
        The note of earlier audits is damaged.
    """
    file, own = run / LOOKS_FILE, sorted(set(truths))
    try:
        earlier = [json.loads(line)["photographs"] for line in file.read_bytes().splitlines()] if file.exists() else []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(
            f"{file}: expected the photographs of earlier audits; {type(error).__name__}: the file is damaged. Restore "
            "a copy, or audit in another --run"
        ) from None
    if own not in earlier:
        write_new(
            file, b"".join(json.dumps({"photographs": look}).encode() + b"\n" for look in [*earlier, own]), force=True
        )
    return not any(set(look) & set(own) for look in earlier if look != own)


_PACKAGES = ("blackbox-conformal", "numpy", "numba", "pillow", "httpx", "tenacity")


def write_manifest(run: Path, setup: Setup, pictures: Sequence[Prepared], **settings: Any) -> Path:
    """Write `manifest.json` into the run folder unless the same plan is there already.

    A plan that differs (other photographs, another guarantee) gets a file of its own beside it, named by its
    digest, so that an earlier plan is never lost.
    """
    plan = {
        "procedure": setup.procedure.model_dump(mode="json"),
        "fingerprint": setup.procedure.fingerprint,
        "settings": settings,
        "photographs": [
            {
                "name": picture.name,
                "truth": picture.truth_digest,
                "input": picture.input_digest,
                "conversions": list(picture.conversions),
            }
            for picture in sorted(pictures, key=lambda picture: picture.input_digest)
        ],
    }
    digest = digest_json(plan)
    for name in ("manifest.json", f"manifest-{digest.removeprefix('sha256:')[:12]}.json"):
        path = run / name
        if not path.exists() and _write_manifest(path, plan, digest):
            return path
        if json.loads(path.read_bytes()).get("plan_digest") == digest:
            return path
    return path


def is_of(run: Path, fingerprint: str) -> bool:
    """Whether the folder holds the manifest of a calibration of the procedure with this fingerprint."""
    try:
        return bool(json.loads((run / "manifest.json").read_bytes()).get("fingerprint") == fingerprint)
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _write_manifest(path: Path, plan: dict[str, Any], digest: str) -> bool:
    """Write the manifest, unless another process has just done so; whether it was written."""
    content = {
        **plan,
        "plan_digest": digest,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {package: version(package) for package in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.platform(),
    }
    try:
        make_private(path.parent)
        return write_once(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise refusal(path, error) from None
