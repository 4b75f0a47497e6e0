"""The report's material in a run folder, below ``report/``: one file for each picture, the audit and random splits.

Everything that is read back is checked. Calibrating, masking or auditing again needs nothing here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.stored import Stored
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.method.audits.random_splits import Splits
from blackbox_conformal.method.images.bands import is_deep, rendered
from blackbox_conformal.method.metrics._detail import about_detail, kinds_of_detail
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.pages.report.cards import sentence
from blackbox_conformal.pages.report.full_size import Certified, FullSizeStore, Part
from blackbox_conformal.pages.report.preview import (
    EARLIER_ENDING,
    ENDING,
    Preview,
    end_of,
    make_preview,
    picture_stem,
    read_preview,
    write_preview,
)
from blackbox_conformal.pages.report.slider_levels import choose_levels, thresholds_at
from blackbox_conformal.support.types import Image, Map

if TYPE_CHECKING:
    from blackbox_conformal.study.mask.products import Result
    from blackbox_conformal.study.stages.evaluate import Evaluation
    from blackbox_conformal.study.stages.prepare import Prepared

AUDITS = Stored(Audit, "audit", 1, anew="Remove it and audit again in the same run folder: the draws are stored")
SPLITS = Stored(Splits, "random splits", 1, anew="Remove them and run `audit --splits` again: the draws are stored")


def last_audit(run: Path) -> Audit | None:
    """Return the run folder's last audit of any calibration that bought a part of its photographs; None without one."""
    found = sorted(run.glob("report/*/audit.json"), key=lambda path: path.stat().st_mtime)
    return next((one for one in map(AUDITS.read, reversed(found)) if one.part is not None), None)


class ReportStore:
    """The report's material of one run folder and one calibration.

    `run`: The run folder.
    `alphas`: Levels, beside the usual ones, at which exact shares are kept.
    `full_size`: Also keep pictures and scores at full resolution, for the viewer of `view`.
    """

    def __init__(
        self, run: Path, calibration: Calibration, alphas: Sequence[float] = (), *, full_size: bool = True
    ) -> None:
        # Workers of a cluster may have been started in another folder.
        self.folder = run.absolute() / "report" / calibration.digest.removeprefix("sha256:")[:16]
        self._calibration = calibration
        self._thresholds = thresholds_at(calibration, choose_levels(calibration, alphas))
        self._mixture = calibration.procedure.mixture
        self._dotted = about_detail(calibration.guarantee, calibration.procedure.metric)
        self._full_size = FullSizeStore(self.folder, calibration, alphas) if full_size else None

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
        """Keep an audited photograph; `bc.audit` calls this as `on_picture`."""
        assert picture.truth_digest is not None
        notes = (*picture.conversions, *evaluation.notes)
        delivered, low, truth = (rendered(pixels) for pixels in (evaluation.delivered, low, truth))
        if self._full_size is not None:
            pictures: dict[Part, Image | Path] = {"delivered": delivered, "low": low, "truth": truth}
            kept = (picture.name, picture.truth_digest, evaluation.score_map, pictures)
            self._full_size.keep("audit", *kept, errors=errors, curve=curve, notes=notes, source=picture.path)
        self.keep(
            make_preview(
                "audit",
                picture.name,
                picture.truth_digest,
                delivered,
                evaluation.score_map,
                self._thresholds,
                low=low,
                truth=truth,
                errors=errors,
                losses=curve.loss(self._thresholds),
                worst_at=levels,
                notes=notes,
                source=end_of(picture.path),
                detail=kinds_of_detail(delivered, low, self._mixture) if self._dotted else None,
            )
        )

    def masked(self, result: "Result", low: Image | None = None, file: Path | None = None) -> Path:
        """Keep a masked picture; `low` is the vendor's input, `file` a PNG of the delivered picture."""
        folder = None if file is None else file.parent
        preview = replace(preview_of_result(result, self._thresholds, low), source=end_of(folder))
        if self._full_size is not None:
            # With its alpha, the file would show less than is judged; of declared bands pages show a rendering.
            if result.opacity is not None or is_deep(result.image):
                file = None
            pictures: dict[Part, Image | Path] = {"delivered": file or rendered(result.image)}
            if low is not None:
                pictures["low"] = rendered(low)
            kept = (preview.kind, preview.name, preview.identity, result.score_map, pictures)
            certified = Certified.of(result.certificate)
            notes, differing, showing = preview.notes[1:], preview.differing, result.showing
            self._full_size.keep(
                *kept, certified=certified, notes=notes, source=folder, showing=showing, differing=differing
            )
        return self.keep(preview)

    def add_doubt(self, kept: Path, certificate: Certificate) -> None:
        """Note in the picture of `kept` the certificate's doubt, which a whole batch raised."""
        preview = read_preview(kept)
        notes = (_stated(certificate), *preview.notes[1:], str(certificate.reason))
        self.keep(replace(preview, notes=notes, no_guarantee=_no_guarantee(certificate)))
        if self._full_size is not None:
            self._full_size.add_doubt(self._full_size.folder / f"{kept.stem}.json", certificate)

    def keep(self, preview: Preview) -> Path:
        """Write a preview; replace one of the same picture."""
        return write_preview(preview, self.folder / f"{preview.stem}.{ENDING}")

    def keep_audit(self, audit: Audit) -> Path:
        """Write the findings of the audit."""
        return AUDITS.write(audit, self.folder / "audit.json")

    def previews(self, kind: str, first: Sequence[str] = ()) -> list[Callable[[], Preview]]:
        """Return a reader for each stored preview of `kind`, so that one at a time is in memory.

        Pictures with the identities `first` come first, in that order.
        """
        place = {picture_stem(kind, identity): index for index, identity in enumerate(first)}
        endings = (EARLIER_ENDING, ENDING)
        # If an earlier version kept a picture, too, the present file counts.
        kept = {path.stem: path for ending in endings for path in self.folder.glob(f"{kind}-*.{ending}")}
        stems = sorted(kept, key=lambda stem: (place.get(stem, len(place)), stem))
        return [partial(read_preview, kept[stem]) for stem in stems]

    def audit(self) -> Audit | None:
        """Return the stored audit, or None."""
        path = self.folder / "audit.json"
        return AUDITS.read(path) if path.is_file() else None

    def keep_splits(self, splits: Splits) -> Path:
        """Write the findings of random splits of a pool."""
        return SPLITS.write(splits, self.folder / "splits.json")

    def splits(self) -> Splits | None:
        """Return the stored random splits, or None."""
        path = self.folder / "splits.json"
        return SPLITS.read(path) if path.is_file() else None


def _stated(certificate: Certificate) -> str:
    said = f"Its certificate is for alpha = {certificate.alpha:g}"
    # The report says the whole statement once, and an old certificate has no other.
    return f"{said}." if certificate.short == certificate.statement else f"{said} and says: {certificate.short}"


def _no_guarantee(certificate: Certificate) -> str:
    if certificate.status == "if-like-calibration":
        return f"It holds if this input is like those calibrated: {certificate.reason}"
    return "" if certificate.stated == certificate.statement else certificate.stated


def preview_of_result(result: "Result", thresholds: NDArray[np.float64], low: Image | None = None) -> Preview:
    """Make the preview of a masked picture."""
    certificate = result.certificate
    quality = () if certificate.quality is None else (certificate.quality.statement,)
    # The reason says it where it takes the guarantee.
    differs = () if certificate.differs is None or certificate.changed else (f"The answer {certificate.differs}",)
    # A card shows all notes but the first: a conversion only where a note says what it cost.
    told = [
        one
        for one in map(str, certificate.input.get("conversions", ()))
        if not any(note.startswith(one) for note in certificate.notes)
    ]
    stated = " ".join(map(sentence, (_stated(certificate), *quality, *told)))
    return make_preview(
        "result",
        result.name,
        str(certificate.input.get("pixels", result.name)),
        rendered(result.image),
        result.score_map,
        thresholds,
        low=None if low is None else rendered(low),
        notes=(stated, *differs, *certificate.notes),
        no_guarantee=_no_guarantee(certificate),
        detail=result.shown_detail,
        showing=result.showing,
        differing=certificate.places,
    )
