"""Secrets: placeholders from rendering to the call, and nothing that computes with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.expr import (
    ExprError,
    SecretRef,
    SecretText,
    compile_expr,
    compile_value,
    encode_data,
    parse,
    resolve_secrets,
    seal,
    secret_scope,
    unseal,
)
from orchestrator.expr.secrets import secret_names
from orchestrator.expr.taint import mentions_secrets, misused_secrets, secrets_of

SCOPE = {"secrets": secret_scope(["TOKEN", "KEY"]), "ev": {"x": "X", "ok": True}}


def test_a_secret_alone_and_in_text_stays_a_placeholder() -> None:
    value = compile_value(
        encode_data({"a": "${{ secrets.TOKEN }}", "b": "Bearer ${{ secrets.TOKEN }}!", "c": "${{ ev.x }}"})
    )
    assert value.has_secrets
    assert value.render(SCOPE) == {
        "a": SecretRef("TOKEN"),
        "b": SecretText(("Bearer ", SecretRef("TOKEN"), "!")),
        "c": "X",
    }


def test_secrets_are_put_in_at_the_call() -> None:
    rendered = compile_value(encode_data(["${{ secrets.TOKEN ~ '-' ~ secrets.KEY }}", "n"])).render(SCOPE)
    assert secret_names(rendered) == {"TOKEN", "KEY"}
    assert resolve_secrets(rendered, {"TOKEN": "t", "KEY": "k"}.__getitem__) == ["t-k", "n"]


def test_a_secret_that_is_not_there_is_said_by_name() -> None:
    with pytest.raises(ExprError, match=r"`secrets\.OTHER` is not there; `secrets` has: TOKEN, KEY"):
        compile_expr("secrets.OTHER").evaluate(SCOPE)


@pytest.mark.parametrize(
    "source",
    ["secrets.TOKEN | upper", "secrets.TOKEN + 'x'", "[secrets.TOKEN] | join", "secrets.TOKEN | tojson", "secrets | tojson",
     "secrets.TOKEN[0]", "secrets.TOKEN < 'a'", "'a' in secrets.TOKEN", "secrets.TOKEN | length", "secrets.TOKEN * 2",
     "secrets.TOKEN | urlencode", "[secrets.TOKEN] | sort"],
)  # fmt: skip
def test_computing_with_a_secret_fails_and_is_found_before(source: str) -> None:
    with pytest.raises(ExprError):
        compile_expr(source).evaluate(SCOPE)
    assert [found.code for found in misused_secrets(parse(source))] == ["FLW330"]


@pytest.mark.parametrize(
    "source", ["secrets.TOKEN == 'x'", "secrets.TOKEN or 'x'", "secrets", "1 if secrets.TOKEN else 2"]
)
def test_asking_about_a_secret_is_found_before(source: str) -> None:
    assert [found.code for found in misused_secrets(parse(source))] == ["FLW330"]


@pytest.mark.parametrize(
    "source",
    ["secrets.TOKEN", "secrets['TOKEN']", "'Bearer ' ~ secrets.TOKEN", "secrets.TOKEN if ev.ok else secrets.KEY",
     "{'auth': secrets.TOKEN}"],
)  # fmt: skip
def test_placing_a_secret_is_fine(source: str) -> None:
    assert misused_secrets(parse(source)) == []
    assert secrets_of(parse(source)) >= {"TOKEN"}
    assert secret_names(compile_expr(source).evaluate(SCOPE)) == {"TOKEN"}


def test_an_expression_says_whether_it_mentions_secrets() -> None:
    assert mentions_secrets(parse("ev.x ~ secrets.TOKEN"))
    assert not mentions_secrets(parse("ev.secrets"))


def test_the_sealed_form_is_json_without_a_value() -> None:
    rendered = compile_value(encode_data({"h": "Bearer ${{ secrets.TOKEN }}"})).render(SCOPE)
    sealed = json.loads(json.dumps(seal(rendered)))
    assert sealed == {"h": {"$text": ["Bearer ", {"$secret": "TOKEN"}]}}
    assert unseal(sealed) == rendered


def test_data_that_looks_like_a_placeholder_stays_data() -> None:
    data = {"a": {"$secret": "TOKEN"}, "b": {"$text": [{"$secret": "TOKEN"}]}, "c": {"$lit": {"$secret": "KEY"}}}
    assert unseal(seal(data)) == data
    assert resolve_secrets(unseal(seal(data)), lambda name: "leaked") == data


def test_sealing_plain_data_copies_nothing() -> None:
    data: dict[str, Any] = {"a": [1, {"b": "c"}]}
    assert seal(data) is data


_DATA = st.recursive(
    st.sampled_from([None, 1, "x", SecretRef("A"), SecretRef("B", True), SecretText(("a", SecretRef("A")))]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$secret", "$text", "$lit"]), inner),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_DATA)
def test_sealing_and_unsealing_gives_the_same(value: Any) -> None:
    assert unseal(json.loads(json.dumps(seal(value)))) == value
