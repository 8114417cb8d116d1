"""Secret values: masked everywhere, granted per flow, read from the environment and .env."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestrator.errors import PluginError, StepError
from orchestrator.plugin.config import ProjectConfig, SecretsConfig
from orchestrator.plugin.hub import ServiceHub
from orchestrator.plugin.info import CallableInfo
from orchestrator.plugin.secrets import Secret, SecretVault, environment_provider, mask, read_env_file

VALUE = 'p@ss/w"rd é+='
SECRET = Secret(VALUE, "KEY")


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET:>20}",
        f"{SECRET!r}",
        "".join(map(str, [SECRET])),
        str([SECRET]),
        str({"k": SECRET}),
    ],
)
def test_a_secret_is_shown_nowhere(shown: str) -> None:
    assert "ss/w" not in shown


def test_a_secret_in_a_model_is_masked_in_json() -> None:
    class Holder(BaseModel):
        key: Secret

    held = Holder(key=VALUE)  # type: ignore[arg-type]
    assert held.key.reveal() == VALUE
    assert held.model_dump_json() == '{"key":"***"}'


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy, json.dumps])
def test_a_secret_does_not_leave_its_process(way: object) -> None:
    with pytest.raises(TypeError):
        way(SECRET)  # type: ignore[operator]


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        repr(VALUE)[1:-1],
        VALUE.encode().hex(),
    ],
)
def test_every_form_of_a_secret_is_masked(form: str) -> None:
    assert mask(f"before {form} after", [SECRET]) == "before *** after"


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_inside_base64_is_masked_at_any_place(before: str, encode: object) -> None:
    text = encode(f"{before}{VALUE}".encode()).decode()  # type: ignore[operator]
    assert "***" in mask(f"Basic {text}", [SECRET])


@given(st.text(min_size=4, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_no_masked_text_holds_the_secret(value: str, before: str, after: str) -> None:
    assert value not in mask(before + value + after, [Secret(value)]).replace("***", "\0")


def test_the_longer_of_two_overlapping_secrets_is_masked_whole() -> None:
    assert mask("abcdefgh", [Secret("abcd"), Secret("abcdefgh")]) == "***"


def test_an_env_file_is_read_with_quotes_comments_and_export(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        '# note\nA=1\nexport B = two words # c\nC=\'x # y\'\nD="a\\nb\\"c" # d\nbad line\nE=\nF=a#b\n'
    )
    found = read_env_file(tmp_path / ".env")
    assert found == {"A": "1", "B": "two words", "C": "x # y", "D": 'a\nb"c', "E": "", "F": "a#b"}


def test_the_environment_wins_over_the_file_and_empty_is_unset(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\nC=\n")
    provider = environment_provider(tmp_path, {"A": "env"})
    assert [provider(n) for n in "ABCD"] == ["env", "file", None, None]


def test_a_flow_gets_only_what_it_was_granted(tmp_path: Path) -> None:
    secrets = SecretsConfig(grant={"publish": ("CMS_TOKEN",)})
    config = ProjectConfig(root=tmp_path, file=tmp_path / "orchestrator.toml", secrets=secrets)
    hub = ServiceHub(config, secrets={"CMS_TOKEN": "t0ken", "OTHER": "x"}.get)
    assert hub.vault("publish").get("CMS_TOKEN").reveal() == "t0ken"
    with pytest.raises(StepError, match=r'publish = \["OTHER"\]') as denied:
        hub.vault("publish").get("OTHER")
    with pytest.raises(StepError):
        hub.vault("another").get("CMS_TOKEN")
    assert denied.value.code == "secret.denied"


def test_the_operator_rules_over_what_a_plugin_declares(tmp_path: Path) -> None:
    secrets = SecretsConfig(grant={"publish": ("RULED",)}, hosts={"RULED": ("cms.example",), "BOUND": ("cms.example",)})
    config = ProjectConfig(root=tmp_path, file=tmp_path / "orchestrator.toml", secrets=secrets)
    hub = ServiceHub(config, secrets=dict.fromkeys(("RULED", "BOUND", "FREE"), "x").get)
    info = CallableInfo("crm.tell", {}, secrets=("RULED", "BOUND", "FREE"), hosts=("crm.example",))
    vault = hub.vault("another", info)
    assert [vault.has(name) for name in info.secrets] == [False, True, True]
    assert hub.vault("publish", info).has("RULED")
    assert [vault.hosts_of(name) for name in info.secrets] == [("cms.example",), ("cms.example",), ("crm.example",)]


def test_a_missing_secret_says_where_to_put_it() -> None:
    with pytest.raises(StepError, match=r"KEY=\.\.\. into the environment or \.env") as missing:
        SecretVault({}.get).get("KEY")
    assert missing.value.code == "secret.missing"


PROVIDER = """
from orchestrator.plugin import Plugin
vault = Plugin("vault")
asked = []
@vault.secret_provider
def read(name: str) -> str | None:
    asked.append(name)
    return {"KEY": "from-vault"}.get(name)
"""


def test_a_plugin_of_the_project_can_be_the_source_of_secrets(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "vault.py").write_text(PROVIDER)
    config = ProjectConfig(root=tmp_path, plugins_folder="plugins", secrets=SecretsConfig(provider="vault.read"))
    hub = ServiceHub(config)
    assert hub.may_have_secret("KEY")
    assert not any(name.endswith(".vault") for name in sys.modules), "a check must not import it"
    vault = hub.vault("any")
    assert vault.get("KEY").reveal() == "from-vault"
    assert not vault.has("OTHER")


@pytest.mark.parametrize("provider", ["vault.red", "nothing.read"])
def test_a_provider_that_is_not_there_is_an_error_when_it_is_asked(tmp_path: Path, provider: str) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "vault.py").write_text(PROVIDER)
    config = ProjectConfig(root=tmp_path, plugins_folder="plugins", secrets=SecretsConfig(provider=provider))
    with pytest.raises(PluginError, match=provider.partition(".")[0]):
        ServiceHub(config).vault("any").get("KEY")
