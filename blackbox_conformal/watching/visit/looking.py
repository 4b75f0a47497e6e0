"""Draws the canaries of one visit, and measures each answer as it comes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, floor, log

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import are_stored
from blackbox_conformal.drawing.task import Outcome, Task
from blackbox_conformal.errors import BlackboxConformalError, ModelChangedError, PayloadError
from blackbox_conformal.method.facts.levels import PairSizes
from blackbox_conformal.method.facts.statistics import STATISTICS
from blackbox_conformal.method.guarantees._bounds import binomial_upper
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.pair_facts import difference, is_compared, pair_facts
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.stages.draws import drawn_picture, output_check
from blackbox_conformal.study.stages.uploads import sent_pixels
from blackbox_conformal.support.text import counted, printable
from blackbox_conformal.support.types import Image
from blackbox_conformal.watching.level import Level, tie_of, visit_p_values
from blackbox_conformal.watching.records import Canary, Finding, Visit, WatchDraw, Watched
from blackbox_conformal.watching.visit.canaries import FEATURES, calibrated_draws, features, task_of

# Evidence that a vendor changed: bets on one p-value a visit, begun at each visit that may have brought a change.

HAZARD = 0.01
"""Share of the waiting capital that begins to bet at each visit, as if one visit in a hundred brought a change."""

DOUBT = 0.1  # Share of a bet that is kept back, so that a visit that looks unchanged costs nine tenths at most.


def log_wealth(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, k): the logarithm of the capital of each of k martingales after each of n visits.

    `p_values`: (n, k) in [0, 1]; each column is independent and uniform while the vendor is unchanged.
    """
    visits, many = p_values.shape
    begun, waiting = np.empty((visits, 2, many)), 0.0
    found = np.empty(p_values.shape)
    for visit, p_value in enumerate(p_values):
        # A change may move a feature up or down, so half bets on small p-values and half on large ones.
        begun[visit] = waiting + math.log(HAZARD / 2)
        waiting += math.log1p(-HAZARD)
        # The j-th visit since a change is among the first j, so its p-value lies in the smallest or largest 1 / j.
        stretch = (np.arange(visit + 1, 0, -1) / (visit + 1))[:, None, None]
        inside = np.stack([p_value, 1 - p_value]) <= stretch
        # A part is kept back, so that one visit that does not look changed does not ruin the bet.
        begun[: visit + 1] += np.log(DOUBT + (1 - DOUBT) * inside / stretch)
        # Logarithms do not overflow in years of visits.
        found[visit] = np.logaddexp(waiting, np.logaddexp.reduce(begun[: visit + 1], axis=(0, 1)))
    return found


# Answers to equal requests: whether their pictures differ by more than rounding.

LEAST_BIT = 1  # Grey levels: another graphics card or library version rounds some pixels to the next level.


@dataclass(frozen=True, slots=True)
class Difference:
    """The distance of two pictures."""

    largest: int  # Largest difference of a channel, 0 to 255.
    share: float  # Share of pixels that differ, 0 to 1.

    @classmethod
    def between(cls, before: Image, now: Image) -> "Difference":
        """Compare two pictures, (H, W, 3) uint8; pictures of unequal size differ everywhere."""
        if before.shape != now.shape:
            return cls(255, 1.0)
        apart = np.abs(before.astype(np.int16) - now).max(axis=2)
        return cls(int(apart.max()), float((apart > 0).mean()))

    @property
    def is_change(self) -> bool:
        """Whether the difference is more than rounding."""
        return self.largest > LEAST_BIT

    @property
    def words(self) -> str:
        """Say how far the pictures are apart."""
        if not self.largest:
            return "equal"
        return f"{100 * self.share:.3g} % of the pixels differ, by at most {self.largest} of 255"


IN_A_ROW = 5
"""So many other answers to one request, and none like the reference, mean a change. If 1 % of requests meet another
machine, that happens once in ten billion times.
"""

MOST_ODD = 0.05  # With a larger share of other answers a vendor no longer repeats itself, and its canaries bet.
ODD = "difference"  # Feature that keeps the largest difference of a repeated answer, 0 to 255.


def to_ask_again(found: Mapping[int, Sequence[Difference]]) -> int | None:
    """Return the canary to ask again before its vendor is called changed; None: no need.

    `found`: Canary → differences of its answers from its reference at this visit.
    """
    others = {canary: own for canary, own in found.items() if all(each.is_change for each in own)}
    if not others or is_changed(found):
        return None
    # The largest difference settles soonest whether the vendor changed.
    return max(others, key=lambda canary: max(each.largest for each in others[canary]))


def is_changed(found: Mapping[int, Sequence[Difference]]) -> bool:
    """Whether one request got other answers alone, often enough to mean another vendor."""
    return any(len(own) >= IN_A_ROW and all(each.is_change for each in own) for own in found.values())


# From the features of all visits so far to p-values and martingales.


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence of the draws of canaries after a visit."""

    visits: int  # Visits that bet: every canary was answered.
    wealth: dict[str, tuple[float, float]]  # Feature → logarithms of its martingale now and at its highest.


def gather(watch: Watched, visits: Sequence[Visit], canaries: int) -> Evidence:
    """Compute the evidence after these visits anew, from the features of all visits."""
    # A visit that lacks an answer would compare other canaries, so it does not bet.
    whole = [(visit, answers) for visit in visits if len(answers := _answers(visit)) == canaries]
    if not whole:
        return Evidence(0, dict.fromkeys(FEATURES, (0.0, 0.0)))
    # Earlier versions measured fewer, and the level is split among the features that a watch began with.
    names = [name for name in FEATURES if all(name in each for _, answers in whole for each in answers.values())]
    # In the order of canaries: each is compared with itself.
    values = [[[answers[place][name] for name in names] for place in sorted(answers)] for _, answers in whole]
    ties = [[tie_of(watch.seed, visit.id, f"visit {name}") for name in names] for visit, _ in whole]
    logs = log_wealth(visit_p_values(np.array(values), np.array(ties)))
    # A martingale that ever reached the level is an alarm for good.
    ends = zip(names, logs[-1].tolist(), np.maximum(logs.max(axis=0), 0.0).tolist(), strict=True)
    return Evidence(len(whole), {name: (now, highest) for name, now, highest in ends})


def _answers(visit: Visit) -> dict[int, Mapping[str, float]]:
    return {draw.canary: draw.features for draw in visit.draws if draw.purpose == "fresh" and draw.features}


def canaries_finding(
    level: Level, evidence: Evidence, visits: Sequence[Visit], canaries: int, *, instead: bool
) -> Finding:
    """Return the martingales' finding; `instead`: the vendor repeats itself, so pixels are compared instead."""
    if instead:
        return Finding("canaries", "not watched", "not needed: the vendor repeats itself, so pixels are compared")
    came = len(_answers(visits[-1]))
    needed = level.needed(len(evidence.wealth))
    name, (_, highest) = max(evidence.wealth.items(), key=lambda item: item[1][1])
    told = (
        f"evidence {_figure(highest)} of the {needed:.0f} that are an alarm, from {counted(evidence.visits, 'visit')}"
    )
    if highest >= log(needed):
        return Finding("canaries", "changed", f"{_moved(name, visits)}; {told}", exp(min(highest, 700.0)))
    if came < canaries:
        reason = f"only {came} of {canaries} canaries were answered, and a visit counts when all are"
        return Finding("canaries", "cannot tell", f"{reason}; {told}")
    return Finding("canaries", "same", told, exp(highest))


def _figure(logarithm: float) -> str:
    return f"{exp(logarithm):.3g}" if logarithm < 700 else f"10^{logarithm / log(10):.0f}"


def _moved(name: str, visits: Sequence[Visit]) -> str:
    # A recent change cannot have touched the first half, whose standard deviations are the units.
    before = [_answers(visit) for visit in visits[: len(visits) // 2]]
    shifts, steps = [], []
    for canary, answer in _answers(visits[-1]).items():
        values = [answers[canary][name] for answers in before if name in answers.get(canary, {})]
        if values:
            steps.append(answer[name] - float(np.mean(values)))
            spread = float(np.std(values))
            # A feature that never varied has no unit.
            shifts.append(steps[-1] / spread if spread else 0.0)
    if not steps:
        return f"{name} moved"
    return (
        f"{name} moved by {np.median(steps):+.3g} ({np.median(shifts):+.1f} standard deviations) in the median canary"
    )


CONFIDENCE = 0.05  # Probability that fewer requests than claimed get the same answer.
AGAIN = IN_A_ROW - 1  # Most further draws of a visit where an answer changed.


@dataclass
class VisitLook:
    """The answers of a visit, compared with earlier ones."""

    draws: list[WatchDraw]  # In their order, with their answers.
    # Whether the vendor gives equal answers to equal requests; None: could not be measured.
    repeats_itself: bool | None
    # Canary → differences of its repeated answers from its reference.
    differences: dict[int, list[Difference]] = field(default_factory=dict)
    # Repeated answers of all visits so far, and how many of them were others.
    compared: int = 0
    odd: int = 0
    unread: bool = False  # Whether a reference is lost.
    replaced: str | None = None  # The sampler's error when two models answered in one visit.


class Looking:
    """A look at the canaries of a watch: draws and compares them.

    `job`: With a budget that is agreed on.
    `earlier`: The visits before this one.
    `plan_again`: Plans one more repetition of a draw.
    """

    def __init__(
        self,
        job: Job,
        sampler: Sampler,
        watch: Watched,
        canaries: Sequence[Canary],
        earlier: Sequence[Visit],
        plan_again: Callable[[WatchDraw], WatchDraw],
    ) -> None:
        self._job, self._sampler, self._watch = job, sampler, watch
        self._canaries, self._earlier, self._plan_again = canaries, earlier, plan_again
        self._seeded = job.setup.adapter.capabilities.seedable

    def look(self, planned: Sequence[WatchDraw]) -> VisitLook:
        """Draw the planned draws, and compare their answers.

        The calibration's draws and new ones are requested apart: where models differ, the sampler would end the visit.
        """
        found = VisitLook([], self._watch.repeats_itself)
        done: dict[int, WatchDraw] = {}
        stored = calibrated_draws(planned)
        repeats = [draw for draw in planned if draw.purpose == "repeat"]
        try:
            self._take(stored, done)
            self._take(repeats, done)
            if found.repeats_itself is None:
                # A vendor without seeds whose calibrated draws differ is known to vary, whatever a cache answers now.
                found.repeats_itself = self._measured([done[draw.id] for draw in repeats or stored])
            self._take([draw for draw in planned if draw.id not in done], done)
            found.draws = [done[draw.id] for draw in planned]
            if found.repeats_itself:
                self._compare(found)
                for _ in range(AGAIN):
                    canary = to_ask_again(found.differences)
                    if canary is None:
                        break
                    asked = next(draw for draw in found.draws if draw.canary == canary and ODD in draw.features)
                    again: dict[int, WatchDraw] = {}
                    self._take([self._plan_again(asked)], again)
                    found.draws.extend(again.values())
                    self._compare(found)
        except ModelChangedError as error:
            found.replaced = str(error)
            found.draws = found.draws or [done.get(draw.id, draw) for draw in planned]
        if found.repeats_itself:
            every = [draw for visit in self._earlier for draw in visit.draws] + found.draws
            apart = [draw.features[ODD] for draw in every if ODD in draw.features]
            found.compared, found.odd = len(apart), sum(each > LEAST_BIT for each in apart)
            settled = to_ask_again(found.differences) is None and not is_changed(found.differences)
            if settled and found.odd > MOST_ODD * found.compared:
                # Only once no request is in doubt: a changed vendor must not be taken for one that varies.
                found.repeats_itself = False
        return found

    def grown(self, latest: Sequence[WatchDraw]) -> str:
        """Say which difference of answers from their inputs grew most since the first visit, as the end of a sentence.

        Empty where none did in the median canary, or where answers are not compared.
        """
        first = self._earlier[0].draws if self._earlier else ()
        before, now = ({each.canary: each for each in draws if each.purpose == "fresh"} for draws in (first, latest))
        compared = []
        for place in sorted(before.keys() & now.keys()):
            canary, pictures = self._canaries[place], [self._pixels(each[place]) for each in (before, now)]
            sent = sent_pixels(task_of(canary, now[place]).upload)
            told = [one for one in pictures if one is not None and is_compared(sent, one)]
            found = [pair_facts(sent, one, whole=False) for one in told]
            if len(found) == 2:
                old, new = (PairSizes.of(each.sizes).shares[0] for each in found)
                compared.append((new - old, canary.name, found[1]))
        growth = np.array([each[0] for each in compared])
        if not compared or np.median(growth, axis=0).max() <= 0:
            return ""
        most = int(np.median(growth, axis=0).argmax())
        _, name, facts = compared[int(growth[:, most].argmax())]
        measure = facts.measures[tuple(STATISTICS)[most]]
        return f"; what grew most: the answer to {printable(name)} {difference(measure, facts.scale)}"

    def _take(self, draws: Sequence[WatchDraw], done: dict[int, WatchDraw]) -> None:
        # Outcomes name their draws by upload and number.
        by_task = {(canary.upload, draw.index): draw for draw in draws for canary in [self._canaries[draw.canary]]}
        tasks = [task_of(self._canaries[draw.canary], draw) for draw in draws]
        for outcome in self._sampler.draw(tasks) if tasks else ():
            draw = by_task[outcome.task.upload.digest, outcome.task.index]
            done[draw.id] = self._looked_at(draw, outcome)
            self._job.listeners.progress("looking at canaries", len(done), len(self._job.tasks))

    def _looked_at(self, draw: WatchDraw, outcome: Outcome) -> WatchDraw:
        noted = replace(draw, state=outcome.state, file=outcome.digest, model=outcome.model, cost_usd=outcome.cost_usd)
        if outcome.digest is None:
            return noted
        try:
            # A damaged or foreign file leaves its draw without features, but must not stop the visit.
            content = self._sampler.read(outcome)
            container = inspect(content)
        except BlackboxConformalError:
            return noted
        noted = replace(noted, format=container.format, width=container.width, height=container.height)
        if outcome.state != "stored":
            return noted
        sent = sent_pixels(outcome.task.upload)
        return replace(noted, features=features(self._decoded(content, outcome.task, sent), sent))

    def _decoded(self, content: bytes, task: Task, sent: Image) -> Image:
        setup = self._job.setup
        return drawn_picture(content, task, setup, setup.sent(sent)).pixels

    def _pixels(self, draw: WatchDraw) -> Image | None:
        task = task_of(self._canaries[draw.canary], draw)
        if not are_stored(self._job.setup.adapter, [task], self._job.folder):
            return None
        try:
            outcome = next(iter(list(self._sampler.draw([task]))))
            return self._decoded(self._sampler.read(outcome), task, sent_pixels(task.upload))
        except (PayloadError, ModelChangedError):
            return None

    def _measured(self, repeats: Sequence[WatchDraw]) -> bool | None:
        first: dict[int, Image] = {}
        equal: list[bool] = []
        # Only stored pictures: measuring buys nothing.
        for draw in repeats:
            picture = self._pixels(draw) if draw.state == "stored" else None
            if picture is not None and draw.canary in first:
                equal.append(not Difference.between(first[draw.canary], picture).is_change)
            elif picture is not None:
                first[draw.canary] = picture
        return all(equal) if equal else None

    def _compare(self, found: VisitLook) -> None:
        references: dict[int, WatchDraw] = {}
        for draw in [*(draw for visit in self._earlier for draw in visit.draws), *found.draws]:
            if draw.known and draw.state == "stored":
                # The first known draw is the reference, for good.
                references.setdefault(draw.canary, draw)
        # Without seeds every new draw is a repetition.
        purposes = ("repeat",) if self._seeded else ("repeat", "fresh")
        for place, draw in enumerate(found.draws):
            seen = draw.purpose not in purposes or draw.state != "stored" or ODD in draw.features
            if seen or draw.canary not in references:
                continue
            before, now = self._pixels(references[draw.canary]), self._pixels(draw)
            if before is None or now is None:
                found.unread = True
            else:
                difference = Difference.between(before, now)
                found.differences.setdefault(draw.canary, []).append(difference)
                found.draws[place] = replace(draw, features={**draw.features, ODD: float(difference.largest)})


def sampler_of(job: Job) -> Sampler:
    setup = job.setup
    return Sampler(setup.adapter, job.folder, job.limits, check=output_check(setup), listener=job.listeners.listener)


def pixels_finding(found: VisitLook) -> Finding:
    """Return the finding about repeated answers."""
    every = [each for own in found.differences.values() for each in own]
    if found.repeats_itself is False:
        some = f": {found.odd} of {found.compared} were others" if found.odd else ""
        told = f"the vendor answers equal requests differently{some}, so pixels say nothing"
        return Finding("pixels", "not watched", told)
    if not every:
        reason = (
            "its reference is not in the run folder any more, or another model's"
            if found.unread
            else "no repeated answer came"
        )
        return Finding("pixels", "cannot tell", f"{reason}")
    worst = max(every, key=lambda difference: (difference.largest, difference.share))
    told = f"{counted(len(every), 'repeated answer')} beside the reference: {worst.words}"
    if is_changed(found.differences):
        row = f"one request was answered otherwise {IN_A_ROW} times in a row"
        return Finding("pixels", "changed", f"{row}; {told}", float(worst.largest))
    if to_ask_again(found.differences) is not None:
        few = "an answer is another one, and too few came when it was asked for again"
        return Finding("pixels", "cannot tell", f"{few}; {told}")
    # Rounded down: the sentence says "at least".
    at_least = floor(100 * (1.0 - binomial_upper(found.odd, found.compared, CONFIDENCE)))
    equal = f"{found.compared - found.odd} of {found.compared} so far were equal"
    told = f"{told}; {equal}: at least {at_least} % of requests are, with {1 - CONFIDENCE:.0%} confidence"
    if worst.is_change:
        odd = "one answer is another machine's, as it did not come when it was asked for again"
        return Finding("pixels", "note", f"{odd}; {told}", float(worst.largest))
    if worst.largest:
        return Finding(
            "pixels", "note", f"{told}: rounding, as another machine of the vendor makes it", float(worst.largest)
        )
    return Finding("pixels", "same", told, 0.0)
