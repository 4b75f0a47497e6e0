"""The user's consent before anything is sent: where keys go, and what is spent."""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from blackbox_conformal.cli.console import Screen, limit_above
from blackbox_conformal.cli.option_sources import LIMITS, is_of_project, is_typed, origin_of
from blackbox_conformal.cli.options import SpendingOptions
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.support.files import private_folder
from blackbox_conformal.support.text import counted, mebibytes, money

if TYPE_CHECKING:
    from blackbox_conformal.drawing.http.address_policy import WebOrigin
    from blackbox_conformal.drawing.spending.estimate import Estimate
    from blackbox_conformal.drawing.task import Task
    from blackbox_conformal.study.job import Job
    from blackbox_conformal.study.stages.settings import Setup
    from blackbox_conformal.vendor.adapter import Adapter

_ADDRESS = re.compile(r"https?://[^\s,\"'<>]+", re.IGNORECASE)

CHOOSERS = {"parameters": "adapter", "second_parameters": "second_adapter", "vendors": "vendors"}
"""Options whose text may name an address, and the option for the adapter whose key goes there."""


def confirm_keys(screen: Screen, adapters: "Iterable[Adapter]", options: SpendingOptions) -> None:
    """Show and ask where each adapter's key goes, unless this user's key went there before.

    A user names an address by an option, the environment or his own settings file. An address from a project's settings
    file is asked about, since the project may be a stranger's.
    """
    for adapter in (vendor for each in adapters for vendor in each.members or (each,)):
        for origin in destinations(adapter):
            _confirm(screen, adapter, origin, options)


def destinations(adapter: "Adapter") -> "list[WebOrigin]":
    """List the places to which `adapter` sends a key, the vendor's own address first; empty if it sends none."""
    if not (adapter.key_variable and adapter.base_url):
        return []
    return list(dict.fromkeys(filter(None, map(_origin, (adapter.base_url, *adapter.further_urls)))))


def _confirm(screen: Screen, adapter: "Adapter", where: "WebOrigin", options: SpendingOptions) -> None:
    variables = [name for name in (adapter.key_variable, adapter.secret_variable) if name]
    goes = "goes" if len(variables) == 1 else "go"
    statement = f"{' and '.join(variables)} {goes} to {where.text} (adapter {adapter.name})"
    if not (where.is_private_way or options.insecure_http):
        raise UsageError(
            f"{statement} unencrypted, where anyone on the way can read it; give an https address, or agree with "
            "--insecure-http"
        )
    fixed = (adapter.fixed_url, *adapter.further_urls) if adapter.fixed_url else ()
    fixed_there = where in map(_origin, fixed)
    # A recipe that changed since the user agreed is another one.
    recipe = "" if fixed_there else adapter.identity()["parameters"].get("recipe_digest", "")
    entry = f"{' '.join(variables)} {adapter.name} {where.text} {recipe}".rstrip()
    folder = private_folder("XDG_STATE_HOME", ".local/state")
    file = None if folder is None else folder / "keys"
    try:
        if file is not None and entry in file.read_text(encoding="utf-8").splitlines():
            return
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({error}); delete it, and you are asked again") from None
    named = fixed_there or _is_named(where, _texts(of_project=False))
    origins = [origin_of(name) for pair in CHOOSERS.items() for name in pair if is_of_project(name)]
    told = f", as {origins[0]} says" if origins and not named else ""
    agreed_before = (options.yes and is_typed("yes")) or (options.max_cost is not None and is_typed("max_cost"))
    if named and agreed_before:
        screen.note(statement)
    elif sys.stdin.isatty():
        with screen.paused():
            screen.note(f"{statement}, for the first time{told}")
            agreed = click.confirm("Send it there?", err=True)
        if not agreed:
            raise BudgetError("not agreed to, so the key was not sent, and nothing was spent")
    else:
        way = "--yes" if named else _naming(adapter, where)
        raise UsageError(
            f"{statement} for the first time{told}, and there is no terminal to ask at; "
            + (f"if that is right, add {way}" if way else "run the same command once at a terminal")
        )
    if file is not None:
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(f"{entry}\n")


def _is_named(where: "WebOrigin", texts: Iterable[str]) -> bool:
    return any(text.partition("=")[2] == where.host or where in map(_origin, _ADDRESS.findall(text)) for text in texts)


def _texts(*, of_project: bool) -> Iterator[str]:
    # Only parameters of adapters that the user chose; with `of_project` also a project's file's.
    for name, chooser in CHOOSERS.items():
        if of_project or not (is_of_project(name) or is_of_project(chooser)):
            yield from click.get_current_context().params.get(name) or ()


def _naming(adapter: "Adapter", where: "WebOrigin") -> str:
    # The words include a project's file's choice of vendors; empty if no option could name the address.
    context = click.get_current_context()
    words = []
    for option in context.command.params:
        if option.name in {*CHOOSERS, *CHOOSERS.values()} and is_of_project(option.name):
            value = context.params[option.name]
            for text in (value,) if isinstance(value, str) else value:
                words += [max(option.opts, key=len), text]
    if not _is_named(where, _texts(of_project=True)):
        if (
            "vendors" in context.params
            or "url" not in type(adapter).model_fields
            or [where] != destinations(adapter)[:1]
        ):
            return ""
        second = adapter.name == context.params.get("second_adapter") != context.params.get("adapter")
        words += ["--second" if second else "-p", f"url={where.text}{urlsplit(adapter.base_url).path}"]
    return shlex.join([*words, "--yes"])


def _origin(address: str) -> "WebOrigin | None":
    from blackbox_conformal.drawing.http.address_policy import make_origin

    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        # As the network asks for it: letters of other scripts can look like others.
        return make_origin(parts.scheme, host if host.isascii() else host.encode("idna").decode("ascii"), parts.port)
    except ValueError:
        return None


def way_of_key(name: str, typed: Mapping[str, Any]) -> str:
    """Say which key goes where with these parameters, completed from the example; empty without parameters."""
    from blackbox_conformal.study.plugins import adapter_class, assumed_parameters, load_adapter
    from blackbox_conformal.vendor.example import example_of

    if not typed:
        return ""
    kind = adapter_class(name)
    example, assumed = example_of(kind), assumed_parameters(kind, typed)
    adapter = load_adapter(name, **{**assumed, **typed})
    if not destinations(adapter):
        return "none is sent"
    unnamed = example is not None and example.address in assumed
    places = "the address given" if unnamed else " and ".join(origin.text for origin in destinations(adapter))
    return f"environment variable {adapter.key_variable}, sent to {places}"


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks a person before a job spends anything. `fresh`: the user wants new draws, so other run folders are not
    searched. `notes` come first, after errors in photographs and limits.
    """

    screen: Screen
    options: SpendingOptions
    fresh: bool = False
    notes: Sequence[str] = ()

    def __call__(self, job: "Job", expected: "Estimate") -> None:
        """Look, show what the job would cost, and ask."""
        for note in self.notes:
            self.screen.note(note)
        self.look(job.setup, job.tasks, job.folder, expected)
        self.confirm(expected)

    def look(self, setup: "Setup", tasks: "Sequence[Task]", run: Path, expected: "Estimate") -> None:
        """Refuse a job that cannot succeed or is stored elsewhere; ask where keys go."""
        from blackbox_conformal.drawing.spending.estimate import are_stored, missing_key

        calls = expected.calls
        vendors = [vendor for vendor in (setup.adapter, setup.second) if vendor is not None]
        for vendor in vendors if calls else ():
            error = missing_key(vendor, tasks[0])
            if error is not None:
                raise error
        looked = calls and not self.fresh
        elsewhere = stored_elsewhere(self.screen, setup.adapter, tasks, run, expected.cost_usd) if looked else None
        if elsewhere is not None:
            # A run folder is typed for many reasons, so it alone is no yes to paying twice.
            if spends(expected) and not (self.options.run is not None and self.options.yes):
                raise BudgetError(elsewhere)
            self.screen.note(f"note: {elsewhere}")
        if calls or not are_stored(setup.adapter, tasks, run):
            confirm_keys(self.screen, vendors, self.options)

    def confirm(self, expected: "Estimate") -> None:
        """Show the estimate and ask, unless nothing is spent or the user said yes or set a limit.

        A project's settings file cannot say yes, nor that a call costs nothing.
        """
        from blackbox_conformal.study.plan.planning import Plan

        if not spends(expected):
            given = click.get_current_context().params if expected.calls else {}
            if not any("price" in str(given.get(name)) for name in CHOOSERS if given and is_of_project(name)):
                return
        again = f", and at most {expected.again} more for answers that are asked for again" if expected.again else ""
        price = "unknown" if expected.cost_usd is None else money(*expected.cost_usd)
        if expected.passed_on:
            again = f", and at most {expected.passed_on} more to later vendors of the cascade{again}"
        text = f"{counted(expected.calls, 'call')} to make{again}, {expected.cached} draws stored; price {price}"
        if isinstance(expected, Plan):
            text += (
                f" in US dollars: {expected.price_rule}" if expected.cost_usd is None and expected.price_rule else ""
            )
            text += f"; disk {mebibytes(expected.disk_bytes)}, memory {mebibytes(expected.memory_bytes)}"
            text += "" if expected.seconds is None else f"; about {expected.seconds:.0f} s at the allowed rate"
        self.screen.note(text)
        if self.options.yes or (self.options.max_cost is not None and not is_of_project("max_cost")):
            return
        if not sys.stdin.isatty():
            if expected.cost_usd is None:
                way = f"The price is unknown: add --yes --max-calls {expected.calls}, or -p price-usd=… and --max-cost"
            elif expected.cached:
                way = (
                    f"The estimate is {price} more: add --yes, or --max-cost for all these draws, earlier ones included"
                )
            else:
                way = f"The estimate is {price}: add --max-cost {limit_above(expected.cost_usd[1])}, or --yes"
            raise BudgetError(f"cannot ask for confirmation here, since there is no terminal. {way}")
        with self.screen.paused():
            agreed = click.confirm("Spend this?", err=True)
        if not agreed:
            raise BudgetError(
                "not agreed to, so nothing was sent and nothing was spent; --max-cost sets a limit beforehand"
            )


def refuse_limit_of_project() -> None:
    """Refuse to spend unasked under limits that only a project's settings file sets."""
    values = click.get_current_context().params
    given = [name for limit in LIMITS if values.get(name := limit.replace("-", "_")) is not None]
    if given and all(map(is_of_project, given)):
        raise BudgetError(
            f"expected a limit from you, since {origin_of(given[0])} can lower one and agrees to none. Type --max-cost "
            "USD, --max-cost-per-day USD or --max-calls NUMBER"
        )


def spends(expected: "Estimate") -> bool:
    """Tell whether calls will be made that cost something, or might."""
    from blackbox_conformal.drawing.spending.estimate import costs

    return costs(expected.calls, expected.cost_usd)


def stored_elsewhere(
    screen: Screen, adapter: "Adapter", tasks: "Sequence[Task]", run: Path, cost_usd: tuple[Decimal, Decimal] | None
) -> str | None:
    """Say which draws are stored in another run folder; `cost_usd` is the price of making them in `run`."""
    from blackbox_conformal.cli.next_steps import again
    from blackbox_conformal.drawing.spending.estimate import stored_elsewhere

    other = stored_elsewhere(adapter, tasks, run, screen.note)
    if other is None:
        return None
    line = shlex.join(["blackbox-conformal", *again(without={"run"}), "--run", str(other.folder)])
    cost = "at an unknown price" if cost_usd is None else f"for {money(*cost_usd)}"
    return (
        f"{other.count} of these {len(tasks)} draws are stored in {other.folder}, and draws are shared only within a "
        f"run folder, here {run}. To use them: {line} (to draw all that {run} lacks {cost}, which buys them again, add "
        f"--run {shlex.quote(str(run))} --yes)"
    )
