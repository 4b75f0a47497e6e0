"""Offer `calibrate`, `mask` and `audit` to Python, under the words of the command line.

`settings_table` describes keywords that several functions take, and their documentation shows them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.method.audits.vendor_claim import ClaimAudit, VendorClaim
from blackbox_conformal.method.images.encode import Answer, Given
from blackbox_conformal.study.audit.auditing import (
    AuditRequest,
    audit_photographs,
    put_to_photographs,
    read_answers,
    read_claim,
    settings_of_claim,
)
from blackbox_conformal.study.calibrate.calibrating import calibrate_job, checked_rule
from blackbox_conformal.study.from_keywords import calibrated, levels_of, named_keywords, setup_of, terms_of
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.mask.mask_request import masking_of
from blackbox_conformal.study.mask.masking import Receiver, mask_pictures
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.pictures_in_memory import (
    Photographs,
    given_answer,
    given_answers,
    photograph_paths,
    photographs_as_files,
)
from blackbox_conformal.study.run_folder import CALIBRATION_FILE, keep_calibration, run_folder
from blackbox_conformal.study.settings_table import (
    ApplyAllSettings,
    ApplySettings,
    AuditSettings,
    CalibrateSettings,
    Settings,
)
from blackbox_conformal.study.stages.certify import warn_of_lossy
from blackbox_conformal.study.stages.grouped_errors import refuse_together
from blackbox_conformal.study.stages.prepare import named_input, prepare_inputs
from blackbox_conformal.study.stages.settings import set_up_as
from blackbox_conformal.study.unseen_photographs import Unseen, together
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import name_of
from blackbox_conformal.vendor.adapter import Adapter


@named_keywords
@photographs_as_files("photographs")
def calibrate(
    vendor: Adapter | None = None, photographs: Photographs = (), **settings: Unpack[CalibrateSettings]
) -> Calibration:
    """Draw the samples of photographs and calibrate `vendor` on them, or calibrate on given answers.

    The run folder gets the calibration as ``calibration.json``, unless one is there.

    Parameters
    ----------
    vendor
        From `load_adapter` or `from_function`; None: `inputs`, `outputs` and `truths` take the place of both.
    photographs
        Files and folders, or pictures in memory: ``{name: array}``, pairs, or arrays, bytes and Pillow images.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`. Running again resumes and pays nothing twice.

    Examples
    --------
    >>> calibration = bc.calibrate(vendor, "photographs", draws=2, score="pixel-variance", max_cost=20)
    >>> calibration
    <Calibration of …: 10 photographs, 2 draws, expected, bound …>
    """
    if vendor is None:
        with given_answers(dict(settings)) as (stored, truths, rest):
            return _calibrate(stored, truths, rest)
    if "outputs" in settings:
        raise UsageError("expected a vendor or outputs; got both. Leave the vendor out, or what it answered")
    return _calibrate(vendor, photographs, settings)


def _calibrate(vendor: Adapter, photographs: Photographs, settings: Mapping[str, Any]) -> Calibration:
    setup = setup_of(vendor, settings)
    paths = photograph_paths(photographs)
    terms = terms_of(run_folder(Path("runs"), setup.procedure), settings)
    guarantee, alpha = setup.promised(settings.get("guarantee")), settings.get("alpha")
    groups, tiles, parts = settings.get("groups"), settings.get("tiles"), settings.get("score_groups") or 0
    checked_rule([name_of(path) for path in paths], setup, guarantee, alpha, groups, tiles, parts)
    job = Job.of_photographs(setup, paths, terms, tiles=tiles)
    warn_of_lossy(job.pictures, setup.procedure)
    tuning, overrule = settings.get("tuning", ()), settings.get("nothing_chosen", False)
    files, given = ([Path(tuning)], ()) if isinstance(tuning, str | Path) else ([], tuning)
    found = Unseen.of(job.pictures, job.folder, setup.score.taught_by, files, nothing_chosen=overrule)
    calibration = calibrate_job(
        # Photographs are left out where that was asked for, and refused otherwise.
        job.only(found.pictures) if files else job,
        guarantee=guarantee,
        alpha=alpha,
        groups=groups,
        tiles=tiles,
        score_groups=parts,
        tuning=together(found.known, given),
        overruled=found.overruled,
    ).calibration
    # A program may calibrate in several ways in one folder: the first one stays there.
    if not (path := job.folder / CALIBRATION_FILE).exists():
        # A copy is kept, so that a watch belongs to the file that the program itself saves.
        keep_calibration(job.folder, replace(calibration), path)
    return calibration


@named_keywords
def mask(
    vendor: Adapter | Answer,
    picture: Given,
    calibration: Calibration | str | Path,
    alpha: float,
    **settings: Unpack[ApplySettings],
) -> Result:
    """Have a picture super-resolved or restored and say which parts of the answer to trust.

    Parameters
    ----------
    vendor
        The calibrated vendor, or for a calibration on given answers the answer to `picture`: a picture, or a list of
        draws.
    picture
        A path, the bytes of a file, an open file, (H, W, 3) uint8 sRGB pixels, or a Pillow image; all are read by the
        same rules.
    calibration
        A calibration, or the path of its file.
    alpha
        The level: the risk that is accepted.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> result = bc.mask(vendor, "input.png", calibration, alpha=0.9, max_cost=1)
    >>> result
    <Result input: …×… pixels, …% trusted at alpha=0.9, expected, if like calibration>
    """
    if isinstance(vendor, Adapter) or callable(vendor):
        return mask_all(vendor, [picture], calibration, alpha, **settings)[0]
    with given_answer(picture, vendor, calibration) as stored:
        return mask_all(stored, [picture], calibration, alpha, **settings)[0]


@named_keywords
def mask_all(
    vendor: Adapter,
    pictures: Iterable[Given | tuple[str, Given]],
    calibration: Calibration | str | Path,
    alpha: float,
    *,
    on_result: Callable[[int, Result], None] | None = None,
    on_failure: Callable[[int, BlackboxConformalError], None] | None = None,
    on_drift: Callable[[str], None] | None = None,
    **settings: Unpack[ApplyAllSettings],
) -> list[Result]:
    """Have several pictures super-resolved or restored, each as `mask` does.

    Parameters
    ----------
    pictures
        Each in any form that `mask` takes, or as a pair of name and picture.
    on_result, on_failure, on_drift
        Called with each result, with the error of each picture that cannot be masked, and with a warning: see
        `Receiver`.

    Returns
    -------
    The results in the order of the pictures; an empty list where `on_result` gets them.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> bc.mask_all(vendor, ["input.png"], calibration, alpha=0.9, max_cost=1)
    [<Result input: …>]
    """
    warn = on_drift or (lambda _: None)
    terms, setup, request = masking_of(vendor, calibration, alpha, settings)
    inputs = [named_input(picture, numbers=setup.bands is not None) for picture in pictures]
    failures: dict[int, BlackboxConformalError] = {}
    prepared = prepare_inputs(inputs, setup, request.calibration, failures, memory_bytes=terms.memory_bytes)
    if on_failure is None:
        refuse_together([(inputs[place][0], error) for place, error in failures.items()], len(inputs))
    else:
        for place, error in failures.items():
            on_failure(place, error)
    terms.refuse_unlimited(vendor)
    receiver = Receiver(on_result, on_failure, lambda found: warn(next(iter(found.values()))), on_watch=warn)
    results = mask_pictures(terms, setup, inputs, prepared, request, receiver)
    reason = None if request.empty_masks else request.nothing
    if reason is not None:
        warnings.warn(f"every mask is empty: {reason}", stacklevel=3)
    return results


@named_keywords
@photographs_as_files("photographs")
def audit(
    vendor: Adapter,
    photographs: Photographs,
    calibration: Calibration | str | Path,
    alpha: float | Collection[float] | None = None,
    **settings: Unpack[AuditSettings],
) -> Audit:
    """Measure a calibration on photographs that it has not seen: risk, trusted share, PSNR and SSIM.

    Parameters
    ----------
    photographs
        Files and folders, or pictures in memory, as for `calibrate`.
    calibration
        A calibration, or the path of its file.
    alpha
        The level to audit, or several; by default the usual ones.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> bc.audit(vendor, "unseen", "calibration.json", alpha=[0.8, 0.9], max_cost=5)
    <Audit of 4 photographs: …>
    """
    given = None if isinstance(calibration, Calibration) else Path(calibration)
    calibration, terms = calibrated(calibration, settings)
    look = settings.get("on_picture")
    if look is not None and terms.cluster is not None:
        raise UsageError("expected no on_picture beside cluster, where workers would call it; leave one of them out")
    setup = set_up_as(vendor, calibration.procedure, settings.get("second_adapter"), settings.get("degradation"))
    file = given or calibration.file
    watched = None if file is None else catalog.hook("watch").state_of(file, calibration)
    request = AuditRequest.of(
        calibration,
        levels_of(alpha),
        guarantee=settings.get("guarantee"),
        group=settings.get("group"),
        tiles=settings.get("tiles"),
        groups=settings.get("groups"),
    )
    found = audit_photographs(
        request,
        setup,
        photograph_paths(photographs),
        terms,
        on_picture=look or (lambda *_: None),
        crops=settings.get("crops"),
        stop=settings["stop"],
        paid=settings.get("paid"),
    )
    if watched is None or watched.state == "watched":
        return found
    note = f"this calibration is {watched.state} since {watched.at}: {watched.reason}"
    return replace(found, notes=(*found.notes, note))


@named_keywords
@photographs_as_files("photographs")
def audit_claim(
    vendor: Adapter,
    photographs: Photographs,
    claim: str | VendorClaim,
    *,
    answers: str | Path | None = None,
    trust: Trusted = (),
    **settings: Unpack[Settings],
) -> ClaimAudit:
    """Test a vendor's claim about its pictures on photographs, in turn, until they support or contradict it.

    The run folder gets what `audit --claim` writes: `ClaimAudit.file`, the document for `sign` and `verify`, and
    `ClaimAudit.page` to print.

    Parameters
    ----------
    photographs
        Files and folders, or pictures in memory, as for `calibrate`.
    claim
        ``invented:at_most=0.2``, ``erased:at_most=0.1`` or ``restored:at_least=0.3``: a share of each photograph's
        detail, on average, or with ``,in=0.95`` in that share of photographs. Or the path of the manifest that
        `degrade` wrote with a claim; then all of its photographs are measured.
    answers
        With a manifest, the file in which the vendor signed its answers (`sign --answers`); no others count.
    trust
        Public keys, or a `TrustPolicy`, of which one must have signed the answers; empty: any key.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> bc.audit_claim(vendor, "photographs", "invented:at_most=0.05", max_cost=5)
    <ClaimAudit of … photographs: contradicted>
    """
    claim, manifest = read_claim(claim) if isinstance(claim, str) else (claim, None)
    signed = None if answers is None else read_answers(answers, manifest, trust)
    setup = setup_of(vendor, settings_of_claim(settings, manifest))
    terms = terms_of(run_folder(Path("runs"), setup.procedure), settings)
    return put_to_photographs(claim, setup, photograph_paths(photographs), terms, manifest, signed)
