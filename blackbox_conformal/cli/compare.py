"""`compare`: several vendors or settings on the same photographs, in one table."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli import from_options, next_steps, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.consent import Consent, spends
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.from_options import photograph_paths
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.settings_table import NEEDED, CompareSettings, described
from blackbox_conformal.support.wording import as_typed

if TYPE_CHECKING:
    from blackbox_conformal.drawing.spending.estimate import Estimate
    from blackbox_conformal.method.guarantees.guarantee import Guarantee
    from blackbox_conformal.study.choose.comparison import Comparison, OnCompared
    from blackbox_conformal.study.choose.contestants import Contestant
    from blackbox_conformal.study.job import Job

SETTINGS = ("draws", "score", "delivery", "perturbation", "seeds", "scale")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(shared.JobOptions):
    images: tuple[str, ...] = shared.photographs()
    vendors: tuple[str, ...] = shared.declared(
        "--vendor",
        multiple=True,
        metavar="NAME[:k=v,…]",
        group=NEEDED,
        main=True,
        no_keyword="an argument: vendors by name",
        help=f"A vendor with its parameters; repeatable. {', '.join(SETTINGS)} and label, its name in the table, may "
        "stand among them; an adapter that takes a label gets it too, unless -p label=… is for all. A score with "
        "several parameters goes in brackets: 'NAME:score=[weighted:weight=0.5,sigma=4]'.",
    )
    guarantee: str | None = shared.setting()
    alphas: tuple[float, ...] = shared.alpha(flag="--alpha", multiple=True)
    held_out: float = shared.setting()
    baselines: bool = shared.setting()
    paid: int | None = shared.setting()
    out: str | None = shared.declared(
        "--out",
        type=shared.NEW_FILE,
        main=True,
        no_keyword=shared.SCREEN,
        help="HTML file with pictures, plots and tables.",
    )
    force: bool = shared.force()
    opened: bool = shared.opened()


@shared.command(
    "compare",
    CompareOptions,
    CompareSettings,
    examples=(
        "blackbox-conformal compare photographs/ --vendor embedded --vendor stability --alpha 0.1 --max-cost 10",
        "blackbox-conformal compare photographs/ --vendor embedded --vendor embedded:score=texture",
    ),
)
def command(screen: Screen, options: CompareOptions) -> None:
    """Compare vendors or settings on IMAGES: some photographs calibrate, the others are measured.

    At equal alpha: trusted share, PSNR, price per trusted megapixel, latency, failures; intervals are paired by
    photograph. Restored and invented detail stand beside plain enlargement and the free reference. Options given
    beside --vendor hold for every vendor. Without --run each vendor has a run folder of its own below ./runs; a run
    folder that exists is used for all.
    """
    from blackbox_conformal.study.choose.contestants import Contestant, refuse_incomparable, under_one_promise
    from blackbox_conformal.support import catalog

    typed = [_read(text, options) for text in options.vendors]
    _refuse_not_shared(options, typed)
    contestants, rule = under_one_promise(
        lambda guarantee: [
            Contestant(vendor.label, from_options.build_setup(vendor.options(options), guarantee)) for vendor in typed
        ],
        options.guarantee,
    )
    paths = photograph_paths(options.images)
    held_out = round(len(paths) * options.held_out)
    out = Path(options.out) if options.out else None
    if out is not None and not options.force:
        # A comparison of ours is replaced.
        catalog.hook("pages").refuse_foreign_comparison(out, [contestant.label for contestant in contestants])
    refuse_incomparable(contestants, len(paths), held_out)
    pictures = catalog.hook("pages").compared_pictures()
    on_picture = pictures.take if out is not None else lambda _: None
    comparison = _compared(screen, options, contestants, rule, paths, on_picture)
    screen.show(comparison.blocks())
    if out is None:
        screen.note("pictures and plots of these figures: add --out FILE.html")
    else:
        page = catalog.hook("pages").write_comparison(comparison, out, pictures, force=options.force)
        screen.say(f"pictures, plots and tables: {page.resolve()}")
        next_steps.offer(screen, out, opened=options.opened)
    screen.say(
        "Calibrate what you choose on other photographs: its guarantee does not hold as stated on those by which it "
        "was chosen."
    )
    labels = [contestant.label for contestant in contestants]
    for first in dict.fromkeys(order[0] for order in comparison.ranks.values() if order):
        place = labels.index(first)
        # Compared under another promise than its own, it must be calibrated under that promise.
        alone = from_options.build_setup(typed[place].options(options)).promised(None) == comparison.rule
        promise = [] if alone or options.guarantee else ["--guarantee", comparison.rule.plugin_name()]
        words = [*typed[place].words(), *promise]
        own = {word.removeprefix("--") for word in words if word.startswith("--")}
        elsewhere = {"adapter", "run", "out", "memory", "max_cost", "max_calls", "yes", "force", *own}
        screen.next(*next_steps.again("calibrate", without=elsewhere, paths=["other-photographs", *words]))
    screen.data({**comparison.document(), "page": None if out is None else str(out.resolve())})


def _compared(
    screen: Screen,
    options: CompareOptions,
    contestants: "Sequence[Contestant]",
    rule: "Guarantee",
    paths: Sequence[Path],
    on_picture: "OnCompared",
) -> "Comparison":
    from blackbox_conformal.method.guarantees.guarantee import audited_levels
    from blackbox_conformal.study.calibrate.calibrating import check_enough
    from blackbox_conformal.study.choose.comparing import compare_contestants
    from blackbox_conformal.study.choose.contestants import Contest

    bound, held_out = contestants[0].setup.metric.capped_bound, round(len(paths) * options.held_out)
    levels = options.alphas or audited_levels(rule.loss_bound(bound), rule)
    for level in levels:
        rule.check_level(level, rule.loss_bound(bound))
    consent = Consent(screen, options)

    def ask(_: "Job", expected: "Estimate") -> None:
        for job, tasks in contest.wanted():
            consent.look(job.setup, tasks, job.folder, contest.plan([(job, tasks)]))
        if spends(expected):
            # At the lowest levels nothing may be trusted; if so at all levels, the money would buy empty masks.
            check_enough(rule, len(paths) - held_out, max(levels), bound)
        consent.confirm(expected)

    with from_options.job_terms(screen, options, Path(options.run or "runs"), ask) as terms:
        contest = Contest.of_photographs(
            contestants,
            paths,
            terms,
            held_out=held_out,
            seed=options.seed or 0,
            baselines=options.baselines,
            rule=rule,
            paid=options.paid,
        )
        from_options.note_photographs(screen, contest.jobs[0])
        return compare_contestants(contest, levels, on_picture)


@dataclass(frozen=True, slots=True)
class _Typed:
    """A `--vendor` as typed: label, adapter, parameters, and settings by option name."""

    label: str
    adapter: str
    parameters: dict[str, str]
    settings: dict[str, str]

    def options(self, shared_options: CompareOptions) -> CompareOptions:
        """Return the shared options, overridden by this vendor's own."""
        values: dict[str, Any] = {key: _value(key, text) for key, text in self.settings.items()}
        own = tuple(f"{key}={value}" for key, value in self.parameters.items())
        parameters = (*shared_options.parameters, *own)
        return replace(shared_options, adapter=self.adapter, parameters=parameters, **values)

    def words(self) -> list[str]:
        """Write this vendor as options of `calibrate`."""
        parameters = [word for key, value in self.parameters.items() for word in ("-p", f"{key}={value}")]
        settings = [word for key, text in self.settings.items() for word in (f"--{key}", str(_value(key, text)))]
        return ["--adapter", self.adapter, *parameters, *settings]


def _read(text: str, options: CompareOptions) -> _Typed:
    from blackbox_conformal.study.plugins import adapter_class
    from blackbox_conformal.support.catalog import parse

    if options.adapter:
        raise UsageError("expected vendors as --vendor NAME, repeated; got --adapter, which names only one")
    module, _, rest = text.partition(":")
    kind, _, given = rest.partition(":")
    if "." in module and kind.isidentifier():
        name, parameters = f"{module}:{kind}", parse(f"{module}:{given}")[1]
    else:
        name, parameters = parse(text)
    fields = adapter_class(name).model_fields
    label = parameters.pop("label", None)
    # Stored draws need a label; other vendors are known by one only if it was typed.
    takes_label = "label" in fields and (label or fields["label"].is_required())
    if takes_label and "label" not in values.vendor_parameters(options.parameters):
        parameters["label"] = label or text
    settings = {key: parameters.pop(key) for key in SETTINGS if key in parameters}
    score, colon, first = settings.get("score", "").partition(":")
    unknown = [key for key in parameters if key not in fields]
    if colon and not score.startswith("[") and unknown:
        # The user meant such parameters for the score.
        meant = ",".join(f"{key}=…" for key in (first.partition("=")[0], *unknown))
        raise UsageError(
            f"expected the parameters of a score in brackets, as in 'score=[{score}:{meant}]'; got them without, "
            f"so that {unknown[0]} reads as the vendor's"
        )
    return _Typed(label or text, name, parameters, settings)


def _refuse_not_shared(options: CompareOptions, typed: Sequence[_Typed]) -> None:
    # The refusal says how to give such a parameter to these vendors alone.
    from blackbox_conformal.study.plugins import adapter_class

    taken = [adapter_class(vendor.adapter).model_fields.keys() for vendor in typed]
    given = values.vendor_parameters(options.parameters)
    own_ones = {key for key in given if 0 < sum(key in fields for fields in taken) < len(typed)}
    if not own_ones:
        return
    without = next(vendor for vendor, fields in zip(typed, taken, strict=True) if own_ones - fields)
    words = []
    for text, vendor, fields in zip(options.vendors, typed, taken, strict=True):
        # Such a vendor most likely needs its own value for shared parameters, too, such as an address.
        its = [key for key in given if key in fields] if own_ones & fields else []
        own = ",".join(f"{as_typed(key)}={given[key]}" for key in its)
        parameters = vendor.parameters or vendor.settings or vendor.label != text
        words += ["--vendor", text + (("," if parameters else ":") + own) * bool(own)]
    raise UsageError(
        f"expected with -p what every vendor takes; {without.adapter} takes no "
        f"{' and no '.join(sorted(map(as_typed, own_ones - taken[typed.index(without)])))}. Instead of -p give each "
        f"vendor its own: {shlex.join(words)}"
    )


def _value(key: str, value: str) -> int | str:
    # Converted as its option would be; a score may stand in brackets.
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    read: int | str = described(CompareSettings)[key].of(bare, key)
    return read
