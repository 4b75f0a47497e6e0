"""The outer form of a calibration file: JSON of a known format and version, with the keys that belong there."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from blackbox_conformal.canonical import strict_json
from blackbox_conformal.errors import FileFormatError

FORMAT = "blackbox-conformal calibration"
VERSION = 3
MAXIMUM_FILE_BYTES = 2**30
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"II*\0", b"MM\0*", b"BM")
"""How files of pictures begin."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["blackbox-conformal calibration"]
    version: int
    fingerprint: str
    procedure: dict[str, Any]
    score_weights: str | None = None
    bound: float
    guarantee: dict[str, Any]
    images: list[dict[str, Any]]
    curves: str
    shares: list[str]
    all_but: list[str] = []
    answers: str
    inputs: str
    made_with: str
    tuning: list[dict[str, Any]]
    vendor_models: list[str]
    history: dict[str, Any] = {}
    digest: str
    signature: dict[str, Any] | None = None


def read_content(path: Path) -> dict[str, Any]:
    """The content of a calibration file.

    Raises
    ------
    FileFormatError
        It is missing, damaged, of another version, or built to harm.
    """
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise FileFormatError(f"{path}: expected a calibration below {MAXIMUM_FILE_BYTES} bytes; it is larger")
        data = path.read_bytes()
        if data.startswith(_PICTURES):
            raise FileFormatError(f"{path}: expected a calibration, as `calibrate` writes it; this is a picture")
        content = strict_json(data)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise FileFormatError(f"{path}: expected a {FORMAT}; this is another file")
        if isinstance(content.get("version"), int) and content["version"] > VERSION:
            raise FileFormatError(
                f"{path}: was written in format {content['version']}, this version reads up to {VERSION}. "
                "Upgrade blackbox-conformal"
            )
        if isinstance(content.get("version"), int) and content["version"] < VERSION:
            raise FileFormatError(
                f"{path}: was written in format {content['version']}, before there was a release; this version reads "
                f"{VERSION}. Calibrate again: the draws are stored, so no call is made"
            )
        _File(**content)
    except OSError as error:
        raise FileFormatError(f"{path}: expected a readable calibration file; {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FileFormatError(f"{path}: damaged calibration: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path}: expected JSON; {type(error).__name__}: the file is damaged") from None
    return content
