"""The project's config: where it is found, what it says, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.plugin.config import KEYS, ProjectConfig, find_config, load_config

FULL = """
[store]
url = "sqlite:///runs.db"
[http]
allow_hosts = ["localhost", "10.0.0.0/8"]
[llm]
base_url = "http://localhost:11434/v1"
model = "small"
api_key = "OPENAI_API_KEY"
prices = {"small" = [0.5, 1.5]}
[plugins]
folder = "plugins"
allow = ["acme-text==1.2.0"]
[python]
allow = ["my_pkg.flows"]
[secrets]
provider = "env"
[secrets.grant]
publish = ["CMS_TOKEN"]
[secrets.hosts]
CMS_TOKEN = ["cms.example"]
[people]
users = {kim = "kim@example.com", lee = {email = "lee@example.com"}}
[people.groups]
editors = ["kim", "lee"]
[limits]
fan_out = 500
"""


def load(root: Path, text: str, **env: str) -> tuple[ProjectConfig, list[str]]:
    (root / "orchestrator.toml").write_text(text)
    config, found = load_config(root, env)
    return config, [str(d) for d in found]


def test_every_documented_key_is_read(tmp_path: Path) -> None:
    config, found = load(tmp_path, FULL)
    assert found == []
    assert config.root == tmp_path.resolve()
    assert (config.store_url, config.http_allow_hosts) == ("sqlite:///runs.db", ("localhost", "10.0.0.0/8"))
    assert (config.llm.model, config.llm.prices) == ("small", {"small": (0.5, 1.5)})
    assert config.secrets.grant == {"publish": ("CMS_TOKEN",)}
    assert config.people.users["kim"] == {"email": "kim@example.com"}
    assert config.people.is_strict
    assert config.plugins_path == tmp_path.resolve() / "plugins"
    assert config.limits == {"fan_out": 500}


def test_the_same_stands_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.orchestrator.llm]\nmodel = "m"\nmodle = "n"\n'
    )
    config, found = load_config(tmp_path, {})
    assert config.llm.model == "m"
    assert str(found[0].span).endswith("pyproject.toml:5:1")


def test_the_nearest_config_on_the_way_up_holds(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.orchestrator]\n")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\n")
    assert find_config(inner) == tmp_path.resolve() / "pyproject.toml"
    (inner / "orchestrator.toml").write_text("")
    assert find_config(inner) == inner.resolve() / "orchestrator.toml"


def test_without_a_config_everything_has_its_default(tmp_path: Path) -> None:
    config, found = load_config(None, {})
    assert (config, found) == (ProjectConfig(), ())


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[http]\nallow_host = []\n", "2:1", 'did you mean "allow_hosts"?'),
        ("[htpp]\nallow_hosts = []\n", "1:2", 'did you mean "http"?'),
        ("x = 1\n[http]\n", "1:1", 'unknown section "x"'),
        ("[http]\nallow_hosts = 3\n", "2:1", "a list of texts"),
        ("http = 3\n", "1:1", "[http] must be a table"),
        ("[llm]\napi_key = 'sk-12 34'\n", "2:1", "name of a secret"),
        ("[limits]\nfan_out = 'many'\n", "2:1", "a number"),
        ("[limits]\nfan_out = -1\n", "2:1", "not negative"),
        ("[llm]\n\n  model = 3\n", "3:3", "text in quotes"),
        ("[smtp]\nport = 99999\n", "2:1", "a port"),
        ("[secrets.grant]\npublish = 'X'\nother = 3\n", "1:10", "list of texts"),
        ("[llm.prices]\nm = [1]\n", "1:6", "a pair"),
        ("secrets.hosts.A = 3\n", "1:9", "list of texts"),
    ],
)
def test_a_mistake_is_a_finding_at_its_place(tmp_path: Path, text: str, place: str, words: str) -> None:
    _, found = load(tmp_path, text)
    assert len(found) == 1
    assert words in found[0]
    assert f"orchestrator.toml:{place}: error[CFG" in found[0]


@pytest.mark.parametrize("text", ["[http", "a = ", "\x00", "[a]\n[a]\n", "x = " + "[" * 5000])
def test_what_is_no_toml_is_one_finding(tmp_path: Path, text: str) -> None:
    assert len(load(tmp_path, text)[1]) == 1


def test_bytes_that_are_no_text_are_one_finding(tmp_path: Path) -> None:
    (tmp_path / "orchestrator.toml").write_bytes(b"\xff\xfe\x00")
    assert [d.code for d in load_config(tmp_path, {})[1]] == ["CFG001"]


def test_all_mistakes_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    config, found = load(tmp_path, "[http]\nx = 1\ny = 2\nallow_hosts = ['a']\n[store]\nurl = 1\n")
    assert len(found) == 3
    assert config.http_allow_hosts == ("a",)


def test_every_key_can_come_from_the_environment(tmp_path: Path) -> None:
    env = {
        "ORCHESTRATOR_STORE_URL": "postgresql://x",
        "ORCHESTRATOR_HTTP_ALLOW_HOSTS": "a, b",
        "ORCHESTRATOR_LLM_FAKE": "true",
        "ORCHESTRATOR_LIMITS_FAN_OUT": "20",
        "ORCHESTRATOR_SECRETS_GRANT": '{"f": ["A"]}',
        "ORCHESTRATOR_LLM_API_KEY": "sk-any value",
    }
    config, found = load(tmp_path, "[store]\nurl = 'sqlite:///x'\n", **env)
    assert found == []
    assert (config.store_url, config.http_allow_hosts, config.llm.fake) == ("postgresql://x", ("a", "b"), True)
    assert (config.limits["fan_out"], config.secrets.grant) == (20, {"f": ("A",)})
    assert config.llm.api_key == "sk-any value"


def test_a_near_miss_in_the_environment_is_told_and_others_are_left_alone(tmp_path: Path) -> None:
    _, found = load(
        tmp_path, "", ORCHESTRATOR_HTTP_ALOW_HOSTS="a", ORCHESTRATOR_HOME="/x", ORCHESTRATOR_LLM_FAKE="maybe"
    )
    assert len(found) == 2
    assert "ORCHESTRATOR_HTTP_ALLOW_HOSTS" in found[0]
    assert "ORCHESTRATOR_LLM_FAKE must be true or false" in found[1]


def test_no_key_is_read_and_then_forgotten(tmp_path: Path) -> None:
    from orchestrator.plugin.config import LlmConfig, SecretsConfig, SmtpConfig

    for section, kind in (("llm", LlmConfig), ("secrets", SecretsConfig), ("smtp", SmtpConfig)):
        assert set(KEYS[section]) == set(kind.__dataclass_fields__)
