"""What the certificate of one mask says, before its files are written.

The certificate itself, and how it is read and verified, live in `certificate`.
"""

import math

import numpy as np

from blackbox_conformal.calibration import Calibration
from blackbox_conformal.certificate import Certificate, threshold_json
from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.base import Guarantee
from blackbox_conformal.guarantees.corollaries import leaked_level, psnr
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.pipeline.stages.at_hand import certain_statement
from blackbox_conformal.pipeline.stages.evaluate import Evaluation
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.types import Mask

SIZE_FACTOR = 2
"""How many times fewer pixels than the smallest photograph, or more than the largest, are worth a note."""


def certify(
    calibration: Calibration,
    setup: Setup,
    rule: Guarantee,
    alpha: float,
    threshold: float,
    picture: Prepared,
    evaluation: Evaluation,
    mask: Mask,
) -> Certificate:
    """The certificate of one mask, before its files are written."""
    abstains = threshold == -math.inf
    choice = rule.choose(calibration.curves_for(rule), alpha)
    seed_range = setup.adapter.capabilities.seed_range
    remarks = (size_note(calibration, picture.size), calibration.procedure.seed_note)
    kind = "spread between the vendor's own draws"
    if setup.perturbation is not None:
        kind = f"spread under known changes of the input ({calibration.procedure.perturbation}), not the vendor's own"
    elif setup.indecision.minimum_draws == 1:
        kind = "a one-draw score; the vendor was not asked twice"
    return Certificate(
        status="abstains" if abstains else "guaranteed",
        statement=rule.statement(alpha, calibration.n, f"{setup.fidelity.plugin_name()} error"),
        assumptions=rule.assumptions,
        reason=choice.reason,
        guarantee=rule.specification(),
        theorem=rule.theorem,
        alpha=alpha,
        threshold=threshold_json(threshold),
        threshold_hex=threshold.hex(),
        trusted_share=float(np.mean(mask)),
        n_calibration=rule.counted(calibration.n),
        missing_images=choice.missing_images,
        bound=calibration.bound_for(rule),
        indecision_kind=kind,
        calibration_digest=calibration.digest,
        fingerprint=calibration.procedure.fingerprint,
        procedure=calibration.procedure.model_dump(mode="json"),
        draw_seeds=None if seed_range is None else tuple(task.seed or 0 for task in picture.tasks),
        seed_rule=None if seed_range is None else calibration.procedure.seed_rule(seed_range),
        vendor_model=evaluation.model,
        input={"name": picture.name, "pixels": picture.input_digest, "conversions": list(picture.conversions)},
        outputs={},
        psnr=_psnr(rule, alpha, setup),
        leakage=_leakage(rule, alpha, calibration.n),
        certain=certain_statement(setup.fidelity, evaluation),
        notes=(
            *evaluation.notes,
            *filter(None, remarks),
        ),
    )


def size_note(calibration: Calibration, size: tuple[int, int]) -> str | None:
    """What to say of a picture of (height, width) far from every calibration photograph's size; None when it is not.

    A vendor may treat a thumbnail or a panorama differently, and the guarantee is for pictures like the photographs.
    """
    by_area = sorted((image.height * image.width, image.width, image.height) for image in calibration.images)
    (least, *small), (most, *large) = by_area[0], by_area[-1]
    height, width = size
    if least <= SIZE_FACTOR * height * width and height * width <= SIZE_FACTOR * most:
        return None
    known = f"{small[0]}×{small[1]}" + ("" if small == large else f" to {large[0]}×{large[1]}")
    return (
        f"the picture has {width}×{height} pixels, the calibration photographs {known}: the guarantee is for pictures "
        "like them, and the vendor may treat other sizes differently"
    )


def _psnr(rule: Guarantee, alpha: float, setup: Setup) -> str | None:
    try:
        return psnr(rule, alpha, setup.fidelity).statement
    except UsageError:
        return None


def _leakage(rule: Guarantee, alpha: float, n: int) -> str | None:
    if not isinstance(rule, Expected) or rule.weights is not None or rule.leaked:
        return None
    leaked = math.ceil(n / 10)
    return (
        f"If {leaked} of the {n} calibration photographs were in the vendor's training set, the level is at most "
        f"{leaked_level(alpha, n, leaked):.4g} instead of {alpha:g}."
    )
