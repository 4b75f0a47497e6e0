"""A run folder as calibrate, audit and mask leave it, made without a vendor; names and messages in it are hostile."""

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate, StreamCheck
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec, VendorReport
from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.method.audits.findings import AuditedPicture
from blackbox_conformal.method.audits.quality import QualityMaps
from blackbox_conformal.method.images.calibration_images import CalibrationImage
from blackbox_conformal.method.images.duplicates import sketch
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.trust import threshold_json, trusted, worst_place
from blackbox_conformal.pages.report.preview import make_preview
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.report.slider_levels import choose_stops, thresholds_of
from blackbox_conformal.study.audit.auditing import audit_splits
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.study.mask.products import Result

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><svg onload=document.title='owned'>",
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    "' onmouseover='document.title=1",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:document.title='owned'",
    "<a href=https://example.org/beacon>x</a><link rel=stylesheet href=//example.org/x.css>",
    "\u202egnp.exe\u0000\x1b[31m",
    "]]><iframe src=https://example.org></iframe>",
    "<style>*{display:none}</style>",
    "w" * 400,
)
ALPHA = 0.1
BOUND = 1.0


def maps(seed: int, height: int, width: int):
    """Truth, delivered, input, score and error map of an imagined photograph; all smooth, all of one picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.integers(-25, 26, (height, width, 1))
    truth = np.clip(np.asarray(smooth).astype(int) + noise, 0, 255).astype(np.uint8)
    delivered = np.asarray(Image.fromarray(truth).filter(ImageFilter.GaussianBlur(2)))
    low = np.asarray(Image.fromarray(truth).resize((width // 4, height // 4), Image.Resampling.BOX))
    field = np.asarray(Image.fromarray(rng.random((9, 9)).astype(np.float32)).resize((width, height)))
    field = np.clip(field, 0, 1)
    grain = np.asarray(
        Image.fromarray(rng.random((height // 8, width // 8)).astype(np.float32)).resize((width, height))
    )
    scores = np.ascontiguousarray(np.round(field * (0.7 + 0.6 * grain), 3), dtype=np.float32)
    errors = np.minimum(field * rng.uniform(0.05, 0.3) * rng.random((height, width)), BOUND).astype(np.float32)
    return truth, np.ascontiguousarray(delivered), low, scores, errors


@dataclass
class Run:
    """The folder, its calibration and the full-resolution score map of each picture by name."""

    folder: Path
    calibration: Calibration
    audit: object
    results: list
    scores: dict
    names: list


def make_calibration(n=60, hostile=True) -> Calibration:
    """A calibration of small photographs, one of them refused with a hostile message."""
    curves, images = [], []
    for seed in range(n):
        truth, _, low, scores, errors = maps(seed, 48, 64)
        refused = HOSTILE[seed % len(HOSTILE)] if hostile and seed == 3 else None
        curve = RiskCurve.worst(BOUND) if refused else RiskCurve.from_maps(scores, errors, bound=BOUND)
        curves.append(curve)
        name = HOSTILE[seed % len(HOSTILE)] if hostile else f"photograph {seed}"
        about = {"truth": pixels_digest(truth), "sketch": sketch(truth).text, "input": pixels_digest(low)}
        images.append(CalibrationImage(name=name, **about, height=48, width=64, refused=refused))
    procedure = Procedure(
        vendor={"adapter": HOSTILE[1] if hostile else "embedded", "parameters": {"prompt": HOSTILE[0]}},
        scale=4,
        draws=8,
        score={"name": "smoothed-variance", "kernel": "gaussian", "sigma": 4.0},
        metric={"name": "rgb-linf", "kernel": "gaussian", "sigma": 4.0},
    )
    models = (HOSTILE[0],) if hostile else ("model 1",)
    return Calibration.from_curves(procedure, BOUND, images, curves, vendor_models=models)


def make_ledger(folder: Path, *, price: int = 40_000_000, priced: bool = True) -> None:
    """Three draws stored, four failed with the vendor's hostile words; `price` in nano-dollars."""
    with closing(Ledger(folder)) as ledger:
        for index in range(7):
            words = (f"task{index}", 0, "identity", "vendor", "upload", HOSTILE[0], index, f"key{index}", 120)
            attempt = ledger.reserve(AttemptSpec(*words, priced=priced), None, price)
            ledger.sent(attempt)
            if index < 3:
                ledger.end(attempt, "stored", VendorReport(model=HOSTILE[0]), digest=f"sha256:{index}", size=10)
            else:
                said = {"error_class": "A", "error": HOSTILE[index], "code": f"40{index}{HOSTILE[1]}"}
                ledger.end(attempt, "refused", VendorReport(), **said)


def make_result(calibration: Calibration, name: str, seed: int, alpha: float, size=(96, 128)) -> Result:
    """A masked picture with its certificate."""
    _, delivered, low, scores, _ = maps(seed, *size)
    threshold = calibration.threshold(alpha)
    mask = trusted(scores, threshold)
    rule, procedure = calibration.rule(), calibration.procedure
    said = {"status": "guaranteed", "statement": rule.statement(alpha, calibration.n), "assumptions": rule.assumptions}
    said |= {"guarantee": {"name": "expected"}, "theorem": "a theorem", "alpha": alpha, "notes": (HOSTILE[3],)}
    said |= {"threshold": threshold_json(threshold), "threshold_hex": threshold.hex(), "score_kind": "spread"}
    said |= {"trusted_share": float(mask.mean()), "n_calibration": calibration.n, "missing_images": 0}
    said |= {"bound": calibration.bound, "calibration_digest": calibration.digest, "fingerprint": procedure.fingerprint}
    said |= {"procedure": procedure.model_dump(mode="json"), "vendor_model": None, "outputs": {}}
    said["stream_check"] = StreamCheck(n=40, pictures=20, evidence=0.3)
    said["input"] = {"name": name, "pixels": pixels_digest(low), "conversions": [HOSTILE[2]]}
    certificate = Certificate(**said)
    return Result(name, delivered, mask, scores, low, certificate)


def make_run(folder: Path, *, hostile=True, sizes=((130, 100), (700, 1030)), alphas=(ALPHA,)) -> Run:
    """A run folder with ledger, manifest, calibration, audit material and one masked picture."""
    folder.mkdir(parents=True, exist_ok=True)
    calibration = make_calibration(hostile=hostile)
    calibration.save(folder / "calibration.json")
    make_ledger(folder)
    (folder / "manifest.json").write_text(json.dumps({"photographs": list(HOSTILE), "seed": 0}))
    store = ReportStore(folder, calibration, alphas)
    thresholds = thresholds_of(choose_stops(calibration, alphas))
    levels = sorted({0.05, 0.1, 0.2, *alphas})
    pictures, scores_of, names = [], {}, []
    for index, size in enumerate(sizes):
        truth, delivered, low, scores, errors = maps(500 + index, *size)
        name = f"{HOSTILE[index]}{index}" if hostile else f"audited {index}"
        curve = RiskCurve.from_maps(scores, errors, bound=BOUND)
        identity = pixels_digest(truth)
        shown = {"low": low, "truth": truth, "errors": errors, "losses": curve.loss(thresholds)}
        shown["worst_at"] = [(alpha, calibration.threshold(alpha)) for alpha in alphas]
        noted = (HOSTILE[4], HOSTILE[8])
        store.keep(make_preview("audit", name, identity, delivered, scores, thresholds, **shown, notes=noted))
        at = [calibration.threshold(level) for level in levels]
        masks = [trusted(scores, threshold) for threshold in at]
        quality = QualityMaps(truth, delivered)
        losses, shares = tuple(curve.loss(one) for one in at), tuple(float(mask.mean()) for mask in masks)
        inside, outside = (tuple(map(quality.over, each)) for each in (masks, [~mask for mask in masks]))
        worst = tuple(worst_place(errors, mask) for mask in masks)
        pictures.append(AuditedPicture(name, identity, curve, losses, shares, inside, outside, worst, quality.over()))
        scores_of[identity] = scores
        names.append(name)
    audit = conclude(calibration, calibration.rule(), levels, pictures)
    store.keep_audit(audit)
    store.keep_splits(audit_splits(calibration, levels, audited=audit, splits=20))
    result = make_result(calibration, f"{HOSTILE[5]} masked" if hostile else "masked", 900, alphas[0])
    scores_of[result.certificate.input["pixels"]] = result.score_map
    return Run(folder, calibration, audit, [result], scores_of, [result.name, *names])
