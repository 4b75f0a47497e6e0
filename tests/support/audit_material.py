"""Maps, curves and calibrations for tests of the audit, made without a vendor and without pictures on disk."""

import dataclasses
import math

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.method.audits.findings import AuditedPicture
from blackbox_conformal.method.audits.quality import NO_PIXELS, Quality
from blackbox_conformal.method.images.calibration_images import CalibrationImage
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import trusted, worst_place
from blackbox_conformal.support.canonical import digest_bytes
from support.synthetic import sketch_of

BOUND = 1.0


def maps(rng, *, harder=1.0, size=(6, 8)):
    """Score and error map; errors grow with the score, and differ from photograph to photograph."""
    scores = rng.random(size).astype(np.float32)
    errors = np.minimum(scores * rng.uniform(0.2, 1.0) * harder, BOUND).astype(np.float32)
    return scores, errors


def curve_of(scores, errors, tolerance=None, left_out=None, side=None):
    """The risk curve of a score and an error map."""
    return RiskCurve.from_maps(scores, errors, bound=BOUND, tolerance=tolerance, left_out=left_out, side=side)


def detail_curves(seed, count, kind, ceiling):
    """A set of `count` curves of detail."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scores, errors = maps(rng)
        whole = (400 * rng.random(scores.shape)).astype(np.float32)
        every = curve_of(scores, errors).of_detail(scores, Energies(whole * errors, whole), ceiling)
        found += [curve for curve in every if curve.kind == kind]
    return CurveSet.from_curves(found)


def curves(seed, count, *, tolerance=None, left_out=None, side=None, harder=1.0):
    """A set of `count` curves."""
    rng = np.random.default_rng(seed)
    return CurveSet.from_curves([curve_of(*maps(rng, harder=harder), tolerance, left_out, side) for _ in range(count)])


def identity(name):
    """A digest such as pixels have."""
    return digest_bytes(name.encode())


def calibration_of(found, *, metric=None, guarantee=None, groups=None, shares=(), all_but=(), detail=(), local=()):
    """A calibration whose photographs ``c0``, ``c1``, … have the curves `found`."""
    images = []
    for index in range(len(found)):
        about = {"name": f"c{index}", "truth": identity(f"c{index}"), "sketch": sketch_of(f"c{index}").text}
        about |= {"input": identity(f"low c{index}"), "height": 6, "width": 8}
        images.append(CalibrationImage(**about, group=None if groups is None else groups[index]))
    procedure = Procedure(
        vendor={"adapter": "folder", "parameters": {"label": "made up"}},
        scale=2,
        draws=2,
        score={"name": "pixel-variance"},
        metric=metric or {"name": "rgb-linf"},
    )
    further = {"detail": detail, "local": local, "guarantee": guarantee or {"name": "expected"}}
    return Calibration.from_curves(procedure, BOUND, images, list(found), shares, all_but, **further)


def audited_picture(name, scores, errors, thresholds, *, tolerance=None, broken=False):
    """A photograph audited with masks at `thresholds`; its PSNR is what its errors would give."""
    curve = curve_of(scores, errors, tolerance)
    masks = [trusted(scores, threshold) for threshold in thresholds]
    inside, outside = (tuple(_quality(errors, one) for one in each) for each in (masks, [~mask for mask in masks]))
    losses, shares = tuple(curve.loss(one) for one in thresholds), tuple(float(mask.mean()) for mask in masks)
    worst, whole = tuple(worst_place(errors, mask) for mask in masks), _quality(errors, np.ones_like(errors, bool))
    found = (name, identity(name), curve, losses, shares, inside, outside, worst, whole)
    return AuditedPicture(*found, broken_bound=broken)


def refused_picture(name, thresholds):
    """A photograph that the vendor refused."""
    curve = RiskCurve.worst(BOUND)
    losses = tuple(curve.loss(threshold) for threshold in thresholds)
    nothing, none, zeros = ((value,) * len(thresholds) for value in (NO_PIXELS, None, 0.0))
    return AuditedPicture(name, identity(name), curve, losses, zeros, nothing, nothing, none, NO_PIXELS)


def _quality(errors, mask):
    if not mask.any():
        return NO_PIXELS
    error = float(np.square(errors[mask], dtype=np.float64).mean())
    return Quality(-10 * np.log10(error), -10 * np.log10(error), 1 - error)


def alike(ours, theirs):
    """Whether two findings are equal, where a figure that is missing (NaN) equals another one."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return ours == theirs or (math.isnan(ours) and math.isnan(theirs))
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    if dataclasses.is_dataclass(ours) and not isinstance(ours, RiskCurve) and type(ours) is type(theirs):
        return all(alike(getattr(ours, field.name), getattr(theirs, field.name)) for field in dataclasses.fields(ours))
    return type(ours) is type(theirs) and ours == theirs
