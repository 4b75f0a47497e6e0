"""Where a vendor's key will go: asked the first time that a user's key goes to an address."""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from blackbox_conformal.cli.config_file import is_of_project, is_typed, origin_of
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.options import SpendingOptions
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.support.files import private_folder

if TYPE_CHECKING:
    from blackbox_conformal.drawing.http.address_policy import WebOrigin
    from blackbox_conformal.vendor.adapter import Adapter

_ADDRESS = re.compile(r"https?://[^\s,\"'<>]+", re.IGNORECASE)

CHOOSERS = {"parameters": "adapter", "second_parameters": "second_adapter", "vendors": "vendors"}
"""Options whose text may name an address, and the option that chooses the adapter, and so the key, that goes there."""


def confirm_keys(screen: Screen, adapters: "Iterable[Adapter]", options: SpendingOptions) -> None:
    """Show and ask where the key of each adapter goes, unless this user's key went there before.

    The user names an address by an option of the command line, by the environment, or in his own settings file. What a
    project's settings file names is asked about, since the project may be somebody else's.
    """
    for adapter in (vendor for each in adapters for vendor in each.members or (each,)):
        for origin in destinations(adapter):
            _confirm(screen, adapter, origin, options)


def destinations(adapter: "Adapter") -> "list[WebOrigin]":
    """Where requests of `adapter` carry a key, the vendor's own address first; nowhere when they carry none."""
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
    # A recipe that says something else than when the user agreed is another one.
    recipe = "" if fixed_there else adapter.identity()["parameters"].get("recipe_digest", "")
    entry = f"{' '.join(variables)} {adapter.name} {where.text} {recipe}".rstrip()
    if entry in _agreed():
        return
    named = fixed_there or _is_named(where, _texts(of_project=False))
    told = "" if named else _told_by()
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
    _remember(entry)


def _is_named(where: "WebOrigin", texts: Iterable[str]) -> bool:
    """Whether parameters name the address, or its host alone."""
    return any(text.partition("=")[2] == where.host or where in map(_origin, _ADDRESS.findall(text)) for text in texts)


def _texts(*, of_project: bool) -> Iterator[str]:
    """The parameters that the user set for adapters that he chose; `of_project`: those of a project's file, too."""
    for name, chooser in CHOOSERS.items():
        if of_project or not (is_of_project(name) or is_of_project(chooser)):
            yield from click.get_current_context().params.get(name) or ()


def _told_by() -> str:
    """Which project's file chose the adapter or its parameters, as the end of a sentence."""
    told = [origin_of(name) for pair in CHOOSERS.items() for name in pair if is_of_project(name)]
    return f", as {told[0]} says" if told else ""


def _naming(adapter: "Adapter", where: "WebOrigin") -> str:
    """Options that name the address on the command line, what a project's file says of vendors among them.

    Empty where no option of the command could.
    """
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
        # As it is asked for on the network: letters of other scripts can look like others.
        return make_origin(parts.scheme, host if host.isascii() else host.encode("idna").decode("ascii"), parts.port)
    except ValueError:
        return None


def _file() -> Path | None:
    folder = private_folder("XDG_STATE_HOME", ".local/state")
    return None if folder is None else folder / "keys"


def _agreed() -> frozenset[str]:
    """What was agreed to: variable, adapter and address of each."""
    file = _file()
    try:
        return frozenset(file.read_text(encoding="utf-8").splitlines()) if file is not None else frozenset()
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({error}); delete it, and you are asked again") from None


def _remember(entry: str) -> None:
    file = _file()
    if file is not None:
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(f"{entry}\n")


def way_of_key(name: str, typed: Mapping[str, Any]) -> str:
    """Which key goes where with these parameters, completed from the example; empty without parameters."""
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
