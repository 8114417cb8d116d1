"""Signing in with OpenID Connect, against a provider on loopback that can misbehave, and against somebody else's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.responses import JSONResponse, Response

from orchestrator.server.access import Role
from orchestrator.server.accounts import Accounts
from orchestrator.server.oidc import _is_trusted
from tests.oidc.kit import CONFIG, Site, back_from, go, me, refusal
from tests.support import oidc_provider as op


def test_a_person_signs_in_and_gets_the_roles_of_their_groups(site: Site) -> None:
    with site.client() as client:
        answer = go(client, "/inbox")
        assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
        found = me(client)
    assert (found["user"], found["roles"], found["groups"]) == (
        "ada@example.org",
        ["approver", "editor"],
        ["editors", "everyone"],
    )


def test_the_flow_has_pkce_state_and_nonce_and_the_secret_goes_in_the_header(site: Site) -> None:
    with site.client() as client:
        go(client)
    asked, form = (values for what, values in site.provider.seen if what in ("authorize", "token"))
    assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) >= 43 and len(asked["nonce"]) >= 43 and asked["state"] != asked["nonce"]
    assert "client_secret" not in form and len(form["code_verifier"]) >= 43
    assert asked["redirect_uri"] == "http://127.0.0.1/sign-in/oidc/callback"


def test_a_public_client_needs_no_secret(site: Site) -> None:
    site.provider.client_secret = ""
    site.config = site.config.replace('client_secret = "OIDC_SECRET"\n', "")
    with site.client() as client:
        assert go(client).status_code == 303
    assert "client_secret" not in dict(site.provider.seen)["token"]


def test_a_secret_goes_into_the_form_where_the_provider_wants_it_there(site: Site) -> None:
    site.provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    with site.client() as client:
        assert go(client).status_code == 303
    assert dict(site.provider.seen)["token"]["client_secret"] == site.provider.client_secret


def test_a_wrong_secret_is_told_with_the_word_of_the_provider(site: Site) -> None:
    site.provider.client_secret = "another"
    status, text = refusal(site)
    assert status == 502 and "invalid_client" in text


def test_the_sign_in_page_offers_it_with_its_label(site: Site) -> None:
    site.config = site.config.replace("[oidc]\n", '[oidc]\nlabel = "Acme <ID>"\n')
    with site.client() as client:
        page = client.get("/sign-in?next=/runs").text
    assert "Sign in with Acme &lt;ID&gt;" in page
    assert 'href="/sign-in/oidc?next=/runs"' in page


def test_roles_and_groups_follow_the_provider_at_the_next_sign_in(site: Site) -> None:
    with site.client() as client:
        go(client)
        site.provider.user |= {"groups": ["boss"], "email": "ada@new.example"}
        go(client)
        found = me(client)
    assert (found["user"], found["roles"], found["groups"]) == ("ada@example.org", ["operator"], ["boss"])


@pytest.mark.parametrize("groups", [["cleaners"], [], None, "nobody", {"editors": True}, [["editors"]], 7])
def test_nobody_without_a_role_gets_in(site: Site, groups: Any) -> None:
    site.provider.user["groups"] = groups
    status, text = refusal(site)
    assert status == 403 and "may not use this server" in text


def test_a_star_gives_everybody_a_role(site: Site) -> None:
    site.config += '"*" = ["viewer"]\n'
    site.provider.user["groups"] = []
    with site.client() as client:
        go(client)
        assert me(client)["roles"] == ["viewer"]


WRONG_CLAIMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "nonce": lambda c: c | {"nonce": "another"},
    "no nonce": lambda c: {k: v for k, v in c.items() if k != "nonce"},
    "issuer": lambda c: c | {"iss": "https://evil.example"},
    "audience": lambda c: c | {"aud": "somebody-else"},
    "audience beside a right azp": lambda c: c | {"aud": "somebody-else", "azp": "orchestrator"},
    "azp": lambda c: c | {"aud": ["orchestrator", "other"], "azp": "other"},
    "no azp": lambda c: c | {"aud": ["orchestrator", "other"]},
    "expired": lambda c: c | {"exp": int(time.time()) - 120},
    "no expiry": lambda c: {k: v for k, v in c.items() if k != "exp"},
    "from the future": lambda c: c | {"iat": int(time.time()) + 3600},
    "not yet": lambda c: c | {"nbf": int(time.time()) + 3600},
    "at_hash": lambda c: c | {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "no subject": lambda c: {k: v for k, v in c.items() if k != "sub"},
    "odd expiry": lambda c: c | {"exp": "tomorrow"},
    "odd issuer": lambda c: c | {"iss": {"url": c["iss"]}},
}


@pytest.mark.parametrize("wrong", WRONG_CLAIMS)
def test_an_id_token_with_wrong_claims_signs_nobody_in(site: Site, wrong: str) -> None:
    site.provider.claims = WRONG_CLAIMS[wrong]
    status, text = refusal(site)
    assert status == 403 and "you could not be signed in" in text


@pytest.mark.parametrize(
    "sign",
    [
        op.unsigned,
        op.signed_by_secret,
        op.signed_by_public_key,
        op.signed_by_stranger,
        op.tampered,
        lambda p, c: "a.b.c",
    ],
)
def test_an_id_token_that_the_provider_did_not_sign_signs_nobody_in(site: Site, sign: Any) -> None:
    site.provider.sign = sign
    site.provider.metadata["id_token_signing_alg_values_supported"] = ["none", "HS256", "RS256"]
    status, _ = refusal(site)
    assert status == 403


def test_a_provider_that_knows_only_weak_algorithms_signs_nobody_in(site: Site) -> None:
    site.provider.metadata["id_token_signing_alg_values_supported"] = ["none", "HS256"]
    with site.client() as client:
        answer = client.get("/sign-in/oidc")
    assert answer.status_code == 502 and "no algorithm that is safe" in answer.text


def test_a_mail_address_that_is_not_verified_is_no_name(site: Site) -> None:
    site.provider.user["email_verified"] = False
    status, text = refusal(site)
    assert status == 403 and "not verified" in text
    site.provider.user["email_verified"] = "true"
    assert refusal(site)[0] == 403


def test_what_only_userinfo_tells_is_asked_there_and_must_be_about_the_same_person(site: Site) -> None:
    site.provider.in_userinfo = ("groups", "email", "email_verified")
    with site.client() as client:
        go(client)
        assert me(client)["groups"] == ["editors", "everyone"]
    site.accounts = Accounts()
    site.provider.userinfo = {"sub": "u-2"}
    status, text = refusal(site)
    assert status == 403 and "about somebody else" in text


def test_an_answer_needs_the_cookie_and_state_of_its_own_attempt(site: Site) -> None:
    with site.client() as client:
        path = back_from(client.get("/sign-in/oidc").headers["location"])
        other = back_from(client.get("/sign-in/oidc").headers["location"])
        assert client.get(path).status_code == 403  # the cookie is the second attempt's
        client.cookies.clear()
        assert client.get(other).status_code == 403
        client.cookies.set("orchestrator_sign_in", "forged.cookie", path="/sign-in")
        assert client.get(other).status_code == 403
        assert client.get("/api/me").status_code == 401


def test_an_attempt_is_used_once(site: Site) -> None:
    with site.client() as client:
        path = back_from(client.get("/sign-in/oidc").headers["location"])
        cookie = client.cookies["orchestrator_sign_in"]
        assert client.get(path).status_code == 303
        client.cookies.clear()
        client.cookies.set("orchestrator_sign_in", cookie, path="/sign-in")
        again = client.get(path)
    assert again.status_code == 403 and "was used before" in again.text


def test_an_attempt_that_took_too_long_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.client() as client:
        path = back_from(client.get("/sign-in/oidc").headers["location"])
        cookie, now = client.cookies["orchestrator_sign_in"], time.time()
        client.cookies.clear()
        client.cookies.set("orchestrator_sign_in", cookie, path="/sign-in")  # a browser that keeps it too long
        monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + 700)
        late = client.get(path)
    assert late.status_code == 403 and "longer than ten minutes" in late.text


def test_an_answer_of_another_issuer_is_refused(site: Site) -> None:
    site.provider.callback = {"iss": "https://evil.example"}
    status, text = refusal(site)
    assert status == 403 and "another issuer" in text


def test_what_the_provider_refuses_is_shown_escaped(site: Site) -> None:
    site.provider.callback = {"error": "access_denied", "error_description": "<script>alert(1)</script>"}
    with site.client() as client:
        page = go(client).text
    assert "&lt;script&gt;" in page and "<script>alert" not in page


def test_a_name_of_another_account_is_never_taken_over(site: Site) -> None:
    site.accounts.add_user("ada@example.org", roles=[Role.OPERATOR], password="a-long-password")
    with site.client() as client:
        answer = go(client)
        assert answer.status_code == 403 and "there is a user" in answer.text
        assert client.get("/api/me").status_code == 401


def test_a_disabled_account_stays_out(site: Site) -> None:
    with site.client() as client:
        go(client)
        site.accounts.change_user("ada@example.org", is_disabled=True)
        client.cookies.clear()
        assert go(client).status_code == 403
        assert client.get("/api/me").status_code == 401


def test_an_account_of_the_provider_has_no_password(site: Site) -> None:
    with site.client() as client:
        go(client)
    assert site.accounts.check_password("ada@example.org", "") is None
    assert not site.accounts.user("ada@example.org").has_password


@pytest.mark.parametrize(
    "following", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_site_after_signing_in(site: Site, following: str) -> None:
    with site.client() as client:
        assert go(client, following).headers["location"] == "/"


def test_new_keys_of_the_provider_are_fetched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.server.oidc.RELOAD_S", 0.0)
    with site.client() as client:
        go(client)
        site.provider.key = op.RSAKey.generate_key(2048, {"kid": "k2"})
        client.cookies.clear()
        assert go(client).status_code == 303
        assert me(client)["user"] == "ada@example.org"
    assert [what for what, _ in site.provider.seen].count("keys") == 2


BROKEN: dict[str, Callable[[Any], Response]] = {
    "500": lambda body: JSONResponse({}, 500),
    "no token": lambda body: JSONResponse({k: v for k, v in body.items() if k != "id_token"}),
    "no JSON": lambda body: Response("hello"),
    "a list": lambda body: JSONResponse([body]),
    "huge": lambda body: Response(b"x" * 2_000_000),
    "huge and right": lambda body: JSONResponse(body | {"more": "x" * 2_000_000}),
    "a redirect": lambda body: Response(status_code=302, headers={"Location": "http://169.254.169.254/"}),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_provider_that_breaks_is_a_bad_gateway(site: Site, how: str) -> None:
    site.provider.tokens = BROKEN[how]
    status, text = refusal(site)
    assert status == 502 and "the sign-in provider cannot be used" in text


@pytest.mark.parametrize("endpoint", ["configuration", "token", "keys", "userinfo"])
def test_no_redirect_of_a_provider_is_followed(site: Site, endpoint: str) -> None:
    site.provider.moved = endpoint
    site.provider.in_userinfo = ("email", "email_verified", "groups")
    with site.client() as client:
        begun = client.get("/sign-in/oidc")
        status = begun.status_code if endpoint == "configuration" else go(client).status_code
    assert status == 502
    assert endpoint in [what for what, _ in site.provider.seen]
    assert "elsewhere" not in [what for what, _ in site.provider.seen]


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://10.0.0.1/token"},
        {"jwks_uri": ""},
        {"jwks_uri": 7},
    ],
)
def test_a_configuration_that_leads_elsewhere_is_refused(site: Site, metadata: dict[str, Any]) -> None:
    site.provider.metadata = metadata
    with site.client() as client:
        assert client.get("/sign-in/oidc").status_code == 502


def test_a_provider_that_is_down_leaves_passwords_working(site: Site) -> None:
    site.config = CONFIG.format(url="http://127.0.0.1:9")
    site.accounts.add_user("kim", roles=[Role.VIEWER], password="a-long-password")
    with site.client() as client:
        assert client.get("/sign-in/oidc").status_code == 502
        answer = client.post("/api/session", json={"name": "kim", "password": "a-long-password"})
        assert answer.status_code == 200


def test_the_cookie_of_an_attempt_tells_no_other_browser_how_to_finish_it(site: Site) -> None:
    with site.client() as client:
        begun = client.get("/sign-in/oidc")
        header = begun.headers["set-cookie"].lower()
    assert "httponly" in header and "samesite=lax" in header and "path=/sign-in" in header
    query = parse_qs(urlsplit(begun.headers["location"]).query)
    assert "code_verifier" not in query


@pytest.mark.parametrize(
    ("url", "issuer", "is_trusted"),
    [
        ("https://keys.example/jwks", "https://login.example", True),
        ("http://127.0.0.1/jwks", "http://127.0.0.1:9000", True),
        ("http://127.0.0.1/jwks", "https://login.example", False),
        ("http://keys.example/jwks", "http://127.0.0.1:9000", False),
        ("file:///etc/passwd", "https://login.example", False),
        ("http://[::1", "http://127.0.0.1", False),
    ],
)
def test_plain_http_is_for_this_machine_and_its_own_issuers(url: str, issuer: str, is_trusted: bool) -> None:
    assert _is_trusted(url, like=issuer) is is_trusted
