"""A low-resolution picture, a vendor and its calibration in; delivered picture, trust mask and certificate out.

The order of steps lives here; what a certificate says lives in `certify`, and files are written by `products`.
"""

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.certificate import Certificate
from blackbox_conformal.errors import CalibrationError, IncompleteError, UsageError, VendorError
from blackbox_conformal.images.names import printable
from blackbox_conformal.images.overlay import overlay
from blackbox_conformal.images.read import read_image
from blackbox_conformal.pipeline.calibrate import run_folder
from blackbox_conformal.pipeline.keywords import limits_of, refuse_unknown
from blackbox_conformal.pipeline.plan import refuse_unlimited
from blackbox_conformal.pipeline.stages.at_hand import rule_at_hand
from blackbox_conformal.pipeline.stages.certify import certify
from blackbox_conformal.pipeline.stages.draws import Drawn, drawn_pictures, map_pictures, output_check
from blackbox_conformal.pipeline.stages.evaluate import Evaluation, evaluate
from blackbox_conformal.pipeline.stages.job import job_limits
from blackbox_conformal.pipeline.stages.memory import MASK_PIXEL_BYTES
from blackbox_conformal.pipeline.stages.prepare import Prepared, prepare_input
from blackbox_conformal.pipeline.stages.room import narrowed, refuse_large
from blackbox_conformal.pipeline.stages.second import second_opinions
from blackbox_conformal.pipeline.stages.settings import set_up_as
from blackbox_conformal.pipeline.stages.warming import warming
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
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
    memory_bytes: int | None = None,
    listener: Callable[[Event], None] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
    on_result: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """A result for each of the named inputs, in their order.

    Parameters
    ----------
    memory_bytes
        Most memory that the calculation may take: fewer pictures are evaluated at a time. None: no limit.
    on_result
        Gets each result and its place among the inputs as soon as it is there; nothing is then returned, so that memory
        does not grow with the number of inputs.

    Raises
    ------
    ProcedureMismatchError
        The vendor or its settings are not those that were calibrated.
    CalibrationError
        An input is one of the calibration photographs, for which nothing is guaranteed.
    UsageError
        A picture alone would take more than `memory_bytes`.
    IncompleteError
        The vendor refused a picture or draws are missing.
    """
    setup = set_up_as(adapter, calibration.procedure, second)
    rule = calibration.rule(guarantee, **(parameters or {}))
    if group is not None:
        rule = calibration.rule_of_group(group, rule)
    curves = calibration.curves_for(rule)
    rule.threshold(curves, alpha)
    refuse_unlimited(adapter, limits)
    sources = [source for _, source in inputs]
    refuse_large(sources, memory_bytes, scale=setup.procedure.scale, pixel_bytes=MASK_PIXEL_BYTES)
    pictures = [prepare_input(source, name, setup, memory_bytes=memory_bytes) for name, source in inputs]
    _refuse_calibration_images(pictures, calibration)
    unique = {picture.input_digest: picture for picture in pictures}
    low = {picture.input_digest: source for picture, (_, source) in zip(pictures, inputs, strict=True)}
    found: dict[int, Result] = {}
    done = 0
    refused: list[tuple[Prepared, VendorError]] = []
    folder = run if run is not None else run_folder(Path("runs"), setup.procedure)
    distinct = list(unique.values())
    limits = job_limits(limits, setup, distinct)
    with (
        warming(setup, truths=False, sizes=[picture.size for picture in distinct]),
        second_opinions(setup, distinct, folder, limits, listener, on_sampler) as opinions,
        Sampler(adapter, folder, limits, check=output_check(setup), listener=listener) as sampler,
    ):
        on_sampler(sampler)

        def work(drawn: Drawn) -> Evaluation | None:
            if drawn.refusal is not None:
                return None
            pixels = read_image(low[drawn.prepared.input_digest]).pixels
            return evaluate(
                drawn, setup, lambda k: sampler.read(drawn.outcomes[k]), pixels, opinions.of(drawn.prepared)
            )

        room = narrowed(memory_bytes, MASK_PIXEL_BYTES)
        for drawn, evaluation in map_pictures(drawn_pictures(sampler, distinct), work, memory_bytes=room):
            if evaluation is None:
                assert drawn.refusal is not None
                refused.append((drawn.prepared, drawn.refusal))
                continue
            _refuse_other_model(evaluation, calibration)
            own = rule_at_hand(rule, setup.fidelity, evaluation)
            threshold = own.threshold(curves, alpha)
            mask = trusted(evaluation.indecision, threshold)
            for index, picture in enumerate(pictures):
                if picture.input_digest == drawn.prepared.input_digest:
                    # Equal pictures are drawn once, and each has a result under its own name.
                    certificate = certify(calibration, setup, own, alpha, threshold, picture, evaluation, mask)
                    result = Result(picture.name, evaluation.delivered, mask, evaluation.indecision, certificate)
                    (on_result or found.__setitem__)(index, result)
            done += 1
            progress("masking", done, len(unique))
    if refused:
        picture, refusal = refused[0]
        which = "1 picture" if len(refused) == 1 else f"{len(refused)} pictures"
        reason = str(refusal).removesuffix(".")
        raise IncompleteError(
            f"the vendor refused {which}; first {printable(picture.name)}: {reason}. "
            "All others are done; leave out what was refused"
        )
    return [found[index] for index in sorted(found)]


def apply(
    adapter: Adapter,
    image: str | Path | bytes,
    calibration: Calibration | str | Path,
    alpha: float,
    *,
    run: str | Path | None = None,
    max_cost: float | str | Decimal | None = None,
    max_calls: int | None = None,
    memory_bytes: int | None = None,
    **options: Any,
) -> Result:
    """Super-resolve one picture (a file or its bytes) and say which parts of the answer to trust.

    Parameters
    ----------
    calibration
        A calibration, or the path of its file.
    max_cost, max_calls
        The most that may be spent; one of the two is required unless draws are free.
    run
        Folder that keeps the ledger and the paid samples; by default ``runs/<adapter>-<fingerprint>``.
    memory_bytes
        Most memory that the calculation may take; None: no limit.
    options
        Further parameters of `apply_calibration`, such as `guarantee`, `parameters`, `group` and `second`.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.
    """
    refuse_unknown("apply", apply, options, apply_calibration)
    if not isinstance(calibration, Calibration):
        calibration = Calibration.load(calibration)
    if isinstance(image, bytes):
        source: Path | bytes = image
        name = digest_bytes(image).removeprefix("sha256:")[:12]
    else:
        source, name = Path(image), Path(image).stem
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


def _refuse_calibration_images(pictures: Sequence[Prepared], calibration: Calibration) -> None:
    inputs = {image.input: image.name for image in calibration.images}
    truths = {image.truth: image.name for image in calibration.images}
    for picture in pictures:
        for known, what in ((inputs, "the input of calibration photograph"), (truths, "calibration photograph")):
            if picture.input_digest in known:
                seen = f"{what} {printable(known[picture.input_digest])}"
                raise CalibrationError(
                    f"{printable(picture.name)} is {seen}: the guarantee is for pictures that calibration has not "
                    "seen. Leave it out, or calibrate without it"
                )


def _refuse_other_model(evaluation: Evaluation, calibration: Calibration) -> None:
    if evaluation.model and calibration.vendor_models and evaluation.model not in calibration.vendor_models:
        raise UsageError(
            f"the vendor now answers with model {evaluation.model!r}; calibrated was "
            f"{', '.join(calibration.vendor_models)}. The guarantee does not carry over: calibrate again"
        )
