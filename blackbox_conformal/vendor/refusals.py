"""A vendor's failure: what it refuses (a picture, the account, every request), and when to ask again."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from blackbox_conformal.errors import AccountRefusedError, RefusedError, RunRefusedError, VendorError

# The wait that a vendor asks for, read from its headers without trust.

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?")
_RESET = re.compile(r"\b(x-)?([a-z]+-)?rate-?limit-(\w+-)?reset\b")
_SPAN = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?")
_SINCE_1970 = 1e9  # Larger numbers of seconds are a moment, smaller ones a span.
_MILLISECONDS = 1e11
FAR = 10.0 * 365 * 86400


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait from `now` (seconds since 1970), in 0..ten years; None if the vendor did not say.

    ``retry-after-ms`` goes before ``retry-after`` (seconds, fractions, or an HTTP date), which goes before the end of a
    rate window. A past date or negative number is 0; unreadable text counts as not said.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(max(milliseconds / 1000.0, 0.0), FAR)
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and text:
        seconds = _date(text, now)
    if seconds is None:
        # The last used-up window counts; one with requests left needs no wait.
        # Read are ``RateLimit-Reset``, ``RateLimit: …;r=0;t=30`` (IETF drafts of "RateLimit header fields for HTTP")
        # and ``X-RateLimit-Reset`` and its kin: seconds, a date (HTTP, ISO 8601), (milli)seconds since 1970, or a span
        # such as ``6m0s``.
        ends: list[float | None] = []
        for name, value in headers.items():
            if _RESET.search(name) and not _remain(headers.get(name.replace("reset", "remaining"), "")):
                ends.append(_moment(value.strip(), now))
        for item in headers.get("ratelimit", "").split(","):
            fields: dict[str, str] = dict(re.findall(r"\b(r|remaining|t|reset)=([0-9]{1,10})\b", item))
            if not _remain(fields.get("r") or fields.get("remaining", "")):
                ends.append(_number(fields.get("t") or fields.get("reset", "")))
        seconds = max((end for end in ends if end is not None), default=None)
    return None if seconds is None else min(max(seconds, 0.0), FAR)


def clock_difference(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds by which the vendor's clock (its Date header) is ahead of `now`; None if unknown."""
    return _date(headers.get("date", ""), now)


def _remain(text: str) -> bool:
    return (_number(text) or 0.0) > 0.0


def _moment(text: str, now: float) -> float | None:
    number = _number(text)
    if number is not None:
        since_1970 = number / 1000.0 if number > _MILLISECONDS else number
        return since_1970 - now if number > _SINCE_1970 else number
    span = _SPAN.fullmatch(text)
    if text and span:
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in span.groups())
        return hours * 3600.0 + minutes * 60.0 + seconds + milliseconds / 1000.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _date(text, now)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now


def _number(text: str) -> float | None:
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return math.inf if re.fullmatch(r"[0-9]{21,}", text) else None
    return float(text)


def _date(text: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError, TypeError):
        return FAR if re.fullmatch(r"\w{3}, [0-9]{2} \w{3} [0-9]{5,9} [0-9:]{8} GMT", text) else None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp() - now
    except (ValueError, OverflowError):
        return None


ACCOUNT = (401, 402, 403)  # Statuses about the key or account.
NOT_FOUND = (404, 405, 410)  # Statuses about the address, so that every submission would get the same answer.

PUT_OFF = (408, 409, 421, 423, 424, 425, 429)
"""Statuses about the moment: nothing was done, and the same request may be made again.

RFC 9110 (408, 409, 421), 4918 (423, 424), 8470 (425) and 6585 (429).
"""

PICTURE = (400, 413, 415, 422)  # Statuses about the picture, unless the words say otherwise.
_MONEY = r"(?:credits?|coins?|funds?|api calls)"
_OTHER_UNITS = r"(?:(?<!white )(?<!color )(?<!colour )balance|(?<!image )(?<!of range )tokens|(?<!key )points|money)"
_WANT = (
    r"(?:insufficient|not enough|not have (?:enough|sufficient)|lack of|out of|no more|need more|exhausted|negative"
    r"|(?:buy|purchase|add|top up)(?: more| additional| your)?)"
)
_SPENT = (
    r"(?:insufficient|not enough|not sufficient|too low|exhausted|depleted|used up|run out|expired|is empty|is 0"
    r"|is zero)"
)
_BETWEEN = r" (?:[\w.$]+ ){0,3}?"

_SURELY = re.compile(
    rf"\b(?:{_WANT}{_BETWEEN}{_MONEY}|{_MONEY}{_BETWEEN}{_SPENT}|no (?:remaining )?(?:credits|funds|api calls)"
    r"|(?:insufficient|not enough|account|wallet|credit|prepaid) balance|credit limit|spend(?:ing)? (?:limit|cap)"
    r"|payment (?:is )?(?:required|due|overdue|failed)|arrear(?:s|age)"
    r"|(?:missing|invalid|incorrect|expired|no|wrong) (?:authorization|(?:\w+ )?api ?key)"
    r"|api ?key (?:is |was |has )?(?:not|invalid|expired)"
    r"|(?:api|access|auth|bearer|authentication|authorization) token|authorization is required"
    r"|not authenticated|authentication failed|account (?:is |has been )?(?:suspended|disabled|locked|past due))\b"
)

_PLAN = r"(?:trial|plan|subscription|membership|licen[cs]e|package|account|token|key|credentials?|allowance)"
_PERHAPS = re.compile(
    rf"\b(?:{_WANT} (?:\w+ )?{_OTHER_UNITS}|{_OTHER_UNITS}{_BETWEEN}{_SPENT}|(?:low|zero|no|negative) balance|quotas?"
    rf"|api ?keys?|billing|prepaid|subscriptions?|subscribed?|recharge|renew|deposit|top up|free tier"
    r"|paid (?:plan|tier|account)"
    rf"|{_PLAN} (?:\w+ ){{0,2}}?(?:expired|ended|inactive|exhausted|used up|invalid|declined)|trial (?:is |was )?over"
    r"|(?:plan|tier|usage|trial|requests?|hourly|daily|weekly|monthly|spend(?:ing)?) (?:limits?|cap)"
    r"|your (?:\w+ )?(?:plan|package|account|wallet)|upgrade (?:to|your|the|now)|please upgrade|unpaid|overdue|payment"
    r"|no remaining \w+|no (?:\w+ ){1,2}(?:left|remaining)|needs? [\d.]+ more|invoice|card (?:was )?declined"
    r"|(?:invalid|expired|missing|wrong|unknown) (?:token|key|credentials?|secret|licen[cs]e)|unauthori[sz]ed(?! use)"
    r"|not (?:allowed|permitted|entitled|authori[sz]ed) to (?:use|access|call)"
    r"|guthaben|kontingent|abonnement|zahlung|bezahl\w*|solde|forfait|paiement|insuffisants?|cuota|agotad[oa]s?|saldo"
    r"|pago|pagamento|insuficientes?|insufficienti?|esaurit[oi]|bakiye|środk\w*|баланс\w*|средств\w*|оплат\w*|подписк\w*)\b"
    r"|余额|餘額|欠费|欠費|充值|积分|點數|点数|额度|配额|套餐|令牌|密钥|订阅|付费|试用|会员|残高|クレジット|課金|支払"
    r"|잔액|크레딧|결제|충전"
)


class UnclearError(RefusedError):
    """A refusal perhaps about money or the key: nothing is recorded until other pictures show its cause."""


def plain(text: str) -> str:
    """Write `text` in small letters with single spaces; a code such as ``NOT_ENOUGH`` becomes words, too."""
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]+", " ", text).lower().split())


def speaks_of_account(text: str) -> Literal["", "perhaps", "surely"]:
    """Tell whether words are about money or a key: used-up credit, a spending limit, a plan, a wrong key.

    Words such as quota, balance and tokens are said about pictures, too, so they count only perhaps.
    """
    said = plain(re.sub(r"[^\w.$]+|\.(?!\d)", " ", text))
    return "surely" if _SURELY.search(said) else "perhaps" if _PERHAPS.search(said) else ""


def same_words(text: str) -> str:
    """Remove from `text` what differs between pictures: names with digits, numbers, identifiers."""
    return plain(re.sub(r"\S*\d\S*", "#", text))


def of_account(error: VendorError, further: str = "") -> AccountRefusedError:
    """Turn a refusal in words about money or a key into one of the account; `further` ends its message."""
    text = (
        f"{str(error).removesuffix('.')}. These words are of money or of the key, so the run stops, and no picture "
        "counts as refused for them"
    )
    return AccountRefusedError(f"{text}. {further}" if further else text, request_id=error.request_id, code=error.code)


def refusal(status: int, said: str, *, code: str | None = None, request_id: str | None = None) -> RefusedError:
    """Return the refusal for a status of 400 to 499, except put-offs and bad addresses; `said` quotes the vendor."""
    if status in ACCOUNT:
        return AccountRefusedError(
            f"the vendor refused this key or account with {said}", request_id=request_id, code=code
        )
    if status in PICTURE:
        return RefusedError(f"the vendor refused this picture with {said}", request_id=request_id, code=code)
    return RunRefusedError(
        f"expected a picture, or a status that refuses one ({', '.join(map(str, PICTURE))}); got {said}. Every picture"
        " would meet that, so the run stops. If the vendor's documents say that it refuses a picture, the adapter has"
        f" to name it: refused = [{status}] below [errors] in a recipe",
        request_id=request_id,
        code=code,
    )
