"""Where a vendor's key will go: asked the first time that a user's key goes to an address."""

import os
import re
import shlex
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from blackbox_conformal.cli.config_file import is_typed
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.options import SpendingOptions
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.files import private_folder

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter
    from blackbox_conformal.sampling.http.address_policy import Origin

_ADDRESS = re.compile(r"https?://[^\s,\"'<>]+", re.IGNORECASE)


def confirm_keys(
    screen: Screen, adapters: "Iterable[Adapter]", options: SpendingOptions, typed: Collection[str]
) -> None:
    """Show and ask where the key of each adapter goes, unless this user's key went there before.

    `typed` is the text in which the user may have named an address.

    Raises
    ------
    UsageError
        The key would go to another machine unencrypted; or it would go to an address that the user did not name, and
        there is no terminal to ask at.
    BudgetError
        The answer is no.
    """
    for adapter in adapters:
        origin = destination(adapter)
        if origin is not None:
            _confirm(screen, adapter, origin, options, typed)
            giver = _origin(adapter.token_url) if adapter.token_url else None
            if giver is not None and giver != origin:
                _confirm(screen, adapter, giver, options, typed)


def destination(adapter: "Adapter") -> "Origin | None":
    """Where requests of `adapter` carry a key; None when they carry none."""
    return _origin(adapter.base_url) if adapter.key_variable and adapter.base_url else None


def _confirm(
    screen: Screen, adapter: "Adapter", where: "Origin", options: SpendingOptions, typed: Collection[str]
) -> None:
    variables = [name for name in (adapter.key_variable, adapter.secret_variable) if name]
    goes = "goes" if len(variables) == 1 else "go"
    statement = f"{' and '.join(variables)} {goes} to {where.text} (adapter {adapter.name})"
    if not (where.is_private_way or options.insecure_http):
        raise UsageError(
            f"{statement} unencrypted, where anyone on the way can read it; give an https address, or agree with "
            "--insecure-http"
        )
    entry = f"{' '.join(variables)} {adapter.name} {where.text}"
    if entry in _agreed():
        return
    fixed = (adapter.fixed_url, adapter.token_url) if adapter.fixed_url else ()
    named = where in map(_origin, filter(None, fixed)) or _is_named(where, typed)
    agreed_before = (options.yes and is_typed("yes")) or (options.max_cost is not None and is_typed("max_cost"))
    if named and agreed_before:
        screen.note(statement)
    elif sys.stdin.isatty():
        with screen.paused():
            screen.note(f"{statement}, for the first time")
            agreed = click.confirm("Send it there?", err=True)
        if not agreed:
            raise BudgetError("not agreed to, so the key was not sent, and nothing was spent")
    else:
        way = "--yes" if named else ""
        if not named and "url" in type(adapter).model_fields and where == destination(adapter):
            way = f"-p {shlex.quote(f'url={where.text}{urlsplit(adapter.base_url).path}')} --yes"
        raise UsageError(
            f"{statement} for the first time, and there is no terminal to ask at; "
            + (f"if that is right, add {way}" if way else "run the same command once at a terminal")
        )
    _remember(entry)


def _is_named(where: "Origin", typed: Collection[str]) -> bool:
    """Whether the user named the address, or its host alone, in a parameter."""
    addresses = (_origin(address) for text in typed for address in _ADDRESS.findall(text))
    return where in addresses or any(text.partition("=")[2] == where.host for text in typed)


def _origin(address: str) -> "Origin | None":
    from blackbox_conformal.sampling.http.address_policy import make_origin

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
