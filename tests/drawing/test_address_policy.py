"""Where a request may go, and where the key may go with it."""

import pytest

from blackbox_conformal.drawing.http.address_policy import LinkRules, WebOrigin, is_allowed_address, make_origin
from blackbox_conformal.errors import PayloadError

OWN = make_origin("https", "api.vendor.example", None)
RULES = LinkRules(OWN, ("cdn.vendor.example", ".storage.example"))


def origin(text: str) -> WebOrigin:
    scheme, _, rest = text.partition("://")
    host, _, port = rest.partition(":")
    return make_origin(scheme, host, int(port) if port else None)


def test_only_the_own_origin_gets_the_key():
    assert RULES.admit(origin("https://API.vendor.example."), False, public=False) == (True, "own")
    assert RULES.admit(OWN, False, public=True) == (False, "own")
    for host in ("cdn.vendor.example", "a.storage.example", "API.VENDOR.EXAMPLE:443"):
        assert RULES.admit(origin(f"https://{host}"), False, public=False)[0] == (
            host.lower() == "api.vendor.example:443"
        )


def test_a_second_place_that_gives_tokens_sees_the_key_and_no_other_port_or_scheme_of_it():
    rules = LinkRules(OWN, (), (make_origin("https", "login.vendor.example", None),))
    assert rules.admit(origin("https://login.vendor.example"), False, public=False) == (True, "own")
    assert rules.admit(origin("https://login.vendor.example"), False, public=True) == (False, "public")
    for wrong in ("http://login.vendor.example", "https://login.vendor.example:8443", "https://a.login.vendor.example"):
        with pytest.raises(PayloadError):
            rules.admit(origin(wrong), False, public=False)


@pytest.mark.parametrize(
    "wrong",
    [
        "http://cdn.vendor.example",
        "http://api.vendor.example",
        "https://cdn.vendor.example:8443",
        "ftp://cdn.vendor.example",
        "file://x",
        "https://storage.example",
        "https://evilstorage.example",
        "https://other.example",
        "https://127.0.0.1",
    ],
)
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
    ("address", "public", "loopback"),
    [
        ("93.184.216.34", True, False),
        ("2606:2800:220:1::1", True, False),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("10.0.0.1", False, False),
        ("192.168.1.1", False, False),
        ("172.16.9.9", False, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:7f00:1::", False, True),
        ("fe80::1%eth0", False, False),
        ("fd00:ec2::254", False, False),
        ("100.64.0.1", False, False),
        ("0.0.0.0", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("not an address", False, False),
    ],
)
def test_addresses(address, public, loopback):
    assert is_allowed_address(address, "public") == public
    assert is_allowed_address(address, "loopback") == loopback
    assert is_allowed_address(address, "own")


@pytest.mark.parametrize(
    "address", ["192.0.0.192", "192.0.0.10", "fec0::1", "3fff::1", "5f00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
)
def test_addresses_that_no_network_leads_to_publicly_are_not_public(address):
    assert not is_allowed_address(address, "public")
    assert is_allowed_address("2606:4700::1", "public")
