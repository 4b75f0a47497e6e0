"""Decides which addresses a request may go to, and whether with the key, before anything is resolved.

`transport.CheckedBackend` checks the resolved addresses when it connects.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Literal

from blackbox_conformal.errors import PayloadError
from blackbox_conformal.support.local_servers import is_loopback_name

AddressPolicy = Literal["own", "public", "loopback"]
"""Addresses that a connection may have: any (the vendor's own host), only public ones, only loopback."""

_NOT_PUBLIC = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "fec0::/10", "3fff::/20", "5f00::/16")))
"""Networks that older Pythons may call public: protocols (RFC 6890), site-local (RFC 3879), documentation (RFC 9637),
SRv6 (RFC 9602).
"""

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class WebOrigin:
    """Scheme, host (lower case, no trailing dot) and port."""

    scheme: str
    host: str
    port: int

    @property
    def on_loopback(self) -> bool:
        """Tell whether the host names this machine itself, without resolving the name."""
        return is_loopback_name(self.host)

    @property
    def is_private_way(self) -> bool:
        """Tell whether nobody on the way can read the request: it is encrypted, or stays on this machine."""
        return self.scheme == "https" or self.on_loopback

    @property
    def text(self) -> str:
        """Return the origin as people write it, without the scheme's usual port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS.get(self.scheme) else f":{self.port}")


def make_origin(scheme: str, host: str, port: int | None) -> WebOrigin:
    return WebOrigin(scheme, host.lower().rstrip("."), port or _PORTS.get(scheme, 0))


def is_allowed_address(address: str, policy: AddressPolicy) -> bool:
    """Tell whether `policy` allows a resolved address; IPv6 around IPv4 is judged by the IPv4 address."""
    if policy == "own":
        return True
    try:
        value = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(value, ipaddress.IPv6Address):
        # An IPv4 address can hide in IPv6 in three ways: mapped, 6to4 (RFC 3056) and NAT64 (RFC 6052).
        inner = value.ipv4_mapped or value.sixtofour
        if inner is None and value in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(value) & 0xFFFFFFFF)
        if inner is not None:
            value = inner
    if policy == "loopback":
        return value.is_loopback
    special = any(value in network for network in _NOT_PUBLIC)
    # In older versions Python's `is_global` accepts some special networks.
    return value.is_global and not (value.is_multicast or value.is_reserved or special)


_PRIVATE_ENDINGS = ("localhost", "local", "internal", "localdomain", "lan", "home.arpa")
"""Endings of names that are not public (RFC 6761, 6762 and 8375, and usual ones of private networks)."""


def is_public_host(host: str) -> bool:
    """Tell whether an unresolved `host` can be public; addresses are judged in any form that a resolver takes."""
    try:
        address = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return "." in host and not any(host == name or host.endswith(f".{name}") for name in _PRIVATE_ENDINGS)
    return is_allowed_address(address, "public")


class LinkRules:
    """Link rules of one adapter: its own origin, other origins that see its key, and the hosts of results."""

    def __init__(self, own: WebOrigin, result_hosts: tuple[str, ...], keyed: tuple[WebOrigin, ...] = ()) -> None:
        self.own = own
        self._keyed = keyed
        self._hosts = tuple(host.lower().rstrip(".") for host in result_hosts)

    def is_listed(self, host: str) -> bool:
        """Tell whether `host` is known to keep the vendor's results."""
        # A name with a leading dot stands for its subdomains only, not for names with the same ending.
        return host == self.own.host or any(
            host.endswith(name) and len(host) > len(name) if name.startswith(".") else host == name
            for name in self._hosts
        )

    def admit(self, target: WebOrigin, has_user: bool, public: bool) -> tuple[bool, AddressPolicy]:
        """Return whether the key may go to `target`, and which addresses `target` may have."""
        where = f"{target.scheme}://{target.host}:{target.port}"
        if has_user:
            raise PayloadError(f"the vendor's link to {where} carries a user name; such links are not followed")
        # The user chose the vendor's own address, so it may be anything; a public request sends no key there.
        if target == self.own:
            return not public, "own"
        if target in self._keyed and not public:
            return True, "own"
        if target.scheme not in _PORTS:
            raise PayloadError(f"expected an https link from the vendor; got one of scheme {target.scheme[:20]!r}")
        # A vendor on this machine, as in tests, may keep results on this machine.
        if self.own.on_loopback and target.on_loopback:
            return False, "loopback"
        if target.scheme != "https":
            raise PayloadError(f"expected an https link from the vendor; got {where}, which others can alter")
        # Through other ports a link could reach services inside a network.
        if target.port not in (443, self.own.port):
            raise PayloadError(f"the vendor's link goes to {where}; expected port 443")
        if not self.is_listed(target.host) and not public:
            raise PayloadError(
                f"the vendor's link goes to {target.host}, which is neither its own host {self.own.host} nor one that"
                " its adapter declares as a result host"
            )
        # The connection checks the resolved address; behind a proxy, only the proxy learns it.
        if not is_public_host(target.host):
            raise PayloadError(
                f"the vendor's link was not followed: {target.host} is not a public address; nothing was sent"
            )
        return False, "public"
