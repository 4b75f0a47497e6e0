"""Which reading of a failed answer counts: the adapter's own, or the status."""

import pytest

from blackbox_conformal.drawing.http.classify import GoneError, classify
from blackbox_conformal.errors import JobError, MaybeSentError, NotFoundError, RefusedError, VendorError
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Answer, Purpose, Send


class Knowing(SynchronousVendor):
    """Reads every 404 in its own way."""

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return MaybeSentError("no job yet") if purpose == "lookup" else RefusedError("no such model")


def read(adapter: SynchronousVendor, purpose: Purpose) -> VendorError | None:
    return classify(adapter, Send("GET", f"{adapter.url}/x", purpose), Answer(404, {}, b""), 0.0)


@pytest.mark.parametrize(
    ("purpose", "own", "by_status"),
    [
        ("lookup", MaybeSentError, JobError),
        ("quote", RefusedError, JobError),
        ("poll", GoneError, GoneError),
        ("submit", RefusedError, NotFoundError),
    ],
)
def test_an_unknown_address(purpose, own, by_status):
    assert type(read(Knowing(url="http://127.0.0.1:1"), purpose)) is own
    assert type(read(SynchronousVendor(url="http://127.0.0.1:1"), purpose)) is by_status


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"error":"ValidationError","code":500,"detail":"","errors":"no picture"}', "application/json", True),
        (b'{"error":{"message":"ValidationError: no picture"}}', "application/json", True),
        (b"ValidationError: no picture.\n", "text/plain", True),
        (b"", "text/plain", False),
        (b'{"error":[1],"message":{"a":"b"}}', "application/json", False),
        (b'["ValidationError"]', "application/json", False),
        (b"<html>ValidationError</html>", "text/html", False),
        (b"<Error><Code>ValidationError</Code></Error>", "application/xml", False),
        (b"ValidationError \xff\xfe", "text/plain", False),
        (b"ValidationError " * 1000, "text/plain", False),
        (b"[" * 4000, "application/json", False),
    ],
)
def test_what_a_vendor_says_to_a_failure_is_passed_on(body, kind, said):
    adapter = SynchronousVendor(url="http://127.0.0.1:1")
    answer = Answer(500, {"content-type": kind}, body)
    error = classify(adapter, Send("POST", f"{adapter.url}/x", "submit"), answer, 0.0)
    assert isinstance(error, MaybeSentError)
    words = ": ValidationError: no picture" if said else ""
    assert str(error).startswith(f"the vendor failed after the submission with HTTP 500{words}; it may")


def test_a_key_in_a_vendors_words_is_not_passed_on(monkeypatch):
    monkeypatch.setenv("FAULT_VENDOR_KEY", "canary-0123456789abcdef")
    adapter = SynchronousVendor(url="http://127.0.0.1:1", keyed=True)
    adapter.credential()
    body = b'{"error":"key canary-0123456789abcdef failed at https://x.example/a?X-Signature=canary2-0123456789\\u001b[31m"}'
    answer = Answer(503, {"content-type": "application/json"}, body)
    for purpose in ("submit", "poll", "download"):
        error = classify(adapter, Send("POST", f"{adapter.url}/x", purpose), answer, 0.0)
        assert "canary" not in str(error)
        assert "\x1b" not in str(error)
