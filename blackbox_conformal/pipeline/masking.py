"""A low-resolution picture, a vendor and its calibration in; delivered picture, trust mask and certificate out.

The order of steps lives here; what a certificate says lives in `certify`, and files are written by `products`.
"""

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.certificate import Certificate
from blackbox_conformal.errors import BlackboxConformalError, CalibrationError, IncompleteError
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.guarantees.instance_bound import rule_for_picture
from blackbox_conformal.images.encode import Given, as_source
from blackbox_conformal.images.overlay import overlay
from blackbox_conformal.images.read import read_image
from blackbox_conformal.pipeline.calibrating import run_folder
from blackbox_conformal.pipeline.job import Ask, Job, Ready, Watch
from blackbox_conformal.pipeline.keyword_arguments import limits_of, refuse_unknown
from blackbox_conformal.pipeline.planning import refuse_unlimited
from blackbox_conformal.pipeline.products import Products, write_products
from blackbox_conformal.pipeline.stages.certify import certify
from blackbox_conformal.pipeline.stages.empty_masks import refuse_paid_emptiness
from blackbox_conformal.pipeline.stages.evaluate import Evaluation, drifted, evaluate
from blackbox_conformal.pipeline.stages.grouped_errors import names, refuse_together
from blackbox_conformal.pipeline.stages.memory import MASK_PIXEL_BYTES
from blackbox_conformal.pipeline.stages.prepare import Prepared, prepare_inputs
from blackbox_conformal.pipeline.stages.settings import Setup, set_up_as
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.text import name_of, printable
from blackbox_conformal.types import Image, Map, Mask


@dataclass(frozen=True, repr=False)
class Result:
    """One super-resolved picture with its trust mask.

    Attributes
    ----------
    image
        The delivered picture: (H, W, 3) uint8.
    mask
        (H, W) bool, True = trusted.
    indecision
        The score map: (H, W) float32.
    certificate
        The guarantee in words and numbers.
    """

    name: str
    image: Image
    mask: Mask
    indecision: Map
    certificate: Certificate

    def __repr__(self) -> str:
        height, width = self.mask.shape
        level = self.certificate
        return (
            f"<Result {printable(self.name)}: {width}×{height} pixels, {level.trusted_share:.1%} trusted at "
            f"alpha={level.alpha:g}, {level.guarantee['name']}>"
        )

    def save(self, folder: str | Path, *, force: bool = False) -> Products:
        """Write image, mask, overlay, score map and certificate into `folder`, as the command `mask` does.

        Returns
        -------
        Products
            Where each file lies: ``<name>-image.png`` and so on.

        Raises
        ------
        UsageError
            A file exists with other content and `force` is not set.
        """
        return write_products(self, Path(folder), force=force)

    def _repr_html_(self) -> str:
        buffer = io.BytesIO()
        PillowImage.fromarray(overlay(self.image, self.mask)).save(buffer, "PNG")
        source = base64.b64encode(buffer.getvalue()).decode()
        share = f"{self.certificate.trusted_share:.1%} trusted"
        return (
            f'<figure><img alt="{share}" src="data:image/png;base64,{source}" style="max-width:100%">'
            f"<figcaption>{html.escape(share)}. {html.escape(self.certificate.statement)}</figcaption></figure>"
        )


def apply_calibration(
    adapter: Adapter,
    inputs: Sequence[tuple[str, Path | bytes]],
    calibration: Calibration,
    alpha: float,
    *,
    guarantee: str | None = None,
    parameters: dict[str, Any] | None = None,
    second: Adapter | None = None,
    group: str | None = None,
    run: Path | None = None,
    limits: Limits | None = None,
    empty_masks: bool = False,
    memory_bytes: int | None = None,
    listener: Callable[[Event], None] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
    on_result: Callable[[int, Result], None] | None = None,
    on_failure: Callable[[int, BlackboxConformalError], None] | None = None,
    on_drift: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """A result for each of the named inputs, in their order.

    Parameters
    ----------
    empty_masks
        Pay for draws also where every mask is known to be empty at `alpha`.
    memory_bytes
        Most memory that the calculation may take: fewer pictures are evaluated at a time. None: no limit.
    on_result
        Gets each result and its place among the inputs as soon as it is there; nothing is then returned, so that memory
        does not grow with the number of inputs.
    on_failure
        Gets the place of each input that cannot be masked and what is wrong with it, and all others are masked. None:
        inputs that cannot be used are refused together before anything is sent, and those that the vendor refuses are
        told at the end.
    on_drift
        Is told at the end when the answers to all these pictures together are not like those to the calibration's
        photographs, and in which way. It also stands in the notes of the certificates that are returned.

    Raises
    ------
    ProcedureMismatchError
        The vendor or its settings are not those that were calibrated.
    CalibrationError
        An input is one of the calibration photographs, for which nothing is guaranteed.
    UsageError
        A picture alone would take more than `memory_bytes`; or every mask would be empty, and cost something.
    PicturesError
        Several inputs cannot be used; the message says what is wrong with each.
    IncompleteError
        The vendor refused a picture or draws are missing.
    ModelChangedError
        The vendor answers with a model that was not calibrated.
    """
    setup = set_up_as(adapter, calibration.procedure, second)
    rule = calibration.rule(guarantee, **(parameters or {}))
    if group is not None:
        rule = calibration.rule_of_group(group, rule)
    curves = calibration.curves_for(rule)
    rule.threshold(curves, alpha)
    folder = run if run is not None else run_folder(Path("runs"), setup.procedure)
    refuse_unlimited(adapter, limits, folder)
    failed: dict[int, BlackboxConformalError] = {}
    pictures = prepare_inputs(inputs, setup, calibration, failed, memory_bytes=memory_bytes)
    if on_failure is None:
        refuse_together([(inputs[place][0], error) for place, error in failed.items()], len(inputs))
    for place, error in failed.items():
        if on_failure is not None:
            on_failure(place, error)
    watch = Watch(listener, progress, on_sampler)
    job = mask_job(setup, pictures, folder, limits, calibration, memory_bytes=memory_bytes, watch=watch)
    return apply_job(
        job,
        inputs,
        pictures,
        calibration,
        rule,
        alpha,
        group=group,
        empty_masks=empty_masks,
        on_result=on_result,
        on_failure=on_failure,
        on_drift=on_drift,
    )


def mask_job(
    setup: Setup,
    pictures: Mapping[int, Prepared],
    folder: Path,
    limits: Limits | None,
    calibration: Calibration,
    *,
    memory_bytes: int | None = None,
    ask: Ask | None = None,
    watch: Watch = Watch(),  # noqa: B008 - frozen
) -> Job:
    """The job on `pictures`, which are prepared and stand at their places among the inputs; equal ones are one."""
    distinct = list({picture.input_digest: picture for picture in pictures.values()}.values())
    models = calibration.vendor_models
    return Job(setup, distinct, folder, limits or Limits(), models, memory_bytes, MASK_PIXEL_BYTES, ask, watch)


def apply_job(
    job: Job,
    inputs: Sequence[tuple[str, Path | bytes]],
    pictures: Mapping[int, Prepared],
    calibration: Calibration,
    rule: Guarantee,
    alpha: float,
    *,
    group: str | None = None,
    empty_masks: bool = False,
    on_result: Callable[[int, Result], None] | None = None,
    on_failure: Callable[[int, BlackboxConformalError], None] | None = None,
    on_drift: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Mask the `pictures` of a job after whoever is to be asked has agreed; else as `apply_calibration`."""
    if not pictures:
        return []
    curves = calibration.curves_for(rule)
    places: dict[str, list[int]] = {picture.input_digest: [] for picture in job.pictures}
    for place, picture in pictures.items():
        places[picture.input_digest].append(place)
    found: dict[int, Result] = {}
    failed: dict[int, BlackboxConformalError] = {}
    answers: list[Answers] = []

    def give_up(picture: Prepared, error: BlackboxConformalError) -> None:
        for place in places[picture.input_digest]:
            (on_failure or failed.__setitem__)(place, error)

    def work(ready: Ready) -> Evaluation | BlackboxConformalError:
        if ready.drawn.refusal is not None:
            return ready.drawn.refusal
        source = inputs[places[ready.drawn.prepared.input_digest][0]][1]
        try:
            pixels = _input(source, ready.drawn.prepared)
            return evaluate(ready.drawn, job.setup, ready.read, pixels, ready.second)
        except (IncompleteError, CalibrationError) as error:
            if on_failure is None:
                raise
            return error

    if not empty_masks:
        refuse_paid_emptiness(job.setup, job.pictures, rule, curves, alpha, run=job.folder, limits=job.limits)
    job.confirm()
    with job.run(work, None if on_failure is None else give_up) as finished:
        for drawn, evaluation in finished:
            if isinstance(evaluation, BlackboxConformalError):
                give_up(drawn.prepared, evaluation)
                continue
            delivered, low_resolution, scores = evaluation.delivered, evaluation.low_resolution, evaluation.indecision
            own = rule_for_picture(rule, job.setup.metric, delivered, low_resolution, scores)
            threshold = own.threshold(curves, alpha)
            mask = trusted(evaluation.indecision, threshold)
            for place in places[drawn.prepared.input_digest]:
                # Equal pictures are drawn once, and each has a result under its own name.
                picture = pictures[place]
                certificate = certify(calibration, job.setup, own, alpha, threshold, picture, evaluation, mask)
                result = Result(picture.name, evaluation.delivered, mask, evaluation.indecision, certificate)
                (on_result or found.__setitem__)(place, result)
            answers.append(evaluation.answers)
            job.watch.progress("masking", len(answers), len(job.pictures))
    remark = drifted(calibration, answers, [rule.threshold(curves, alpha)], group)
    if remark is not None:
        on_drift(remark)
        found = {place: _remarked(result, remark) for place, result in found.items()}
    if failed:
        raise _refused([(pictures[place].name, error) for place, error in failed.items()])
    return [found[place] for place in sorted(found)]


def apply(
    adapter: Adapter,
    image: Given,
    calibration: Calibration | str | Path,
    alpha: float,
    *,
    run: str | Path | None = None,
    max_cost: float | str | Decimal | None = None,
    max_calls: int | None = None,
    memory_bytes: int | None = None,
    **options: Any,
) -> Result:
    """Super-resolve one picture and say which parts of the answer to trust.

    Parameters
    ----------
    image
        A path, the bytes of a file, an open file, (H, W, 3) uint8 sRGB pixels, or a Pillow image; all are read by the
        same rules.
    calibration
        A calibration, or the path of its file.
    max_cost, max_calls
        The most that may be spent; one of the two is required unless draws are free.
    run
        Folder that keeps the ledger and the paid samples; by default ``runs/<adapter>-<fingerprint>``.
    memory_bytes
        Most memory that the calculation may take; None: no limit.
    options
        Further parameters of `apply_calibration`, such as `guarantee`, `group`, `second` and `empty_masks`.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.
    """
    refuse_unknown("apply", apply, options, apply_calibration)
    if not isinstance(calibration, Calibration):
        calibration = Calibration.load(calibration)
    source = as_source(image)
    name = digest_bytes(source).removeprefix("sha256:")[:12] if isinstance(source, bytes) else name_of(source)
    if max_cost is not None or max_calls is not None:
        options["limits"] = limits_of(max_cost, max_calls)
    return apply_calibration(
        adapter,
        [(name, source)],
        calibration,
        alpha,
        run=None if run is None else Path(run),
        memory_bytes=memory_bytes,
        **options,
    )[0]


def _input(source: Path | bytes, picture: Prepared) -> Image:
    """The pixels of an input, which must be those that the vendor was sent."""
    found = read_image(source)
    if found.digest != picture.input_digest:
        raise CalibrationError(f"{printable(picture.name)} was changed while it was being masked; run again")
    return found.pixels


def _remarked(result: Result, remark: str) -> Result:
    notes = (*result.certificate.notes, remark)
    return replace(result, certificate=result.certificate.model_copy(update={"notes": notes}))


def _refused(failures: Sequence[tuple[str, BlackboxConformalError]]) -> IncompleteError:
    which = "1 picture" if len(failures) == 1 else f"{len(failures)} pictures"
    name, refusal = failures[0]
    of_several = f". Refused: {names([one for one, _ in failures])}" if len(failures) > 1 else ""
    return IncompleteError(
        f"the vendor refused {which}; first {printable(name)}: {str(refusal).removesuffix('.')}{of_several}. "
        "All others are done; leave out what was refused"
    )
