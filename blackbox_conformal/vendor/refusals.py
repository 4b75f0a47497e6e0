"""What a vendor's no is about: the picture, the account, or every request alike; by the status and by the words."""

import re
from typing import Literal

from blackbox_conformal.errors import AccountRefusedError, RefusedError, RunRefusedError, VendorError

ACCOUNT = (401, 402, 403)
"""Statuses that speak of the key or account."""

NOT_FOUND = (404, 405, 410)
"""Statuses that speak of the address, so that every submission would be answered like this."""

PUT_OFF = (408, 409, 421, 423, 424, 425, 429)
"""Statuses that speak of the moment: nothing was done, and the same request may be made again.

RFC 9110 (408, 409, 421), 4918 (423, 424), 8470 (425) and 6585 (429).
"""

PICTURE = (400, 413, 415, 422)
"""Statuses that speak of the picture, unless the words say otherwise."""

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
    """A refusal whose words may be of money or of the key: nothing is recorded until other pictures show what it is."""


def plain(text: str) -> str:
    """`text` in small letters, its words parted by single spaces; a code such as ``NOT_ENOUGH`` is words, too."""
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]+", " ", text).lower().split())


def speaks_of_account(text: str) -> Literal["", "perhaps", "surely"]:
    """Whether words are about money or a key: credit that is used up, a spending limit, a plan, a wrong key.

    Words that are said of pictures, too, such as quota, balance and tokens, are so only perhaps.
    """
    said = plain(re.sub(r"[^\w.$]+|\.(?!\d)", " ", text))
    return "surely" if _SURELY.search(said) else "perhaps" if _PERHAPS.search(said) else ""


def same_words(text: str) -> str:
    """`text` without what differs from picture to picture: names with digits, numbers, identifiers."""
    return plain(re.sub(r"\S*\d\S*", "#", text))


def of_account(error: VendorError, further: str = "") -> AccountRefusedError:
    """The refusal of the account that a refusal is whose words are about money or a key; `further` ends its message."""
    text = (
        f"{str(error).removesuffix('.')}. These words are of money or of the key, so the run stops, and no picture "
        "counts as refused for them"
    )
    return AccountRefusedError(f"{text}. {further}" if further else text, request_id=error.request_id, code=error.code)


def refusal(status: int, said: str, *, code: str | None = None, request_id: str | None = None) -> RefusedError:
    """What a status of 400 to 499 refuses that neither puts off nor speaks of the address; `said` begins with it."""
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
