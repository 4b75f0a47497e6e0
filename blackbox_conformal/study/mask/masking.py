"""A picture, a vendor and its calibration in; delivered picture, trust mask and certificate out."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.documents.certificate import BatchCheck
from blackbox_conformal.documents.signing_key import SigningKey
from blackbox_conformal.drawing.estimate import wanted_of
from blackbox_conformal.errors import (
    AccountRefusedError,
    BlackboxConformalError,
    BudgetError,
    CalibrationError,
    IncompleteError,
    ModelChangedError,
    UnusableDrawsError,
    VendorUnavailableError,
)
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound, rule_for_picture
from blackbox_conformal.method.images.making_inputs import enlarged_opacity
from blackbox_conformal.method.images.picture import Picture
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.mask.empty_masks import refuse_paid_emptiness
from blackbox_conformal.study.mask.mask_request import MaskRequest
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.stages.certify import Comparisons, certify
from blackbox_conformal.study.stages.evaluate import Evaluation, drifted, evaluate
from blackbox_conformal.study.stages.grouped_errors import names
from blackbox_conformal.study.stages.memory import MASK_PIXEL_BYTES
from blackbox_conformal.study.stages.prepare import Input, Prepared
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.study.watched import MaskedPictures, WatchState, watching
from blackbox_conformal.support.text import printable


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets what becomes of each input, by its place among the inputs.

    Attributes
    ----------
    on_result
        Gets each result as soon as it is there, or what `in_thread` made of it; neither is then kept.
    on_answers
        Gets what the answers to each picture were like.
    on_watch
        Gets a sentence when the inputs, or the answers so far, are found to be unlike the calibration's: of a batch
        before anything is paid.
    in_thread
        Makes of each result what `on_result` gets, where it was calculated: in a thread, or on a worker of a cluster.
        For what takes time, such as writing files.
    on_failure
        Gets what is wrong with an input that cannot be masked; the others are masked all the same. None: one that
        cannot is an error.
    on_drift
        Gets a sentence when the answers are not like those to the calibration photographs.
    sign_with
        Signs what is entered into the calibration's watch; None: it is not signed.
    """

    on_result: Callable[[int, Any], None] | None = None
    on_failure: Callable[[int, BlackboxConformalError], None] | None = None
    on_drift: Callable[[str], None] = lambda _: None
    on_answers: Callable[[Answers], None] = lambda _: None
    in_thread: Callable[[int, Result], Any] | None = None
    on_watch: Callable[[str], None] = lambda _: None
    sign_with: SigningKey | None = None


UNAVAILABLE = (BudgetError, VendorUnavailableError, AccountRefusedError, ModelChangedError, UnusableDrawsError)
"""Errors that say that a vendor cannot be had, so that a cascade falls back on the answer before."""


def mask_pictures(
    terms: Terms,
    setup: Setup,
    inputs: Sequence[Input],
    pictures: Mapping[int, Prepared],
    request: MaskRequest,
    receiver: Receiver = Receiver(),
) -> list[Result]:
    """As `_mask_pictures`, with the request's fallback for pictures that go on to a vendor that cannot be had."""
    if request.fallback is None:
        return _mask_pictures(terms, setup, inputs, pictures, request, receiver)
    results, failed = dict[int, Any](), dict[int, BlackboxConformalError]()
    done, why = set[int](), None

    def keep(place: int, result: Any) -> None:
        done.add(place)
        (receiver.on_result or results.__setitem__)(place, result)

    own = replace(receiver, on_result=keep, on_failure=failed.__setitem__)
    try:
        _mask_pictures(terms, setup, inputs, pictures, request, own)
    except UNAVAILABLE as error:
        why = error
    left = {place: picture for place, picture in pictures.items() if place not in done | failed.keys()}
    left |= {place: pictures[place] for place, failure in failed.items() if isinstance(failure, UNAVAILABLE)}
    tasks = [task for picture in left.values() for task in picture.tasks]
    going_on = {digest for digest, _ in wanted_of(setup.adapter, terms.folder, terms.limits, tasks)[-1].by_picture}
    onward = {place: picture for place, picture in left.items() if picture.tasks[0].upload.digest in going_on}
    if why is not None and not onward:
        raise why
    if onward:
        said = why or next(failed[place] for place in onward)
        failed = {place: failure for place, failure in failed.items() if place not in onward}
        own = replace(own, on_failure=failed.__setitem__)
        noted = replace(own, in_thread=_Noted(receiver.in_thread, f"{_FELL_BACK}: {said}"))
        before, of_before = request.fallback
        _mask_pictures(terms, before, inputs, onward, of_before.now(), noted)
    if kept := {place: picture for place, picture in left.items() if place not in onward and place not in failed}:
        # Their answers are stored: drawing ended before they were masked.
        _mask_pictures(terms, setup, inputs, kept, request, own)
    for place, failure in failed.items():
        if receiver.on_failure is None:
            raise _refused([(pictures[place].name, failure)])
        receiver.on_failure(place, failure)
    return [results[place] for place in sorted(results)]


_FELL_BACK = (
    "the next vendor of the cascade could not be had, so this is the answer before it, under its own calibration"
)


@dataclass(frozen=True, slots=True)
class _Noted:
    """What is made of a result in a thread or on a worker, after a note on its certificate."""

    made_of: Callable[[int, Result], Any] | None
    note: str

    def __call__(self, place: int, result: Result) -> Any:
        certificate = result.certificate
        notes = (*certificate.notes, self.note)
        noted = replace(result, certificate=certificate.model_copy(update={"notes": notes}))
        return noted if self.made_of is None else self.made_of(place, noted)


def _mask_pictures(
    terms: Terms,
    setup: Setup,
    inputs: Sequence[Input],
    pictures: Mapping[int, Prepared],
    request: MaskRequest,
    receiver: Receiver,
) -> list[Result]:
    """A result for each of the `pictures`, in the order of their places among the `inputs`.

    Parameters
    ----------
    inputs
        Name and file, or name and content, of each picture.
    pictures
        Those that can be masked (see `prepare_inputs`), by their places. Equal ones are drawn once.

    Returns
    -------
    The results; none where the receiver gets them.

    Raises
    ------
    UsageError
        Every mask would be empty, and cost something; or the guarantee takes a bound from the picture that metric or
        degradation do not allow.
    IncompleteError
        The vendor refused a picture, or draws are missing.
    ModelChangedError
        The vendor answers with a model that was not calibrated.
    SuspendedError
        The answers so far say that the vendor changed; results before that are handed over.
    """
    refuse_bound(request.rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
    if not pictures:
        return []
    distinct = list({picture.input_digest: picture for picture in pictures.values()}.values())
    job = Job(setup, distinct, terms, request.calibration.vendor_models, MASK_PIXEL_BYTES)
    if not request.empty_masks:
        refuse_paid_emptiness(job, request.rule, request.curves, request.alpha)
    batch, drift = request.check_together(distinct, job.folder)
    unlike = batch.reason or drift
    if unlike is not None:
        receiver.on_watch(unlike)
    calibration, group = request.calibration, request.group
    with ExitStack() as open_files:
        # Whatever cannot be written is told before anything is paid.
        watch = open_files.enter_context(watching().live_watch(request.file, calibration, group, receiver.sign_with))
        job.confirm()
        before = open_files.enter_context(watching().masked_before(job.folder, calibration, group))
        masking = _Masking(job, inputs, pictures, request, receiver, _Company(batch, drift, before, watch))
        on_unusable = None if receiver.on_failure is None else masking.give_up
        mask = _Mask(request, batch, receiver.in_thread, lenient=receiver.on_failure is not None)
        with job.run(mask, on_unusable, about=masking.about) as masked:
            for done, (drawn, found) in enumerate(masked, 1):
                masking.finish(drawn.prepared, found)
                job.listeners.progress("masking", done, len(job.pictures))
        return masking.results()


@dataclass(slots=True)
class _Company:
    """What is known beside each input by itself.

    Attributes
    ----------
    batch
        How all inputs together compare with the calibration's.
    drift
        What was found so far, by the pictures before.
    before, watch
        Where each picture is entered: the run folder's own file, and the calibration's watch.
    """

    batch: BatchCheck
    drift: str | None
    before: MaskedPictures | None
    watch: MaskedPictures | None


@dataclass(frozen=True, slots=True)
class _Sought:
    """What masking takes of a picture beside its draws: places with file or content, and what certificates add."""

    places: tuple[tuple[int, Prepared, Path | bytes], ...]
    watched: WatchState | None
    drift: str | None


@dataclass(frozen=True, slots=True)
class _Masked:
    """What the answers to a picture were like, and its results by place, or what was made of them."""

    answers: Answers
    results: tuple[tuple[int, Any], ...]


@dataclass(frozen=True, slots=True)
class _Mask:
    """Masks one picture, in a thread or on a worker; `lenient`: what is wrong with it is returned, not raised."""

    request: MaskRequest
    batch: BatchCheck
    made_of: Callable[[int, Result], Any] | None
    lenient: bool

    def __call__(self, ready: Ready) -> _Masked | BlackboxConformalError:
        """The results of a picture from its draws, or why there are none."""
        if ready.drawn.refusal is not None:
            return ready.drawn.refusal
        # The last draw that was evaluated is often the file that is delivered, too.
        read = lru_cache(1)(ready.read)
        try:
            given = _input_picture(ready.about.places[0][2], ready.drawn.prepared, ready.setup)
            evaluation = evaluate(ready.drawn, ready.setup, read, given.pixels, ready.second)
        except (IncompleteError, CalibrationError) as error:
            if not self.lenient:
                raise
            return error
        vendor = _vendor_file(evaluation, ready.setup, read)
        results = self._results_of(ready.setup, ready.about, evaluation, vendor, given)
        made_of = self.made_of or (lambda _, result: result)
        return _Masked(evaluation.answers, tuple((place, made_of(place, result)) for place, result in results))

    def _results_of(
        self, setup: Setup, sought: _Sought, evaluation: Evaluation, vendor: bytes | None, given: Picture
    ) -> Iterator[tuple[int, Result]]:
        """Mask and certificate of a picture, by place: equal pictures are drawn once, and each has a result."""
        request = self.request
        delivered, low, scores = evaluation.delivered, evaluation.low_resolution, evaluation.score_map
        rule = rule_for_picture(request.rule, setup.metric, delivered, low, scores, setup.procedure.mixture)
        threshold = rule.threshold(request.curves, request.alpha) if evaluation.judged else -math.inf
        for place, named, source in sought.places:
            if place != sought.places[0][0]:
                # Equal pixels; what the file says beside them may differ.
                given = _input_picture(source, named, setup)
            opacity = None if given.opacity is None else enlarged_opacity(given.opacity, delivered.shape[:2])
            shown = scores if opacity is None else np.where(opacity > 0, scores, np.float32(np.nan))
            mask = trusted(shown, threshold)
            known = Comparisons(request.check(named), self.batch, sought.drift, named.file_format)
            certificate = certify(
                request.calibration, setup, rule, request.alpha, threshold, named, evaluation, mask, opacity, known
            )
            about = (given.metadata, opacity, given.content)
            result = Result(named.name, delivered, mask, shown, low, certificate, vendor, *about)
            yield place, result if sought.watched is None else _with_watch(result, sought.watched)


class _Masking:
    """Pictures while they are masked: results and failures by place, and what the answers were like."""

    def __init__(
        self,
        job: Job,
        inputs: Sequence[Input],
        pictures: Mapping[int, Prepared],
        request: MaskRequest,
        receiver: Receiver,
        company: _Company,
    ) -> None:
        self._inputs, self._pictures = inputs, pictures
        self._request, self._receiver = request, receiver
        self._places: dict[str, list[int]] = {picture.input_digest: [] for picture in job.pictures}
        for place, picture in pictures.items():
            self._places[picture.input_digest].append(place)
        self._results: dict[int, Result] = {}
        self._failures: dict[int, BlackboxConformalError] = {}
        self._answers: list[Answers] = []
        self._company, self._watched = company, request.watched
        self._threshold = request.rule.threshold(request.curves, request.alpha)

    def about(self, picture: Prepared) -> _Sought:
        """What `_Mask` gets to know of a picture, as the watch stands now."""
        places = self._places[picture.input_digest]
        sources = [self._inputs[place][1] for place in places]
        sources = [source.absolute() if isinstance(source, Path) else source for source in sources]
        named = [(place, self._pictures[place], source) for place, source in zip(places, sources, strict=True)]
        return _Sought(tuple(named), self._watched, self._company.drift)

    def finish(self, picture: Prepared, masked: _Masked | BlackboxConformalError) -> None:
        """Hand the results of a picture over."""
        if isinstance(masked, BlackboxConformalError):
            self.give_up(picture, masked)
            return
        for place, result in masked.results:
            (self._receiver.on_result or self._results.__setitem__)(place, result)
        self._answers.append(masked.answers)
        self._receiver.on_answers(masked.answers)
        self._enter(picture, masked.answers)

    def _enter(self, picture: Prepared, answers: Answers) -> None:
        """Let a picture bet; what is then found stands in the certificates of those that follow.

        One that is unlike the calibration's by itself, or by its batch, is not entered in the run folder: its mask says
        so, and it says nothing of others.
        """
        company, named = self._company, self._pictures[self._places[picture.input_digest][0]]
        statistics, drift = named.statistics, None
        if company.watch is not None:
            company.watch.enter(picture, statistics, answers, self._threshold)
            self._watched = self._request.now().watched
            drift = None if self._watched is None else self._watched.drift
        if company.before is not None:
            alone = Comparisons(self._request.check(named), company.batch, file_format=named.file_format)
            if alone.unlike(self._request.calibration.procedure) is None:
                company.before.enter(picture, statistics, answers, self._threshold)
            drift = drift or company.before.drift
        if drift is not None and company.drift is None:
            self._receiver.on_watch(drift)
        company.drift = drift

    def give_up(self, picture: Prepared, error: BlackboxConformalError) -> None:
        """Note that a picture cannot be masked."""
        for place in self._places[picture.input_digest]:
            (self._receiver.on_failure or self._failures.__setitem__)(place, error)

    def results(self) -> list[Result]:
        """Every result that was kept, after a word about the whole batch; errors as for `mask_pictures`."""
        request = self._request
        drift = drifted(request.calibration, self._answers, [self._threshold], request.group)
        if drift is not None:
            self._receiver.on_drift(drift)
        if self._failures:
            raise _refused([(self._pictures[place].name, error) for place, error in self._failures.items()])
        results = [self._results[place] for place in sorted(self._results)]
        return results if drift is None else [doubted(result, drift) for result in results]


def _vendor_file(evaluation: Evaluation, setup: Setup, read: Callable[[int], bytes]) -> bytes | None:
    """The file that is delivered, as it is or made consistent; None for a mean, and an answer to a changed input."""
    draw, low, perturbation = evaluation.draw, evaluation.low_resolution, setup.perturbation
    if draw is None or (perturbation is not None and not np.array_equal(perturbation.apply(low, draw), low)):
        return None
    return read(draw)


def _input_picture(source: Path | bytes, picture: Prepared, setup: Setup) -> Picture:
    """The input, whose pixels must be those that the vendor was sent."""
    opened = read_image(source, transparent=True, bands=setup.bands)
    if opened.digest != picture.input_digest:
        raise CalibrationError(f"{printable(picture.name)} was changed while it was being masked; run again")
    return opened


def doubted(result: Result, found: str) -> Result:
    """The result once a whole batch found that its answers are unlike the calibration's."""
    return replace(result, certificate=result.certificate.doubted(found))


def _with_watch(result: Result, watched: WatchState) -> Result:
    """The result whose certificate says how the calibration's watch stands."""
    notes = (*result.certificate.notes, *filter(None, [watched.note]))
    return replace(result, certificate=result.certificate.model_copy(update={"watch": watched.head, "notes": notes}))


def _refused(failures: Sequence[tuple[str, BlackboxConformalError]]) -> IncompleteError:
    which = "1 picture" if len(failures) == 1 else f"{len(failures)} pictures"
    name, refusal = failures[0]
    of_several = f". Refused: {names([name for name, _ in failures])}" if len(failures) > 1 else ""
    return IncompleteError(
        f"the vendor refused {which}; first {printable(name)}: {str(refusal).removesuffix('.')}{of_several}. "
        "All others are done; leave out what was refused"
    )
