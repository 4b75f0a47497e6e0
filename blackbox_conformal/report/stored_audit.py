"""What a run folder keeps of an audit for the report: every figure, and the curves of the audited photographs.

Pictures live in `store`.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.files import write_new
from blackbox_conformal.risk.pack import CurveSet

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.audit import Audit

MAXIMUM_FILE_BYTES = 64 * 2**20


def write_audit(audit: "Audit", path: Path) -> Path:
    """Write the audit as JSON that `read_audit` takes back; an earlier one is replaced."""
    levels = [
        {
            "alpha": level.alpha,
            "threshold": level.threshold.hex(),
            "risk": level.judgement.risk,
            "interval": list(level.judgement.interval),
            "p_value": level.judgement.p_value,
            "verdict": level.judgement.verdict,
            "trusted_share": level.trusted_share,
            "empty_share": level.empty_share,
            "psnr_trusted": level.psnr_trusted.hex(),
            "psnr_all": level.psnr_all.hex(),
        }
        for level in audit.levels
    ]
    pictures = [
        {
            "name": one.name,
            "truth": one.truth,
            "losses": list(one.losses),
            "shares": list(one.shares),
            "psnr_trusted": [value.hex() for value in one.psnr_trusted],
            "psnr_all": one.psnr_all.hex(),
        }
        for one in audit.pictures
    ]
    content = json.dumps(
        {
            "n": audit.n,
            "verdict": audit.verdict,
            "calls": audit.calls,
            "cached": audit.cached,
            "levels": levels,
            "pictures": pictures,
            "curves": base64.b64encode(CurveSet.from_curves([one.curve for one in audit.pictures]).to_bytes()).decode(),
        },
        indent=1,
    )
    return write_new(path, content.encode(), force=True)


def read_audit(path: Path) -> "Audit":
    """Read a stored audit.

    Raises
    ------
    FileFormatError
        It is damaged, foreign or too large.
    """
    from blackbox_conformal.audit.verdict import Judgement
    from blackbox_conformal.pipeline.audit import Audit, AuditedLevel, AuditedPicture

    content = read_json(path)
    try:
        curves = CurveSet.from_bytes(base64.b64decode(content["curves"], validate=True))
        levels = tuple(
            AuditedLevel(
                alpha=float(one["alpha"]),
                threshold=float.fromhex(one["threshold"]),
                judgement=Judgement(
                    one["risk"], (one["interval"][0], one["interval"][1]), one["p_value"], one["verdict"]
                ),
                trusted_share=one["trusted_share"],
                empty_share=one["empty_share"],
                psnr_trusted=float.fromhex(one["psnr_trusted"]),
                psnr_all=float.fromhex(one["psnr_all"]),
            )
            for one in content["levels"]
        )
        pictures = tuple(
            AuditedPicture(
                name=str(one["name"]),
                truth=str(one["truth"]),
                curve=curve,
                losses=tuple(one["losses"]),
                shares=tuple(one["shares"]),
                psnr_trusted=tuple(float.fromhex(value) for value in one["psnr_trusted"]),
                psnr_all=float.fromhex(one["psnr_all"]),
            )
            for one, curve in zip(content["pictures"], curves, strict=True)
        )
        return Audit(int(content["n"]), levels, content["verdict"], pictures, content["calls"], content["cached"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, binascii.Error) as error:
        raise damaged(path, error) from None


def read_json(path: Path) -> Any:
    """The JSON in a file of the report's material.

    Raises
    ------
    FileFormatError
        It is missing, too large, or no JSON.
    """
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise FileFormatError(f"{path}: expected report material below {MAXIMUM_FILE_BYTES} bytes; it is larger")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise FileFormatError(f"{path}: expected readable report material; {error.strerror}") from None
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> FileFormatError:
    """The error for material that is not what was written."""
    return FileFormatError(
        f"{path}: damaged report material ({type(error).__name__}). Remove it and audit or mask again"
    )
