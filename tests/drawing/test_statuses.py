"""Every HTTP status of a submission: the table in docs/drawing.md, the sampler and the adapters say the same."""

import re
from pathlib import Path

import pytest

import blackbox_conformal
from blackbox_adapters._failures import Failures
from blackbox_conformal.drawing.http.classify import classify
from blackbox_conformal.errors import (
    AccountRefusedError,
    MaybeSentError,
    NotFoundError,
    PayloadError,
    RedirectedError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorError,
)
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Answer, Send

PAGE = Path(blackbox_conformal.__file__).parent / "docs" / "drawing.md"


def rows() -> dict[str, str]:
    """The examples of each class in the page's table."""
    lines = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {cells[1].strip(): cells[2] for cells in lines if re.fullmatch(r"[A-Z], [a-z ]+", cells[1].strip())}


def numbers(text: str) -> set[int]:
    return {int(word) for word in re.findall(r"\b[45]\d\d\b", text)}


def documented(status: int) -> type[VendorError]:
    """The class of a submission's status without Retry-After, by the page."""
    later, wait = rows()["R, later"].split(";", 1)
    run_refused = rows()["A, run refused"]
    assert "every other 4xx" in run_refused
    assert numbers(wait) == {503, 529}
    key, address, *_ = run_refused.split(";")
    kinds = {TryLaterError: later, RefusedError: rows()["A, picture refused"]}
    kinds |= {AccountRefusedError: key, NotFoundError: address}
    found = [kind for kind, text in kinds.items() if status in numbers(text)]
    assert len(found) <= 1
    if found:
        return found[0]
    return RunRefusedError if 400 <= status < 500 else MaybeSentError


def by_sampler(status: int) -> type[VendorError]:
    adapter = SynchronousVendor(url="http://127.0.0.1:1")
    answer = Answer(status, {}, b"")
    return type(classify(adapter, Send("POST", f"{adapter.url}/x", "submit"), answer, 0.0))


@pytest.mark.parametrize("status", range(400, 600))
def test_the_page_the_sampler_and_the_adapters_agree(status):
    assert by_sampler(status) is documented(status)
    by_adapter = Failures().error(Answer(status, {}, b""), "submit")
    # A server error carries no decision of the vendor: adapters leave it to the sampler.
    assert type(by_adapter) is (documented(status) if status < 500 else type(None))


def test_examples_of_the_page():
    """What the page says of 500 and above, of what is not 4xx, and of a status that asks to come back."""
    assert numbers(rows()["M, maybe sent"]) == {500, 502, 504}
    assert by_sampler(302) is RedirectedError
    assert by_sampler(201) is type(None)
    adapter = SynchronousVendor(url="http://127.0.0.1:1")
    for status in (503, 529):
        answer = Answer(status, {"retry-after": "1"}, b"")
        assert isinstance(classify(adapter, Send("POST", f"{adapter.url}/x", "submit"), answer, 0.0), TryLaterError)
    odd = Send("POST", f"{adapter.url}/x", "submit", accept=frozenset({200}))
    assert isinstance(classify(adapter, odd, Answer(204, {}, b""), 0.0), PayloadError)


def test_an_adapter_names_what_its_vendor_means():
    vendor = Failures(message=["error"], refused=[451], account=[418], later=[420], failed=[424, 408])
    kinds = {
        status: type(vendor.error(Answer(status, {}, b'{"error":"words"}'), "submit"))
        for status in (451, 418, 420, 424, 408, 423)
    }
    assert (kinds[451], kinds[418], kinds[420]) == (RefusedError, AccountRefusedError, TryLaterError)
    assert {kinds[424].__name__, kinds[408].__name__} == {"VendorFailedError"}
    assert kinds[423] is TryLaterError


def test_an_unlisted_status_says_how_an_adapter_names_it():
    error = Failures().error(Answer(451, {}, b""), "submit")
    assert isinstance(error, RunRefusedError)
    assert "refused = [451] below [errors]" in str(error)
