"""`doctor`: what could be wrong with this machine, looked at before money is spent."""

import os
import shutil
import sqlite3
import ssl
import sys
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.redaction import redact


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    state: str
    detail: str


@click.command("doctor")
@shared.option("--run", type=click.Path(file_okay=False), default="runs", show_default=True, help="Folder of the runs.")
@shared.output
def command(run: str, **options: Any) -> None:
    """Clock, proxy, TLS, disk, file system, kernel cache, keys present (never their value), adapters."""
    from blackbox_conformal.errors import CheckFailedError

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    findings = [_clock(), _proxy(), _tls(), *_disk(Path(run)), _sqlite(), _kernels(), *_adapters()]
    screen.table("Doctor", ["subject", "state", "detail"], [[one.subject, one.state, one.detail] for one in findings])
    screen.data([{"subject": one.subject, "state": one.state, "detail": redact(one.detail)} for one in findings])
    broken = [one.subject for one in findings if one.state == "broken"]
    if broken:
        raise CheckFailedError(f"not fit to spend money: {', '.join(broken)}")


def _clock() -> Finding:
    now = datetime.now(UTC)
    plausible = now.year >= 2025 and time.monotonic() > 0
    return Finding(
        "clock", "ok" if plausible else "broken", f"{now.isoformat(timespec='seconds')}; signed links need it"
    )


def _proxy() -> Finding:
    proxies = {name: value for name, value in urllib.request.getproxies().items() if name != "no"}
    if not proxies:
        return Finding("proxy", "ok", "none; calls go out directly")
    shown = ", ".join(f"{name} {redact(value)}" for name, value in sorted(proxies.items()))
    return Finding("proxy", "note", f"{shown}; NO_PROXY={os.environ.get('NO_PROXY', os.environ.get('no_proxy', ''))}")


def _tls() -> Finding:
    return Finding("TLS", "ok", f"{ssl.OPENSSL_VERSION}; SSL_CERT_FILE={os.environ.get('SSL_CERT_FILE', 'not set')}")


def _disk(run: Path) -> list[Finding]:
    from blackbox_conformal.sampling.mounts import file_system, is_network

    folder = run.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    kind = file_system(folder)
    shared = is_network(kind)
    writable = os.access(folder, os.W_OK)
    return [
        Finding("disk", "ok" if free > 2**30 and writable else "broken", f"{free / 2**30:.1f} GiB free at {folder}"),
        Finding(
            "file system",
            "broken" if shared else "ok",
            f"{kind}: a ledger on a network file system can lose payments; use a local --run"
            if shared
            else f"{kind or 'unknown'}, local",
        ),
    ]


def _sqlite() -> Finding:
    return Finding("SQLite", "ok", f"{sqlite3.sqlite_version}; Python {sys.version.split()[0]}")


def _kernels() -> Finding:
    from importlib.metadata import version

    from blackbox_conformal.kernels._cache import cache_directory

    folder = cache_directory(version("numba"))
    if folder is None:
        return Finding(
            "kernel cache", "note", "none can be written: kernels are compiled anew each time (some seconds)"
        )
    return Finding("kernel cache", "ok", str(folder))


def _adapters() -> list[Finding]:
    from blackbox_conformal.plugins import adapter_names, describe

    findings = []
    for name in adapter_names():
        one = describe(name)
        if one.get("error"):
            findings.append(Finding(f"adapter {name}", "note", f"does not load: {one['error']}"))
            continue
        variable = one["auth_variable"]
        present = variable and (os.environ.get(variable) or os.environ.get(f"{variable}_FILE"))
        key = "no key needed" if not variable else f"{variable} {'is set' if present else 'is not set'}"
        findings.append(Finding(f"adapter {name}", "ok", f"{key}; from {one['origin']}"))
    return findings
