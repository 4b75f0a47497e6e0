"""Who is compared with whom, what is still to be drawn for it, and whose photographs are kept where.

Nothing is drawn here; how contestants are measured lives in `compare`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path

from blackbox_conformal.canonical import digest_json
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.pipeline.job import Job, Watch
from blackbox_conformal.pipeline.planning import Plan, plan
from blackbox_conformal.pipeline.prices.spending import spending_on
from blackbox_conformal.pipeline.stages.memory import BASE_BYTES, PIXEL_BYTES, refuse_large
from blackbox_conformal.pipeline.stages.prepare import Prepared, prepare_photographs
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.sampling.ledger.ledger_file import ledger_path
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.task import Task, task_keys

BASELINE_BYTES = 60
"""What the earlier methods take beside the draws, for each pixel."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One vendor with its settings; `label` is for people."""

    label: str
    setup: Setup


@dataclass(frozen=True, slots=True)
class Wanted:
    """The draws that are wanted of one vendor, those that settings share once, and the folder that keeps them.

    Attributes
    ----------
    largest
        The photograph with the most pixels.
    pixel_bytes
        Memory that measuring a photograph takes for each of its pixels.
    """

    setup: Setup
    folder: Path
    tasks: tuple[Task, ...]
    largest: Prepared
    pixel_bytes: int


def contest_jobs(
    contestants: Sequence[Contestant],
    paths: Sequence[Path],
    *,
    root: Path,
    limits: Limits | None = None,
    memory_bytes: int | None = None,
    with_baselines: bool = True,
    watch: Watch = Watch(),  # noqa: B008 - frozen
) -> list[Job]:
    """The job of each contestant on the photographs, which are prepared here; what is raised as by `compare`."""
    refuse_large(paths, memory_bytes, pixel_bytes=most_bytes_a_pixel(contestants, with_baselines))
    return [
        Job(
            one.setup,
            prepare_photographs(paths, one.setup, watch.progress, memory_bytes=memory_bytes),
            vendor_folder(root, one.setup),
            limits or Limits(),
            memory_bytes=memory_bytes,
            pixel_bytes=bytes_a_pixel(one.setup.procedure.draws, with_baselines),
            watch=watch,
        )
        for one in contestants
    ]


def wanted_draws(jobs: Sequence[Job]) -> list[Wanted]:
    """What is to be drawn for all contestants, vendor by vendor."""
    tasks: dict[str, dict[tuple[str, int, int | None], Task]] = {}
    first: dict[str, tuple[Job, Prepared]] = {}
    pixel_bytes: dict[str, int] = {}
    for job in jobs:
        vendor = digest_json(job.setup.procedure.vendor)
        first.setdefault(vendor, (job, max(job.pictures, key=lambda one: one.size[0] * one.size[1])))
        pixel_bytes[vendor] = max(pixel_bytes.get(vendor, 0), job.pixel_bytes)
        for task in job.tasks:
            tasks.setdefault(vendor, {})[task.upload.digest, task.index, task.seed] = task
    return [
        Wanted(job.setup, job.folder, tuple(tasks[vendor].values()), largest, pixel_bytes[vendor])
        for vendor, (job, largest) in first.items()
    ]


def plan_comparison(wanted: Sequence[Wanted], photographs: int, limits: Limits | None = None) -> Plan:
    """What is still to be drawn for all contestants together; memory for two photographs at a time."""
    plans = [
        plan(one.setup, [replace(one.largest, tasks=one.tasks)], Expected(), run=one.folder, limits=limits)
        for one in wanted
    ]
    prices = [one.cost_usd for one in plans]
    return replace(
        plans[0],
        n=photographs,
        calls=sum(one.calls for one in plans),
        cached=sum(one.cached for one in plans),
        again=sum(one.again for one in plans),
        cost_usd=None
        if any(price is None for price in prices)
        else (sum((p[0] for p in prices if p), Decimal(0)), sum((p[1] for p in prices if p), Decimal(0))),
        seconds=None if any(one.seconds is None for one in plans) else sum(one.seconds or 0 for one in plans),
        disk_bytes=sum(one.disk_bytes for one in plans),
        memory_bytes=BASE_BYTES
        + max(min(photographs, 2) * one.pixel_bytes * one.largest.size[0] * one.largest.size[1] for one in wanted),
    )


def wanted_keys(wanted: Sequence[Wanted]) -> frozenset[str]:
    """Keys of every draw of a comparison, which its limits are for."""
    return frozenset(key for one in wanted for key in task_keys(one.setup.adapter.identity(), one.tasks))


def folders_of(root: Path, setups: Iterable[Setup]) -> set[Path]:
    """Wherever draws of these vendors may be: `root` may have become a run folder after some were made below it."""
    return {root, *(_own_folder(root, setup) for setup in setups)}


def vendor_folder(root: Path, setup: Setup) -> Path:
    """Where the draws of a vendor are kept: settings that ask it for the same draws share them.

    A `root` that is a run folder itself keeps those of every vendor.
    """
    if ledger_path(root).is_file():
        return root
    return _own_folder(root, setup)


def _own_folder(root: Path, setup: Setup) -> Path:
    return root / f"{setup.adapter.name}-{digest_json(setup.procedure.vendor).removeprefix('sha256:')[:12]}"


def remaining(limits: Limits, others: Iterable[Path]) -> Limits:
    """`limits` less what other folders hold already of the draws that they count."""
    if not limits.spending:
        return limits
    cost, calls = limits.max_cost_usd, limits.max_calls
    held = [spending_on(other, limits.counted or ()) for other in others]
    if cost is not None:
        cost = max(Decimal(0), cost - sum((one.spent_usd + one.reserved_usd for one in held), Decimal(0)))
    if calls is not None:
        calls = max(0, calls - sum(one.calls for one in held))
    return replace(limits, max_cost_usd=cost, max_calls=calls)


def bytes_a_pixel(draws: int, with_baselines: bool) -> int:
    """Memory that measuring a photograph takes for each of its pixels: earlier methods need all draws at once."""
    return PIXEL_BYTES + (BASELINE_BYTES + 8 * draws if with_baselines and draws > 1 else 0)


def most_bytes_a_pixel(contestants: Sequence[Contestant], with_baselines: bool) -> int:
    """The same for the contestant that takes most."""
    return max(bytes_a_pixel(contestant.setup.procedure.draws, with_baselines) for contestant in contestants)


def refuse_incomparable(contestants: Sequence[Contestant], photographs: int, held_out: int) -> None:
    """Refuse contestants and photographs that no comparison can be made of; errors as for `compare`."""
    if len(contestants) < 2:
        raise UsageError(f"expected at least two vendors or settings to compare; got {len(contestants)}")
    labels = [contestant.label for contestant in contestants]
    if len(set(labels)) < len(labels):
        raise UsageError(f"expected vendors with different labels; got {', '.join(labels)}. Give label=… to one")
    if any(contestant.setup.second is not None for contestant in contestants):
        raise UsageError("expected scores of one vendor alone: compare asks no second vendor. Calibrate such a score")
    for first, second in combinations(contestants, 2):
        _refuse_equal(first, second)
    for name in ("metric", "scale", "degradation"):
        values = {digest_json({"value": getattr(one.setup.procedure, name)}) for one in contestants}
        if len(values) > 1:
            raise UsageError(f"expected one {name} for all, or levels cannot be equal; contestants differ in it")
    if held_out < 2 or photographs - held_out < 1:
        raise CalibrationError(
            "expected at least 2 photographs to measure on and 1 to calibrate on; "
            f"got {photographs} of which {held_out} are held out. Add photographs"
        )


def _refuse_equal(first: Contestant, second: Contestant) -> None:
    """Draws are stored by what identifies a vendor, so two vendors of one identity would be one vendor's pictures."""
    one, other = first.setup, second.setup
    both = f"{first.label!r} and {second.label!r}"
    if one.procedure.vendor != other.procedure.vendor:
        return
    if one.adapter.base_url != other.adapter.base_url:
        raise UsageError(
            f"expected vendors that can be told apart; {both} are the same vendor at two addresses, by their "
            "parameters. Say in each what is behind its address, as with label=…, or compare one of them alone"
        )
    if one.procedure.fingerprint == other.procedure.fingerprint:
        raise UsageError(
            f"expected vendors or settings that differ; {both} are the same vendor with the same settings. Change one"
        )
