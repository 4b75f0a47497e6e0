"""An adapter's promises, checked without a socket by its declarations and its example exchange."""

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, get_args
from urllib.parse import urlsplit

from blackbox_conformal.errors import BlackboxConformalError, VendorError, VendorFailedError
from blackbox_conformal.study.stages.prepare import misfit, too_many_bytes
from blackbox_conformal.support.secrets import holds_secret, masked
from blackbox_conformal.testing.rehearsal import (
    Rehearsal,
    a_draw,
    a_picture,
    an_upload,
    built,
    rehearse,
    rehearse_failure,
    rehearse_quote,
    scale_of,
)
from blackbox_conformal.vendor.adapter import Adapter, Answer, Capabilities, Evidence, Send, Upload, Wait
from blackbox_conformal.vendor.example import Example

# An adapter with its example, and the finding of a check.

ADDRESS = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A promise of the contract, whether the adapter keeps it, and if not, what was expected and found."""

    name: str
    passed: bool
    detail: str = ""


class Subject:
    """An adapter class with its example, for the checks."""

    def __init__(self, kind: type[Adapter], example: Example) -> None:
        self.kind = kind
        self.example = example
        self.adapter = built(kind, example, ADDRESS)
        self.upload = an_upload(self.adapter)
        self.picture = a_picture(self.adapter, self.upload)
        self.answers = example.filled(self.picture, ADDRESS)

    def rehearse(self, index: int = 0, adapter: Adapter | None = None) -> Rehearsal:
        """Rehearse the example as draw `index`."""
        adapter = adapter or self.adapter
        return rehearse(adapter, adapter.draw(self.upload, a_draw(adapter, index)), self.answers)

    def rehearse_failure(self, number: int) -> Rehearsal:
        """Rehearse a failure of the example, as draw 0; the result holds its error."""
        adapter, answers = self.adapter, self.example.failures[number]
        filled = self.example.filled(self.picture, ADDRESS, answers)
        return rehearse_failure(adapter, adapter.draw(self.upload, a_draw(adapter)), filled)


# Pictures just beyond each limit that an adapter declares.


def beyond(limits: Capabilities, scale: int) -> Iterator[tuple[str, Upload]]:
    """Yield each declared limit with a picture that breaks it, unless no picture can."""
    sides = {
        "min_side": limits.min_side and limits.min_side - 1,
        "max_side": limits.max_side and limits.max_side + 1,
        "min_output_side": limits.min_output_side and math.ceil(limits.min_output_side / scale) - 1,
        "max_output_side": limits.max_output_side and limits.max_output_side // scale + 1,
        "max_input_pixels": limits.max_input_pixels and math.isqrt(limits.max_input_pixels) + 1,
        "max_output_pixels": limits.max_output_pixels and math.isqrt(limits.max_output_pixels) // scale + 1,
    }
    for limit, side in sides.items():
        if side:
            yield limit, _blank(side, side)
    if limits.max_aspect is not None:
        long = math.ceil(100 * limits.max_aspect) + 1 if math.isfinite(limits.max_aspect) else 10**9
        yield "max_aspect", _blank(long, 100)
    if limits.max_upload_bytes is not None:
        side = math.isqrt(limits.max_upload_bytes) + 1
        yield "max_upload_bytes", _blank(side, side, limits.max_upload_bytes + 1)


def _blank(width: int, height: int, size: int = 0) -> Upload:
    # Nothing but its size in pixels and bytes is read before it is refused.
    return Upload("unfit", "sha256:" + "0" * 64, bytes(size), width, height)


A_PRICE = Decimal("0.37")
LOOKED_FOR = 8  # A made-up key needs so many letters, so that a check can search for it in an adapter's requests.
LOSSY = frozenset({"jpg", "jpeg", "image/jpg", "image/jpeg"})
NONSENSE = (b"", b"{}", b"[]", b"null", b"<html>sign in</html>", b'{"id":null,"status":{}}', b"[" * 100_000)


def visible(send: Send, *, headers: bool = True) -> str:
    """Write all text of a request, secrets masked; headers, which may hold the time, can be left out."""
    files = [(part.name, part.filename, part.content_type, part.content.hex()) for part in send.files]
    fields = {name: str(value) for name, value in send.headers.items()} if headers else {}
    rest = [masked(send.json), masked(send.form or {}), files, (send.body or b"").decode("latin-1")]
    return json.dumps([send.method, send.url, fields, masked(send.query), *rest])


def declares(subject: Subject) -> str:
    """Check that name, version, documentation and a description of every parameter exist."""
    kind = subject.kind
    for attribute in ("name", "version", "documentation", "evidence"):
        if not getattr(kind, attribute, None):
            return f"expected the class to set `{attribute}`; it is missing or empty"
    if kind.evidence not in get_args(Evidence):
        return f"expected evidence to be one of {', '.join(get_args(Evidence))}; got {kind.evidence!r}"
    if kind.name != kind.name.lower() or "_" in kind.name:
        return f"expected a name in lower case with dashes; got {kind.name!r}"
    silent = [name for name, parameter in kind.model_fields.items() if not parameter.description]
    missing = [name for name in silent if name not in (kind.__doc__ or "")]
    return f"expected every parameter to be described; nothing is said of {', '.join(missing)}" if missing else ""


def is_capable(subject: Subject) -> str:
    """Check that capabilities do not contradict each other."""
    able = subject.adapter.capabilities
    if not able.scale_factors or any(factor < 1 for factor in able.scale_factors):
        return f"expected scale_factors of at least 1; got {able.scale_factors}"
    if able.seed_range is not None and not able.seed_range[0] < able.seed_range[1]:
        return f"expected the lowest seed before the highest in seed_range; got {able.seed_range}"
    if able.default_seed_hazard and not able.seedable:
        return "default_seed_hazard without a seed_range: all draws would be the same, and no seed could change that"
    if able.price is not None and not 0 <= able.price.low_usd <= able.price.high_usd:
        return f"expected 0 <= low <= high as price; got {able.price}"
    if "price_usd" in subject.kind.model_fields:
        stated = subject.adapter.model_copy(update={"price_usd": A_PRICE}).capabilities.price
        if stated is None or (stated.low_usd, stated.high_usd) != (A_PRICE, A_PRICE):
            return f"expected the price of price_usd, {A_PRICE}; got {stated}, so that no limit on money would hold"
    bounds = (
        *(able.min_side, able.max_side, able.max_input_pixels, able.max_output_pixels, able.max_upload_bytes),
        *(able.min_output_side, able.max_output_side, able.max_aspect),
    )
    return f"expected limits above 0; got {bounds}" if any(bound is not None and bound <= 0 for bound in bounds) else ""


def prices(subject: Subject) -> str:
    """Check prices: `Capabilities.price` covers each picture's and the told cost; larger pictures never cost less."""
    over_all, before = subject.adapter.capabilities.price, None
    told = subject.rehearse().told_usd
    if over_all is not None and told is not None and told > over_all.high_usd:
        return f"expected a price of at least the {told} USD that the example's vendor bills; got {over_all}"
    for width, height in five_sizes(subject.adapter.capabilities):
        price = subject.adapter.price_for(width, height)
        covered = over_all is price
        if over_all is not None and price is not None:
            covered = over_all.low_usd <= price.low_usd <= price.high_usd <= over_all.high_usd
        if not covered:
            return f"expected price_for({width}, {height}) within capabilities.price, {over_all}; got {price}"
        if before and price and (price.low_usd < before.low_usd or price.high_usd < before.high_usd):
            return (
                f"expected price_for({width}, {height}) of at least what a smaller picture costs, {before}; got {price}"
            )
        before = price
    return ""


def five_sizes(able: Capabilities) -> list[tuple[int, int]]:
    """Return five sizes of uploads from the smallest to the largest (at most 4096 px) within the declared limits."""
    scale = able.scale_factors[0]
    most = min(
        able.max_side or 4096,
        4096,
        (able.max_output_side or 4096 * scale) // scale,
        math.isqrt(able.max_input_pixels or 4096**2),
        math.isqrt(able.max_output_pixels or (4096 * scale) ** 2) // scale,
    )
    least = min(most, max(16, able.min_side or 1, -(-(able.min_output_side or 1) // scale)))
    return [(side, side) for side in (round(least * (most / least) ** (step / 4)) for step in range(5))]


def takes_text(subject: Subject) -> str:
    """Check that every parameter can be typed on the command line, where all values are text."""
    kind, adapter = subject.kind, subject.adapter
    told = {name: value for name, value in adapter.model_dump(mode="json").items() if value is not None}
    for name, value in told.items():
        text = value if isinstance(value, str) else json.dumps(value)
        try:
            typed = kind(**{**told, name: text})
        except (BlackboxConformalError, ValueError, TypeError):
            return (
                f"expected -p {name}={text} to be taken; it is not (literal numbers need a validator that reads text)"
            )
        if typed != adapter:
            return f"expected -p {name}={text} to mean {value!r}; it means {getattr(typed, name)!r}"
    return ""


def identifies(subject: Subject) -> str:
    """Check that the identity is JSON without key or address, the same for the same parameters."""
    adapter = subject.adapter
    try:
        text = json.dumps(adapter.identity(), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        return f"expected identity() to be plain JSON; {error}"
    if any(len(value) >= LOOKED_FOR and value in text for value in subject.example.environment.values()):
        return "identity() holds a value of the environment, such as a key"
    elsewhere = built(subject.kind, subject.example, "http://127.0.0.1:10")
    # An adapter may add a digest of the address beside the parameters: see `Adapter.named`.
    if {**elsewhere.identity(), "address": None} != {**adapter.identity(), "address": None}:
        return f"identity() changes with the address; list {subject.example.address!r} in `transient`"
    return ""


def draws(subject: Subject) -> str:
    """Check that the example ends with its picture, after one submission, accepted before the next request."""
    rehearsal = subject.rehearse()
    if rehearsal.picture is None:
        more = rehearsal.sends[-1]
        return (
            f"expected the example's {len(subject.answers)} answers to end the draw; then came another {more.purpose}"
            f" request, {more.method} {more.url.removeprefix(subject.adapter.base_url)}: the answers before it were not"
            " read as those of a finished job, or do not hold the picture where it is looked for"
        )
    if rehearsal.picture != subject.picture:
        return "expected draw() to return the picture's bytes as the vendor sent them"
    if len(rehearsal.sends) < len(subject.answers):
        return f"expected every answer of the example to be asked for; {len(rehearsal.sends)} requests were made"
    if len(rehearsal.submits) != 1:
        return f"expected exactly one request with purpose submit; got {len(rehearsal.submits)}"
    after = rehearsal.steps[rehearsal.steps.index(rehearsal.submits[0]) + 1 :]
    asked = [step for step in after if isinstance(step, Send) and step.purpose in ("poll", "download")]
    if asked and asked[0].purpose == "poll" and not rehearsal.jobs:
        return "expected Accepted(job) between submission and first poll, so that a crash loses nothing"
    return ""


def sends_picture(subject: Subject) -> str:
    """Check that the picture goes to the vendor, as it is or in base64, in one request or several."""
    png, text = subject.upload.png, base64.b64encode(subject.upload.png)
    for send in subject.rehearse().sends:
        carried = [part.content for part in send.files] + [send.body or b"", json.dumps(masked(send.json)).encode()]
        carried += [str(value).encode() for value in (send.form or {}).values()]
        if any(png in content or text in content for content in carried):
            return ""
    return "expected a request that carries the picture; none has its bytes, as they are or in base64"


def varies(subject: Subject) -> str:
    """Check that draws differ by seed or idempotency key, if the vendor takes these."""
    able = subject.adapter.capabilities
    first, second = (subject.rehearse(index).submits[0] for index in (0, 1))
    sent = visible(first)
    if able.seedable:
        if visible(second) == sent:
            return "expected two draws to send two seeds; their submissions are equal"
        if str(a_draw(subject.adapter, 0).seed) not in sent:
            return "expected the draw's own seed in the submission"
    header = able.idempotency_header
    if header is None:
        return ""
    keys = [{name.lower(): str(value) for name, value in send.headers.items()} for send in (first, second)]
    wanted = [a_draw(subject.adapter, index).idempotency_key for index in (0, 1)]
    got = [key.get(header.lower()) for key in keys]
    return "" if got == wanted else f"expected header {header} to carry each draw's own key; got {got}"


def keeps_secrets(subject: Subject, sends: Sequence[Send] | None = None) -> str:
    """Check that keys travel as `Secret`, to the vendor's own host, and never with a public link."""
    for variable in (subject.adapter.key_variable, subject.adapter.secret_variable):
        if variable and len(subject.example.environment.get(variable, "")) < LOOKED_FOR:
            return f"expected a made-up {variable} of at least {LOOKED_FOR} letters, which are looked for in requests"
    hosts = [urlsplit(url).netloc for url in (subject.adapter.base_url, *subject.adapter.further_urls)]
    for send in subject.rehearse().sends if sends is None else sends:
        text = visible(send)
        if any(len(value) >= LOOKED_FOR and value in text for value in subject.example.environment.values()):
            return f"the {send.purpose} request shows a key as text; wrap it in Secret"
        secret = any(map(holds_secret, (send.headers, send.query, send.json, send.form)))
        if secret and subject.adapter.key_variable is None:
            return f"the {send.purpose} request carries a key, and key_variable says None with these parameters"
        if secret and (send.public or urlsplit(send.url).netloc not in hosts):
            return f"the {send.purpose} request carries a key to a place that is not {' or '.join(hosts)}"
        if holds_secret(send.query) and not subject.adapter.key_in_address:
            return f"the {send.purpose} request carries a key in its address, where logs keep it; use a header"
    return ""


def sends_well(subject: Subject, sends: Sequence[Send] | None = None) -> str:
    """Check requests: one kind of body, addresses below the vendor's own, no user's file name, JPEG if declared."""
    base, further = subject.adapter.base_url, subject.adapter.further_urls
    for send in subject.rehearse().sends if sends is None else sends:
        kinds = (send.json is not None, bool(send.files) or send.form is not None, send.body is not None)
        if sum(kinds) > 1:
            return f"the {send.purpose} request has {sum(kinds)} kinds of body; one is allowed"
        if subject.upload.name in visible(send):
            return f"the {send.purpose} request names the user's file ({subject.upload.name}); call it input.png"
        lossy = LOSSY & {text.lower() for text in _texts([send.json, send.form, send.query, send.headers])}
        if lossy and subject.adapter.capabilities.lossless_output:
            return f"the {send.purpose} request asks for {min(lossy)}; ask for PNG, or declare lossless_output=False"
        if not send.url.startswith(("http://", "https://")):
            return f"expected an http address; got {send.url[:80]!r}"
        if send.purpose != "download" and not send.url.startswith((base, *further)):
            return f"expected the {send.purpose} request below {base}; got {send.url[:80]}"
    return ""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        yield from (text for inner in value for text in _texts(inner))
    elif isinstance(value, str):
        yield value
        if value.startswith("{"):
            with suppress(ValueError):
                yield from _texts(json.loads(value))


def pauses(subject: Subject) -> str:
    """Check that the flow pauses between two polls of a job."""
    polls = next((number for number, send in enumerate(subject.rehearse().sends) if send.purpose == "poll"), None)
    if polls is None:
        return ""
    adapter, unknown = subject.adapter, [Answer(200, {"content-type": "application/json"}, b"{}")] * 3
    for answers in (list(subject.answers), [*subject.answers[:polls], *unknown]):
        steps = rehearse_failure(adapter, adapter.draw(subject.upload, a_draw(adapter)), answers).steps
        asked = [
            step for step in steps if isinstance(step, Wait) or (isinstance(step, Send) and step.purpose == "poll")
        ]
        for first, second in pairwise(asked):
            if (
                isinstance(first, Send)
                and isinstance(second, Send)
                and (first.url, first.method) == (second.url, second.method)
            ):
                return "expected Wait(seconds) between two polls of a job; the second one comes at once"
        if any(isinstance(step, Wait) and step.seconds <= 0 for step in asked):
            return "expected Wait of more than 0 seconds between two polls of a job"
    return ""


def keeps_no_state(subject: Subject) -> str:
    """Check that drawing leaves the adapter unchanged, and that two draws at once do not mix."""
    adapter = subject.adapter
    before = (adapter.model_dump_json(), sorted(vars(adapter)))
    alone = [visible(subject.rehearse(index).submits[0], headers=False) for index in (0, 1)]
    flows = [adapter.draw(subject.upload, a_draw(adapter, index)) for index in (0, 1)]
    first = [next(flow) for flow in flows]
    for flow in flows:
        flow.close()
    beside = [visible(step, headers=False) for step in first if isinstance(step, Send) and step.purpose == "submit"]
    again = [visible(subject.rehearse(index).submits[0], headers=False) for index in (0, 1)]
    # A request may hold the time; it then equals the one before or the one after.
    if beside and not all(sent in pair for sent, pair in zip(beside, zip(alone, again, strict=True), strict=True)):
        return "expected a draw to send the same whether or not another one runs beside it"
    if not subject.kind.model_config.get("frozen"):
        return "expected a frozen model; the class sets model_config without frozen=True"
    if (adapter.model_dump_json(), sorted(vars(adapter))) != before:
        return "expected draw() to leave the adapter unchanged; keep what a draw needs in local variables"
    return ""


def resumes(subject: Subject) -> str:
    """Check that an accepted job is fetched without another submission; adapters without jobs say so.

    An adapter whose example shows no job may still know jobs, for draws unlike its example.
    """
    adapter, example = subject.adapter, subject.example
    draw = a_draw(adapter)
    jobs = subject.rehearse().jobs
    if not jobs:
        try:
            resumed = rehearse(adapter, adapter.resume(subject.upload, draw, "job"), ())
        except VendorError:
            return ""
        if resumed.sends and all(send.purpose != "submit" for send in resumed.sends):
            return ""
        return "expected resume() of an adapter without jobs to raise VendorError"
    if example.polls is None:
        return "expected the example to say where resuming begins (`polls`), since the vendor has jobs"
    again = rehearse(adapter, adapter.resume(subject.upload, draw, jobs[0]), example.of_resume(subject.answers))
    if again.submits:
        return "resume() submits again: the user would pay twice"
    return "" if again.picture == subject.picture else "expected resume() to return the job's picture"


def survives_nonsense(subject: Subject) -> str:
    """Check that a senseless answer ends in a `VendorError`, never in another exception."""
    for body in NONSENSE:
        answers = [Answer(200, {"content-type": "text/html"}, body)] * 8
        try:
            rehearse(subject.adapter, subject.adapter.draw(subject.upload, a_draw(subject.adapter)), answers)
        except VendorError:
            continue
        except Exception as error:  # noqa: BLE001 - any other exception is what this check is for
            return f"an answer of {body[:30]!r} ends in {type(error).__name__}: {error}; raise PayloadError"
    return ""


def explains(subject: Subject) -> str:
    """Check that `explain` never fails, whatever the vendor's error looks like."""
    for status in (400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503):
        for body in NONSENSE:
            try:
                error: object = subject.adapter.explain(Answer(status, {}, body), "submit")
            except Exception as broken:  # noqa: BLE001 - any exception is what this check is for
                return f"explain() fails on HTTP {status} with {body[:30]!r}: {type(broken).__name__}: {broken}"
            if error is not None and not isinstance(error, VendorError):
                return f"expected explain() to return a VendorError or None; got {type(error).__name__}"
    return ""


def refuses_unfit(subject: Subject) -> str:
    """Check that a picture just beyond a limit is refused before anything is sent, and the example's own is not."""
    limits, scale, upload = subject.adapter.capabilities, scale_of(subject.adapter), subject.upload
    own = misfit(upload.width, upload.height, limits, scale) or too_many_bytes(upload, limits)
    if own:
        return f"expected limits that a picture can keep; {own}"
    for limit, picture in beyond(limits, scale):
        alone = Capabilities(limits.scale_factors, **{limit: getattr(limits, limit)})
        if not (misfit(picture.width, picture.height, alone, scale) or too_many_bytes(picture, alone)):
            return f"expected {limit}={getattr(limits, limit)} to refuse {picture.width}×{picture.height} pixels"
    return ""


def fails(subject: Subject) -> str:
    """Check that an adapter that knows its vendor's own failures shows one, and reads each shown one as such."""
    if subject.adapter.capabilities.transient_known != bool(subject.example.failures):
        return (
            "expected `failures` in the example of an adapter that tells its vendor's own failures, and of no other:"
            ' by transient_known in Python, by vendor_failed, means = "failed" or failed of [errors] in a recipe'
        )
    for number, answers in enumerate(subject.example.failures):
        rehearsal = subject.rehearse_failure(number)
        if not isinstance(rehearsal.error, VendorFailedError):
            end = repr(rehearsal.error or "another request")
            return f"expected failure {number} of the example to end in a VendorFailedError; got {end}"
        if len(rehearsal.sends) != len(answers):
            return f"expected {len(answers)} requests, as failure {number} has answers; got {len(rehearsal.sends)}"
        if set(rehearsal.jobs) & set(subject.rehearse().jobs):
            return f"expected failure {number} to be of another job than the example's picture"
    return ""


def quotes(subject: Subject) -> str:
    """Check that prices are asked with free requests to the vendor's own address and answered in US dollars."""
    asked = subject.adapter.quote(subject.upload)
    shown = subject.example.quotes
    if asked is None:
        return "the example shows answers to quote(), which returns None" if shown else ""
    rehearsal = rehearse_quote(subject.adapter, subject.upload, shown)
    if rehearsal.price is None:
        return f"expected the example's {len(shown)} `quotes` to end quote(); more was asked"
    wrong: list[object] = [step for step in rehearsal.steps if not isinstance(step, Wait | Send)]
    wrong += [send for send in rehearsal.sends if send.purpose != "quote"]
    if wrong:
        return f"expected quote() to yield Wait, or Send with purpose quote; got {wrong[0]!r}"
    problem = keeps_secrets(subject, rehearsal.sends) or sends_well(subject, rehearsal.sends)
    if problem:
        return problem
    for body in NONSENSE:
        try:
            rehearse_quote(subject.adapter, subject.upload, [Answer(200, {"content-type": "text/html"}, body)] * 8)
        except VendorError:
            continue
        except Exception as error:  # noqa: BLE001 - any other exception is what this check is for
            return f"an answer of {body[:30]!r} to quote() ends in {type(error).__name__}: {error}; raise PayloadError"
        return f"an answer of {body[:30]!r} is taken for a price; raise PayloadError"
    return ""


CHECKS: tuple[Callable[[Subject], str], ...] = (
    declares,
    is_capable,
    takes_text,
    identifies,
    draws,
    prices,
    sends_picture,
    varies,
    keeps_secrets,
    sends_well,
    pauses,
    keeps_no_state,
    resumes,
    survives_nonsense,
    explains,
    fails,
    refuses_unfit,
    quotes,
)


def static_checks(subject: Subject) -> list[CheckResult]:
    """Run every check that needs no socket, in order; a check that raises an error has failed."""
    results = []
    first: dict[str, str] = {}
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            problem = check(subject)
        except (BlackboxConformalError, LookupError, TypeError, ValueError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
        earlier = first.setdefault(problem, name)
        if problem and earlier != name:
            problem = f"the same as for {earlier!r}"
        results.append(CheckResult(name, not problem, problem))
    return results
