"""`start`: six questions, and the settings file that their answers make."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from blackbox_conformal.cli import from_options, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, limit_above
from blackbox_conformal.cli.option_sources import FILE_NAME
from blackbox_conformal.cli.terminal_text import shown
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.study.settings_table import MEMBER
from blackbox_conformal.study.stages.defaults import DETAIL_GUARANTEE
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.secrets import redact
from blackbox_conformal.support.text import counted, money
from blackbox_conformal.support.wording import as_typed, at_most

if TYPE_CHECKING:
    from blackbox_conformal.method.guarantees.guarantee import Guarantee
    from blackbox_conformal.study.plan.planning import Plan
    from blackbox_conformal.study.stages.settings import Setup
    from blackbox_conformal.vendor.adapter import Adapter

Found = TypeVar("Found")

MADE = {
    "camera": ("by a camera, saved without loss (raw, TIFF)", "area+noise:1-3,shot=0.3-0.9"),
    "phone": ("by a phone", "phone"),
    "jpeg": ("saved as JPEG, AVIF, HEIC or lossy WebP", "{usual}+jpeg:60-95"),
    "scan": ("by scanning prints", "scan"),
    "generated": ("by a program, at their small size or as small copies, saved without loss", "{usual}"),
}
"""How inputs are made: in words, and the degradation, in which ``{usual}`` is what the vendor undoes."""

PROMISES = (DETAIL_GUARANTEE, "clear-share", "expected", "per-image")


_question = partial(shared.flag, no_keyword="Python asks no questions; its functions take the settings themselves")


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    originals: bool | None = _question(
        "--originals/--no-originals", default=None, help="Whether you have sharp photographs that no service enlarged."
    )
    adapter: str | None = _question("--adapter", metavar="NAME", help="The service; see `list adapters`.")
    parameters: tuple[str, ...] = _question(
        "-p", multiple=True, metavar="KEY=VALUE", help="Parameter of the service; repeatable."
    )
    photographs: str | None = _question(
        "--photographs", type=shared.PicturesPath(exists=True), help="Where these photographs lie."
    )
    made: str | None = _question("--made", type=click.Choice([*MADE]), help="How the pictures to be sent are made.")
    guarantee: str | None = _question(
        "--guarantee", metavar=MEMBER, help="What you want to say of a picture; see `list guarantees`."
    )
    alpha: float | None = _question("--alpha", type=values.level, help="The risk that you accept.")
    max_cost: Decimal | None = _question(
        "--max-cost", type=values.usd, help="What the calibration may cost, US dollars; not asked if it is free."
    )
    fit: str | None = _question(
        "--fit", type=click.Choice(["crop", "shrink"]), help="What to do with photographs that the service refuses."
    )
    force: bool = _question("--force", is_flag=True, help=f"Write {FILE_NAME} anew.")


def _ask(
    question: str, option: str, given: Any, prove: Callable[[Any], Found], *, kind: Any = str, usual: Any = None
) -> Found:
    """Return what `prove` makes of the answer: of the option, or else typed, until it is one."""
    if given is not None:
        return prove(given)
    if not sys.stdin.isatty():
        raise UsageError(f"expected {option}, since there is no terminal to ask at; got no answer to: {question}")
    while True:
        said = click.prompt(question, type=kind, default=usual, err=True)
        try:
            return prove(said)
        except BlackboxConformalError as error:
            click.echo(shown(f"{error}"), err=True)


@shared.command(
    "start",
    StartOptions,
    examples=(
        "blackbox-conformal start",
        "blackbox-conformal start --originals --adapter embedded --photographs photographs/ --made phone "
        "--guarantee marked --alpha 0.2",
    ),
)
def command(screen: Screen, options: StartOptions) -> None:
    """Ask six questions, prove the answers, show the price, and write the settings of the job.

    `plan`, `calibrate`, `mask` and the other commands read the file that it writes, blackbox-conformal.toml in this
    folder. No key is in it. Nothing is sent, and nothing is paid.
    """
    from blackbox_conformal.method.guarantees.corollaries import in_short
    from blackbox_conformal.study.plugins import readiness

    file = Path(FILE_NAME)
    if file.exists() and not options.force:
        raise UsageError(f"{file} exists in this folder and is not overwritten; add --force to write it anew")
    originals = _ask(
        "1 of 6. Do you have originals, sharp photographs like those that you will send, not enlarged? (yes or no)",
        "--originals or --no-originals",
        options.originals,
        bool,
        kind=bool,
    )
    if not originals:
        screen.say(
            "A promise needs originals, because answers are compared with them. Any sharp photographs of the same "
            "kind of thing will do, 20 or more, also from elsewhere. Without them, `check` says what an answer "
            "changed. It costs nothing and promises nothing."
        )
        screen.data({"file": None, "settings": {}})
        screen.next("check", "small.png", "big.png")
        return
    name, adapter, parameters = _service(options)
    key = readiness(name)[1].partition(";")[0]
    screen.say(f"  {key}")
    where, paths = _ask(
        "3 of 6. In which folder are these photographs?",
        "--photographs FOLDER",
        options.photographs,
        lambda said: (said, from_options.photograph_paths([said])),
    )
    screen.say(f"  {counted(len(paths), 'photograph')}")
    listed = "".join(f"\n  {name}: {words}" for name, (words, _) in MADE.items())
    made = _ask(
        f"4 of 6. How are the pictures made that you will send?{listed}\n",
        f"--made {'|'.join(MADE)}",
        options.made,
        str,
        kind=click.Choice([*MADE]),
    )
    degradation = MADE[made][1].format(usual=adapter.capabilities.degradation)
    setup, rule, alpha = _promise(options, adapter, degradation, len(paths))
    planned = _plan(screen, setup, rule, alpha, paths)
    budget = _budget(options, planned)
    settings: dict[str, Any] = {"alpha": f"{alpha:g}", "degradation": degradation}
    # A settings file cannot name a module to import: the user types an adapter of his own each time.
    own = ["--adapter", name] if ":" in name else []
    settings |= {} if own else {"adapter": name}
    settings |= {} if options.fit is None else {"fit": options.fit}
    said = specification_text(rule)
    tables = {"p": {as_typed(field): value for field, value in parameters.items()}}
    tables |= {"plan": {"guarantee": said}, "calibrate": {"guarantee": said}}
    tables["calibrate"] |= {} if budget is None else {"max-cost": str(budget)}
    promise = in_short(rule, alpha, len(paths), setup.metric.specification())
    about = (
        "The settings of one job, for every command in this folder; `blackbox-conformal config show` lists them.",
        f"Photographs: {where}. Pictures to be sent are made {MADE[made][0]}.",
        f"A mask will say: {promise}",
        "No key is in this file" + (f"; {adapter.key_variable} holds it." if adapter.key_variable else "."),
    )
    write_new(file, _toml(about, settings, tables).encode(), force=options.force)
    screen.summary({"settings": str(file.resolve()), "key": key, "a mask will say": promise})
    screen.data({"file": str(file.resolve()), "settings": settings | tables, "plan": planned.document()})
    screen.next("calibrate", where, *own, *([] if budget is None else ["--max-cost", str(budget)]))


def _service(options: StartOptions) -> "tuple[str, Adapter, dict[str, str]]":
    from blackbox_conformal.study.plugins import adapter_class, adapter_names, load_adapter, readiness

    given = values.vendor_parameters(options.parameters)
    ready = []
    if options.adapter is None and sys.stdin.isatty():
        ready = [name for name in adapter_names() if readiness(name)[0] == "ok"]
    usable = f" {', '.join(ready)} need no key or have it; `list adapters` shows all." if ready else ""
    name, kind = _ask(
        f"2 of 6. Which service?{usable}",
        "--adapter NAME (`blackbox-conformal list adapters` shows them)",
        options.adapter,
        lambda said: (said, adapter_class(said)),
    )
    for field, about in kind.model_fields.items():
        if about.is_required() and field not in given:
            help_ = (about.description or field).rstrip(".")
            given[field] = _ask(f"  {as_typed(field)}: {help_}", f"-p {as_typed(field)}=VALUE", None, str)
    adapter = load_adapter(name, **given)
    if adapter.capabilities.price is None and not adapter.capabilities.local and "price_usd" in kind.model_fields:
        given["price_usd"] = _ask(
            "  price-usd: the highest price of one answer in US dollars, which only you can know",
            "-p price-usd=USD, the highest price of one answer, which this adapter does not know",
            None,
            str,
            kind=values.usd,
        )
        adapter = load_adapter(name, **given)
    if any(redact(value) != value for value in given.values()):
        raise UsageError("expected no secret in -p, since the settings file keeps it; put keys into the environment")
    return name, adapter, given


def _promise(
    options: StartOptions, adapter: "Adapter", degradation: str, photographs: int
) -> "tuple[Setup, Guarantee, float]":
    # What is to be said, and at which level; the photographs have to suffice for it.
    from blackbox_conformal.method.guarantees.guarantee import usual_level
    from blackbox_conformal.study.from_keywords import setup_of

    def chosen(said: str | None) -> "tuple[Setup, Guarantee]":
        settings = {"degradation": degradation, "guarantee": said, "fit": options.fit}
        setup = setup_of(adapter, {name: value for name, value in settings.items() if value is not None})
        return setup, setup.promised(said)

    def level(said: float) -> float:
        rule.check_level(said, rule.loss_bound(setup.metric.capped_bound))
        needed = rule.fewest_images(said, setup.metric.capped_bound)
        if needed > photographs:
            raise UsageError(
                f"expected {needed} photographs for alpha {said:g}, so that anything can be trusted; got {photographs}."
                f" Give more, or a larger --alpha: {photographs} reach down to "
                f"{at_most(rule.reachable_alpha(photographs, setup.metric.capped_bound))}"
            )
        return said

    usual, _ = chosen(None)
    listed = ""
    for name in PROMISES:
        setup, rule = chosen(name)
        example = usual_level(rule.loss_bound(setup.metric.capped_bound), rule)
        error = setup.metric.error_in_short
        listed += f"\n  {name}: {rule.in_short(example, 'pictures like yours', error)}"
    setup, rule = _ask(
        f"5 of 6. What do you want to say of pictures?{listed}\n ",
        "--guarantee NAME (`blackbox-conformal list guarantees` shows them)",
        options.guarantee,
        chosen,
        usual=usual.usual_guarantee,
    )
    usual_alpha = usual_level(rule.loss_bound(setup.metric.capped_bound), rule)
    question = "  alpha: which risk do you accept? Choose before you see how much is trusted"
    alpha = _ask(question, f"--alpha {usual_alpha:g}, say", options.alpha, level, kind=values.level, usual=usual_alpha)
    return setup, rule, alpha


def _plan(screen: Screen, setup: "Setup", rule: "Guarantee", alpha: float, paths: Sequence[Path]) -> "Plan":
    from blackbox_conformal.study.from_keywords import terms_of
    from blackbox_conformal.study.plan.planning import plan_job
    from blackbox_conformal.study.run_folder import usual_folder

    terms = terms_of(usual_folder(setup.procedure), {})
    job = from_options.photograph_job(screen, setup, paths, terms, to_draw=False)
    planned = plan_job(job, rule, alpha=alpha)
    screen.show(planned.blocks())
    return planned


def _budget(options: StartOptions, planned: "Plan") -> Decimal | None:
    # None: nothing is to be paid. A price that is not known cannot be held.
    if planned.cost_usd is not None and not planned.cost_usd[1]:
        return None
    highest = None if planned.cost_usd is None else Decimal(limit_above(planned.cost_usd[1]))

    def enough(said: Decimal) -> Decimal:
        if planned.cost_usd is not None and said < planned.cost_usd[1]:
            raise UsageError(
                f"expected a budget of {money(*planned.cost_usd)} or more for {counted(planned.n, 'photograph')}; got "
                f"{said}. Give --max-cost {highest}, or fewer photographs"
            )
        return said

    question = "6 of 6. What may the calibration cost at most, US dollars? Nothing is paid now"
    option = "--max-cost USD" if highest is None else f"--max-cost {highest}"
    return _ask(question, option, options.max_cost, enough, kind=values.usd, usual=highest)


def _toml(about: Sequence[str], settings: Mapping[str, str], tables: Mapping[str, Mapping[str, str]]) -> str:
    # Text in JSON is text in TOML.
    def lines(entries: Mapping[str, str]) -> str:
        return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in entries.items())

    head = "".join(f"# {line}\n" for line in about) + lines(settings)
    return head + "".join(f"\n[{name}]\n{lines(entries)}" for name, entries in tables.items() if entries)
