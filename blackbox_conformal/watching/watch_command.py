"""`watch`: one visit to the vendor of a calibration; exit 3 when it changed, 6 when that could not be told."""

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli import from_options, next_steps
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, limit_above
from blackbox_conformal.cli.from_options import photograph_paths
from blackbox_conformal.cli.sign import load_calibration, load_signing_key, trusted
from blackbox_conformal.drawing.http.posting import UndeliveredError, post
from blackbox_conformal.errors import CredentialMissingError, IncompleteError, SuspendedError, UsageError
from blackbox_conformal.study.settings_table import NOTICES, WatchSettings
from blackbox_conformal.support import catalog
from blackbox_conformal.support.secrets import Secret, read_credential, redact
from blackbox_conformal.support.text import printable
from blackbox_conformal.watching.records import Entry
from blackbox_conformal.watching.watch_file import WatchFile

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.watching.visit.visiting import VisitResult

# Tells people of a calibration's new state: by a command, a web address, or whatever apprise knows.

Channel = Callable[[dict[str, Any]], None]  # Delivers one notice; raises whatever goes wrong.
TRIES = 3
_PAUSES_S = (1.0, 3.0)
_TIMEOUT_S = 20.0

_LONGEST = 300


def command_channel(words: Sequence[str]) -> Channel:
    """Make a channel that runs a program with these arguments, without a shell, and writes the notice to its stdin."""

    def deliver(notice: dict[str, Any]) -> None:
        content = json.dumps(notice).encode() + b"\n"
        # Without a shell no notice can add a command.
        ended = subprocess.run(list(words), input=content, capture_output=True, timeout=_TIMEOUT_S, check=False)
        if ended.returncode:
            said = ended.stderr.decode("utf-8", "replace").strip()
            raise UndeliveredError(f"it ended with {ended.returncode}: {said or 'it said nothing'}")

    return deliver


def webhook_channel(address: Secret) -> Channel:
    """Make a channel that posts the notice as JSON to a web address; see `post`."""

    def deliver(notice: dict[str, Any]) -> None:
        post(address.reveal(), json.dumps(notice).encode(), {"Content-Type": "application/json"})

    return deliver


def apprise_channel(address: Secret) -> Channel:
    """Make a channel that sends the notice's title and text with the library apprise, an extra."""

    def deliver(notice: dict[str, Any]) -> None:
        try:
            service = import_module("apprise").Apprise()
        except ImportError:
            raise UndeliveredError("apprise is not installed: pip install 'blackbox-conformal[apprise]'") from None
        if not service.add(address.reveal()):
            raise UndeliveredError("apprise knows no such address; its pages list those that it does")
        if not service.notify(title=notice["title"], body=notice["text"]):
            raise UndeliveredError("apprise could not send it")

    return deliver


def notice_of(entry: Entry, calibration: str, file: str) -> dict[str, Any]:
    """Return the notice of a change of state."""
    return {
        "title": f"calibration {entry.state}: {file}",
        "text": f"{file} is {entry.state} since {entry.at}: {entry.reason}",
        "state": entry.state,
        "at": entry.at,
        "reason": entry.reason,
        "calibration": calibration,
        "file": file,
    }


def deliver(
    file: WatchFile,
    calibration: str,
    named: str,
    channels: Mapping[str, Channel],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Send each channel the notices that it lacks, and return the failures in words.

    `named`: The calibration's file, as notices name it.
    `channels`: ``command``, ``webhook`` or ``apprise`` → channel.
    """
    troubles = []
    for name, channel in channels.items():
        for entry in file.untold(calibration, name):
            error = None
            # No pause after the last try.
            for pause in (*_PAUSES_S, 0.0)[:TRIES]:
                try:
                    channel(notice_of(entry, calibration, named))
                except Exception as failed:  # noqa: BLE001 - whatever fails, the visit is made and the notice is kept
                    # Only our own words: a library's error may quote the address, which may be secret.
                    said = str(failed) if isinstance(failed, UndeliveredError) else type(failed).__name__
                    error = printable(redact(said), _LONGEST)
                    sleep(pause)
                else:
                    error = None
                    break
            # The next visit sends a failed notice again, with the words that it was not delivered.
            file.note_notice(entry.id, name, error)
            if error is not None:
                troubles.append(f"the notice to the {name} was not delivered and is kept for the next visit: {error}")
                # In order: a later notice must not arrive before one that waits.
                break
    return troubles


SEES = "a program sees the state itself"


@dataclass(frozen=True, kw_only=True)
class WatchOptions(shared.VendorOptions, shared.TermsOptions):
    images: tuple[str, ...] = shared.photographs(required=False)
    calibration: str | None = shared.calibration()
    trust: tuple[str, ...] = shared.setting()
    sign_with: str | None = shared.setting(type=shared.FILE)
    canaries: int | None = shared.setting()
    level: float | None = shared.setting()
    fresh: tuple[str, ...] = shared.setting(type=shared.PicturesPath(exists=True))
    fresh_each: int = shared.setting()
    alpha: float | None = shared.setting()
    max_cost_in_all: Decimal | None = shared.setting()
    plan: bool = shared.declared(
        "--plan",
        is_flag=True,
        main=True,
        no_keyword=shared.SCREEN,
        help="Say what a visit and a month cost, and how fast a change is found. Nothing is sent.",
    )
    page: str | None = shared.declared(
        "--page",
        type=shared.NEW_FILE,
        metavar="FILE",
        main=True,
        no_keyword=shared.SCREEN,
        help="After the visit, write an HTML page of the watch: evidence, canaries before and now, what moved, alarms.",
    )
    page_only: str | None = shared.flag(
        "--page-only",
        type=shared.NEW_FILE,
        metavar="FILE",
        no_keyword=shared.SCREEN,
        help="Write that page and make no visit.",
    )
    force: bool = shared.force()
    opened: bool = shared.opened()
    demo: bool = shared.flag(
        "--demo",
        is_flag=True,
        main=True,
        no_keyword="for a first look",
        help="Show a planted change being found, on a vendor of this machine. No key, no network.",
    )
    accept: str | None = shared.flag(
        "--accept",
        main=True,
        no_keyword="a person decides",
        metavar="REASON",
        help="Say why the calibration is used after an alarm; the next visit begins a new watch. Nothing is sent.",
    )
    notify_command: str | None = shared.flag(
        "--notify-command",
        group=NOTICES,
        no_keyword=SEES,
        metavar="'PROGRAM WORD…'",
        help="Start this program, without a shell, when the state changes; it gets the notice as JSON on stdin.",
    )
    notify_webhook: str | None = shared.flag(
        "--notify-webhook",
        group=NOTICES,
        no_keyword=SEES,
        metavar="VARIABLE",
        help="Post the notice as JSON to the address in this environment variable, or in the file VARIABLE_FILE names.",
    )
    notify_apprise: str | None = shared.flag(
        "--notify-apprise",
        metavar="VARIABLE",
        group=NOTICES,
        no_keyword=SEES,
        help="The same with an address of apprise; needs the extra apprise.",
    )

    @property
    def file(self) -> str:
        """Return the calibration's file."""
        if self.calibration is None:
            raise UsageError("expected --calibration FILE, or --demo to see how it works; got neither")
        return self.calibration


@shared.command(
    "watch",
    WatchOptions,
    WatchSettings,
    only_typed=shared.FIXED,
    examples=(
        "blackbox-conformal watch photographs/ --calibration runs/NAME/calibration.json --plan",
        "blackbox-conformal watch --calibration runs/NAME/calibration.json --max-cost 1",
    ),
)
def command(screen: Screen, options: WatchOptions) -> None:
    """Visit the vendor of a calibration once: exit 0 the same, 3 changed, 6 could not tell.

    Run it as often as you like, from cron or a workflow; missed and extra visits cost no validity. The first visit
    chooses canaries from IMAGES, the photographs that were calibrated. --max-cost is for one visit. After an alarm
    the calibration is suspended or void, and `mask` refuses it.
    """
    from blackbox_conformal.watching.visit.fresh_photographs import Reserve
    from blackbox_conformal.watching.visit.visiting import VisitRequest, outlook, visit

    if options.demo:
        watch_demo = catalog.hook("watch_demo")
        watch_demo.show(screen, Path(options.run or watch_demo.FOLDER), opened=options.opened)
        return
    # Plan and accept make no visit that a page could show.
    for name in ("plan", "accept"):
        if getattr(options, name) and (options.page or options.page_only):
            raise UsageError(f"expected a page without --{name}, which makes no visit; give --page-only FILE by itself")
    calibration = load_calibration(screen, options.file, options.trust)
    channels = _channels(options)
    if options.accept is not None:
        _accept(screen, options, calibration, channels)
        return
    if options.page_only is not None:
        written = _write_page(screen, options, calibration, options.page_only)
        screen.next(*_watch(options), *from_options.blanks(calibration.procedure.vendor, "watch"))
        screen.data({"page": written})
        return
    # Before the visit is paid: a page that cannot be written would be missed afterwards.
    if options.page is not None and not options.force:
        catalog.hook("pages").refuse_foreign_watch(Path(options.page), calibration)
    setup = from_options.calibrated_setup(calibration, options)
    run = from_options.calibrated_folder(screen, options, calibration.procedure, options.file)
    reserve = None
    if options.fresh and options.alpha is not None:
        reserve = Reserve(calibration, photograph_paths(options.fresh), options.alpha, options.fresh_each)
    elif options.alpha is not None:
        raise UsageError("expected --fresh PHOTOGRAPHS beside --alpha: they are measured at that level")
    elif options.fresh:
        raise UsageError("expected --alpha LEVEL beside --fresh: the level that masks are made at")
    request = VisitRequest(
        calibration,
        Path(options.file),
        photograph_paths(options.images) if options.images else (),
        options.canaries,
        options.level,
        reserve,
        options.max_cost_in_all,
        # A plan writes nothing, so it needs no passphrase.
        None if options.plan else load_signing_key(screen, options.sign_with),
        trusted(options.trust),
    )
    with from_options.job_terms(screen, options, run) as terms:
        if options.plan:
            planned = outlook(request, setup, terms)
            screen.show(planned.blocks())
            words = next_steps.with_calibration("watch", "", options.file, setup.adapter, options)
            costs = [one.cost_usd[1] for one in (planned.next_visit, planned.later_visit) if one.cost_usd]
            limit = ["--max-cost", limit_above(max(costs))] if max(costs, default=0) else []
            screen.next(words[0], *options.images, *words[2:], *next_steps.typed("run"), *limit)
            screen.data(planned.document())
            return
        result = visit(request, setup, terms)
    screen.show(result.blocks(options.file))
    if result.state == "watched" and options.page is None:
        screen.next(*_watch(options), "--page-only", "watch.html")
    _tell(screen, options, calibration, channels)
    try:
        page = None if options.page is None else _write_page(screen, options, calibration, options.page)
        screen.data({"calibration": options.file, **result.document(), "page": page})
    finally:
        # A changed vendor counts for more than a page that could not be written.
        _end(result, options.file)


def _watch(options: WatchOptions) -> list[str]:
    return ["watch", "--calibration", options.file, *next_steps.typed("run", "ledger")]


def _write_page(screen: Screen, options: WatchOptions, calibration: "Calibration", page: str) -> str:

    file, run = Path(options.file), from_options.folder_of(options, calibration.procedure, options.file)
    keys = trusted(options.trust)
    from_options.place(options, run)
    written = catalog.hook("pages").write_watch_page(
        calibration, file, run, Path(page), trusted=keys, force=options.force
    )
    screen.say(str(written))
    next_steps.offer(screen, written, opened=options.opened)
    return str(written.resolve())


def _channels(options: WatchOptions) -> "dict[str, Channel]":

    channels: dict[str, Channel] = {}
    if options.notify_command is not None:
        words = shlex.split(options.notify_command)
        if not words:
            raise UsageError("expected --notify-command 'PROGRAM WORD…'; got no words")
        channels["command"] = command_channel(words)
    if options.notify_webhook is not None:
        channels["webhook"] = webhook_channel(_address("--notify-webhook", options.notify_webhook))
    if options.notify_apprise is not None:
        channels["apprise"] = apprise_channel(_address("--notify-apprise", options.notify_apprise))
    return channels


def _address(option: str, variable: str) -> "Secret":
    try:
        return read_credential(variable, "")
    except CredentialMissingError:
        # The user may have typed the address itself, with a secret in it.
        named = f"{variable} is not set" if variable.isidentifier() else "what was typed is no name of a variable"
        raise UsageError(
            f"expected {option} to name an environment variable that holds the address, which may hold a secret and so "
            f"is never typed; {named}. Such as: export WATCH_ADDRESS=https://…, then {option} WATCH_ADDRESS"
        ) from None


def _tell(screen: Screen, options: WatchOptions, calibration: "Calibration", channels: "dict[str, Channel]") -> None:
    from blackbox_conformal.watching.watch_file import WatchFile, watch_path

    if channels:
        with WatchFile(watch_path(Path(options.file))) as file:
            for trouble in deliver(file, calibration.digest, options.file, channels):
                screen.note(f"warning: {trouble}")


def _accept(screen: Screen, options: WatchOptions, calibration: "Calibration", channels: "dict[str, Channel]") -> None:
    from blackbox_conformal.watching.concluding import accept
    from blackbox_conformal.watching.visit.visit_documents import refuse_unsigned_visit
    from blackbox_conformal.watching.watch_file import WatchFile, watch_path

    key = load_signing_key(screen, options.sign_with)
    refuse_unsigned_visit(calibration, key)
    with WatchFile(watch_path(Path(options.file)), make=False, key=key) as file:
        # Checked before it is accepted, so that nothing is built on an edited file.
        file.check(calibration, trusted(options.trust).with_own(key))
        entry = accept(file, calibration.digest, options.accept or "")
    screen.say(f"accepted at {entry.at}: {entry.reason}")
    screen.say("Certificates say so from now on. The next visit begins a new watch, against the vendor as it is then.")
    _tell(screen, options, calibration, channels)
    screen.data({"state": entry.state, "at": entry.at, "reason": entry.reason})


def _end(result: "VisitResult", calibration: str) -> None:
    if result.state in ("suspended", "void"):
        raise SuspendedError(
            f"the calibration is {result.state}. Calibrate again, or say why you use it nevertheless: "
            f"blackbox-conformal watch --calibration {calibration} --accept REASON"
        )
    unknown = [finding.layer for finding in result.findings if finding.verdict == "cannot tell"]
    if unknown:
        raise IncompleteError(
            f"it could not be told whether the vendor changed: {', '.join(unknown)}. Visit again later"
        )
