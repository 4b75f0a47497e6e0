"""Visits a watched vendor: draws canaries and fresh photographs, compares them, and records the findings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Unpack

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signature import SigningKey, trusted_keys
from blackbox_conformal.drawing.spending.estimate import Estimate, are_stored, total
from blackbox_conformal.drawing.spending.prices import require_price
from blackbox_conformal.drawing.spending.spent import spending_on
from blackbox_conformal.drawing.task import Task, draw_keys
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.method.images.duplicates import sketch
from blackbox_conformal.study.from_keywords import calibrated, named_keywords
from blackbox_conformal.study.job import Job, Terms, agree
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.settings_table import WatchSettings
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup, set_up_as
from blackbox_conformal.study.stages.uploads import sent_pixels
from blackbox_conformal.support.text import dollars, printable
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.watching.concluding import Conclusion, conclude, current_state
from blackbox_conformal.watching.level import LEVEL, Level
from blackbox_conformal.watching.live_file import live_evidence, live_findings
from blackbox_conformal.watching.records import Canary, Finding, FreshMeasurement, Visit, WatchDraw, Watched
from blackbox_conformal.watching.visit.canaries import (
    FIRST_INDEX,
    calibrated_draws,
    choose_canaries,
    planned_draws,
    task_of,
)
from blackbox_conformal.watching.visit.fresh_photographs import Reserve, harm_finding, next_photographs
from blackbox_conformal.watching.visit.looking import (
    AGAIN,
    Looking,
    canaries_finding,
    gather,
    pixels_finding,
    sampler_of,
)
from blackbox_conformal.watching.visit.outlook import VisitOutlook, look_ahead
from blackbox_conformal.watching.visit.visit_documents import VisitRequest as VisitRequest
from blackbox_conformal.watching.visit.visit_documents import VisitResult as VisitResult
from blackbox_conformal.watching.visit.visit_documents import last_result, refuse_unsigned_visit
from blackbox_conformal.watching.watch_file import WatchFile, watch_path

# The vendor's declarations with an answer (model, format, size, price) beside those with earlier answers.


@dataclass(frozen=True, slots=True)
class Declared:
    """The declarations that came with one answer.

    Attributes
    ----------
    model
        The vendor's name of the model; None: not named.
    format
        Of the file, such as ``PNG``.
    magnification
        Width and height of the answer over width and height of the input.
    cost_usd
        The booked price of the draw.
    """

    model: str | None
    format: str
    magnification: tuple[float, float]
    cost_usd: Decimal


def compare(before: Sequence[Declared], now: Sequence[Declared], models: Collection[str]) -> Finding:
    """Compare the declarations of answers `now` and `before`.

    Parameters
    ----------
    before
        Draws of the calibration, or of the first visit.
    models
        Names of the calibrated models; empty: not named.
    """
    if not now:
        return Finding("identity", "cannot tell", "no answer came that could be looked at")
    known = set(models) | {each.model for each in before if each.model}
    named = {each.model for each in now if each.model}
    changes = []
    if known and named - known:
        changes.append(f"the model is {_words(named - known)}, and was {_words(known)}")
    for what, old, new in (
        ("files are", {each.format for each in before}, {each.format for each in now}),
        ("sizes are", _sizes(before), _sizes(now)),
    ):
        # An answer that declares nothing shows no change.
        if old and new - old:
            changes.append(f"{what} {_words(new - old)}, and were {_words(old)}")
    if changes:
        return Finding("identity", "changed", "; ".join(changes))
    notes = []
    if known and not named:
        notes.append(f"the vendor names no model any more, and named {_words(known)}")
    # The dearest of both: another bill shows another product.
    highest, price = (max((each.cost_usd for each in answers), default=Decimal(0)) for answers in (before, now))
    if before and price != highest:
        notes.append(f"a draw costs {dollars(price)}, and cost {dollars(highest)}")
    if notes:
        return Finding("identity", "note", "; ".join(notes))
    model = _words(named) if named else "no model is named"
    return Finding("identity", "same", f"{model}, {_words({each.format for each in now})}, {_words(_sizes(now))}")


def _sizes(answers: Sequence[Declared]) -> set[str]:
    return {"×" + " by ×".join(dict.fromkeys(f"{side:.3g}" for side in each.magnification)) for each in answers}


def _words(names: Collection[str | None]) -> str:
    return " or ".join(printable(name) for name in sorted(filter(None, names)))


CANARIES = 8
"""Usual number of canaries."""


def visit(request: VisitRequest, setup: Setup, terms: Terms) -> VisitResult:
    """Make the next visit, or resume an unfinished one."""
    _refuse_unwatchable(request, setup)
    refuse_unsigned_visit(request.calibration, request.key)
    with WatchFile(watch_path(request.file), key=request.key) as file:
        request.check(file)
        digest = request.calibration.digest
        state = current_state(file, digest)
        watch = file.current(digest)
        if watch is not None and state in ("suspended", "void"):
            standing = request.check(file)
            assert standing is not None
            # A calibration that is not in use buys nothing.
            return last_result(file, watch, state, standing)
        return _Visiting(request, setup, terms, file, watch or _begun(request, setup, terms, file)).run()


def outlook(request: VisitRequest, setup: Setup, terms: Terms) -> VisitOutlook:
    """Foretell the cost of the watch; sends and writes nothing."""
    _refuse_unwatchable(request, setup)
    digest = request.calibration.digest
    if watch_path(request.file).exists():
        with WatchFile(watch_path(request.file)) as file:
            request.check(file)
            canaries, watch = file.last_canaries(digest), file.current(digest)
            if canaries:
                visits = [] if watch is None else file.visits(watch)
                return look_ahead(setup, terms, watch or _imagined(digest, calibrated=False), canaries, visits)
    chosen, calibrated = _chosen(request, setup, terms)
    placed = [replace(canary, position=place) for place, canary in enumerate(chosen)]
    return look_ahead(setup, terms, _imagined(digest, calibrated=calibrated), placed, [])


def _imagined(calibration: str, *, calibrated: bool) -> Watched:
    return Watched(0, calibration, "", "", LEVEL, calibrated, None)


def _refuse_unwatchable(request: VisitRequest, setup: Setup) -> None:
    if setup.adapter.capabilities.local:
        raise UsageError(
            f"expected a vendor that can change; adapter {setup.adapter.name} reads draws from this machine. Watch the "
            "vendor that made them"
        )
    if not watch_path(request.file).exists():
        _refuse_without_images(request)


def _refuse_without_images(request: VisitRequest) -> None:
    if not request.images:
        raise UsageError(
            "expected photographs to choose canaries from, since this is the first visit: those that were calibrated, "
            f"whose draws are stored. Run `blackbox-conformal watch PHOTOGRAPHS --calibration {request.file}`"
        )


def _chosen(request: VisitRequest, setup: Setup, terms: Terms) -> tuple[list[Canary], bool]:
    _refuse_without_images(request)
    job = Job.of_photographs(setup, request.images, terms, to_draw=False)
    return choose_canaries(job, request.canaries or CANARIES)


def begin_watch(job: Job, calibration: Calibration, path: Path, count: int, key: SigningKey | None = None) -> Watched:
    """Choose canaries among a calibration's drawn photographs, and begin its watch; buys nothing.

    A running watch is returned as it is; a new one is signed with the `key`.
    """
    with WatchFile(watch_path(path), key=key) as file:
        begun = file.current(calibration.digest)
        if begun is not None:
            return begun
        chosen, calibrated = choose_canaries(job, count)
        return file.begin(calibration.digest, LEVEL, chosen, calibrated=calibrated)


def _begun(request: VisitRequest, setup: Setup, terms: Terms, file: WatchFile) -> Watched:
    level, digest = Level(LEVEL if request.level is None else request.level), request.calibration.digest
    canaries = file.last_canaries(digest)
    if canaries:
        # The vendor was accepted as it is now, so the calibration's draws are no reference any more.
        return file.begin(digest, level.whole, canaries, calibrated=False)
    chosen, calibrated = _chosen(request, setup, terms)
    return file.begin(digest, level.whole, chosen, calibrated=calibrated)


class _Visiting:
    def __init__(self, request: VisitRequest, setup: Setup, terms: Terms, file: WatchFile, watch: Watched) -> None:
        self._request, self._setup, self._terms, self._file, self._watch = request, setup, terms, file, watch
        self._canaries = file.last_canaries(watch.calibration)
        self._level = Level(watch.level, watch.live)
        _refuse_other(request, watch, self._canaries)
        self._reserve = None if request.reserve is None else request.reserve.job(setup, terms)
        visits = file.visits(watch)
        self._earlier = [each for each in visits if each.ended_at]
        _refuse_other_alpha(request.reserve, [each.alpha for each in file.photographs(watch)])
        opened = [each for each in visits if not each.ended_at]
        self._visit = opened[0] if opened else self._planned()
        self._photographs = file.photographs(watch, self._visit.id)

    def _planned(self) -> Visit:
        draws = planned_draws(self._setup, self._watch, self._canaries, self._earlier)
        reserve = self._request.reserve
        photographs = (
            next_photographs(self._reserve.pictures, self._file.used_photographs(), reserve.each, reserve.alpha)
            if self._reserve is not None and reserve is not None
            else []
        )
        return self._file.plan(self._watch, draws, photographs)

    def run(self) -> VisitResult:
        """Agree on the price, draw, compare, and record."""
        canaries, fresh = self._jobs()
        keys = canaries.keys | (frozenset() if fresh is None else fresh.keys)
        self._agree(canaries, fresh, keys)
        before = spending_on(canaries.folder, keys, whole=False)
        with sampler_of(canaries) as sampler:
            self._terms.listeners.on_sampler(sampler)
            looking = Looking(canaries, sampler, self._watch, self._canaries, self._earlier, self._plan_again)
            look = looking.look(self._visit.draws)
        keys |= draw_keys(self._setup.adapter, [self._task(draw) for draw in look.draws])
        measured = self._photographs
        if fresh is not None and self._request.reserve is not None:
            measured = self._request.reserve.measure(fresh, measured)
        after = spending_on(canaries.folder, keys, whole=False)
        visits = [*self._earlier, replace(self._visit, draws=tuple(look.draws))]
        evidence = gather(self._watch, visits, len(self._canaries))
        seeded = self._setup.adapter.capabilities.seedable
        reserve = self._request.reserve
        findings = (
            self._identity(look.draws, look.replaced),
            pixels_finding(look),
            canaries_finding(
                self._level,
                evidence,
                visits,
                len(self._canaries),
                instead=bool(look.repeats_itself) and not seeded,
            ),
            harm_finding([] if reserve is None else reserve.tests(self._level), self._losses(measured), len(measured)),
            *live_findings(self._file, self._watch),
        )
        entry = conclude(
            self._file,
            self._watch,
            self._visit,
            Conclusion(look.draws, findings, evidence.wealth, measured, look.repeats_itself),
        )
        standing = self._request.check(self._file)
        assert standing is not None
        return VisitResult(
            self._visit.number,
            findings,
            current_state(self._file, self._watch.calibration),
            entry,
            True,
            self._level,
            tuple(self._canaries),
            tuple(self._file.evidence(self._watch)),
            standing,
            live_evidence(self._file, self._watch),
            after.calls - before.calls,
            before.stored,
            after.spent_usd - before.spent_usd,
        )

    def _plan_again(self, draw: WatchDraw) -> WatchDraw:
        self._visit = self._file.plan_again(self._watch, draw)
        return self._visit.draws[-1]

    def _task(self, draw: WatchDraw) -> Task:
        return task_of(self._canaries[draw.canary], draw)

    def _losses(self, measured: Sequence[FreshMeasurement]) -> list[FreshMeasurement]:
        earlier = self._file.photographs(self._watch)
        known = {each.truth: each for each in measured}
        return [known.get(each.truth, each) for each in earlier]

    def _jobs(self) -> tuple[Job, Job | None]:
        pictures = []
        for canary in self._canaries:
            tasks = tuple(self._task(draw) for draw in self._visit.draws if draw.canary == canary.position)
            shown = sketch(sent_pixels(tasks[0].upload), canary.upload)
            scale = self._setup.procedure.scale
            size = (canary.height * scale, canary.width * scale)
            pictures.append(Prepared(canary.name, None, None, canary.upload, shown, size, tasks, ()))
        fresh = None
        if self._reserve is not None:
            wanted = {each.truth for each in self._photographs}
            chosen = [picture for picture in self._reserve.pictures if picture.truth_digest in wanted]
            if len(chosen) < len(wanted):
                raise UsageError(
                    "expected the fresh photographs of the visit that was begun; some are not given any more. Name "
                    "them all with --fresh"
                )
            fresh = self._reserve.only(chosen) if chosen else None
        return Job(self._setup, pictures, self._terms), fresh

    def _paid_before(self, canaries: Job) -> frozenset[str]:
        # The calibration's own stored draws are no cost of the watch.
        adapter = self._setup.adapter
        tasks = [self._task(draw) for draw in calibrated_draws(self._visit.draws)]
        stored = [task for task in tasks if are_stored(adapter, [task], canaries.folder)]
        return draw_keys(adapter, stored)

    def _agree(self, canaries: Job, fresh: Job | None, keys: frozenset[str]) -> None:
        paid = self._paid_before(canaries)
        expected = canaries.estimate()
        if self._watch.repeats_itself is not False:
            expected = _with_repeats(expected)
        if fresh is not None:
            expected = total(expected, fresh.estimate())
        self._refuse_beyond(expected, canaries, keys - paid)
        agree([canaries] if fresh is None else [canaries, fresh], expected, paid=paid)

    def _refuse_beyond(self, expected: Estimate, job: Job, keys: frozenset[str]) -> None:
        most = self._request.max_cost_in_all
        if most is None:
            return
        _, highest = require_price(self._setup.adapter, expected.cost_usd)
        tasks = [task_of(canary, draw) for canary, draw in self._file.draws_of(self._watch.calibration)]
        bought = [task for task in tasks if task.index >= FIRST_INDEX]
        every = keys | draw_keys(self._setup.adapter, bought)
        every |= frozenset() if self._reserve is None else self._reserve.keys
        spent = spending_on(job.folder, every, whole=False).spent_usd
        if spent + highest > most:
            raise BudgetError(
                f"this visit may cost {dollars(highest)}, and {dollars(spent)} of the "
                f"{dollars(most)} that --max-cost-in-all allows are spent on visits "
                "before, so nothing was sent. Raise it, or end the watch"
            )

    def _identity(self, draws: Sequence[WatchDraw], replaced: str | None) -> Finding:
        if replaced is not None:
            return Finding("identity", "changed", replaced)
        first = self._earlier[0].draws if self._earlier else draws
        references = [draw for draw in first if draw.known]
        return compare(
            list(filter(None, map(self._declared, references))),
            list(filter(None, (self._declared(draw) for draw in draws if not draw.known))),
            self._request.calibration.vendor_models if self._watch.first_draws_calibrated else (),
        )

    def _declared(self, draw: WatchDraw) -> Declared | None:
        if draw.format is None or draw.cost_usd is None:
            return None
        canary = self._canaries[draw.canary]
        size = ((draw.width or 0) / canary.width, (draw.height or 0) / canary.height)
        return Declared(draw.model, draw.format, size, draw.cost_usd)


def _with_repeats(expected: Estimate) -> Estimate:
    # A request whose answer changed is repeated.
    cost = expected.cost_usd
    if cost is not None and expected.calls:
        cost = (cost[0], cost[1] * (expected.calls + AGAIN) / expected.calls)
    return replace(expected, again=expected.again + AGAIN, cost_usd=cost)


def _refuse_other(request: VisitRequest, watch: Watched, canaries: Sequence[Canary]) -> None:
    if request.level is not None and request.level != watch.level:
        raise UsageError(
            f"expected --level {watch.level:g}, which the watch was begun with; got {request.level:g}. Leave it out"
        )
    if request.canaries is not None and request.canaries != len(canaries):
        raise UsageError(
            f"expected --canaries {len(canaries)}, which the watch was begun with; got {request.canaries}. Leave it out"
        )


def _refuse_other_alpha(reserve: Reserve | None, before: Sequence[float]) -> None:
    if reserve is not None and before and reserve.alpha != before[0]:
        raise UsageError(
            f"expected --alpha {before[0]:g}, at which the fresh photographs of this watch were measured; got "
            f"{reserve.alpha:g}. Give that"
        )


@named_keywords
@photographs_as_files("photographs", "fresh")
def watch(
    vendor: Adapter,
    calibration: str | Path,
    photographs: Photographs = (),
    **settings: Unpack[WatchSettings],
) -> VisitResult:
    """Visit `vendor` once, or finish a visit, to learn whether the vendor is still the calibrated one.

    Parameters
    ----------
    calibration
        Path of the calibration's file; the watch is kept beside it.
    photographs
        The calibrated photographs, among which the first visit chooses canaries; later visits need none.

    Returns
    -------
    VisitResult
        With the layers' verdicts as `findings`; the `state` ``suspended`` or ``void`` is an alarm. Sends no notice.

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
    setup = set_up_as(vendor, loaded.procedure, settings.get("second_adapter"))
    fresh, alpha, in_all = settings.get("fresh", ()), settings.get("alpha"), settings.get("max_cost_in_all")
    if bool(fresh) is not (alpha is not None):
        raise UsageError("expected fresh and alpha together: fresh photographs are measured at that level")
    keys = trusted_keys(settings.get("trust", ()))
    if keys:
        loaded.vouching(keys).require("the calibration", trusted=True)
    request = VisitRequest(
        loaded,
        file,
        photograph_paths(photographs) if photographs else (),
        settings.get("canaries"),
        settings.get("level"),
        None if alpha is None else Reserve(loaded, photograph_paths(fresh), alpha, settings["fresh_each"]),
        None if in_all is None else Decimal(in_all),
        settings.get("sign_with"),
        keys,
    )
    return visit(request, setup, terms)
