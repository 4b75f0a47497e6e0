"""What a recipe finds in an answer: values by path, what the vendor says no to, and whether a job is over."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from blackbox_adapters import _recipe_format as form
from blackbox_adapters._failures import retry_after
from blackbox_adapters._jobs import Job
from blackbox_adapters._reading import document, integer, money, peek, shorten, words
from blackbox_conformal.errors import (
    AccountRefusedError,
    PayloadError,
    RefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import Answer, Observed

HEADER = "header:"
STATUS = "http:status"


def found(answer: Answer, path: str) -> Any:
    """The value at `path`: ``header:NAME`` is a header, ``http:status`` the status, all else leads into the JSON."""
    if path.startswith(HEADER):
        return answer.headers.get(path.removeprefix(HEADER).strip().lower())
    return answer.status if path == STATUS else peek(document(answer), path)


def kept(answer: Answer, places: dict[str, str]) -> dict[str, str]:
    """Values of an answer under the names that `keep` gives them; the absence of one is a `PayloadError`."""
    values = {}
    for name, path in places.items():
        value = found(answer, path)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            if not path.startswith(HEADER):
                answer.json()
            raise PayloadError(
                f"expected the {name} at {path or 'the top'!r} of the vendor's answer; got {shorten(value)}."
                " Read the vendor's changelog, or report it to the recipe's author"
            )
        values[name] = str(value)
    return values


def refusal(spec: form.Recipe, answer: Answer, job: str | None = None) -> VendorError | None:
    """What an answer says no to by the first row that is about its HTTP status and finds its value; None: nothing."""
    for rule in spec.refusals:
        about = answer.status in rule.statuses if rule.statuses else 200 <= answer.status < 300
        value = found(answer, rule.path) if about else None
        if about and _applies(rule, value):
            message, _, request = spec.errors.read(answer)
            said = f"{rule.message}{f': {message}' if message else ''}"
            code = rule.path if isinstance(value, bool) else shorten(value)
            asked = retry_after(answer)
            return _meant(rule, said, request or job, code, spec.errors.wait if asked is None else asked)
    return None


def _applies(rule: form.Refusal, value: Any) -> bool:
    if "equals" in rule.model_fields_set:
        return bool(value == rule.equals)
    if "one_of" in rule.model_fields_set:
        return value in rule.one_of
    if "not_equals" in rule.model_fields_set:
        return value is not None and bool(value != rule.not_equals)
    text = "" if value is None else shorten(value).lower()
    return any(word.lower() in text for word in rule.contains)


def _meant(rule: form.Refusal, said: str, request: str | None, code: str, wait: float | None) -> VendorError:
    if rule.means == "failed":
        return VendorFailedError(said, request_id=request, code=code)
    if rule.means == "account":
        return AccountRefusedError(said, request_id=request, code=code)
    if rule.means == "later":
        return TryLaterError(said, retry_after=wait, request_id=request, code=code)
    return RefusedError(said, billed=rule.billed, request_id=request, code=code)


Ended = tuple[Answer, VendorError | None]
"""The last answer of a job, and why there is no picture; None: there is one."""


def ended(spec: form.Recipe, poll: form.Poll, job: str) -> Callable[[Answer], Ended | None]:
    """Reads one poll after another of `job`: how it ended, or None to poll again."""
    work = Job(
        "job",
        job,
        status=("state",),
        done=poll.done,
        failed=poll.failed,
        picture="picture",
        reason=("reason",),
        code=("code",),
        reasons=spec.errors.reasons,
    )

    def read(answer: Answer) -> Ended | None:
        error = refusal(spec, answer, job)
        if error is not None:
            return None if isinstance(error, TryLaterError) else (answer, error)
        state = shorten(found(answer, poll.status) or "")
        content = document(answer)
        reason, code = words(content, *spec.errors.message), words(content, *spec.errors.code)
        if state in poll.vendor_failed:
            said = f"the vendor failed at job {job}, which is {state}: {reason or 'no reason given'}"
            return answer, VendorFailedError(said, request_id=job, code=code or state)
        try:
            shown = {"state": state, "picture": _picture(spec, answer), "reason": reason, "code": code}
            return (answer, None) if work.result(shown) else None
        except VendorError as failure:
            return answer, failure

    return read


def _picture(spec: form.Recipe, answer: Answer) -> Any:
    """What a finished job shows; a picture that is the body, or that is asked for then, is judged when it is read."""
    place = spec.picture
    return True if place.body or spec.result else found(answer, place.base64 or place.link)


def cost(spec: form.Recipe, answer: Answer, usd_per_unit: Decimal | None) -> Decimal | None:
    """The draw's cost in US dollars, where the answer tells it and the worth of its units is known."""
    reported, price = spec.reported, spec.price
    currency = reported.currency or ("USD" if price is None else price.currency)
    listed = Decimal(1) if currency == "USD" else None if price is None else price.usd_per_unit
    unit = usd_per_unit or reported.usd_per_unit or listed
    return money(found(answer, reported.cost), unit) if reported.cost and unit is not None else None


def observed(spec: form.Recipe, answer: Answer, job: str | None, usd_per_unit: Decimal | None) -> Observed:
    """What an answer says besides the picture."""
    reported, errors = spec.reported, spec.errors
    model = found(answer, reported.model) if reported.model else None
    return Observed(
        cost_usd=cost(spec, answer, usd_per_unit),
        model=None if model in (None, "", [], {}) else shorten(model),
        request_id=answer.headers.get(errors.request_id_header.lower()) or job,
        seed=integer(found(answer, reported.seed)) if reported.seed else None,
    )
