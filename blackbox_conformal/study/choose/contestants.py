"""Hold contestants, their photographs, and the draws that are still missing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path

from blackbox_conformal.drawing.ledger.backends import has_ledger
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.spending.estimate import estimate, total
from blackbox_conformal.drawing.spending.spent import spending_on
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.study.calibrate.calibrating import refuse_detail
from blackbox_conformal.study.job import Job, Terms, agree
from blackbox_conformal.study.plan.planning import Plan, memory_bytes, plan_job
from blackbox_conformal.study.random_part import in_random_order, refuse_paid
from blackbox_conformal.study.stages.defaults import ERROR_GUARANTEE
from blackbox_conformal.study.stages.memory import AUDIT_PIXEL_BYTES, PIXEL_BYTES, refuse_large
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.study.unseen_photographs import split_prepared
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.catalog import specification_text

BASELINE_BYTES = 60  # Bytes per pixel that the baselines take beside the draws.


@dataclass(frozen=True, slots=True)
class Contestant:
    """One vendor with its settings; `label` is for people."""

    label: str
    setup: Setup


def under_one_promise(
    build: Callable[[str | Guarantee | None], list[Contestant]], guarantee: str | Guarantee | None
) -> tuple[list[Contestant], Guarantee]:
    """Build contestants for one guarantee: the named one, else the usual one of all, else `expected`."""
    contestants = build(guarantee)
    if guarantee is None and len({contestant.setup.promised(None) for contestant in contestants}) > 1:
        guarantee = ERROR_GUARANTEE
        contestants = build(guarantee)
    if not contestants:
        return contestants, Expected()
    rule = contestants[0].setup.promised(guarantee)
    compared = rule.plugin_name() in ("expected", "marked", "clear-share")
    if not compared or rule.bound_source != "metric" or not rule.treats_photographs_alike:
        raise UsageError(
            f"expected --guarantee expected, marked or clear-share (guarantee in Python) of compare; got "
            f"{specification_text(rule)}. Leave it out, and calibrate with it"
        )
    for contestant in contestants:
        refuse_detail(rule, contestant.setup)
    return contestants, rule


@dataclass(frozen=True, slots=True)
class Contest:
    """Contestants with their jobs on the same photographs."""

    contestants: tuple[Contestant, ...]
    jobs: tuple[Job, ...]
    # Holds a folder for each vendor, where its settings share paid draws. An existing run folder serves all vendors.
    root: Path
    held_out: int  # How many photographs do not calibrate; `seed` decides which.
    seed: int = 0
    baselines: bool = True  # Whether earlier methods are measured, too; they speak of errors alone.
    rule: Guarantee = field(default_factory=Expected)  # The guarantee to compare under.
    # How many of the held-out photographs are bought, drawn at random; free pictures answer all. None: all.
    paid: int | None = None

    @classmethod
    def of_photographs(
        cls,
        contestants: Sequence[Contestant],
        paths: Sequence[Path],
        terms: Terms,
        *,
        held_out: int,
        seed: int = 0,
        baselines: bool = True,
        rule: Guarantee | None = None,
        paid: int | None = None,
    ) -> "Contest":
        """Prepare these photographs; the folder of the terms is the root."""
        refuse_incomparable(contestants, len(paths), held_out)
        if paid is not None:
            for contestant in contestants:
                refuse_paid(contestant.setup, paid, held_out)
        rule = Expected() if rule is None else rule
        baselines = baselines and rule.threshold_ceiling is None
        sizes = [bytes_a_pixel(contestant.setup.procedure.draws, baselines) for contestant in contestants]
        refuse_large(paths, terms.memory_bytes, pixel_bytes=max(sizes))
        # All contestants are to get the same photographs, also where these are made to fit.
        limits = [able for contestant in contestants for able in contestant.setup.limits]
        jobs = [
            Job.of_photographs(
                replace(contestant.setup, beside=tuple(limits)),
                paths,
                replace(terms, folder=vendor_folder(terms.folder, contestant.setup)),
                pixel_bytes=pixel_bytes,
            )
            for contestant, pixel_bytes in zip(contestants, sizes, strict=True)
        ]
        whole = cls(tuple(contestants), tuple(jobs), terms.folder, held_out, seed, baselines, rule, paid)
        if paid is None:
            return whole
        parts = [whole.parts(job) for job in jobs]
        bought = (job.only([*calibrating, *some]) for job, (calibrating, some, _) in zip(jobs, parts, strict=True))
        return replace(whole, jobs=tuple(bought))

    def parts(self, job: Job) -> tuple[list[Prepared], list[Prepared], list[Prepared]]:
        """Return the photographs that calibrate, those that are bought to be measured, and all that do not calibrate.

        With a number that is bought, the last two are in an order drawn at random.
        """
        calibrating, unseen = split_prepared((job.whole or job).pictures, self.held_out, self.seed)
        if self.paid is not None:
            unseen = in_random_order(unseen, self.seed)
        return calibrating, unseen[: self.paid], unseen

    @property
    def folders(self) -> set[Path]:
        """Return all folders that may hold draws; the root may have become a run folder later."""
        return {self.root, *(_own_folder(self.root, job.setup) for job in self.jobs)}

    def wanted(self) -> list[tuple[Job, list[Task]]]:
        """Return, for each vendor, its job that takes most memory per pixel, and the draws of all its contestants."""
        tasks: dict[str, dict[tuple[str, int, int | None], Task]] = {}
        largest: dict[str, Job] = {}
        for job in self.jobs:
            vendor = digest_json(job.setup.procedure.vendor)
            if vendor not in largest or job.pixel_bytes > largest[vendor].pixel_bytes:
                largest[vendor] = job
            for task in job.tasks:
                tasks.setdefault(vendor, {})[task.upload.digest, task.index, task.seed] = task
        return [(job, list(tasks[vendor].values())) for vendor, job in largest.items()]

    def plan(self, wanted: Sequence[tuple[Job, list[Task]]] | None = None) -> Plan:
        """Estimate the missing draws, by default of all contestants; memory is for two photographs at a time."""
        wanted = self.wanted() if wanted is None else wanted
        estimates = [estimate(job.setup.adapter, job.folder, job.limits, tasks) for job, tasks in wanted]
        memory = max(memory_bytes(job) for job, _ in wanted)
        return replace(plan_job(self.jobs[0], self.rule), **asdict(total(*estimates)), memory_bytes=memory)

    def confirm(self) -> None:
        """Agree on one budget for all contestants' draws of this comparison; errors as `agree`."""
        if self.jobs[0].limits.scope is None:
            agree(self.jobs, self.plan(), folders=self.folders)


def vendor_folder(root: Path, setup: Setup) -> Path:
    """Return the folder of a vendor's draws, shared by settings with the same draws; `root` itself if a run folder."""
    return root if has_ledger(root) else _own_folder(root, setup)


def _own_folder(root: Path, setup: Setup) -> Path:
    return root / f"{setup.adapter.name}-{digest_json(setup.procedure.vendor).removeprefix('sha256:')[:12]}"


def remaining(limits: Limits, others: Iterable[Path]) -> Limits:
    """Subtract from `limits` the counted draws that other folders already hold."""
    if not limits.budget.is_limited:
        return limits
    cost, calls = limits.max_cost_usd, limits.max_calls
    held = [spending_on(folder, limits.scope or ()) for folder in others]
    if cost is not None:
        taken = sum((spending.spent_usd + spending.reserved_usd for spending in held), Decimal(0))
        cost = max(Decimal(0), cost - taken)
    if calls is not None:
        calls = max(0, calls - sum(spending.calls for spending in held))
    return replace(limits, max_cost_usd=cost, max_calls=calls)


def bytes_a_pixel(draws: int, with_baselines: bool) -> int:
    """Return bytes per pixel for measuring a photograph; baselines need all draws at once."""
    # With one draw, measuring detail takes most, as in an audit.
    return PIXEL_BYTES + BASELINE_BYTES + 8 * draws if with_baselines and draws > 1 else AUDIT_PIXEL_BYTES


def refuse_incomparable(contestants: Sequence[Contestant], photographs: int, held_out: int) -> None:
    """Refuse contestants and photographs that cannot be compared; errors as for `Contest`."""
    if len(contestants) < 2:
        raise UsageError(f"expected at least two vendors or settings to compare; got {len(contestants)}")
    labels = [contestant.label for contestant in contestants]
    if len(set(labels)) < len(labels):
        raise UsageError(f"expected vendors with different labels; got {', '.join(labels)}. Give label=… to one")
    if any(contestant.setup.second is not None for contestant in contestants):
        raise UsageError("expected scores of one vendor alone: compare asks no second vendor. Calibrate such a score")
    for first, second in combinations(contestants, 2):
        setup, other, both = first.setup, second.setup, f"{first.label!r} and {second.label!r}"
        if setup.procedure.vendor != other.procedure.vendor:
            continue
        if setup.adapter.base_url != other.adapter.base_url:
            raise UsageError(
                f"expected vendors that can be told apart; {both} are the same vendor at two addresses, by their "
                "parameters. Say in each what is behind its address, as with label=…, or compare one of them alone"
            )
        if setup.procedure.fingerprint == other.procedure.fingerprint:
            raise UsageError(
                f"expected vendors or settings that differ; {both} are the same vendor with the same settings. Change "
                "one"
            )
    random = any(contestant.setup.procedure.mixture.random for contestant in contestants)
    for name in ("metric", "scale", "degradation", "fit", *(["root_seed"] if random else [])):
        values = {digest_json({"value": getattr(contestant.setup.procedure, name)}) for contestant in contestants}
        if len(values) > 1:
            raise UsageError(f"expected one {name} for all, or levels cannot be equal; contestants differ in it")
    if held_out < 2 or photographs - held_out < 1:
        raise CalibrationError(
            "expected at least 2 photographs to measure on and 1 to calibrate on; "
            f"got {photographs} of which {held_out} are held out. Add photographs"
        )
