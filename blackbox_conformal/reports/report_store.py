"""What a run folder keeps for the report, below ``report/``: one file for each picture, the audit and random splits.

Everything that is read back is checked. Nothing here is needed to calibrate, mask or audit again.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from blackbox_conformal.audits.findings import Audit
from blackbox_conformal.audits.random_splits import Splits
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.files import write_new
from blackbox_conformal.reports.blocks import SIDE
from blackbox_conformal.reports.encoded import base64_text
from blackbox_conformal.reports.error_pairs import Pair
from blackbox_conformal.reports.preview import NEVER, Preview, Worst, make_preview
from blackbox_conformal.reports.slider_levels import choose_stops, thresholds_of
from blackbox_conformal.reports.stored_audit import (
    damaged,
    read_audit,
    read_json,
    read_splits,
    write_audit,
    write_splits,
)
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.types import Image, Map

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.products import Result
    from blackbox_conformal.pipeline.stages.evaluate import Evaluation
    from blackbox_conformal.pipeline.stages.prepare import Prepared

FORMAT = "blackbox-conformal preview 3"
EARLIER = "blackbox-conformal preview 2"
"""It had neither errors nor pairs."""


class ReportStore:
    """The report's material of one run folder and one calibration.

    Parameters
    ----------
    run
        The run folder.
    alphas
        Levels, beside the usual ones, at which exact shares are kept.
    """

    def __init__(self, run: Path, calibration: Calibration, alphas: Sequence[float] = ()) -> None:
        self.folder = run / "report" / calibration.digest.removeprefix("sha256:")[:16]
        self._calibration = calibration
        stops = choose_stops(calibration, alphas)
        self._thresholds = thresholds_of(stops)

    def audited(
        self,
        picture: "Prepared",
        evaluation: "Evaluation",
        truth: Image,
        low: Image,
        errors: Map,
        curve: RiskCurve,
        levels: Sequence[tuple[float, float]],
    ) -> None:
        """Keep an audited photograph: what `bc.audit` calls as `on_picture`."""
        assert picture.truth_digest is not None
        self.keep(
            make_preview(
                "audit",
                picture.name,
                picture.truth_digest,
                evaluation.delivered,
                evaluation.indecision,
                self._thresholds,
                low=low,
                truth=truth,
                errors=errors,
                losses=curve.loss(self._thresholds),
                worst_at=levels,
                notes=(*picture.conversions, *evaluation.notes),
            )
        )

    def masked(self, result: "Result", low: Image | None = None) -> Path:
        """Keep a masked picture; `low` is what the vendor was sent."""
        return self.keep(preview_of_result(result, self._thresholds, low))

    def add_note(self, kept: Path, note: str) -> None:
        """Add to the picture in `kept` what became known after it, such as what concerns a whole batch."""
        preview = read_preview(kept)
        self.keep(replace(preview, notes=(*preview.notes, note)))

    def keep(self, preview: Preview) -> Path:
        """Write a preview; one of the same picture is replaced."""
        return write_new(
            self.folder / _file_name(preview.kind, preview.identity), json.dumps(_to_json(preview)).encode(), force=True
        )

    def keep_audit(self, audit: Audit) -> Path:
        """Write what the audit found."""
        return write_audit(audit, self.folder / "audit.json")

    def previews(self, kind: str, first: Sequence[str] = ()) -> list[Callable[[], Preview]]:
        """A reader for each stored preview of `kind`, so that one at a time is in memory.

        Those of the pictures whose identities are `first` come first, in that order.
        """
        place = {_file_name(kind, identity): index for index, identity in enumerate(first)}
        paths = sorted(self.folder.glob(f"{kind}-*.json"), key=lambda path: (place.get(path.name, len(place)), path))
        return [partial(read_preview, path) for path in paths]

    def audit(self) -> Audit | None:
        """The stored audit, or None."""
        path = self.folder / "audit.json"
        return read_audit(path) if path.is_file() else None

    def keep_splits(self, splits: Splits) -> Path:
        """Write what random splits of a pool found."""
        return write_splits(splits, self.folder / "splits.json")

    def splits(self) -> Splits | None:
        """The stored random splits, or None."""
        path = self.folder / "splits.json"
        return read_splits(path) if path.is_file() else None


def preview_of_result(result: "Result", thresholds: NDArray[np.float64], low: Image | None = None) -> Preview:
    """The preview of a masked picture."""
    certificate = result.certificate
    stated = f"Its certificate says: {certificate.stated}"
    return make_preview(
        "result",
        result.name,
        str(certificate.input.get("pixels", result.name)),
        result.image,
        result.indecision,
        thresholds,
        low=low,
        notes=(stated, *map(str, certificate.input.get("conversions", ())), *certificate.notes),
    )


def _file_name(kind: str, identity: str) -> str:
    return f"{kind}-{digest_bytes(identity.encode()).removeprefix('sha256:')[:24]}.json"


def _to_json(preview: Preview) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": preview.kind,
        "name": preview.name,
        "identity": preview.identity,
        "size": list(preview.size),
        "block": preview.block,
        "ceiling": _pack_map(preview.ceiling),
        "errors": None if preview.errors is None else _pack_map(preview.errors),
        "thresholds": [value.hex() for value in preview.thresholds.tolist()],
        "shares": preview.shares.tolist(),
        "losses": [None if math.isnan(value) else value for value in preview.losses.tolist()],
        "delivered": _pack(preview.delivered),
        "low": _pack(preview.low),
        "truth": _pack(preview.truth),
        "worst": [
            {
                **asdict(worst),
                "delivered": _pack(worst.delivered),
                "truth": _pack(worst.truth),
                "mask": _pack(worst.mask),
            }
            for worst in preview.worst
        ],
        "pairs": [
            {**asdict(pair), "delivered": _pack(pair.delivered), "truth": _pack(pair.truth)} for pair in preview.pairs
        ],
        "notes": list(preview.notes),
    }


def read_preview(path: Path) -> Preview:
    """Read a stored preview.

    Raises
    ------
    FileFormatError
        It is damaged, foreign or too large.
    """
    content = read_json(path)
    try:
        if content["format"] == EARLIER:
            content.update(errors=None, pairs=[])
        elif content["format"] != FORMAT:
            raise ValueError("another format")
        height, width = (int(side) for side in content["size"])
        block = max(int(content["block"]), 1)
        rows, columns = -(-height // block), -(-width // block)
        if block != content["block"] or not (
            1 <= rows <= SIDE and 1 <= columns <= SIDE and len(content["thresholds"]) <= NEVER
        ):
            raise ValueError("sizes out of range")
        thresholds = np.array([float.fromhex(value) for value in content["thresholds"]], np.float64)
        shares, losses = (np.array(content[kind], np.float64) for kind in ("shares", "losses"))
        if not thresholds.shape == shares.shape == losses.shape:
            raise ValueError("as many shares and losses as thresholds are expected")
        return Preview(
            kind=str(content["kind"]),
            name=str(content["name"]),
            identity=str(content["identity"]),
            size=(height, width),
            block=block,
            ceiling=_unpack_map(content["ceiling"], rows, columns),
            errors=None if content["errors"] is None else _unpack_map(content["errors"], rows, columns),
            thresholds=thresholds,
            shares=shares,
            losses=losses,
            delivered=base64.b64decode(content["delivered"], validate=True),
            low=_unpack(content["low"]),
            truth=_unpack(content["truth"]),
            worst=tuple(map(_worst, content["worst"])),
            pairs=tuple(map(_pair, content["pairs"])),
            notes=tuple(str(note) for note in content["notes"]),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, isal_zlib.error, binascii.Error) as error:
        raise damaged(path, error) from None


def _worst(content: dict[str, Any]) -> Worst:
    return Worst(
        alpha=float(content["alpha"]),
        row=int(content["row"]),
        column=int(content["column"]),
        error=float(content["error"]),
        delivered=base64.b64decode(content["delivered"], validate=True),
        truth=base64.b64decode(content["truth"], validate=True),
        mask=base64.b64decode(content["mask"], validate=True),
        at=(int(content["at"][0]), int(content["at"][1])),
    )


def _pair(content: dict[str, Any]) -> Pair:
    return Pair(
        near=float(content["near"]),
        row=int(content["row"]),
        column=int(content["column"]),
        error=float(content["error"]),
        delivered=base64.b64decode(content["delivered"], validate=True),
        truth=base64.b64decode(content["truth"], validate=True),
        at=(int(content["at"][0]), int(content["at"][1])),
    )


def _pack_map(values: Map) -> str:
    return base64_text(isal_zlib.compress(values.astype("<f4").tobytes()))


def _unpack_map(text: str, rows: int, columns: int) -> Map:
    raw = isal_zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 4 * rows * columns)
    return np.frombuffer(raw, "<f4").astype(np.float32).reshape(rows, columns)


def _pack(data: bytes | None) -> str | None:
    return None if data is None else base64_text(data)


def _unpack(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
