"""`compare`: several vendors or settings on the same photographs, in one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, share

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.comparison_parts.comparison import Comparison, Standing
    from blackbox_conformal.pipeline.comparison_parts.contestants import Contestant

SETTINGS = ("draws", "score", "delivery", "perturb", "seeds", "scale")


@click.command("compare")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True))
@shared.option(
    "--vendor",
    "vendors",
    multiple=True,
    metavar="NAME[:k=v,…]",
    help=f"A vendor with its parameters; {', '.join(SETTINGS)} and label, its name in the table, may stand among them; "
    "an adapter that takes a label gets it too, unless -p label=… is for all. A score with several parameters "
    "goes in brackets: 'NAME:score=[weighted:weight=0.5,sigma=4]'. Repeat it.",
)
@shared.procedure
@shared.option("--alpha", "alphas", type=shared.Level(), multiple=True, help="Level to compare at; repeatable.")
@shared.option(
    "--held-out",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="Share of the photographs that are measured.",
)
@shared.option("--no-baselines", is_flag=True, help="Leave interval images and soft masks out.")
@shared.spending
@shared.memory
@shared.option("--out", type=click.Path(dir_okay=False), help="HTML file with plots and tables.")
@shared.force
@shared.output
def command(images: tuple[str, ...], **options: Any) -> None:
    """Compare vendors or settings on IMAGES: some photographs calibrate, the others are measured.

    At equal alpha: trusted share, PSNR, price per trusted megapixel, latency, failures; intervals are paired by
    photograph. Options given beside --vendor hold for every vendor. Without --run each vendor has a run folder of its
    own below ./runs; a run folder that exists is used for all.
    """
    from blackbox_conformal.cli import consent, session
    from blackbox_conformal.guarantees.expected import Expected
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.pipeline.calibrating import check_enough
    from blackbox_conformal.pipeline.comparing import compare_jobs
    from blackbox_conformal.pipeline.comparison_parts.comparison import comparison_json
    from blackbox_conformal.pipeline.comparison_parts.contestants import (
        contest_jobs,
        folders_of,
        plan_comparison,
        refuse_incomparable,
        wanted_draws,
        wanted_keys,
    )
    from blackbox_conformal.pipeline.job import Watch
    from blackbox_conformal.pipeline.planning import audited_levels
    from blackbox_conformal.pipeline.prices.budget import agreed_limits
    from blackbox_conformal.reports.comparison_page import refuse_foreign, write_comparison

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    contestants = [_contestant(text, options) for text in options["vendors"]]
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    held_out = round(len(paths) * options["held_out"])
    root = Path(options["run"] or "runs")
    out = Path(options["out"]) if options["out"] else None
    if out is not None and not options["force"]:
        # A comparison of ours is replaced.
        refuse_foreign(out)
    refuse_incomparable(contestants, len(paths), held_out)
    levels = options["alphas"] or audited_levels(contestants[0].setup.metric.bound)
    for level in levels:
        Expected().check_level(level, min(one.setup.metric.bound for one in contestants))
    with screen.progress(), session.interruptible(screen) as on_sampler:
        jobs = contest_jobs(
            contestants,
            paths,
            root=root,
            memory_bytes=options["memory"],
            with_baselines=not options["no_baselines"],
            watch=Watch(screen.event, screen.step, on_sampler),
        )
        wanted = wanted_draws(jobs)
        limits = session.build_limits(options)
        expected = plan_comparison(wanted, len(paths), limits)
        for one in wanted:
            calls = plan_comparison([one], len(paths), limits).calls
            consent.look_before_drawing(screen, one.setup, one.tasks, one.folder, calls, options)
        if consent.spends(expected):
            # At the lowest levels nothing may be trusted; if so at all of them, the money would buy empty masks.
            check_enough(Expected(), len(paths) - held_out, max(levels), contestants[0].setup.metric.bound)
        consent.confirm_spending(screen, expected, options, consent.say_plan)
        limits = agreed_limits(limits, expected, folders_of(root, [one.setup for one in wanted]), wanted_keys(wanted))
        found = compare_jobs(
            contestants,
            jobs,
            levels,
            root=root,
            held_out=held_out,
            limits=limits,
            seed=options["seed"] or 0,
            with_baselines=not options["no_baselines"],
        )
    show_comparison(screen, found)
    if out is None:
        screen.note("plots of these figures: add --out FILE.html")
    else:
        screen.say(f"plots and tables: {write_comparison(found, out, force=True).resolve()}")
    screen.data({**comparison_json(found), "page": None if out is None else str(out.resolve())})


def _contestant(text: str, options: dict[str, Any]) -> "Contestant":
    from blackbox_conformal.cli import session
    from blackbox_conformal.errors import UsageError
    from blackbox_conformal.pipeline.comparison_parts.contestants import Contestant
    from blackbox_conformal.plugins import adapter_class

    if options["adapter"]:
        raise UsageError("expected vendors as --vendor NAME, repeated; got --adapter, which names only one")
    name, given = _parsed(text)
    label = given.pop("label", None)
    field = adapter_class(name).model_fields.get("label")
    # Stored draws cannot do without a label; elsewhere only one that was typed is part of what the vendor is.
    if (
        field is not None
        and (label or field.is_required())
        and "label" not in session.vendor_parameters(options["parameters"])
    ):
        given["label"] = label or text
    settings = {**options, "adapter": name}
    typed = {key: given.pop(key) for key in SETTINGS if key in given}
    _refuse_loose(typed.get("score", ""), [key for key in given if key not in adapter_class(name).model_fields])
    for key, value in typed.items():
        settings["perturbation" if key == "perturb" else key] = _typed(key, value)
    settings["parameters"] = (*options["parameters"], *(f"{key}={value}" for key, value in given.items()))
    return Contestant(label or text, session.build_setup(settings))


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    """Name and parameters; the name may be that of a class, package.module:Class."""
    from blackbox_conformal.catalog import parse

    module, _, rest = text.partition(":")
    kind, _, parameters = rest.partition(":")
    if "." in module and kind.isidentifier():
        return f"{module}:{kind}", parse(f"{module}:{parameters}")[1]
    return parse(text)


def _refuse_loose(score: str, unknown: list[str]) -> None:
    """Refuse parameters that the vendor does not have, after a score with one parameter of its own: they are its."""
    from blackbox_conformal.errors import UsageError

    name, colon, first = score.partition(":")
    if colon and not score.startswith("[") and unknown:
        meant = ",".join(f"{key}=…" for key in (first.partition("=")[0], *unknown))
        raise UsageError(
            f"expected the parameters of a score in brackets, as in 'score=[{name}:{meant}]'; got them without, "
            f"so that {unknown[0]} reads as the vendor's"
        )


def _typed(key: str, value: str) -> int | str:
    from blackbox_conformal.errors import UsageError

    if key not in ("draws", "scale"):
        return value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not value.isdecimal() or int(value) < 1:
        raise UsageError(f"expected {key} to be a whole number above 0; got {value!r}")
    return int(value)


def show_comparison(screen: Screen, found: "Comparison") -> None:
    """The comparison, for people."""
    rows = []
    first = found.rows[0].contestant, found.rows[0].method
    for row in sorted(found.rows, key=lambda one: one.alpha):
        price, (_, low, high) = row.usd_per_trusted_megapixel, row.share_gain
        mark = "*" if row.guarantee.startswith("no guarantee") else ""
        rows.append(
            [
                f"{row.alpha:g}",
                f"{row.contestant}: {row.method}{mark}",
                share(row.trusted_share),
                "–" if (row.contestant, row.method) == first else f"{100 * low:+.1f} to {100 * high:+.1f}",
                f"{row.risk:.3f}",
                "–" if row.psnr_trusted != row.psnr_trusted else f"{row.psnr_trusted:.2f}",
                f"{row.psnr_all:.2f}",
                "–" if price is None else f"${price:.3g}",
            ]
        )
    screen.table(
        f"Calibrated on {found.n_calibration} photographs, measured on {found.n_evaluation} others",
        ["alpha", "method", "trusted", "gain", "risk", "dB in", "dB all", "per MP"],
        rows,
    )
    screen.say(
        "gain: percentage points of trusted share over the first row's, 90 % interval paired by photograph; "
        "risk: mean of the largest trusted error, the worst one for a refused photograph; dB: PSNR inside the mask and "
        "of the whole picture; per MP: price of a trusted megapixel"
    )
    screen.table(
        "Vendors",
        ["vendor", "draws", "made", "stored", "failed", "refused", "price", "latency"],
        [_standing(one) for one in found.standings],
    )
    screen.say(
        "draws: of each photograph; made: calls made now; stored: draws that were stored before; failed: calls without "
        "a picture; refused: photographs; price: of a photograph's draws; latency: median, and what 9 in 10 stay within"
    )
    labels = {row.method: row.guarantee for row in found.rows if row.guarantee.startswith("no guarantee")}
    for method, label in labels.items():
        screen.say(f"* {method}: {label}")


def _standing(one: "Standing") -> list[str]:
    latency = one.latency
    return [
        one.contestant,
        str(one.draws),
        str(one.calls),
        str(one.cached),
        str(one.failed),
        str(one.refused),
        "unknown" if one.usd_per_photograph is None else f"${one.usd_per_photograph:.4g}",
        "–" if latency is None else f"{latency.median:.2f}, {latency.ninety:.2f} s",
    ]
