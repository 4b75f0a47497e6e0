"""`calibrate`, `mask`, `audit` and `watch` from Python, under the words of the command line.

Keywords that several take are described in `keyword_arguments`, and added to their documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Unpack

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.audits.findings import Audit
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.calibration_images import KnownPhotograph
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.images.encode import Given
from blackbox_conformal.pipeline.audit_parts.measure import OnPicture, WorstCrops
from blackbox_conformal.pipeline.auditing import AuditRequest, audit_photographs
from blackbox_conformal.pipeline.calibrated_rule import checked_rule
from blackbox_conformal.pipeline.calibrating import calibrate_job
from blackbox_conformal.pipeline.job import Job
from blackbox_conformal.pipeline.keyword_arguments import (
    ApplyAllSettings,
    ApplySettings,
    AuditSettings,
    CalibrateSettings,
    JobSettings,
    named_keywords,
)
from blackbox_conformal.pipeline.keyword_terms import calibrated, levels_of, setup_of, terms_of
from blackbox_conformal.pipeline.looked_at import Unseen, together
from blackbox_conformal.pipeline.masking import Receiver, mask_pictures, masking_of
from blackbox_conformal.pipeline.photographs_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.pipeline.products import Result
from blackbox_conformal.pipeline.run_folder import run_folder
from blackbox_conformal.pipeline.stages.grouped_errors import refuse_together
from blackbox_conformal.pipeline.stages.prepare import named_input, prepare_inputs
from blackbox_conformal.pipeline.stages.settings import set_up_as
from blackbox_conformal.pipeline.visiting import VisitRequest, VisitResult, visit
from blackbox_conformal.pipeline.watch_parts.fresh_photographs import Reserve
from blackbox_conformal.signature import trusted_keys
from blackbox_conformal.signing_key import SigningKey
from blackbox_conformal.text import name_of
from blackbox_conformal.watching.states import state_of


@named_keywords
@photographs_as_files("photographs")
def calibrate(
    vendor: Adapter,
    photographs: Photographs,
    *,
    guarantee: str | Guarantee = "expected",
    alpha: float | None = None,
    groups: Mapping[str, str] | None = None,
    tiles: Mapping[str, str] | None = None,
    tuning: str | Path | Sequence[KnownPhotograph] = (),
    nothing_chosen: bool = False,
    **settings: Unpack[CalibrateSettings],
) -> Calibration:
    """Draw the samples of photographs and calibrate `vendor` on them.

    Parameters
    ----------
    vendor
        From `load_adapter`.
    photographs
        Files and folders, or pictures in memory: ``{name: array}``, pairs, or arrays, bytes and Pillow images.
    guarantee
        What is guaranteed: ``name:key=value`` or an instance.
    alpha
        A level that the photographs have to be enough for.
    groups, tiles
        The name of a photograph, which is its file's stem → its group, or the photograph that it is a tile of.
    tuning
        A file that ``tune``, ``compare`` or ``plan`` wrote: its photographs are left out. Or photographs that choices
        were made on, which are refused, as are those that were looked at in the run folder or beside it.
    nothing_chosen
        Whether photographs that were looked at may calibrate, since nothing was chosen by them; the calibration notes
        it.

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
    setup = setup_of(vendor, settings)
    paths = photograph_paths(photographs)
    terms = terms_of(run_folder(Path("runs"), setup.procedure), settings)
    checked_rule([name_of(path) for path in paths], setup, guarantee, alpha, groups, tiles)
    terms.refuse_unlimited(vendor)
    job = Job.of_photographs(setup, paths, terms)
    files, given = ([Path(tuning)], ()) if isinstance(tuning, str | Path) else ([], tuning)
    found = Unseen.of(job.pictures, job.folder, setup.score.taught_by, files, nothing_chosen=nothing_chosen)
    return calibrate_job(
        # Photographs are left out where that was asked for, and refused otherwise.
        job.only(found.pictures) if files else job,
        guarantee=guarantee,
        alpha=alpha,
        groups=groups,
        tiles=tiles,
        tuning=together(found.known, given),
        overruled=found.overruled,
    ).calibration


@named_keywords
def mask(
    vendor: Adapter,
    picture: Given,
    calibration: Calibration | str | Path,
    alpha: float,
    **settings: Unpack[ApplySettings],
) -> Result:
    """Have a picture super-resolved or restored and say which parts of the answer to trust.

    Parameters
    ----------
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
    return mask_all(vendor, [picture], calibration, alpha, **settings)[0]


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
        Who gets each result, what is wrong with each picture that cannot be masked, and a warning: see `Receiver`.

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
    inputs = [named_input(picture) for picture in pictures]
    failures: dict[int, BlackboxConformalError] = {}
    prepared = prepare_inputs(inputs, setup, request.calibration, failures, memory_bytes=terms.memory_bytes)
    if on_failure is None:
        refuse_together([(inputs[place][0], error) for place, error in failures.items()], len(inputs))
    else:
        for place, error in failures.items():
            on_failure(place, error)
    terms.refuse_unlimited(vendor)
    return mask_pictures(terms, setup, inputs, prepared, request, Receiver(on_result, on_failure, warn, on_watch=warn))


@named_keywords
@photographs_as_files("photographs")
def audit(
    vendor: Adapter,
    photographs: Photographs,
    calibration: Calibration | str | Path,
    alpha: float | Collection[float] | None = None,
    *,
    guarantee: str | Guarantee | None = None,
    group: str | None = None,
    groups: Mapping[str, str] | None = None,
    tiles: Mapping[str, str] | None = None,
    second_adapter: Adapter | None = None,
    degradation: str | None = None,
    on_picture: OnPicture | None = None,
    crops: WorstCrops | None = None,
    stop: bool = True,
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
    guarantee
        Another guarantee than the calibration's own: ``name:key=value`` or an instance.
    group
        Audit the guarantee within this group; every photograph must be of it.
    groups
        Photograph's name → group: `Audit.kinds` then has the risk of each. The guarantee stays as it is.
    tiles
        Picture's name → photograph that it is a tile of; a photograph then counts once.
    second_adapter
        The second vendor, where the calibrated score compares with one.
    degradation
        How inputs are made, such as ``area:4+jpeg:75``; refused unless the calibration's are, too.
    on_picture
        Gets each photograph's pixels and maps, in worker threads; refused beside `cluster`.
    crops
        Keeps the surroundings of the worst pixels.
    stop
        Buy no more photographs once the audit confirms or contradicts; False: draw all of them.

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
    if on_picture is not None and terms.cluster is not None:
        raise UsageError("expected no on_picture beside cluster, where workers would call it; leave one of them out")
    setup = set_up_as(vendor, calibration.procedure, second_adapter, degradation)
    file = given or calibration.file
    watched = None if file is None else state_of(file, calibration)
    request = AuditRequest.of(
        calibration, levels_of(alpha), guarantee=guarantee, group=group, tiles=tiles, groups=groups
    )
    terms.refuse_unlimited(vendor)
    paths = photograph_paths(photographs)
    look = on_picture or (lambda *_: None)
    found = audit_photographs(request, setup, paths, terms, on_picture=look, crops=crops, stop=stop)
    if watched is None or watched.state == "watched":
        return found
    note = f"this calibration is {watched.state} since {watched.at}: {watched.reason}"
    return replace(found, notes=(*found.notes, note))


@named_keywords
@photographs_as_files("photographs", "fresh")
def watch(
    vendor: Adapter,
    calibration: str | Path,
    photographs: Photographs = (),
    *,
    canaries: int | None = None,
    level: float | None = None,
    fresh: Photographs = (),
    fresh_each: int = 1,
    alpha: float | None = None,
    max_cost_in_all: float | str | Decimal | None = None,
    second_adapter: Adapter | None = None,
    sign_with: SigningKey | None = None,
    trust: Sequence[str] = (),
    **settings: Unpack[JobSettings],
) -> VisitResult:
    """Visit `vendor` once, or go on with a visit that was not finished: is it still what was calibrated?

    Parameters
    ----------
    calibration
        The path of its file; the watch is kept beside it.
    photographs
        Those that were calibrated, to choose canaries from; needed at the first visit alone.
    canaries, level
        How many pictures are sent at every visit, and the probability of ever raising a false alarm; the first visit
        fixes both.
    fresh, fresh_each
        Photographs that calibration has not seen, by which the risk is watched, and how many a visit takes.
    alpha
        The level at which it is watched.
    max_cost_in_all
        The most that all visits may cost together, US dollars; `max_cost` is for this one.
    second_adapter
        The second vendor, where the calibrated score compares with one.
    sign_with
        Sign the visit with this key; needed where the calibration is signed.
    trust
        Public keys, or files of such keys, whose signatures of calibration and watch count, as `--trust`.

    Returns
    -------
    VisitResult
        Its `findings` are the layers' verdicts; a `state` of ``suspended`` or ``void`` is an alarm. No notice is sent.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> bc.watch(vendor, "calibration.json", "photographs", canaries=2, max_cost=1)
    <VisitResult 1: watched; identity same, pixels …>
    """
    file = Path(calibration)
    loaded, terms = calibrated(file, settings)
    setup = set_up_as(vendor, loaded.procedure, second_adapter)
    if bool(fresh) is not (alpha is not None):
        raise UsageError("expected fresh and alpha together: fresh photographs are measured at that level")
    reserve = None if alpha is None else Reserve(loaded, photograph_paths(fresh), alpha, fresh_each)
    known = photograph_paths(photographs) if photographs else ()
    in_all = None if max_cost_in_all is None else Decimal(str(max_cost_in_all))
    keys = trusted_keys(trust)
    if keys:
        loaded.vouching(keys).require("the calibration", trusted=True)
    return visit(VisitRequest(loaded, file, known, canaries, level, reserve, in_all, sign_with, keys), setup, terms)
