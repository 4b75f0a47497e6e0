"""`adapters check --live`: from options to two draws from the vendor itself.

What is looked at lives in `pipeline.live_check`; the check that needs no vendor in `adapters`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli.console import Screen

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.live_check import Finding


def look_live(screen: Screen, name: str, parameters: tuple[str, ...], options: dict[str, Any]) -> "list[Finding]":
    """The vendor's draws compared with what its adapter says, after a person agreed to their price."""
    from blackbox_conformal.cli import consent, session
    from blackbox_conformal.pipeline.job import job_keys
    from blackbox_conformal.pipeline.live_check import check_live, prepare_check
    from blackbox_conformal.pipeline.prices.budget import agreed_limits
    from blackbox_conformal.sampling.estimate import estimate
    from blackbox_conformal.text import file_stem

    adapter = session.open_vendor(name, parameters, options["scale"])
    picture = None if options["image"] is None else Path(options["image"])
    setup, prepared = prepare_check(adapter, picture=picture, scale=options["scale"], seed=options["seed"] or 0)
    run = Path(options["run"] or Path("runs") / f"check-{file_stem(adapter.name)}")
    limits = session.build_limits(options)
    expected = estimate(adapter, run, limits, prepared.tasks)
    told = {**options, "run": run, "parameters": parameters}
    consent.look_before_drawing(screen, setup, prepared.tasks, run, expected.calls, told)
    consent.confirm_spending(screen, expected, options, consent.say_calls)
    if expected.calls == 0:
        screen.note(f"nothing is bought: these draws are paid for already, in {run}; another --run buys new ones")
    with screen.progress(), session.interruptible(screen) as on_sampler:
        return check_live(
            setup,
            prepared,
            run,
            agreed_limits(limits, expected, [run], job_keys(setup, [prepared])),
            listener=screen.event,
            on_sampler=on_sampler,
        )
