"""The public interface as a typed user writes it; checked by mypy, never run."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import blackbox_conformal as bc

vendor: bc.Adapter = bc.load_adapter("http", url="http://127.0.0.1:8000/upscale", scale=4)
calibration: bc.Calibration = bc.calibrate(
    vendor, "photographs/", draws=8, score="patch-variance", metric="lab-l1", max_cost=20.0
)
saved: Path = calibration.save("calibration.json")
calibration = bc.Calibration.load("calibration.json")
threshold: float = calibration.threshold(0.1)
per_image: float = calibration.threshold(0.1, "per-image", delta=0.1)
risk: float = calibration.risk(threshold)
levels: NDArray[np.float64] = calibration.alphas
drawing: Path = calibration.plot().save("trusted.svg")
svg: str = calibration.plot().svg

result: bc.Result = bc.mask(vendor, "input.png", calibration, alpha=0.1)
image: NDArray[np.uint8] = result.image
mask: NDArray[np.bool_] = result.mask
score_map: NDArray[np.float32] = result.score_map
share: float = result.certificate.trusted_share
in_memory: bc.Calibration = bc.calibrate(vendor, {"one": image, "other": b"..."}, progress=False)
offline: bc.Calibration = bc.calibrate(inputs=[image, "small.png"], outputs=[image, [image]], truths=[b"", image])
of_arrays: bc.Result = bc.mask(image, image, offline, alpha=0.1)
unnamed: bc.Audit = bc.audit(vendor, [image, ("named", image), "third.png"], in_memory, progress=lambda *_: None)
results: list[bc.Result] = bc.mask_all(vendor, ["input.png", ("named", image)], calibration, alpha=0.1, max_calls=16)

suggestion: bc.Suggestion = bc.suggest_degradation("real-inputs/", "photographs/", scale=4)
degradation: str = suggestion.degradation
plan: bc.Plan = bc.plan(vendor, 100, draws=8, alpha=0.05)
visit: bc.VisitResult = bc.watch(vendor, "calibration.json", ["photographs/"], canaries=8, max_cost="0.50")
audit: bc.Audit = bc.audit(vendor, ["other/"], calibration, alpha=[0.1, 0.2], group=None, max_cost="12.50")
shift: bc.InputShift = bc.compare_inputs("real/", calibration, level=0.05)
comparison: bc.Comparison = bc.compare({"one": vendor, "other": (vendor, {"draws": 4})}, "photographs/", memory=2**31)
frontier: bc.Plan = bc.plan(vendor, "photographs/", want_share=0.5, pilot=20, stand_in=True, max_cost=5)
tuning: bc.Tuning = bc.tune(vendor, "photographs/", 0.1, candidates=["texture"], tuning_share=0.4, run="runs/mine")
learning: bc.Learning = bc.learn_score(vendor, "photographs/", outputs="outputs/", run="runs/mine")
fitted: bc.Calibration = bc.calibrate(vendor, "other/", score=learning.score, tuning=learning.photographs, max_cost=5)
on_workers: bc.Audit = bc.audit(vendor, ["other/"], calibration, cluster="local:4", max_cost=5)
report: Path = bc.report("runs/mine", calibration=calibration, audit=audit, results=results, out="report.html")

inputs: list[Path] = [each.input for each in bc.degrade("photographs/", "inputs", degradation="area:4+jpeg:75")]

arrays: list[NDArray[np.uint8]] = [each.pixels for each in bc.degrade({"one": image})]

samples = [np.zeros((4, 4, 3), np.uint8)] * 2
scores: NDArray[np.float32] = bc.score_map(samples, "patch-variance", kernel="gaussian", sigma=4)
errors: NDArray[np.float32] = bc.error_map(samples[0], samples[1], "lab-l1", kernel="gaussian", sigma=4)
bound: float = bc.metric_bound("lab-l1")
curve: bc.RiskCurve = bc.RiskCurve.from_maps(scores, errors, bound=bound)
loss: float = curve.loss(0.5)
chosen: float = bc.threshold([curve], 0.5, guarantee="expected")
trusted: NDArray[np.bool_] = bc.trusted(scores, chosen)

key: bc.SigningKey = bc.SigningKey.load("laboratory.pem", passphrase=None)
signed: Path = calibration.signed(key).save("signed.json")
vouched: bool = calibration.vouching([key.key]).trusted
image_file: Path = result.save("out", sign_with=key, credentials=bc.CertifiedKey.of(key)).image

with bc.Session("calibration.json", vendor, alpha=0.1, max_cost=20, memory=None) as session:
    masked: bc.Result = session.mask(("named", image))
    names: list[str] = [each.name for each in session.mask_many("inputs/", ahead=4)]
    spent: str = f"{session.spent_usd:.2f}"


async def serve() -> bc.Result:
    async with bc.Session(calibration, vendor, 0.1) as opened:
        return await opened.amask(b"...")


def larger(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture.repeat(4, 0).repeat(4, 1)


local: bc.Adapter = bc.from_function("larger", larger, scale=4, version="2", degradation="area", concurrency=2)
