"""Mask pictures: turn inputs, a vendor and its calibration into delivered pictures, trust masks and certificates."""

import math
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.documents.certificate import AnswerCheck, StreamCheck
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.documents.watch_head import WatchState
from blackbox_conformal.drawing.spending.estimate import wanted_of
from blackbox_conformal.drawing.task import FellBack
from blackbox_conformal.errors import BlackboxConformalError, CalibrationError, IncompleteError
from blackbox_conformal.method.facts.levels import NOT_COMPARED, PairSizes
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound, rule_for_picture
from blackbox_conformal.method.images.making_inputs import enlarged_opacity
from blackbox_conformal.method.images.picture import Picture
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.pair_facts import PairFacts
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.mask.mask_request import MaskRequest, refuse_paid_emptiness
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.stages.certify import Comparisons, answer_facts, certify, check_answer
from blackbox_conformal.study.stages.draws import Drawn
from blackbox_conformal.study.stages.evaluate import Evaluation, evaluate
from blackbox_conformal.study.stages.grouped_errors import names
from blackbox_conformal.study.stages.masked_inputs import MaskedInputs
from blackbox_conformal.study.stages.memory import MASK_PIXEL_BYTES
from blackbox_conformal.study.stages.prepare import Input, Prepared
from blackbox_conformal.study.stages.ready import Ready, described
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support import catalog
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image


@dataclass(frozen=True, slots=True)
class Receiver:
    """A caller that hears of each input, by its place among the inputs."""

    # Gets each result at once, or the value of `in_thread`; neither is then kept.
    on_result: Callable[[int, Any], None] | None = None
    # Gets what is wrong with an input that cannot be masked; the others are masked. None: it is an error.
    on_failure: Callable[[int, BlackboxConformalError], None] | None = None
    # Gets a sentence for each place whose answers are unlike the calibration's.
    on_drift: Callable[[Mapping[int, str]], None] = lambda _: None
    # Gets why a picture was answered without the last vendor of a cascade.
    on_fell_back: Callable[[FellBack], None] = lambda _: None
    # Makes of each result what `on_result` gets, where it was calculated: in a thread or on a worker. For slow work
    # such as writing files.
    in_thread: Callable[[int, Result], Any] | None = None
    # Gets a sentence, before anything is paid, when inputs are unlike the calibration's.
    on_watch: Callable[[str], None] = lambda _: None
    sign_with: SigningKey | None = None  # Signs what is entered into the calibration's watch; None: it is not signed.


def mask_pictures(
    terms: Terms,
    setup: Setup,
    inputs: Sequence[Input],
    pictures: Mapping[int, Prepared],
    request: MaskRequest,
    receiver: Receiver = Receiver(),
) -> list[Result]:
    """Return a result for each of the `pictures`, in the order of their places; none where the receiver gets them.

    `pictures`: From `prepare_inputs`: all that can be masked, by place. Equal ones are drawn once.
    """
    refuse_bound(request.rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
    if not pictures:
        return []
    distinct = list({picture.input_digest: picture for picture in pictures.values()}.values())
    models, falls_back = request.calibration.vendor_models, request.fallback is not None
    job = Job(setup, distinct, terms, models, MASK_PIXEL_BYTES, falls_back=falls_back)
    if not request.empty_masks:
        refuse_paid_emptiness(job, request)
    with ExitStack() as open_files:
        # Any file that cannot be written is told before anything is paid.
        company = _Company(request, receiver, open_files)
        # The first picture that goes on to a vendor that cannot be had tells which inputs the fallback is about.
        fallback = None if request.fallback is None else _Company(request.fallback[1], receiver, open_files)
        company.compare(distinct, job.folder)
        job.confirm()
        masking = _Masking(job, inputs, pictures, receiver, company, fallback)
        on_unusable = None if receiver.on_failure is None else masking.give_up
        asked = request
        if terms.cluster is not None and request.fallback is not None:
            before, of_before = request.fallback
            # Workers must not be able to ask a vendor.
            asked = replace(request, fallback=(described(before), of_before))
        mask = _Mask(asked, receiver.in_thread, receiver.on_failure is not None)
        try:
            with job.run(mask, on_unusable, about=masking.about) as masked:
                for done, (drawn, found) in enumerate(masked, 1):
                    masking.finish(drawn, found)
                    job.listeners.progress("masking", done, len(job.pictures))
        finally:
            masking.enter_the_rest()
        return masking.results()


class _Company:
    """All that is known of the pictures masked under one calibration.

    `request`: The request, in the watch's present state.
    `checks`: How the run folder's pictures compare with the calibration's, by digest of input; None: not yet known.
    `drift`: What the calibration's watch found so far.
    """

    def __init__(self, request: MaskRequest, receiver: Receiver, open_files: ExitStack) -> None:
        self.request, self.drift = request, None if request.watched is None else request.watched.drift
        self.checks: dict[str, StreamCheck] | None = None
        self._on_watch = receiver.on_watch
        # By the vendor of a cascade that pictures end at, since answers are like others of the same vendor.
        self._answers: dict[str | None, tuple[float, dict[str, Answers]]] = {}
        self._watch: Any = open_files.enter_context(
            catalog.hook("watch").live_watch(request.file, request.calibration, request.group, receiver.sign_with)
        )

    def compare(self, pictures: Sequence[Prepared], folder: Path) -> None:
        """Compare inputs with the calibration's, and say how they differ."""
        self._stream = MaskedInputs(folder, self.request.calibration, self.request.group)
        self.checks = self._stream.enter(pictures)
        self.drift = None if self.request.watched is None else self.request.watched.drift
        for unlike in dict.fromkeys([*(check.found for check in self.checks.values()), self.drift]):
            if unlike is not None:
                self._on_watch(unlike)

    def check(self, picture: Prepared) -> StreamCheck:
        assert self.checks is not None
        if picture.input_digest not in self.checks:
            self.checks |= self._stream.enter([picture])
        return self.checks[picture.input_digest]

    def enter(self, drawn: Drawn, named: Prepared, answers: Answers) -> None:
        """Let a picture bet; the certificates that follow say what the watch then finds."""
        rule = self.request.rule_of(drawn, answers)
        # Groups by score follow from answers, so answers are compared across them, at one threshold.
        alike = [rule] if rule.compared_group == rule.own_group else self.request.rules
        curves, alpha = self.request.calibration.curves_for, self.request.alpha
        threshold = min(one.threshold(curves(one), alpha) for one in alike)
        self._answers.setdefault(rule.compared_group, (threshold, {}))[1][drawn.prepared.input_digest] = answers
        if self._watch is None:
            return
        self._watch.enter(drawn.prepared, named.statistics, answers, threshold, rule.compared_group)
        self.request = self.request.now()
        drift = None if self.request.watched is None else self.request.watched.drift
        if drift is not None and self.drift is None:
            self._on_watch(drift)
        self.drift = drift

    def answered(self) -> dict[str, str]:
        """Return why the guarantee does not hold for pictures with unusual answers, by digest of input."""
        found: dict[str, str] = {}
        for group, (threshold, answers) in self._answers.items():
            found |= self._stream.answered(answers, threshold, group)
        return found


@dataclass(frozen=True, slots=True)
class _Sought:
    """A picture's further data for masking: places with their files, and additions to certificates."""

    places: tuple[tuple[int, Prepared, Path | bytes], ...]
    check: StreamCheck
    watched: WatchState | None
    drift: str | None


@dataclass(frozen=True, slots=True)
class _Masked:
    """The answers to a picture, and its results by place, or what `in_thread` made of each."""

    answers: Answers
    results: tuple[tuple[int, Any], ...]


@dataclass(frozen=True, slots=True)
class _Mask:
    """A masker of one picture, in a thread or on a worker; `lenient`: it returns errors instead of raising them."""

    request: MaskRequest
    made_of: Callable[[int, Result], Any] | None
    lenient: bool

    def __call__(self, ready: Ready) -> _Masked | BlackboxConformalError:
        drawn = ready.drawn
        if drawn.refusal is not None:
            return drawn.refusal
        # The last draw that was evaluated is often the file that is delivered, too.
        read = lru_cache(1)(ready.read)
        if drawn.fell_back is not None and self.request.fallback is not None:
            setup, request = self.request.fallback
        else:
            setup, request = ready.setup, self.request
        compared = request.group or request.calibration.procedure.ends_at(drawn.asked)
        try:
            given = _input_picture(ready.about.places[0][2], drawn.prepared, setup)
            first: list[PairFacts | None] = []

            def compare(draw: Image) -> None:
                if not first:
                    first.append(answer_facts(request.calibration, given.pixels, draw, compared))

            evaluation = evaluate(drawn, setup, read, given.pixels, ready.second, on_draw=compare)
        except (IncompleteError, CalibrationError) as error:
            if not self.lenient:
                raise
            return error
        # The delivered file, as it is or made consistent; none of a mean, or of an answer to a changed input.
        draw, low, perturbation = evaluation.draw, evaluation.low_resolution, setup.perturbation
        vendor = None
        if draw is not None and (perturbation is None or np.array_equal(perturbation.apply(low, draw), low)):
            vendor = read(draw)
        made_of = self.made_of or (lambda _, result: result)
        check = check_answer(request.calibration, first[0], compared)
        request = replace(request, rule=request.rule_of(drawn, evaluation.answers))
        found = []
        for place, result in _results_of(request, setup, ready.about, evaluation, check, vendor, given):
            certificate = result.certificate
            if (fell_back := drawn.fell_back) is not None:
                asked = certificate.procedure["vendor"]["parameters"]["available"]
                # As the fallback's own calibration counts the vendors.
                model = re.sub(r"^(vendor \d+ of) \d+", rf"\1 {asked}", str(certificate.vendor_model))
                certificate = certificate.model_copy(update={"vendor_model": model})
                note = (
                    "the last vendor of the cascade could not be had, so this is the answer before it, under its own "
                    f"calibration: {fell_back.reason}"
                )
                if fell_back.by_picture:
                    doubt = "That may depend on the picture, and the calibration is of all pictures that go on"
                    certificate = certificate.doubted(f"{note}. {doubt}")
                else:
                    certificate = certificate.model_copy(update={"notes": (*certificate.notes, note)})
            found.append((place, made_of(place, replace(result, certificate=certificate))))
        strangeness = np.full(1, NOT_COMPARED) if first[0] is None else PairSizes.of(first[0].sizes).strangeness
        return _Masked(evaluation.answers.watched(strangeness), tuple(found))


def _results_of(
    request: MaskRequest,
    setup: Setup,
    sought: _Sought,
    evaluation: Evaluation,
    answer: AnswerCheck | None,
    vendor: bytes | None,
    given: Picture,
) -> Iterator[tuple[int, Result]]:
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
        known = Comparisons(request.check(named), sought.check, sought.drift, named.file_format, answer=answer)
        certificate = certify(
            request.calibration, setup, rule, request.alpha, threshold, named, evaluation, mask, opacity, known
        )
        if (watched := sought.watched) is not None:
            notes = (*certificate.notes, *filter(None, [watched.note]))
            certificate = certificate.model_copy(update={"watch": watched.head, "notes": notes})
        about = (given.metadata, opacity, given.content)
        yield place, Result(named.name, delivered, mask, shown, low, certificate, vendor, *about)


class _Masking:
    """A collector of results and failures, by place, while pictures are masked."""

    def __init__(
        self,
        job: Job,
        inputs: Sequence[Input],
        pictures: Mapping[int, Prepared],
        receiver: Receiver,
        company: _Company,
        fallback: _Company | None,
    ) -> None:
        self._job, self._inputs, self._pictures, self._receiver = job, inputs, pictures, receiver
        self._places: dict[str, list[int]] = {picture.input_digest: [] for picture in job.pictures}
        for place, picture in pictures.items():
            self._places[picture.input_digest].append(place)
        self._results: dict[int, Result] = {}
        self._failures: dict[int, BlackboxConformalError] = {}
        self._company, self._fallback, self._lock = company, fallback, threading.Lock()
        # Pictures take turns in an order that they do not decide, since easy ones are done first.
        self._turns = deque(sorted(self._places, key=lambda digest: digest_bytes(f"turn {digest}".encode())))
        self._done: dict[str, tuple[Drawn, Answers] | None] = {}

    def _company_of(self, drawn: Drawn) -> _Company:
        if drawn.fell_back is None or self._fallback is None:
            return self._company
        with self._lock:
            if self._fallback.checks is None:
                setup, tasks, folder = self._job.setup, self._job.tasks, self._job.folder
                going_on = wanted_of(setup.adapter, folder, self._job.limits, tasks)[-1].by_picture
                digests = {digest for digest, _ in going_on}
                self._fallback.request = self._fallback.request.now()
                self._fallback.compare([one for one in self._job.pictures if one.input_digest in digests], folder)
        return self._fallback

    def about(self, drawn: Drawn) -> _Sought:
        """Return a picture's data for `_Mask`, as the watch stands now."""
        company = self._company_of(drawn)
        places = self._places[drawn.prepared.input_digest]
        sources = [self._inputs[place][1] for place in places]
        sources = [source.absolute() if isinstance(source, Path) else source for source in sources]
        named = [(place, self._pictures[place], source) for place, source in zip(places, sources, strict=True)]
        return _Sought(tuple(named), company.check(drawn.prepared), company.request.watched, company.drift)

    def finish(self, drawn: Drawn, masked: _Masked | BlackboxConformalError) -> None:
        """Hand the results of a picture over."""
        picture = drawn.prepared
        if isinstance(masked, BlackboxConformalError):
            self.give_up(picture, masked)
            return
        for place, result in masked.results:
            (self._receiver.on_result or self._results.__setitem__)(place, result)
        if drawn.fell_back is not None:
            self._receiver.on_fell_back(drawn.fell_back)
        # No calibration speaks of a picture with unusable answers, so it says nothing about others.
        bets = drawn.fell_back is None or not drawn.fell_back.by_picture
        self._take_turns(picture.input_digest, (drawn, masked.answers) if bets else None)

    def _take_turns(self, digest: str, entry: tuple[Drawn, Answers] | None) -> None:
        self._done[digest] = entry
        while self._turns and self._turns[0] in self._done:
            self._enter(self._turns.popleft())

    def enter_the_rest(self) -> None:
        """Enter the pictures that are done and waited for others in vain."""
        for digest in self._turns:
            self._enter(digest)
        self._turns.clear()

    def _enter(self, digest: str) -> None:
        if (entry := self._done.pop(digest, None)) is not None:
            drawn, answers = entry
            self._company_of(drawn).enter(drawn, self._pictures[self._places[digest][0]], answers)

    def give_up(self, picture: Prepared, error: BlackboxConformalError) -> None:
        for place in self._places[picture.input_digest]:
            (self._receiver.on_failure or self._failures.__setitem__)(place, error)
        self._take_turns(picture.input_digest, None)

    def results(self) -> list[Result]:
        """Return every kept result, after a word about all answers; errors as for `mask_pictures`."""
        found = self._company.answered()
        if self._fallback is not None:
            found |= self._fallback.answered()
        said = {place: why for digest, why in found.items() for place in self._places[digest]}
        if said:
            self._receiver.on_drift(said)
        if self._failures:
            failures = [(self._pictures[place].name, error) for place, error in self._failures.items()]
            which = "1 picture" if len(failures) == 1 else f"{len(failures)} pictures"
            name, refusal = failures[0]
            of_several = f". Refused: {names([name for name, _ in failures])}" if len(failures) > 1 else ""
            raise IncompleteError(
                f"the vendor refused {which}; first {printable(name)}: {str(refusal).removesuffix('.')}{of_several}. "
                "All others are done; leave out what was refused"
            )
        for place, why in said.items():
            if (result := self._results.get(place)) is not None:
                self._results[place] = replace(result, certificate=result.certificate.marked(why))
        return [self._results[place] for place in sorted(self._results)]


def _input_picture(source: Path | bytes, picture: Prepared, setup: Setup) -> Picture:
    opened = read_image(source, transparent=True, bands=setup.bands)
    if opened.digest != picture.input_digest:
        raise CalibrationError(f"{printable(picture.name)} was changed while it was being masked; run again")
    return opened
