"""Expressions in URLs: encoded by the place where they stand, never twice, and never able to change the host or path."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.expr import ExprError, compile_url_value, encode_text, resolve_secrets, secret_scope


def url(text: str, **scope: Any) -> Any:
    return compile_url_value(encode_text(text)).render(scope)


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("https://h/${{ x }}", "a b/c?d#e&f=ü", "https://h/a%20b%2Fc%3Fd%23e%26f%3D%C3%BC"),
        ("https://h/p?q=${{ x }}", "a&b", "https://h/p?q=a%26b"),
        ("https://h?q=${{ x }}", "a&b", "https://h?q=a%26b"),
        ("/p/${{ x }}", "a/b", "/p/a%2Fb"),
        ("${{ x }}/p", "https://h:1", "https://h:1/p"),
        ("${{ x }}", "https://h/a?b=c d", "https://h/a?b=c d"),
        ("https://${{ x }}/p", "api.example:8080", "https://api.example:8080/p"),
        ("https://${{ x }}.example/p", "eu-1", "https://eu-1.example/p"),
        ("https://h/${{ x | urlencode }}", "a b/c", "https://h/a%20b/c"),
        ("https://h/?${{ x | urlencode }}", {"a": "b c"}, "https://h/?a=b+c"),
        ("https://h/${{ x }}", 7, "https://h/7"),
        ("https://h/${{ x }}", "100%", "https://h/100%25"),
        ("https://h/${{ x }}", "v1.2", "https://h/v1.2"),
        ("https://h/p?q=${{ x }}", "a/../b", "https://h/p?q=a%2F..%2Fb"),
        ("https://h/p?q=${{ x | urlencode }}", "..", "https://h/p?q=.."),
        ("https://h/fixed", None, "https://h/fixed"),
    ],
)
def test_an_expression_is_encoded_by_its_place(text: str, x: Any, expected: str) -> None:
    assert url(text, x=x) == expected


def test_a_second_expression_after_a_base_address_is_encoded() -> None:
    assert url("${{ base }}/p/${{ x }}", base="https://h", x="a/b") == "https://h/p/a%2Fb"
    assert url("${{ base }}${{ x }}", base="https://h/", x="a b") == "https://h/a%20b"


@pytest.mark.parametrize(
    ("text", "x", "part"),
    [
        ("https://h${{ x }}", "/p", "in the host of a URL"),
        ("https://h${{ x }}/p", "@evil.example", "in the host of a URL"),
        ("https://${{ x }}/p", "evil.example/?", "in the host of a URL"),
        ("https://${{ x }}/p", "[::1]", "in the host of a URL"),
        ("https://h/a/${{ x }}/b", "..", "`.` and `..`"),
        ("https://h/a/${{ x }}", "../admin", "`.` and `..`"),
        ("https://h/a/${{ x | urlencode }}", "../admin", "`.` and `..`"),
        ("https://h/a/${{ x }}", "a\\..\\b", "`.` and `..`"),
        ("https://h/${{ x }}", None, "null cannot be put into a URL"),
        ("https://h/${{ x }}", {"a": 1}, "an object cannot be put into a URL"),
        ("https://h/${{ x }}", ["a"], "a list cannot be put into a URL"),
    ],
)
def test_what_would_change_the_meaning_of_a_url_is_refused(text: str, x: Any, part: str) -> None:
    with pytest.raises(ExprError) as caught:
        url(text, x=x)
    assert part in caught.value.message


def test_a_secret_in_a_url_is_encoded_when_it_is_put_in() -> None:
    rendered = url("https://h/hook/${{ secrets.TOKEN }}", secrets=secret_scope(["TOKEN"]))
    assert resolve_secrets(rendered, lambda name: "a/b c") == "https://h/hook/a%2Fb%20c"
