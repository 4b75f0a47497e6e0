"""Look at the first answers of a run before the rest is paid, and stop where they cannot be used as they are."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Outcome, Task
from blackbox_conformal.errors import BlackboxConformalError, BudgetError, CheckFailedError
from blackbox_conformal.method.facts.statistics import SHIFTS, is_whole_fault
from blackbox_conformal.method.pair_facts import LEAST_LARGE, Fact, PairFacts, pair_facts
from blackbox_conformal.study.stages.draws import drawn_picture, second_picture, second_tasks
from blackbox_conformal.study.stages.prepare import Prepared, read_truth
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.study.stages.uploads import sent_pixels
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.text import printable, vendor_title
from blackbox_conformal.vendor.adapter import Adapter

LOOKED_AT = 3  # Photographs whose first draw is bought before all others.
SHARING = 2  # Answers with a fault of one kind that stop the run: one may be an odd photograph.


def whole_faults(facts: PairFacts) -> list[Fact]:
    """Return the facts of a whole answer that make it useless as it is; see `is_whole_fault`."""
    return [fact for fact in facts.facts if is_whole_fault(fact.name, fact.size, fact.values, facts.scale)]


@dataclass(slots=True)
class _Looked:
    """How many answers of one vendor were looked at, and photographs with their faults by kind."""

    count: int = 0
    faults: dict[str, list[tuple[str, Fact]]] = field(default_factory=dict)

    @property
    def shared(self) -> list[tuple[str, Fact]] | None:
        """Return the faults of one kind that several answers have, with their photographs; None: there are none."""
        return next((found for found in self.faults.values() if len(found) >= SHARING), None)


class FirstAnswers:
    """A look at the first draws of a job's first photographs, which each vendor is paid for before all others.

    `pictures`: All of the job.
    """

    def __init__(self, setup: Setup, pictures: Sequence[Prepared]) -> None:
        self._setup = setup
        second = second_tasks(setup, pictures)
        tasks = [(task, one) for one in pictures for task in (one.tasks[0], second.get(one.input_digest)) if task]
        self._firsts = {(task.upload.digest, task.index): one for task, one in tasks} if len(pictures) > 1 else {}
        self._looked: defaultdict[str, _Looked] = defaultdict(_Looked)

    def look_at(self, sampler: Sampler, tasks: Sequence[Task]) -> None:
        """Draw the tasks that are looked at first, and no others; errors as for `drawn`."""
        for _ in self.drawn(sampler, self._chosen(tasks, LOOKED_AT)):
            pass

    def _chosen(self, tasks: Sequence[Task], most: int) -> list[Task]:
        large = (one for one in tasks if min(one.upload.height, one.upload.width) >= LEAST_LARGE)
        return list(islice((one for one in large if (one.upload.digest, one.index) in self._firsts), most))

    def drawn(self, sampler: Sampler, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Draw every task, those that are looked at first; a `CheckFailedError` says why nothing more is bought."""
        looked = self._looked[digest_json(sampler.adapter.identity())]
        chosen = dict.fromkeys(self._chosen(tasks, max(0, LOOKED_AT - looked.count)))
        ordered = [*chosen, *(task for task in tasks if task not in chosen)]
        early: list[Outcome] = []
        if sampler.adapter.members:
            # It draws those of each member by this function.
            looked.count += len(chosen)
            yield from sampler.draw(ordered, first=len(chosen))
            return
        with closing(sampler.draw(ordered, first=len(chosen))) as arriving:
            try:
                for outcome in islice(arriving, len(chosen)):
                    early.append(outcome)
                    if outcome.state == "stored":
                        self._look(looked, sampler, outcome)
            except BudgetError:
                # More money mends nothing where the answers so far show the cause.
                self._refuse(looked, sampler.adapter)
                raise
            self._refuse(looked, sampler.adapter)
            yield from early
            yield from arriving

    def _look(self, looked: _Looked, sampler: Sampler, outcome: Outcome) -> None:
        looked.count += 1
        task, answer = outcome.task, sampler.read(outcome)
        picture, sent = self._firsts[task.upload.digest, task.index], sent_pixels(task.upload)
        second = sampler.adapter is self._setup.second
        # Whatever is no picture is told where all draws are evaluated.
        with suppress(BlackboxConformalError):
            if second:
                pixels = second_picture(self._setup, answer, task)
            else:
                pixels = drawn_picture(answer, task, self._setup, self._setup.sent(sent)).pixels
            faults = whole_faults(pair_facts(sent, pixels))
            if self._setup.procedure.delivery == "aligned" and not second:
                faults = [fault for fault in faults if fault.name not in SHIFTS]
            if faults:
                own = self._of_the_photograph(picture)
                # The first fault of each kind, in the order of facts, so that every run names the same cause.
                firsts: dict[str, Fact] = {}
                for fault in faults:
                    firsts.setdefault(fault.kind, fault)
                for kind, fault in firsts.items():
                    if kind not in own:
                        looked.faults.setdefault(kind, []).append((picture.name, fault))

    def _of_the_photograph(self, picture: Prepared) -> set[str]:
        """Return the kinds of facts in which the photograph itself differs from its input: answers are to, as well."""
        assert picture.path is not None
        truth = read_truth(picture.path, self._setup).pixels
        facts = pair_facts(picture.input_of(truth, self._setup), truth).facts
        return {fact.kind for fact in facts if fact.place is None}

    def _refuse(self, looked: _Looked, vendor: Adapter) -> None:
        if (found := looked.shared) is None:
            return
        name, fault = found[0]
        raise CheckFailedError(
            f"expected answers that can be compared with the photographs; {len(found)} of the first {looked.count} of "
            f"{vendor_title(vendor.identity())} do not lie or look like their inputs as a whole. That to "
            f"{printable(name)} {_told(fault)}. What is paid is kept, and nothing more was bought. Correct the adapter "
            "or the vendor's settings and take a new run folder"
            f"{'; --delivery aligned moves answers back' if fault.name in SHIFTS else ''}; if it is meant so, the "
            "same command goes on with --no-check (check=False in Python)"
        )


def _told(fault: Fact) -> str:
    return fault.sentence + (f", {fault.reading}" if fault.reading else "")
