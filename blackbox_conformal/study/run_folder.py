"""Keep in a run folder, beside draws, its manifest, its calibration, and which photographs audits looked at."""

import json
import platform
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.drawing.ledger.backends import has_ledger
from blackbox_conformal.drawing.ledger.queries import unanswered_procedures
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.method.images.calibration_images import History
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.files import make_private, refusal, write_new, write_once
from blackbox_conformal.support.text import printable

CALIBRATION_FILE = "calibration.json"
CALIBRATION_NOTE = "calibration-elsewhere.json"
_LARGEST_NOTE = 2**16


def run_folder(root: Path, procedure: Procedure) -> Path:
    """Return where a procedure's draws are kept by default: the same procedure, the same folder."""
    return root / f"{procedure.vendor['adapter']}-{procedure.fingerprint.removeprefix('sha256:')[:12]}"


def usual_folder(procedure: Procedure, calibration: Path | None = None) -> Path:
    """Return the run folder where the user names none.

    That is the folder of the file `calibration`, else the one below ``runs`` that wrote it, else the procedure's own.
    """
    runs = Path("runs")
    if calibration is not None:
        folder = calibration.parent
        if has_ledger(folder) or is_of(folder, procedure.fingerprint):
            return folder
        written = []
        for note in sorted(runs.glob(f"*/{CALIBRATION_NOTE}")):
            # Another run's damaged note does not concern this one.
            with suppress(FileFormatError):
                if _read_note(note)[0] == calibration.resolve():
                    written.append(note.parent)
        if len(written) == 1:
            return written[0]
    return run_folder(runs, procedure)


def keep_calibration(run: Path, calibration: Calibration, path: Path, *, force: bool = False) -> Path:
    """Write the calibration to `path`; where that is elsewhere, leave a note for `find_calibration`."""
    written = calibration.save(path, force=force)
    if written.resolve() != (run / CALIBRATION_FILE).resolve():
        note = {"path": str(written.resolve()), "digest": calibration.digest}
        write_new(run / CALIBRATION_NOTE, json.dumps(note).encode(), force=True)
    return written


def find_calibration(run: Path) -> Calibration:
    """Return the calibration in the run folder, else the one last written elsewhere from it."""
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
    """Return where `find_calibration` looks; errors as there."""
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


LOOKS_FILE = "audited.jsonl"


def is_first_look(run: Path, truths: Sequence[str]) -> bool:
    """Note an audit of these photographs, by digest; tell whether nobody audited any with others before.

    The same photographs again are the same look: another level or guarantee, or a resumed run.
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


_PACKAGES = ("blackbox-conformal", "numpy", "numba", "pillow", "httpx")


def write_manifest(
    run: Path,
    setup: Setup,
    pictures: Sequence[Prepared],
    known: Collection[str] = (),
    overruled: int = 0,
    **settings: Any,
) -> History:
    """Write `manifest.json` into the run folder, unless the same plan is there, and return the plan's history.

    Another plan (other photographs, another guarantee) gets a file of its own, named by its digest. The history stays
    as it was when the plan began, so that a resumed run makes the same calibration.

    `known`: Digests of photographs that were looked at and do not calibrate.
    """
    plan: dict[str, Any] = {
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
    # Earlier plans, without damaged manifests and plans that the vendor never answered, as a wrong key makes them.
    own, earlier, further = _truths(plan), 0, set[str]()
    unseen = unanswered_procedures(run)
    for path in run.glob("manifest*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            other = json.loads(path.read_bytes())
            truths = set() if digest_json(other["procedure"]["vendor"]) in unseen else _truths(other)
            # A cascade and its fallback are calibrated beside each other, not one in place of the other.
            earlier += bool(truths & own) and (_asked(other) == _asked(plan) or _of_all(other) != _of_all(plan))
            if all(other["procedure"][name] == plan["procedure"][name] for name in _SAME_DRAWS):
                further |= truths - own - set(known)
    history = History(earlier=earlier, further=len(further), overruled=overruled)
    content = {
        **plan,
        "plan_digest": digest,
        "history": history.content,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {package: version(package) for package in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.platform(),
    }
    for name in ("manifest.json", f"manifest-{digest.removeprefix('sha256:')[:12]}.json"):
        path = run / name
        if not path.exists():
            try:
                make_private(run)
                if write_once(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()):
                    return history
            except OSError as error:
                raise refusal(path, error) from None
        written = json.loads(path.read_bytes())
        if written.get("plan_digest") == digest:
            return History(**written.get("history", {}))
    return history


_SAME_DRAWS = ("vendor", "scale", "degradation")


def _asked(plan: Mapping[str, Any]) -> int:
    return int(plan["procedure"]["vendor"].get("parameters", {}).get("available", 0))


def _of_all(plan: Mapping[str, Any]) -> dict[str, Any]:
    procedure = {**plan["procedure"], "vendor": dict(plan["procedure"]["vendor"])}
    parameters = procedure["vendor"].get("parameters", {})
    procedure["vendor"]["parameters"] = {name: parameters[name] for name in parameters if name != "available"}
    return {"procedure": procedure, "settings": plan["settings"], "truths": _truths(plan)}


def _truths(plan: Mapping[str, Any]) -> set[str]:
    return {photograph["truth"] for photograph in plan["photographs"]}


def is_of(run: Path, fingerprint: str) -> bool:
    """Tell whether the folder holds a manifest of the procedure with this fingerprint."""
    try:
        return bool(json.loads((run / "manifest.json").read_bytes()).get("fingerprint") == fingerprint)
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
