"""What a vendor's no is about: the picture, the account, or every request alike; by the status and by the words."""

import re

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

_MONEY = r"(?:balance|credits?|tokens?|coins?|funds?|api calls)"
_WANT = (
    r"(?:insufficient|not enough|not have (?:enough|sufficient)|lack of|out of|no more|need more|exhausted|negative"
    r"|(?:buy|purchase|add|top up)(?: more| additional| your)?)"
)
_SPENT = r"(?:insufficient|not enough|not sufficient|too low|exhausted|depleted|used up|run out|is empty|is 0|is zero)"
_BETWEEN = r" (?:[\w.$]+ ){0,3}?"

_ACCOUNT_WORDS = re.compile(
    rf"\b(?:{_WANT}{_BETWEEN}{_MONEY}|{_MONEY}{_BETWEEN}{_SPENT}|no (?:remaining )?(?:credits?|balance|funds|api calls)"
    r"|(?:account|wallet|credit|prepaid) balance|credit limit|quota|billing|prepaid|subscriptions?"
    r"|spend(?:ing)? (?:limit|cap)|payment (?:is )?(?:required|method|due|overdue|failed)"
    r"|api ?keys?|(?:api|access|auth|bearer|authentication|authorization) token|authorization is required"
    r"|not authenticated|authentication failed|account (?:is |has been )?(?:suspended|disabled|locked|past due))\b"
)


def plain(text: str) -> str:
    """`text` in small letters, its words parted by single spaces; a code such as ``NOT_ENOUGH`` is words, too."""
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]+", " ", text).lower().split())


def speaks_of_account(text: str) -> bool:
    """Whether words are about money or a key: credit that is used up, a spending limit, a subscription, a wrong key.

    Words with several senses, such as token, count beside words of want only: "not enough tokens", and neither
    "unexpected token" nor "at most 77 tokens".
    """
    return _ACCOUNT_WORDS.search(plain(re.sub(r"[^\w.$]+|\.(?!\d)", " ", text))) is not None


def same_words(text: str) -> str:
    """`text` without what differs from picture to picture: names with digits, numbers, identifiers."""
    return plain(re.sub(r"\S*\d\S*", "#", text))


def of_account(error: VendorError) -> VendorError:
    """`error`, or the refusal of the account that a refusal is whose words are about money or a key.

    What a filter refused after it was made (`billed`) stays as it is.
    """
    refused = isinstance(error, RefusedError) and not isinstance(error, AccountRefusedError) and not error.billed
    if not refused or not speaks_of_account(f"{error.code or ''} {error}"):
        return error
    return AccountRefusedError(
        f"{str(error).removesuffix('.')}. These words are of money or of the key, so the run stops, and no picture "
        "counts as refused for them",
        request_id=error.request_id,
        code=error.code,
    )


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
