"""Which addresses this process may connect to. Pure rules over names and addresses; opens no connection.

Invariant: a name is judged by the addresses it resolves to, never by its text, and every one of them must be allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
NO_ADDRESS = "not an IP address"
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")
_CGNAT = ipaddress.IPv4Network("100.64.0.0/10")


def refusal(address: str) -> str | None:
    """Why an address is no public one, in a word or two; None if it is public."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return NO_ADDRESS
    return _refusal(parsed)


def _refusal(address: Address) -> str | None:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is not None:
            return _refusal(inner)
        if any(address in network for network in _NAT64):
            return "NAT64"
        if address.sixtofour is not None:
            return "6to4"
        if address.teredo is not None:
            return "Teredo"
        if address in _SITE_LOCAL:
            return "site-local"
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if isinstance(address, ipaddress.IPv6Address) and address in _COMPATIBLE:
        return "IPv4-compatible"
    if isinstance(address, ipaddress.IPv4Address) and address in _CGNAT:
        return "CGNAT"
    if address.is_private:
        return "private"
    if not address.is_global or address.is_reserved:
        return "reserved"
    return None


@dataclass(frozen=True, slots=True)
class EgressRules:
    """`[http] allow_hosts`: `name`, `name:port`, `*.zone`, or a network such as `10.2.0.0/16`.

    A name or an address opens what is written so in the URL; only a network opens whatever name leads into it.
    """

    allow_hosts: tuple[str, ...] = ()
    _networks: tuple[Network, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        networks = []
        for entry in self.allow_hosts:
            if "/" not in entry:
                continue
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                continue
        object.__setattr__(self, "_networks", tuple(networks))

    def allows_name(self, host: str, port: int) -> bool:
        """Whether the operator opened this host by name."""
        return any(host_matches(entry, host, port) for entry in self.allow_hosts)

    def blocked(self, host: str, port: int, addresses: Iterable[str]) -> str | None:
        """A sentence saying why a connection is refused, None if it may be made."""
        if self.allows_name(host, port):
            return None
        for address in addresses:
            reason = refusal(address)
            if reason is not None and not self._in_networks(address):
                return (
                    f"{host}:{port} is at {address}, a {reason} address; if this host is meant, add it to the project's "
                    f'config: [http] allow_hosts = ["{host}"]'
                )
        return None

    def refused(self, host: str, port: int) -> str | None:
        """What a host is that is not reached, as far as it can be told without looking up its name; None otherwise."""
        reason = "loopback" if host.rstrip(".") == "localhost" else refusal(host)
        if reason is None or reason == NO_ADDRESS or self.allows_name(host, port):
            return None
        return None if reason != "loopback" and self._in_networks(host) else f"a {reason} address"

    def _in_networks(self, address: str) -> bool:
        parsed = ipaddress.ip_address(address.partition("%")[0])
        return any(parsed.version == network.version and parsed in network for network in self._networks)


def host_matches(entry: str, host: str, port: int) -> bool:
    """Whether `name`, `name:port` or `*.zone` covers a host and port. Case does not matter, nor does a final dot."""
    wanted, host = entry.lower().rstrip("."), host.lower().rstrip(".")
    name, colon, number = wanted.rpartition(":")
    if colon and number.isdigit() and not (":" in name and not name.startswith("[")):
        if int(number) != port:
            return False
        wanted = name
    wanted = wanted.strip("[]")
    if wanted.startswith("*."):
        return host.endswith(wanted[1:])
    return wanted == host
