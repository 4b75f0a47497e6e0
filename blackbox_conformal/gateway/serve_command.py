"""`serve`: a calibrated vendor behind an HTTP server, for clients that exist already; `serve token`: who may use it."""

import functools
import importlib.util
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import from_options, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.consent import confirm_keys, refuse_limit_of_project
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import listening
from blackbox_conformal.cli.sign import load_calibration, load_certified_key, load_signing_key
from blackbox_conformal.errors import MissingPackageError, UsageError
from blackbox_conformal.study.settings_table import (
    ACCESS,
    DRAWING,
    OUTPUT,
    PLACES,
    PROMISE,
    SERVER,
    SessionSettings,
)
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import dollars, printable

if TYPE_CHECKING:
    from blackbox_conformal.gateway.server import Server
    from blackbox_conformal.gateway.service import Service
    from blackbox_conformal.gateway.tokens import Tokens

PORT = 8080

DEMO_FOLDER = Path("blackbox-conformal-serve-demo")
DEMO_SIDE = 256  # Pixels of a side of the photographs, so that it takes seconds.
DEMO_SLACK = 1.25  # How far the level is above the smallest that this many photographs could ever reach.


SERVES = "Python's `Session` serves no HTTP"
_served = functools.partial(shared.declared, no_keyword=SERVES)
_server = functools.partial(_served, group=SERVER)
_access = functools.partial(_served, group=ACCESS)


@dataclass(frozen=True, kw_only=True)
class ServeOptions(shared.VendorOptions, shared.TermsOptions):
    """The options of `serve`; Python's `Session` is the same without a server."""

    calibration: str | None = shared.calibration()
    demo: bool = shared.flag(
        "--demo",
        main=True,
        no_keyword=SERVES,
        is_flag=True,
        help="Serve the embedded vendor, calibrated on photographs that come with the package.",
    )
    alpha: float | None = shared.alpha()
    dialects: tuple[str, ...] = _server(
        "--as",
        main=True,
        multiple=True,
        metavar="DIALECT",
        default=("multipart",),
        help="Whose clients are served: multipart (a plain form), replicate, fal, openai; repeatable.",
    )
    strict: bool = _served(
        "--strict",
        group=PROMISE,
        is_flag=True,
        help="Answer 409 where the calibration does not speak of a request, instead of a picture without a mask.",
    )
    no_mark: bool = _served(
        "--no-mark",
        group=OUTPUT,
        is_flag=True,
        help="Hand on the vendor's file byte by byte, without the mark (XMP, a header) that a model made part of it.",
    )
    upgrade: str | None = _served(
        "--upgrade",
        group=DRAWING,
        type=shared.FILE,
        help="Calibration of more draws of the same vendor: a request with the header 'Prefer: upgrade' is answered at "
        "once, and masked again when the further draws are there.",
    )
    allow: tuple[str, ...] = _access(
        "--allow",
        multiple=True,
        metavar="PARAMETER",
        help="Vendor parameter that a request may give another value than the calibrated one, without a mask; "
        "repeatable.",
    )
    max_cost_per_day: Decimal | None = shared.setting()
    host: str = _server("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.")
    port: int = _server(
        "--port", main=True, type=values.whole(0, 65535), default=PORT, help="Port to listen on; 0 is a free one."
    )
    host_name: tuple[str, ...] = _server(
        "--host-name", multiple=True, metavar="NAME", help="Name by which clients address the gateway; repeatable."
    )
    public_url: str | None = _server(
        "--public-url", metavar="URL", help="How links begin where a proxy stands before the gateway."
    )
    webhook_host: tuple[str, ...] = _access(
        "--webhook-host",
        multiple=True,
        metavar="NAME[:PORT]",
        help="Host that requests may name for webhooks, at its usual port, this PORT, or any (NAME:*); repeatable.",
    )
    tokens: str | None = _access(
        "--tokens", type=shared.NAMED_FILE, help="File of `serve token new`.  [default: served/tokens.json in --run]"
    )
    no_tokens: bool = _access(
        "--no-tokens", main=True, is_flag=True, help="Serve everybody who reaches it; each of them spends your money."
    )
    tls_cert: str | None = _server("--tls-cert", type=shared.FILE, help="Certificate to serve https, PEM.")
    tls_key: str | None = _server("--tls-key", type=shared.FILE, help="Key of the certificate, PEM.")
    max_body: int = _server(
        "--max-body", type=values.number_of_bytes, metavar="AMOUNT", default="64MiB", help="Largest request."
    )
    max_waiting: int = _server(
        "--max-waiting",
        type=values.whole(0),
        default=1000,
        metavar="N",
        help="Requests that may wait for their turn; more are answered with 429.",
    )
    max_uploads: int = _server(
        "--max-uploads",
        type=values.number_of_bytes,
        metavar="AMOUNT",
        default="10GiB",
        help="What a token may upload ahead of requests in any 24 hours; more is answered with 507.",
    )
    keep: float | None = _served(
        "--keep",
        group=PLACES,
        type=values.days,
        metavar="DAYS",
        help="Delete requests and uploads, with their files, so many days after their end; by default they stay.",
    )
    view: bool = shared.flag(
        "--view",
        main=True,
        no_keyword=SERVES,
        is_flag=True,
        help="Keep every masked picture for the viewer, and show them on a page with a random key in its link.",
    )
    log: str = _served(
        "--log",
        group=OUTPUT,
        type=click.Choice(["text", "json"]),
        default="text",
        help="How the log on stderr is written.",
    )
    guarantee: str | None = shared.setting()
    group: str | None = shared.setting()
    outside: float = shared.setting()
    fallback: str | None = shared.setting()
    trust: tuple[str, ...] = shared.setting()
    sign_with: str | None = shared.sign_with()
    credentials: bool = shared.credentials()
    credentials_with: str | None = shared.credentials_with()


@shared.command(
    "serve",
    ServeOptions,
    SessionSettings,
    only_typed=shared.FIXED,
    examples=(
        "blackbox-conformal serve --demo",
        "blackbox-conformal serve --calibration runs/NAME/calibration.json --alpha 0.1 --max-cost-per-day 5",
    ),
)
def serve(screen: Screen, options: ServeOptions) -> None:
    """Serve a calibrated vendor to HTTP clients: its pictures, with links to masks and certificates.

    One request is one call of the vendor where the calibration is of one draw. Accepted requests survive a crash, and
    nothing is paid twice. Only programs on this machine are served until there are tokens; see `serve token`.
    """
    refuse_missing()
    # A program that reads the log as JSON must find nothing else there.
    screen.quiet = screen.quiet or options.log == "json"
    from blackbox_conformal.gateway.logs import LOG, log_to_stderr
    from blackbox_conformal.gateway.server import Tls, listen, run
    from blackbox_conformal.support.local_servers import is_loopback_name

    log_to_stderr("json" if options.log == "json" else "text")
    if options.demo:
        options, example = _of_demo(screen, options)
    else:
        example = "in.png"
    service = _service(screen, options)
    served = service.served()
    view = None
    if options.view:
        from blackbox_conformal.documents.calibration import Calibration
        from blackbox_conformal.support import catalog

        calibration = Calibration.load(service.calibration)
        view = catalog.hook("pages").viewer_beside_gateway(service.run, calibration, service.alpha, service.addressed)
        service = replace(service, on_masked=view.on_masked, around=view.around)
    proxied = (options.public_url or "").startswith("https:")
    # Nothing known encrypts, so others can read along.
    if not is_loopback_name(options.host) and options.tls_cert is None and not proxied:
        screen.note(
            "warning: tokens and pictures are sent unencrypted; add --tls-cert FILE, or --public-url https://… where a "
            "proxy encrypts"
        )
    tls = None
    if options.tls_cert is not None:
        tls = Tls(Path(options.tls_cert), None if options.tls_key is None else Path(options.tls_key))
    socket = listen(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"{'http' if tls is None else 'https'}://{host}:{socket.getsockname()[1]}"

    def on_start(_: "Server") -> None:
        told = {"url": url, "dialects": list(service.dialects), "run": str(service.run.resolve()), "served": served}
        if view is not None:
            told["view"] = f"{service.public_url or url}{view.path}"
            screen.say(f"View pictures at {told['view']}")
        screen.say(f"serving {service.vendor.name} on {url} as {', '.join(service.dialects)}; stop with Ctrl-C")
        screen.say(f"It serves {served}")
        if "multipart" in service.dialects:
            screen.say(f"Try: curl -F image=@{example} {url}/pictures -o out.png -D -")
        screen.data(told)
        LOG.info("serving on %s; it serves %s", url, served)

    run(service, socket, tls, on_start)


def _service(screen: Screen, options: ServeOptions) -> "Service":
    from blackbox_conformal.gateway.gateway import GatewayTerms
    from blackbox_conformal.gateway.service import FOLDER, Service
    from blackbox_conformal.gateway.tokens import TOKENS_FILE

    if options.calibration is None or options.alpha is None:
        raise UsageError("expected --calibration FILE and --alpha LEVEL, or --demo; add them")
    if options.tokens is not None and not Path(options.tokens).exists():
        raise UsageError(
            f"expected --tokens to name a file of tokens; there is none at {printable(options.tokens)}. Make it: "
            f"blackbox-conformal serve token new NAME --tokens {printable(options.tokens)}"
        )
    refuse_limit_of_project()
    calibration = load_calibration(screen, options.calibration, options.trust)
    priced = options.max_cost is not None or options.max_cost_per_day is not None
    vendor = from_options.open_calibrated_vendor(calibration, options, priced=priced)
    second = from_options.open_second_vendor(options, calibration)
    confirm_keys(screen, [vendor, *([] if second is None else [second])], options)
    key = load_signing_key(screen, options.sign_with)
    run = Path(options.run) if options.run else Path("runs") / f"served-{calibration.digest[7:19]}"
    if not options.run:
        screen.note(f"run folder: {run}")
    settings: dict[str, Any] = {
        **shared.settings_of(options, SessionSettings),
        "run": run,
        "second_adapter": second,
        "listener": lambda event: screen.note(f"note: {event.text}") if event.kind == "remembered" else None,
    }
    return Service(
        calibration=Path(options.calibration),
        vendor=vendor,
        alpha=options.alpha,
        dialects=tuple(dict.fromkeys(options.dialects)),
        run=run,
        tokens=Path(options.tokens) if options.tokens else run / FOLDER / TOKENS_FILE,
        no_tokens=options.no_tokens,
        settings=settings,
        terms=GatewayTerms(
            strict=options.strict,
            webhook_hosts=options.webhook_host,
            most_waiting=options.max_waiting,
            most_uploaded=options.max_uploads,
            kept_days=options.keep,
            mark=not options.no_mark,
        ),
        allowed=options.allow,
        host=options.host,
        host_names=options.host_name,
        public_url=None if options.public_url is None else options.public_url.rstrip("/"),
        largest_body=options.max_body,
        upgrade=None if options.upgrade is None else Path(options.upgrade),
        sign_with=key,
        credentials=load_certified_key(screen, options.credentials, options.credentials_with, key, calibration),
    )


def refuse_missing() -> None:
    """Refuse to serve anything without the packages of the extra ``serve``."""
    needed = ("starlette", "uvicorn", "python_multipart", "cryptography")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"expected the packages of the extra serve; {', '.join(missing)} is missing. Install them: "
            "pip install 'blackbox-conformal[serve]'"
        )


def _of_demo(screen: Screen, options: ServeOptions) -> tuple[ServeOptions, str]:
    # Calibration and picture are made once, and found again.
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.method.images.photographs import demo_photographs
    from blackbox_conformal.study.calibrate.calibrating import calibrate_job
    from blackbox_conformal.study.job import Job, Terms
    from blackbox_conformal.study.plugins import load_adapter
    from blackbox_conformal.study.stages.settings import set_up

    demonstration = catalog.hook("demonstration")
    run = Path(options.run) if options.run else DEMO_FOLDER
    file, vendor = run / "calibration.json", load_adapter("embedded", model=demonstration.TASKS["upscale"].model)
    with listening(screen) as listeners:
        first, *others = demonstration.reduced_photographs(
            demo_photographs(), run / "photographs", DEMO_SIDE, listeners.progress
        )
        setup = set_up(vendor)
        if not file.exists():
            screen.note(f"calibrating the embedded vendor on {len(others)} photographs, once; it takes about a minute")
            job = Job.of_photographs(setup, [photograph.path for photograph in others], Terms(run, listeners=listeners))
            calibrate_job(job).calibration.save(file)
    calibration = Calibration.load(file)
    level = (
        demonstration.level_for(calibration.n, calibration.bound_for(calibration.rule()), DEMO_SLACK)
        if options.alpha is None
        else options.alpha
    )
    example = demonstration.write_input(first, run / "input", setup.procedure, force=True)
    return replace(options, calibration=str(file), alpha=level, run=str(run)), str(example)


_file = shared.option(
    "--tokens",
    "file",
    type=shared.NAMED_FILE,
    required=True,
    help="File of the tokens, such as RUN/served/tokens.json.",
)


@click.group("token", cls=Group)
def token() -> None:
    """Bearer tokens for `serve`: new, list, revoke."""


@token.command("new")
@click.argument("name")
@_file
@click.option(
    "--max-cost", "max_cost", type=values.usd, help="The most that requests with it may cost in all, US dollars."
)
@click.option(
    "--pay-again",
    "pay_again",
    is_flag=True,
    help="Let it ask for a picture again whose draw may be paid for and is not usable ('Prefer: pay-again').",
)
@shared.output
def new(screen: Screen, name: str, file: str, max_cost: Decimal | None, pay_again: bool) -> None:
    """Make a token for NAME and print it, once; the file keeps only its hash."""
    made = _tokens(file).new(name, max_cost, pay_again=pay_again)
    # Straight to the terminal: the screen would hide the token as a secret.
    click.echo(made.reveal(), err=screen.as_json)
    screen.free_stdout()
    screen.note(f"This is the only time that the token of {name} is shown. `serve` reads {file} when it changes")
    screen.next("serve", "--calibration", "calibration.json", "--alpha", "0.1", "--tokens", file)
    screen.data({"name": name, "file": file})


@token.command("list")
@_file
@shared.output
def names(screen: Screen, file: str) -> None:
    """Who has a token, and what it may."""
    holders = _tokens(file).holders()
    for holder in holders:
        limit = "" if holder.max_cost_usd is None else f", {dollars(holder.max_cost_usd)} at most"
        screen.say(f"{holder.name}{limit}{', may pay again' if holder.pay_again else ''}")
    screen.data(
        [
            {
                "name": holder.name,
                "max_cost_usd": None if holder.max_cost_usd is None else str(holder.max_cost_usd),
                "pay_again": holder.pay_again,
            }
            for holder in holders
        ]
    )


@token.command("revoke")
@click.argument("name")
@_file
@shared.output
def revoke(screen: Screen, name: str, file: str) -> None:
    """Take NAME's token away; a gateway that runs notices it."""
    _tokens(file).revoke(name)
    screen.say(f"{name} has no token any more")
    screen.data({"name": name, "file": file})


def _tokens(file: str) -> "Tokens":
    from blackbox_conformal.gateway.tokens import Tokens

    return Tokens(Path(file))


command = Group("serve", alone=serve, commands=[token], epilog="`serve token new|list|revoke` says who may use it.")
