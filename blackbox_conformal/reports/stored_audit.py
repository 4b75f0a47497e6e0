"""Audits and random splits as files: every figure, and the curves of the audited photographs."""

import base64
import binascii
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from blackbox_conformal.audits.contamination import Leakage, LeakagePoint
from blackbox_conformal.audits.findings import Audit, AuditedLevel, AuditedPicture
from blackbox_conformal.audits.implied_quality import Promise
from blackbox_conformal.audits.kinds import KindRisk
from blackbox_conformal.audits.quality import Quality
from blackbox_conformal.audits.random_splits import SplitLevel, Splits
from blackbox_conformal.audits.sequential import Look, Stop
from blackbox_conformal.audits.verdict import Judgement
from blackbox_conformal.audits.worst_pixels import Place
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.files import write_new
from blackbox_conformal.images.input_statistics.kind import Kind
from blackbox_conformal.reports.encoded import base64_text
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.curve_set import CurveSet

MAXIMUM_FILE_BYTES = 64 * 2**20

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""`math.nan` itself, because an audit that was read back must equal the one that was written."""

Read = TypeVar("Read")


def write_audit(audit: Audit, path: Path) -> Path:
    """Write the audit as JSON that `read_audit` takes back; an earlier one is replaced."""
    content = asdict(audit)
    for picture in content["pictures"]:
        del picture["curve"]
    curves = CurveSet.from_curves([picture.curve for picture in audit.pictures])
    content["curves"] = base64_text(curves.to_bytes())
    return _write(content, path)


def read_audit(path: Path) -> Audit:
    """Read a stored audit.

    Raises
    ------
    FileFormatError
        It is damaged, foreign or too large.
    """

    def build(content: Any) -> Audit:
        curves = CurveSet.from_bytes(base64.b64decode(content.pop("curves"), validate=True))
        pictures = [_picture(picture, curve) for picture, curve in zip(content.pop("pictures"), curves, strict=True)]
        levels = [_level(level) for level in content.pop("levels")]
        leakage = content.pop("leakage")
        if leakage is not None:
            points = tuple(LeakagePoint(**point) for point in leakage.pop("points"))
            leakage = Leakage(points=points, **leakage)
        notes = tuple(str(note) for note in content.pop("notes"))
        stop = _stop(content.pop("stop"))
        # Audits of versions that looked at no kinds have none.
        kinds = tuple(KindRisk(**{key: _pair(value) for key, value in one.items()}) for one in content.pop("kinds", ()))
        rest = {key: _pair(value) for key, value in content.items()}
        found = {"levels": tuple(levels), "pictures": tuple(pictures), "leakage": leakage, "kinds": kinds}
        return Audit(**found, notes=notes, stop=stop, **rest)

    return _read(path, build)


def write_splits(splits: Splits, path: Path) -> Path:
    """Write random splits as JSON that `read_splits` takes back; earlier ones are replaced."""
    return _write(asdict(splits), path)


def read_splits(path: Path) -> Splits:
    """Read stored splits.

    Raises
    ------
    FileFormatError
        They are damaged, foreign or too large.
    """

    def build(content: Any) -> Splits:
        rows = [{key: _pair(value) for key, value in level.items()} for level in content.pop("levels")]
        levels = tuple(SplitLevel(**row) for row in rows)
        return Splits(levels=levels, notes=tuple(str(note) for note in content.pop("notes")), **content)

    return _read(path, build)


def read_material(path: Path) -> bytes:
    """The content of a file of the report's material.

    Raises
    ------
    FileFormatError
        It is missing or too large.
    """
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise FileFormatError(f"{path}: expected report material below {MAXIMUM_FILE_BYTES} bytes; it is larger")
        return path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{path}: expected readable report material; {error.strerror}") from None


def parse_json(path: Path, data: bytes) -> Any:
    """The JSON that `path` holds.

    Raises
    ------
    FileFormatError
        It is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> FileFormatError:
    """The error for a file that is not as it was written."""
    return FileFormatError(
        f"{path}: damaged report material ({type(error).__name__}). Remove it and audit or mask again"
    )


def _write(content: Any, path: Path) -> Path:
    return write_new(path, json.dumps(_packed(content), indent=1, allow_nan=False).encode(), force=True)


def _read(path: Path, build: Callable[[Any], Read]) -> Read:
    content = _unpacked(parse_json(path, read_material(path)))
    try:
        return build(content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, binascii.Error) as error:
        raise damaged(path, error) from None


def _packed(value: Any) -> Any:
    """`value` with NaN and infinities as text, because JSON has no numbers for them."""
    if isinstance(value, dict):
        return {key: _packed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(item) for item in value]
    return {"float": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"float"} and value["float"] in _SPECIAL:
            return _SPECIAL[value["float"]]
        return {key: _unpacked(item) for key, item in value.items()}
    return [_unpacked(item) for item in value] if isinstance(value, list) else value


def _stop(content: dict[str, Any] | None) -> Stop | None:
    if content is None:
        return None
    looks = tuple(Look(units=int(look["units"]), bounds=_pair(look["bounds"])) for look in content.pop("looks"))
    return Stop(looks=looks, **{key: _pair(value) for key, value in content.items()})


def _picture(content: dict[str, Any], curve: RiskCurve) -> AuditedPicture:
    return AuditedPicture(
        name=str(content["name"]),
        truth=str(content["truth"]),
        curve=curve,
        losses=tuple(map(float, content["losses"])),
        shares=tuple(map(float, content["shares"])),
        inside=tuple(Quality(**quality) for quality in content["inside"]),
        outside=tuple(Quality(**quality) for quality in content["outside"]),
        worst=tuple(None if place is None else Place(**place) for place in content["worst"]),
        whole=Quality(**content["whole"]),
        broken_bound=bool(content["broken_bound"]),
        kind=None if content.get("kind") is None else Kind(**content["kind"]),
    )


def _level(content: dict[str, Any]) -> AuditedLevel:
    judgement = Judgement(**{key: _pair(value) for key, value in content.pop("judgement").items()})
    inside, outside, whole = (Quality(**content.pop(name)) for name in ("inside", "outside", "whole"))
    promise = Promise(**content.pop("promise"))
    return AuditedLevel(judgement=judgement, promise=promise, inside=inside, outside=outside, whole=whole, **content)


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
