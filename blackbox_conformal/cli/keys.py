"""Where a vendor's key will go, and who said so: asked the first time that a user's key goes to an address.

Which requests carry a key is the adapter's business, and that a key goes nowhere else the transport's.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from blackbox_conformal.cli.config_file import is_typed
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.files import private_folder

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter
    from blackbox_conformal.sampling.http.address_policy import Origin

_ADDRESS = re.compile(r"https?://[^\s,\"'<>]+", re.IGNORECASE)


def confirm_keys(screen: Screen, adapters: "Iterable[Adapter | None]", options: dict[str, Any]) -> None:
    """Show and ask where the key of each adapter goes, unless this user's key went there before.

    Raises
    ------
    UsageError
        The key would go to another machine unencrypted; or it would go to an address that the user did not name, and
        there is nobody to ask.
    BudgetError
        The answer is no.
    """
    for adapter in adapters:
        where = None if adapter is None else destination(adapter)
        if adapter is not None and where is not None:
            _confirm(screen, adapter, where, options)


def destination(adapter: "Adapter") -> "Origin | None":
    """Where requests of `adapter` carry a key; None when they carry none."""
    return _origin(adapter.base_url) if adapter.key_variable and adapter.base_url else None


def _confirm(screen: Screen, adapter: "Adapter", where: "Origin", options: dict[str, Any]) -> None:
    told = f"{adapter.key_variable} goes to {where.text} (adapter {adapter.name})"
    if not (where.is_private_way or options["insecure_http"]):
        raise UsageError(
            f"{told} unencrypted, where anyone on the way can read it; give an https address, or agree with "
            "--insecure-http"
        )
    entry = f"{adapter.key_variable} {adapter.name} {where.text}"
    if entry in _agreed():
        return
    named = where == _origin(adapter.fixed_url) or _is_named(where, options)
    if named and any(options[one] not in (None, False) and is_typed(one) for one in ("yes", "max_cost")):
        screen.note(told)
    elif sys.stdin.isatty():
        with screen.paused():
            screen.note(f"{told}, for the first time")
            agreed = click.confirm("Send it there?", err=True)
        if not agreed:
            raise BudgetError("not agreed to, so the key was not sent, and nothing was spent")
    else:
        way = "--yes" if named else ""
        if not named and "url" in type(adapter).model_fields:
            way = f"-p {shlex.quote(f'url={where.text}{urlsplit(adapter.base_url).path}')} --yes"
        raise UsageError(
            f"{told} for the first time, and there is no terminal to ask at; "
            + (f"if that is right, add {way}" if way else "run the same command once at a terminal")
        )
    _remember(entry)


def _is_named(where: "Origin", options: dict[str, Any]) -> bool:
    """Whether the user named the address, or its host alone, in a parameter."""
    given = [text for name in ("parameters", "second_parameters", "vendors") for text in options.get(name) or ()]
    addresses = (_origin(address) for text in given for address in _ADDRESS.findall(text))
    return where in addresses or any(text.partition("=")[2] == where.host for text in given)


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
    """Variable, adapter and address, one agreement a line."""
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
