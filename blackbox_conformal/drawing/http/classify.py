"""Classes a failed answer as one of `errors`: first by the adapter's own reading, then by status."""

import json
import shlex
from urllib.parse import urlsplit

from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    KeyNotSentError,
    MaybeSentError,
    NotFoundError,
    PayloadError,
    RedirectedError,
    TryLaterError,
    VendorError,
)
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.support.text import clean
from blackbox_conformal.support.wording import option_words
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send
from blackbox_conformal.vendor.refusals import ACCOUNT, NOT_FOUND, PUT_OFF, clock_difference, parse_retry_after, refusal

_CLOCK_TOLERANCE_S = 120.0
_LONGEST_WORDS = 4096  # Bytes above which an answer is no message.


class GoneError(JobError):
    """The vendor does not know this job or link any more; asking again is useless."""


def classify(adapter: Adapter, step: Send, answer: Answer, now: float) -> VendorError | None:
    """Return the error in `answer`; None if the adapter wants to see the answer."""
    # An adapter may want to see an error status, such as 404 while a job begins.
    if answer.status in step.accept if step.accept is not None else 200 <= answer.status < 300:
        return None
    redirected = 300 <= answer.status < 400
    # A redirection or a file host does not speak for the vendor, so the adapter does not read it.
    explained = None if step.public or redirected else adapter.explain(answer, step.purpose)
    if step.purpose in ("submit", "cancel"):
        error = explained or _of_submission(answer, now)
    else:
        error = _of_free_request(step, answer, explained, now)
    if isinstance(error, AccountRefusedError) and answer.status != 402:
        error = _without_key(adapter, answer) or error
    if isinstance(error, AccountRefusedError) and not isinstance(error, KeyNotSentError):
        error = _with_hints(error, step, answer, now)
        error.key_variable = adapter.key_variable
    return error


def _without_key(adapter: Adapter, answer: Answer) -> KeyNotSentError | None:
    if adapter.key_variable is not None or adapter.auth_variable is None or not adapter.key_parameters:
        return None
    options = shlex.join(option_words(adapter.key_parameters))
    return KeyNotSentError(
        f"the vendor wants a key, and none was sent ({_said(answer)}). Add {options} to send the key of "
        f"{adapter.auth_variable} or {adapter.auth_variable}_FILE",
        code=str(answer.status),
    )


def _with_hints(error: AccountRefusedError, step: Send, answer: Answer, now: float) -> AccountRefusedError:
    # Hints for wrong keys: clocks that differ, and a key without the word that belongs before it.
    hints, apart = "", clock_difference(answer.headers, now)
    if apart is not None and abs(apart) >= _CLOCK_TOLERANCE_S:
        hints = (
            f". The clock here and the vendor's differ by {abs(apart):.0f} s, which makes signed requests invalid;"
            " set the clock"
        )
    sent = next((value for name, value in step.headers.items() if name.lower() == "authorization"), None)
    if answer.status == 401 and isinstance(sent, Secret) and " " not in sent.reveal():
        hints += (
            ". The key went as Authorization with no word such as Bearer before it: most vendors want one, by -p "
            "key-prefix='Bearer ' of the adapter http, or prefix = \"Bearer \" below [auth] of a recipe"
        )
    return AccountRefusedError(f"{error}{hints}", request_id=error.request_id, code=error.code) if hints else error


def _said(answer: Answer) -> str:
    words = _words(answer)
    return f"HTTP {answer.status}" + (f": {words}" if words else "")


def _words(answer: Answer) -> str:
    # Cleaned and cut: the words may hold secrets or control characters. A page or a long answer is no message.
    if len(answer.body) > _LONGEST_WORDS or "html" in answer.headers.get("content-type", ""):
        return ""
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return ""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.lstrip().startswith(("<", "[", "{")) else clean(text.strip().removesuffix("."))
    fields = document if isinstance(document, dict) else {}
    values = [fields.get(name) for name in ("error", "message", "detail", "errors", "title")]
    texts = [value.get("message") if isinstance(value, dict) else value for value in values]
    joined = ": ".join(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text))
    return clean(joined.removesuffix("."))


def _host(location: str) -> str:
    # The host alone: path and query may hold secrets.
    try:
        return urlsplit(location).hostname or "another path"
    except ValueError:
        return "a broken address"


def _later(answer: Answer, now: float) -> TryLaterError:
    return TryLaterError(
        f"the vendor asked to wait with {_said(answer)}",
        retry_after=parse_retry_after(answer.headers, now),
        code=str(answer.status),
    )


def _of_submission(answer: Answer, now: float) -> VendorError:
    status, code = answer.status, str(answer.status)
    if 200 <= status < 300:
        return PayloadError(f"expected another status of success from the vendor; got {_said(answer)}", code=code)
    if 300 <= status < 400:
        host = _host(answer.headers.get("location", ""))
        return RedirectedError(
            f"the vendor redirected the submission to {host} with {_said(answer)}; a paid request is not sent"
            " elsewhere, and this one may be billed. Correct the adapter's address, or sign in where this network asks"
            " for it",
            code=code,
        )
    # A 503 may come after the work is done; with Retry-After the vendor says that it took nothing.
    if status in PUT_OFF or (status in (503, 529) and "retry-after" in answer.headers):
        return _later(answer, now)
    if status in NOT_FOUND:
        return NotFoundError(f"the vendor has nothing at this address ({_said(answer)}); correct it", code=code)
    if 400 <= status < 500:
        return refusal(status, _said(answer), code=code)
    return MaybeSentError(
        f"the vendor failed after the submission with {_said(answer)}; it may have accepted and may bill it", code=code
    )


def _of_free_request(step: Send, answer: Answer, explained: VendorError | None, now: float) -> VendorError:
    status, code = answer.status, str(answer.status)
    download = step.purpose == "download"
    # Signed links answer 403 once they have expired.
    if (step.purpose in ("poll", "download") and status in (404, 410)) or (download and status == 403):
        what = "link to the result" if download else "job"
        return GoneError(f"the vendor no longer knows the {what} ({_said(answer)})", code=code)
    unknown = step.purpose == "lookup" and status == 404
    # A free request can be repeated, so doubt about a submission does not apply to it.
    if explained is not None and (unknown or not isinstance(explained, MaybeSentError)):
        return explained
    if status in ACCOUNT and not step.public:
        return refusal(status, _said(answer), code=code)
    if status in (425, 429, 503):
        return _later(answer, now)
    return JobError(f"the vendor answered a {step.purpose} request with {_said(answer)}", code=code)
