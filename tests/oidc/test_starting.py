"""What a server with a sign-in provider needs to start, that it is closed to all others, and somebody else's provider."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from orchestrator.authoring.project import Project
from orchestrator.errors import UsageError
from orchestrator.server.desk import Desk
from tests.cli.support import cli
from tests.oidc.kit import CONFIG, Site, me


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('issuer = "{url}"', 'issuer = "http://login.example"'), "must be an https address"),
        (('client_id = "orchestrator"\n', ""), "client_id is missing"),
        (('["operator"]', '["chief"]'), "is no role"),
        (("[oidc]\n", '[oidc]\nscopes = ["email"]\n'), "scopes must hold"),
        (('[oidc.roles]\neditors = ["editor", "approver"]\nboss = ["operator"]\n', ""), "roles is missing"),
    ],
)
def test_a_server_does_not_start_with_half_a_provider(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    (tmp_path / "orchestrator.toml").write_text(CONFIG.replace(*change).format(url="https://login.example"), "utf-8")
    with pytest.raises(UsageError, match=said):
        Desk(project=Project.open(tmp_path))
    done = cli("serve", ".", "--port", "0", cwd=tmp_path)
    assert (done.code, said in done.err, "Traceback" in done.err) == (2, True, False)


def test_with_a_provider_nobody_gets_in_without_signing_in_even_from_here(site: Site) -> None:
    (site.folder / "orchestrator.toml").write_text(site.config, "utf-8")
    words = [sys.executable, "-m", "orchestrator", "serve", str(site.folder), "--port", "0"]
    from tests.cli.support import ENV

    with subprocess.Popen(words, env=ENV | {"OIDC_SECRET": "x"}, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            url = next(m[1] for line in server.stderr if (m := re.search(r"serving on (http\S+)", line)))
            assert httpx.get(f"{url}/api/flows", trust_env=False).status_code == 401
            assert "Sign in with" in httpx.get(f"{url}/sign-in", trust_env=False).text
        finally:
            server.terminate()


def test_it_works_with_a_provider_that_somebody_else_wrote(site: Site) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = {"sub": "ada", "email": "ada@example.org", "email_verified": True, "groups": ["editors"]}
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--user-claims",
        json.dumps(user),
    ]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        try:
            issuer = wait_for_provider(port)
            site.config = CONFIG.format(url=issuer)
            with site.client() as client:
                begun = client.get("/sign-in/oidc").headers["location"]
                back = httpx.post(begun, data={"sub": "ada"}, trust_env=False).headers["location"]
                answer = client.get(back)
                assert answer.status_code == 303, answer.text
                assert me(client)["roles"] == ["approver", "editor"]
        finally:
            other.terminate()


def wait_for_provider(port: int) -> str:
    for _ in range(100):
        try:
            found = httpx.get(f"http://127.0.0.1:{port}/.well-known/openid-configuration", trust_env=False)
            return str(found.json()["issuer"])
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the provider did not come up")


def test_the_provider_of_the_tests_checks_pkce(site: Site) -> None:
    answer = httpx.post(
        f"{site.provider.url}/token",
        data={"code": "unknown", "code_verifier": base64.b64encode(b"guess").decode()},
        trust_env=False,
    )
    assert answer.status_code == 400
