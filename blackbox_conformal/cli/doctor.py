"""`doctor`: a search for faults of this machine before money is spent."""

import os
import shutil
import sqlite3
import ssl
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli import values
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError
from blackbox_conformal.support.secrets import redact

_ADAPTER = "adapter "


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """What was looked at, and how it is."""

    subject: str
    state: str
    detail: str


@click.command("doctor")
@shared.option("--run", type=shared.FOLDER, default="runs", help="Folder that holds the run folders.")
@shared.option("--ledger", type=values.ledger_address, metavar="ADDRESS", help="PostgreSQL ledger to look at, too.")
@shared.option("--cluster", type=values.cluster_place, metavar="local:N|ADDRESS", help="Workers to look at, too.")
@shared.output
def command(screen: Screen, run: str, ledger: str | None, cluster: str | None) -> None:
    """Clock, proxy, TLS, disk, file system, kernel cache, keys (never their value), adapters, other packages."""
    from blackbox_conformal.method.kernels._jit import cache_directory
    from blackbox_conformal.study.plugins import describe_member
    from blackbox_conformal.support import catalog

    run_folder = Path(run)
    ledgers = [*_ledgers(run_folder), *_database(ledger)]
    sqlite = DoctorFinding("SQLite", "ok", f"{sqlite3.sqlite_version}; Python {sys.version.split()[0]}")
    cache = cache_directory(version("numba"))
    none = "none can be written: kernels are compiled anew each time (some seconds)"
    kernels = DoctorFinding("kernel cache", "ok" if cache else "note", str(cache or none))
    machine = [*_way_out(), *_disk(run_folder), sqlite, *ledgers, kernels, *_cluster(cluster)]
    members = [
        DoctorFinding(f"{catalog.kind_of(family)} {listing.name}", "note", f"does not load: {error}")
        for family in catalog.FAMILIES
        if family != "adapters"
        for listing in catalog.listings(family)
        if (error := describe_member(family, listing)["error"])
    ]
    adapters = _adapters()
    _show(screen, "This machine", "subject", machine)
    _show(screen, "\nMembers of other packages that do not load", "member", members)
    _show(
        screen, "\nAdapters that do not load", "adapter", [finding for finding in adapters if finding.state == "note"]
    )
    lines = [
        f"{finding.subject.removeprefix(_ADAPTER)}: {finding.detail.partition(';')[0]}"
        for finding in adapters
        if finding.state == "ok"
    ]
    screen.say("\nAdapters that can draw now\n  " + "\n  ".join(lines or ["none"]))
    if without_key := sum(finding.state == "no key" for finding in adapters):
        screen.say(f"  {without_key} more lack their key; `blackbox-conformal list adapters NAME` says how to set it")
    findings = [*machine, *members, *adapters]
    screen.data([{**asdict(finding), "detail": redact(finding.detail)} for finding in findings])
    screen.next("list", "adapters")
    unfit = [finding.subject for finding in findings if finding.state == "broken"]
    if unfit:
        raise CheckFailedError(
            f"this machine is not ready to spend money: {', '.join(unfit)}; the table says what is wrong with each"
        )


def _show(screen: Screen, title: str, subject: str, findings: list[DoctorFinding]) -> None:
    if findings:
        rows = [[finding.subject, finding.state, finding.detail] for finding in findings]
        screen.table(title, [subject, "state", "detail"], rows)


def _way_out() -> list[DoctorFinding]:
    now = datetime.now(UTC)
    clock = "ok" if now.year >= 2025 and time.monotonic() > 0 else "broken"
    proxies = {name: value for name, value in urllib.request.getproxies().items() if name != "no"}
    shown = ", ".join(f"{name} {redact(value)}" for name, value in sorted(proxies.items()))
    without = os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))
    proxy = f"{shown}; NO_PROXY={without}" if proxies else "none; calls go out directly"
    certificates = os.environ.get("SSL_CERT_FILE", "not set")
    return [
        DoctorFinding("clock", clock, f"{now.isoformat(timespec='seconds')}; signed links need it"),
        DoctorFinding("proxy", "note" if proxies else "ok", proxy),
        DoctorFinding("TLS", "ok", f"{ssl.OPENSSL_VERSION}; SSL_CERT_FILE={certificates}"),
    ]


def _disk(run: Path) -> list[DoctorFinding]:
    from blackbox_conformal.drawing.ledger.run_lock import file_system, is_network

    folder = run.resolve()
    while not folder.exists():
        folder = folder.parent
    free, kind = shutil.disk_usage(folder).free, file_system(folder)
    room = "ok" if free > 2**30 and os.access(folder, os.W_OK) else "broken"
    local = DoctorFinding("file system", "ok", f"{kind or 'unknown'}, local")
    if is_network(kind):
        said = f"{kind}: a ledger on a network file system can lose payments; use a local --run"
        local = DoctorFinding("file system", "broken", said)
    return [DoctorFinding("disk", room, f"{free / 2**30:.1f} GiB free at {folder}"), local]


def _ledgers(run: Path) -> list[DoctorFinding]:
    from blackbox_conformal.cli.run_folders import ledgers_below

    ledgers = ledgers_below(run)
    fit = sum(trouble is None for _, trouble in ledgers)
    empty = "holds nothing: a run was interrupted before it began"
    return [DoctorFinding("ledgers", "ok", f"{fit} below {run} can be read")] + [
        DoctorFinding(f"ledger in {folder}", "broken" if trouble else "note", trouble or empty)
        for folder, trouble in ledgers
        if trouble is not None
    ]


def _database(ledger: str | None) -> list[DoctorFinding]:
    from blackbox_conformal.drawing.ledger.addresses import LEDGERS
    from blackbox_conformal.drawing.ledger.backends import inspect_database

    if ledger is None:
        return []
    address = LEDGERS.name(ledger)
    try:
        parts = inspect_database(address)
    except BlackboxConformalError as error:
        return [DoctorFinding(f"ledger {address}", "broken", str(error))]
    return [
        DoctorFinding(f"ledger {address}", "ok", "it is reached"),
        *(DoctorFinding(f"ledger: {part}", "broken" if unfit else "ok", detail) for part, detail, unfit in parts),
    ]


def _cluster(place: str | None) -> list[DoctorFinding]:
    from blackbox_conformal.study.stages.cluster import Cluster, dask_version

    installed = dask_version()
    if place is None and installed is None:
        return [DoctorFinding("Dask", "note", "--cluster needs it: pip install 'blackbox-conformal[dask]'")]
    if place is None:
        return [DoctorFinding("Dask", "ok", f"distributed {installed}")]
    try:
        with Cluster(place) as cluster:
            most = cluster.memory_for_one
            room = "without a limit on memory" if most is None else f"{most >> 20} MiB for a picture"
            return [
                DoctorFinding(f"cluster {place}", "ok", f"{len(cluster.workers)} workers of these versions, {room}")
            ]
    except BlackboxConformalError as error:
        return [DoctorFinding(f"cluster {place}", "broken", str(error))]


def _adapters() -> list[DoctorFinding]:
    from blackbox_conformal.study.plugins import adapter_names, readiness

    return [DoctorFinding(f"{_ADAPTER}{name}", *readiness(name)) for name in adapter_names()]
