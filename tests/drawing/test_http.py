"""Where a request may go, how a failed answer is read, and what is read of a body."""

import base64
import gzip
import re
import zlib
from pathlib import Path

import pytest

import blackbox_conformal
from blackbox_adapters._failures import Failures
from blackbox_conformal.drawing.http.address_policy import LinkRules, WebOrigin, is_allowed_address, make_origin
from blackbox_conformal.drawing.http.classify import GoneError, classify
from blackbox_conformal.drawing.http.transport import Resumption, read_body, read_data_link
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
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
from blackbox_conformal.vendor.adapter import Answer, Purpose, Send

OWN = make_origin("https", "api.vendor.example", None)

RULES = LinkRules(OWN, ("cdn.vendor.example", ".storage.example"))


def origin(text: str) -> WebOrigin:
    scheme, _, rest = text.partition("://")
    host, _, port = rest.partition(":")
    return make_origin(scheme, host, int(port) if port else None)


def test_only_the_own_origin_gets_the_key():
    assert RULES.admit(origin("https://API.vendor.example."), False, public=False) == (True, "own")
    assert RULES.admit(OWN, False, public=True) == (False, "own")
    assert RULES.admit(origin("https://API.VENDOR.EXAMPLE:443"), False, public=False)[0]
    for host in ("cdn.vendor.example", "a.storage.example"):
        assert not RULES.admit(origin(f"https://{host}"), False, public=False)[0]


def test_a_second_place_that_gives_tokens_sees_the_key_and_no_other_port_or_scheme_of_it():
    rules = LinkRules(OWN, (), (make_origin("https", "login.vendor.example", None),))
    assert rules.admit(origin("https://login.vendor.example"), False, public=False) == (True, "own")
    assert rules.admit(origin("https://login.vendor.example"), False, public=True) == (False, "public")
    for wrong in ("http://login.vendor.example", "https://login.vendor.example:8443", "https://a.login.vendor.example"):
        with pytest.raises(PayloadError):
            rules.admit(origin(wrong), False, public=False)


ELSEWHERE = (
    "http://cdn.vendor.example http://api.vendor.example https://cdn.vendor.example:8443 ftp://cdn.vendor.example"
)
ELSEWHERE += " file://x https://storage.example https://evilstorage.example https://other.example https://127.0.0.1"


@pytest.mark.parametrize("wrong", ELSEWHERE.split())
def test_other_places_are_refused(wrong):
    with pytest.raises(PayloadError):
        RULES.admit(origin(wrong), False, public=False)


def test_an_unlisted_host_is_allowed_for_a_public_link_at_a_public_address_only():
    assert RULES.admit(origin("https://other.example"), False, public=True) == (False, "public")
    with pytest.raises(PayloadError, match="user name"):
        RULES.admit(origin("https://other.example"), True, public=True)


def test_loopback_is_reached_from_a_vendor_on_loopback_only():
    local = LinkRules(make_origin("http", "127.0.0.1", 8000), ())
    assert local.admit(origin("http://localhost:9000"), False, public=True) == (False, "loopback")
    assert local.admit(origin("http://127.0.0.1:8000"), False, public=False) == (True, "own")
    with pytest.raises(PayloadError, match="https"):
        local.admit(origin("http://192.168.0.7:9000"), False, public=True)


@pytest.mark.parametrize(
    ("public", "loopback", "addresses"),
    [
        (True, False, ["93.184.216.34", "2606:2800:220:1::1", "2606:4700::1"]),
        (False, True, ["127.0.0.1", "::1", "::ffff:127.0.0.1", "2002:7f00:1::"]),
        (False, False, ["10.0.0.1", "192.168.1.1", "172.16.9.9", "169.254.169.254", "::ffff:169.254.169.254"]),
        (False, False, ["64:ff9b::a9fe:a9fe", "fe80::1%eth0", "fd00:ec2::254", "100.64.0.1", "0.0.0.0", "224.0.0.1"]),
        (False, False, ["255.255.255.255", "not an address", "192.0.0.192", "192.0.0.10", "fec0::1", "3fff::1"]),
        (False, False, ["5f00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]),
    ],
)
def test_addresses(public, loopback, addresses):
    for address in addresses:
        kinds = [is_allowed_address(address, kind) for kind in ("public", "loopback", "own")]
        assert kinds == [public, loopback, True], address


class Knowing(SynchronousVendor):
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


PAGE = Path(blackbox_conformal.__file__).parent / "docs" / "drawing.md"


def rows() -> dict[str, str]:
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


def test_the_page_the_sampler_and_the_adapters_agree():
    for status in range(400, 600):
        assert by_sampler(status) is documented(status), status
        by_adapter = Failures().error(Answer(status, {}, b""), "submit")
        # A server error carries no decision of the vendor: adapters leave it to the sampler.
        assert type(by_adapter) is (documented(status) if status < 500 else type(None)), status


def test_examples_of_the_page():
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


def test_plain_and_single_layers_are_read():
    data = bytes(range(256)) * 50
    assert read_body([data[:7], data[7:]], "", len(data), 10**6) == data
    packed = gzip.compress(data)
    assert read_body([packed[i : i + 9] for i in range(0, len(packed), 9)], "GZIP", len(packed), 10**6) == data
    assert read_body([zlib.compress(data)], "identity, deflate", None, 10**6) == data
    assert read_body([], "", 0, 10) == b""


@pytest.mark.parametrize(
    ("chunks", "encoding", "length", "reason"),
    [
        ([b"x" * 11], "", None, "more arrived"),
        ([b""], "", 11, "11 are announced"),
        ([b"x" * 5], "", 6, "5 arrived"),
        ([b"x"], "br", None, "not decoded"),
        ([b"x"], "gzip, gzip", None, "not decoded"),
        ([b"junk"], "gzip", None, "damaged"),
        ([gzip.compress(b"y" * 5)[:9]], "gzip", None, "before its end"),
    ],
)
def test_everything_else_is_refused(chunks, encoding, length, reason):
    with pytest.raises(PayloadError, match=reason):
        read_body(chunks, encoding, length, 10)


def test_a_bomb_is_stopped_at_the_cap_and_not_unpacked():
    bomb = gzip.compress(bytes(50_000_000), 9)
    with pytest.raises(PayloadError, match="unpacks to more"):
        read_body([bomb], "gzip", len(bomb), 2_000_000)


def test_data_links_are_read_here():
    link = "data:image/png;base64," + base64.b64encode(b"pixels").decode()
    assert read_data_link(link, 100) == ("image/png", b"pixels")
    assert read_data_link("data:,a%20b", 100) == ("text/plain", b"a b")


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("data:image/png;base64", "comma"),
        ("data:image/png;base64,@@@@", "base64"),
        ("data:image/png;base64," + "A" * 100, "at most 10"),
        ("data:," + "A" * 15, "at most 10"),
    ],
)
def test_broken_data_links_are_refused(link, reason):
    with pytest.raises(PayloadError, match=reason):
        read_data_link(link, 10)


WHOLE = {"etag": '"v1"', "accept-ranges": "bytes", "content-length": "10"}


def cut(headers: dict[str, str], status: int = 200) -> Resumption:
    made = Resumption()
    assert made.headers() == {}
    assert not made.begin(status, headers)
    made.keep([b"abc", b""])
    return made


def test_the_rest_of_the_same_version_is_asked_for_and_taken():
    made = cut(WHOLE)
    assert made.headers() == {"range": "bytes=3-", "if-match": '"v1"'}
    assert made.begin(206, {"etag": '"v1"', "content-range": "bytes 3-9/10"})
    made.keep([b"de"])
    assert (made.headers()["range"], b"".join(made.pieces)) == ("bytes=5-", b"abcde")


def test_nothing_is_kept_without_a_strong_version_and_ranges_or_of_other_answers():
    without = {"etag": ['W/"v1"', "v1", ""], "accept-ranges": ["none", ""], "content-encoding": ["gzip"]}
    for name, values in without.items():
        for value in values:
            assert cut({**WHOLE, name: value}).headers() == {}, (name, value)
    for status in (206, 302, 404, 503):
        assert cut(WHOLE, status).headers() == {}, status


RIGHT = {"etag": '"v1"', "content-range": "bytes 3-9/10"}
PLACES = ["bytes 2-9/10", "bytes 3-8/10", "bytes 3-10/11", "bytes 3-9/*", None]
OTHERS = [{"etag": '"v2"'}, {"etag": None}, {"content-encoding": "gzip"}, *({"content-range": one} for one in PLACES)]


@pytest.mark.parametrize("other", OTHERS)
def test_any_other_part_begins_from_zero(other):
    made = cut(WHOLE)
    with pytest.raises(ValueError, match="from zero"):
        made.begin(206, {name: value for name, value in {**RIGHT, **other}.items() if value is not None})
    assert made.headers() == {}


@pytest.mark.parametrize("status", [200, 412, 416])
def test_the_whole_or_a_version_that_is_gone_begins_from_zero(status):
    made = cut(WHOLE)
    assert (made.begin(status, {}), made.headers()) == (False, {})


def test_an_error_between_keeps_what_is_there_and_nothing_of_itself():
    made = cut(WHOLE)
    made.headers()
    assert not made.begin(503, {})
    made.keep([b"<html>"])
    assert made.headers()["range"] == "bytes=3-"
