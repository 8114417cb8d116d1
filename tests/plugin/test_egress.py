"""Which addresses may be called, by rule and by what the operator opened."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plugin.egress import EgressRules, host_matches, refusal


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.9.1", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("100.64.0.1", "CGNAT"),
        ("64:ff9b::a00:1", "NAT64"),
        ("64:ff9b:1::1", "NAT64"),
        ("2002:7f00:1::", "6to4"),
        ("2001:0:1::1", "Teredo"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:8.8.8.8", None),
        ("::7f00:1", "IPv4-compatible"),
        ("fc00::1", "private"),
        ("fec0::1", "site-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("255.255.255.255", "private"),
        ("192.0.2.1", "private"),
        ("198.18.0.1", "private"),
        ("240.0.0.1", "private"),
        ("not-an-address", "not an IP address"),
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
    ],
)
def test_an_address_is_refused_for_its_kind(address: str, reason: str | None) -> None:
    assert refusal(address) == reason


@given(st.ip_addresses())
def test_what_passes_is_global_and_no_tunnel(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if refusal(str(address)) is None:
        inner = getattr(address, "ipv4_mapped", None) or address
        assert inner.is_global
        assert not inner.is_multicast
        assert not inner.is_private


def test_one_private_address_among_many_is_enough_to_refuse() -> None:
    assert "10.0.0.1, a private" in str(EgressRules().blocked("x.example", 80, ["8.8.8.8", "10.0.0.1"]))


@pytest.mark.parametrize(
    ("entry", "host", "port", "fits"),
    [
        ("cms.example", "cms.example", 80, True),
        ("CMS.example.", "cms.EXAMPLE", 443, True),
        ("cms.example", "evil-cms.example", 80, False),
        ("cms.example", "cms.example.evil", 80, False),
        ("cms.example:8080", "cms.example", 8080, True),
        ("cms.example:8080", "cms.example", 80, False),
        ("*.internal", "a.b.internal", 80, True),
        ("*.internal", "internal", 80, False),
        ("*.internal", "notinternal", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("127.0.0.1", "127.0.0.1", 1, True),
    ],
)
def test_an_allowed_host_is_matched_whole(entry: str, host: str, port: int, fits: bool) -> None:
    assert host_matches(entry, host, port) is fits


def test_a_network_opens_names_that_lead_into_it_and_an_address_does_not() -> None:
    assert EgressRules(("10.2.0.0/16",)).blocked("db.corp", 80, ["10.2.3.4"]) is None
    assert EgressRules(("10.2.0.0/16",)).blocked("db.corp", 80, ["10.3.3.4"]) is not None
    assert EgressRules(("10.2.3.4",)).blocked("rebound.example", 80, ["10.2.3.4"]) is not None
