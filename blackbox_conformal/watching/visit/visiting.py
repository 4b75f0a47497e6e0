"""Visits a watched vendor: draws canaries and fresh photographs, compares them, and records the findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Unpack

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.documents.trust_policy import TrustPolicy
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import Estimate, are_stored, estimate, total
from blackbox_conformal.drawing.spending.prices import require_price
from blackbox_conformal.drawing.spending.spent import spending_on
from blackbox_conformal.drawing.task import Task, draw_keys
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.method.images.duplicates import sketch
from blackbox_conformal.study.from_keywords import calibrated, named_keywords
from blackbox_conformal.study.job import Job, Terms, agree
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.settings_table import WatchSettings
from blackbox_conformal.study.stages.draws import output_check
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup, set_up_as
from blackbox_conformal.study.stages.uploads import sent_pixels
from blackbox_conformal.support.blocks import Block, Faces, Facts, How, Note, Table
from blackbox_conformal.support.text import dollars, money, printable
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.watching.concluding import Conclusion, conclude, current_state
from blackbox_conformal.watching.level import LEVEL, Level
from blackbox_conformal.watching.live_file import live_evidence, live_findings
from blackbox_conformal.watching.records import Canary, Finding, FreshMeasurement, Visit, WatchDraw, Watched
from blackbox_conformal.watching.visit.canaries import (
    FIRST_INDEX,
    REPEATS,
    Planted,
    calibrated_draws,
    choose_canaries,
    planned_draws,
    planted,
    stored_draws,
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
from blackbox_conformal.watching.visit.visit_documents import VisitRequest as VisitRequest
from blackbox_conformal.watching.visit.visit_documents import VisitResult as VisitResult
from blackbox_conformal.watching.visit.visit_documents import last_result, refuse_unsigned_visit
from blackbox_conformal.watching.watch_file import WatchFile, watch_path

# Foretells the cost of a watch: the next visit, each later one, and a month of visits.

# Visits until a change is found, as measured by `examples/watch_rates.py`.


@dataclass(frozen=True, slots=True)
class Speed:
    """Visits from a change to its alarm; None: more than 100."""

    canaries: int  # Pictures at a visit; the change comes after 30 visits.
    shift: float  # How far the change moves a feature, in standard deviations of the vendor's draws.
    median: int | None
    ninety: int | None


SPEEDS = (
    Speed(4, 0.5, None, None),
    Speed(4, 1.0, 25, None),
    Speed(4, 2.0, 6, 9),
    Speed(4, 5.0, 6, 6),
    Speed(8, 0.5, None, None),
    Speed(8, 1.0, 9, 18),
    Speed(8, 2.0, 6, 6),
    Speed(8, 5.0, 6, 6),
    Speed(16, 0.5, 23, None),
    Speed(16, 1.0, 6, 9),
    Speed(16, 2.0, 6, 6),
    Speed(16, 5.0, 6, 6),
)


def speeds(canaries: int) -> tuple[Speed, ...]:
    """Return the speeds for the largest measured number of canaries up to `canaries`; empty: none is that small."""
    measured = [speed.canaries for speed in SPEEDS if speed.canaries <= canaries]
    # Speeds between measured numbers would be invented.
    return tuple(speed for speed in SPEEDS if measured and speed.canaries == max(measured))


def speed_of(canaries: int, shift: float) -> Speed | None:
    """Return the speed for the largest measured shift up to the size of `shift`; None: none is that small."""
    return max(
        (speed for speed in speeds(canaries) if speed.shift <= abs(shift)), key=lambda it: it.shift, default=None
    )


DAYS = 30
WEEKS = 52 / 12


@dataclass(frozen=True, slots=True)
class VisitOutlook(Faces):
    """Calls and prices of a watch, without fresh photographs."""

    canaries: int
    # The next visit, and each one after it; the first visit of a watch also repeats a request.
    next_visit: Estimate
    later_visit: Estimate
    # How far small changes move the canaries; empty without two reference draws of one canary.
    planted: Sequence[Planted]

    @property
    def promises(self) -> list[tuple[Planted, Speed | None]]:
        """Return each planted change and its speed; None: not known."""
        return [(one, speed_of(self.canaries, one.shift)) for one in self.planted]

    def blocks(self) -> Iterator[Block]:
        """Show the cost of a visit and of a month, and how fast changes are found."""
        prices = {"daily": self.month_usd(DAYS), "weekly": self.month_usd(WEEKS)}
        months = {
            f"a month, {often}": "unknown: give -p price-usd=…" if usd is None else money(*usd)
            for often, usd in prices.items()
        }
        visits = {"next_visit": self.next_visit, "later_visit": self.later_visit}
        data = {
            "canaries": self.canaries,
            **{name: {"calls": one.calls, "cost_usd": one.cost_usd} for name, one in visits.items()},
            "month_usd": prices,
        }
        yield Facts(
            {
                "canaries": str(self.canaries),
                "the next visit": _priced(self.next_visit),
                "each later one": _priced(self.later_visit),
                **months,
            },
            data,
        )
        found = speeds(self.canaries)
        last: dict[str, How] = {
            "half of changes": lambda row: _visits(row, "median"),
            "90 % of changes": lambda row: _visits(row, "ninety"),
        }
        rows = [{"standard_deviations": one.shift, "median": one.median, "ninety": one.ninety} for one in found]
        of = found[0].canaries if found else 0
        title = f"Visits from a change to the alarm, with {of} canaries, after 30 visits"
        yield Table("visits_to_alarm", {"standard deviations": "{standard_deviations:g}", **last}, rows, title=title)
        changes = [
            {
                "change": one.change,
                "feature": one.feature,
                "standard_deviations": one.shift,
                "median": None if speed is None else speed.median,
                "ninety": None if speed is None else speed.ninety,
                "known": speed is not None,
            }
            for one, speed in self.promises
        ]
        columns: dict[str, How] = {
            "change": "{change}",
            "moves most": "{feature}",
            "standard deviations": "{standard_deviations:+.1f}",
            **last,
        }
        title = "The same for small changes, planted in the canaries' stored draws"
        yield Table("planted_changes", columns, changes, title=title)
        yield Note(
            "A vendor that answers equal requests equally is told at the first visit after a change of more than 1 of "
            "255; that visit may take four calls more."
        )

    def month_usd(self, visits: float) -> tuple[Decimal, Decimal] | None:
        """Return the lowest and highest price of this many later visits; None: no price is known."""
        if self.later_visit.cost_usd is None:
            return None
        low, high = self.later_visit.cost_usd
        # A twelfth of a year is no whole number of weeks, so visits come in fractions.
        times = Decimal(visits).quantize(Decimal("0.01"))
        return ((low * times).quantize(Decimal("0.01")), (high * times).quantize(Decimal("0.01")))


def _priced(expected: Estimate) -> str:
    price = "price unknown" if expected.cost_usd is None else money(*expected.cost_usd)
    return f"{expected.calls} calls at most, {price}"


def _visits(row: Mapping[str, Any], name: str) -> str:
    if not row.get("known", True):
        return "unknown"
    return "over 100" if row[name] is None else str(row[name])


def look_ahead(
    setup: Setup, terms: Terms, watch: Watched, canaries: Sequence[Canary], visits: Sequence[Visit]
) -> VisitOutlook:
    """Foretell a watch after these visits; a vendor that takes seeds is expected to repeat itself."""
    ordered = {canary.position: canary for canary in canaries}

    def price(draws: Sequence[WatchDraw]) -> Estimate:
        tasks = [task_of(ordered[draw.canary], draw) for draw in draws]
        return estimate(setup.adapter, terms.folder, terms.limits, tasks)

    opened = [each for each in visits if not each.ended_at]
    ended = [each for each in visits if each.ended_at]
    following = opened[0].draws if opened else planned_draws(setup, watch, canaries, ended)
    first = planned_draws(setup, replace(watch, repeats_itself=None), canaries, ())
    # The first visit is the largest; later ones draw fresh canaries alone.
    later = [draw for draw in first if draw.purpose == "fresh"]
    if setup.adapter.capabilities.seedable and watch.repeats_itself is not False:
        later.append(later[0])
    tasks: dict[int, list[Task]] = defaultdict(list)
    for draw in calibrated_draws(first):
        if draw.purpose == "reference":
            tasks[draw.canary].append(task_of(ordered[draw.canary], draw))
    usable = [own for own in tasks.values() if len(own) > 1 and are_stored(setup.adapter, own, terms.folder)]
    stored = []
    if usable:
        with Sampler(setup.adapter, terms.folder, terms.limits, check=output_check(setup)) as sampler:
            found = (stored_draws(setup, sampler, own) for own in usable)
            stored = [each for each in found if each is not None]
    return VisitOutlook(len(canaries), price(following), price(later), planted(stored) if stored else ())


# The vendor's declarations with an answer (model, format, size, price) beside those with earlier answers.


@dataclass(frozen=True, slots=True)
class Declared:
    """The declarations that came with one answer."""

    model: str | None  # The vendor's name of the model; None: not named.
    format: str  # Of the file, such as ``PNG``.
    magnification: tuple[float, float]  # Width and height of the answer over width and height of the input.
    cost_usd: Decimal  # The booked price of the draw.


def compare(before: Sequence[Declared], now: Sequence[Declared], models: Collection[str]) -> Finding:
    """Compare the declarations of answers `now` and `before`.

    `before`: Draws of the calibration, or of the first visit.
    `models`: Names of the calibrated models; empty: not named.
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


CANARIES = 8  # Usual number of canaries.


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
        if watch is None:
            level, canaries = Level(LEVEL if request.level is None else request.level), file.last_canaries(digest)
            # A vendor that was accepted is watched as it is now: the calibration's draws are no reference any more.
            canaries, calibrated = (canaries, False) if canaries else _chosen(request, setup, terms)
            watch = file.begin(digest, level.whole, canaries, calibrated=calibrated)
        return _Visiting(request, setup, terms, file, watch).run()


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


def calls_of_visits(setup: Setup) -> tuple[int, int] | None:
    """Return the usual calls of the first visit after a calibration, and of each later one; None: nothing to watch."""
    capabilities = setup.adapter.capabilities
    if capabilities.local or setup.adapter.members:
        return None
    one = capabilities.seedable
    return CANARIES + (REPEATS if one or setup.procedure.draws < 2 else 0), CANARIES + one


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


class _Visiting:
    def __init__(self, request: VisitRequest, setup: Setup, terms: Terms, file: WatchFile, watch: Watched) -> None:
        self._request, self._setup, self._terms, self._file, self._watch = request, setup, terms, file, watch
        self._canaries = file.last_canaries(watch.calibration)
        self._level = Level(watch.level, watch.live)
        if request.level is not None and request.level != watch.level:
            raise UsageError(
                f"expected --level {watch.level:g}, which the watch was begun with; got {request.level:g}. Leave it out"
            )
        if request.canaries is not None and request.canaries != len(self._canaries):
            raise UsageError(
                f"expected --canaries {len(self._canaries)}, which the watch was begun with; got {request.canaries}. "
                "Leave it out"
            )
        self._reserve = None if request.reserve is None else request.reserve.job(setup, terms)
        visits, measured, reserve = file.visits(watch), file.photographs(watch), request.reserve
        self._earlier = [each for each in visits if each.ended_at]
        if reserve is not None and measured and reserve.alpha != measured[0].alpha:
            raise UsageError(
                f"expected --alpha {measured[0].alpha:g}, at which the fresh photographs of this watch were measured; "
                f"got {reserve.alpha:g}. Give that"
            )
        opened = [each for each in visits if not each.ended_at]
        if opened:
            self._visit = opened[0]
        else:
            draws, taken = planned_draws(setup, watch, self._canaries, self._earlier), list[FreshMeasurement]()
            if self._reserve is not None and reserve is not None:
                taken = next_photographs(self._reserve.pictures, file.used_photographs(), reserve.each, reserve.alpha)
            self._visit = file.plan(watch, draws, taken)
        self._photographs = file.photographs(watch, self._visit.id)

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
            visits = [*self._earlier, replace(self._visit, draws=tuple(look.draws))]
            evidence = gather(self._watch, visits, len(self._canaries))
            seeded = self._setup.adapter.capabilities.seedable
            instead = bool(look.repeats_itself) and not seeded
            seen = canaries_finding(self._level, evidence, visits, len(self._canaries), instead=instead)
            if seen.verdict == "changed":
                seen = replace(seen, statement=seen.statement + looking.grown(look.draws))
        keys |= draw_keys(self._setup.adapter, [self._task(draw) for draw in look.draws])
        measured = self._photographs
        if fresh is not None and self._request.reserve is not None:
            measured = self._request.reserve.measure(fresh, measured)
        after = spending_on(canaries.folder, keys, whole=False)
        reserve = self._request.reserve
        if look.replaced is not None:
            identity = Finding("identity", "changed", look.replaced)
        else:
            first = self._earlier[0].draws if self._earlier else look.draws
            identity = compare(
                list(filter(None, (self._declared(draw) for draw in first if draw.known))),
                list(filter(None, (self._declared(draw) for draw in look.draws if not draw.known))),
                self._request.calibration.vendor_models if self._watch.first_draws_calibrated else (),
            )
        known = {each.truth: each for each in measured}
        losses = [known.get(each.truth, each) for each in self._file.photographs(self._watch)]
        findings = (
            identity,
            pixels_finding(look),
            seen,
            harm_finding([] if reserve is None else reserve.tests(self._level), losses, len(measured)),
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
            len(evidence.wealth),
        )

    def _plan_again(self, draw: WatchDraw) -> WatchDraw:
        self._visit = self._file.plan_again(self._watch, draw)
        return self._visit.draws[-1]

    def _task(self, draw: WatchDraw) -> Task:
        return task_of(self._canaries[draw.canary], draw)

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

    def _agree(self, canaries: Job, fresh: Job | None, keys: frozenset[str]) -> None:
        adapter, most = self._setup.adapter, self._request.max_cost_in_all
        # The calibration's own stored draws are no cost of the watch.
        tasks = [self._task(draw) for draw in calibrated_draws(self._visit.draws)]
        paid = draw_keys(adapter, [task for task in tasks if are_stored(adapter, [task], canaries.folder)])
        expected = canaries.estimate()
        if self._watch.repeats_itself is not False:
            # A request whose answer changed is repeated.
            cost = expected.cost_usd
            if cost is not None and expected.calls:
                cost = (cost[0], cost[1] * (expected.calls + AGAIN) / expected.calls)
            expected = replace(expected, again=expected.again + AGAIN, cost_usd=cost)
        if fresh is not None:
            expected = total(expected, fresh.estimate())
        if most is not None:
            _, highest = require_price(adapter, expected.cost_usd)
            tasks = [task_of(canary, draw) for canary, draw in self._file.draws_of(self._watch.calibration)]
            bought = [task for task in tasks if task.index >= FIRST_INDEX]
            every = (keys - paid) | draw_keys(adapter, bought)
            every |= frozenset() if self._reserve is None else self._reserve.keys
            spent = spending_on(canaries.folder, every, whole=False).spent_usd
            if spent + highest > most:
                raise BudgetError(
                    f"this visit may cost {dollars(highest)}, and {dollars(spent)} of the "
                    f"{dollars(most)} that --max-cost-in-all allows are spent on visits "
                    "before, so nothing was sent. Raise it, or end the watch"
                )
        agree([canaries] if fresh is None else [canaries, fresh], expected, paid=paid)

    def _declared(self, draw: WatchDraw) -> Declared | None:
        if draw.format is None or draw.cost_usd is None:
            return None
        canary = self._canaries[draw.canary]
        size = ((draw.width or 0) / canary.width, (draw.height or 0) / canary.height)
        return Declared(draw.model, draw.format, size, draw.cost_usd)


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
    keys = TrustPolicy.read(settings.get("trust", ()))
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
