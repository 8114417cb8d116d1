"""Models as a project configures them: several providers, prompt files with values, recordings in flow tests, budgets of runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.testing.loopback import LoopbackServer, ModelEndpoint
from tests.cli.support import cli, write

FLOW = """\
flow: ask
inputs: {topic: str}
outputs: {text: str}
steps:
  ask:
    on: Start
    call: llm.chat
    with:
      prompt_file: prompts/ask.md
      values: {topic: "${{ inputs.topic }}"}
      model: MODEL
    emit: {event: Stop, with: {text: "${{ result.text }}"}}
tests:
  - name: it answers
    inputs: {topic: trees}
    expect: {path: [ask]}
"""


class Site:
    """A project with two providers."""

    def __init__(self, folder: Path, near: str, far: str) -> None:
        self.folder = folder
        self.config = (
            f'[llm]\nbase_url = "{far}/v1"\nmodel = "big"\napi_key = "FAR_KEY"\n'
            f'[llm.providers.near]\nbase_url = "{near}/v1"\nmodel = "small"\napi_key = "NEAR_KEY"\n'
            "[llm.providers.near.prices]\ntiny = [1.0, 1.0]\n"
        )
        write(folder, "orchestrator.toml", self.config)
        write(folder, "prompts/ask.md", "Write about {topic}.")
        self.use("near/tiny")

    def use(self, model: str) -> None:
        """Have the flow ask this model."""
        write(self.folder, "ask.flow.yaml", FLOW.replace("MODEL", model))

    def step(self, *inputs: str) -> Any:
        """What llm.chat gives, or the line that says why not."""
        words = [word for given in inputs for word in ("-i", given)]
        done = cli("run", "--step", "llm.chat", *words, "--json", cwd=self.folder)
        return done.json["data"]["result"] if done.code == 0 else done.json["data"]["error"]


@pytest.fixture
def models() -> tuple[ModelEndpoint, ModelEndpoint]:
    return ModelEndpoint(key="near-key"), ModelEndpoint(key="far-key")


@pytest.fixture
def site(
    tmp_path: Path, models: tuple[ModelEndpoint, ModelEndpoint], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setenv("NEAR_KEY", "near-key")
    monkeypatch.setenv("FAR_KEY", "far-key")
    near, far = models
    with LoopbackServer(near.app) as one, LoopbackServer(far.app) as other:
        yield Site(tmp_path, one.url, other.url)


def test_the_word_before_the_slash_names_the_provider(site: Site, models: tuple[ModelEndpoint, ModelEndpoint]) -> None:
    near, far = models
    near.reply_next("oak")
    answer = site.step("prompt=trees", "model=near/tiny")
    assert (answer["text"], answer["model"], far.received) == ("oak", "near/tiny", [])
    assert near.received[0].body["model"] == "tiny" and answer["cost"] > 0


@pytest.mark.parametrize(
    ("model", "asked"), [("near", ("small", None)), ("other/llama", (None, "other/llama")), ("", (None, "big"))]
)
def test_a_provider_has_a_default_and_what_names_none_goes_to_the_main_endpoint(
    site: Site, models: tuple[ModelEndpoint, ModelEndpoint], model: str, asked: tuple[str | None, str | None]
) -> None:
    site.step("prompt=trees", *([f"model={model}"] if model else []))
    sent = tuple(end.received[0].body["model"] if end.received else None for end in models)
    assert sent == asked


def test_each_provider_gets_its_own_key_and_a_missing_one_is_told(
    site: Site, models: tuple[ModelEndpoint, ModelEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.step("prompt=trees", "model=near/tiny")
    assert models[0].received[0].headers["authorization"] == "Bearer near-key"
    monkeypatch.delenv("NEAR_KEY")
    assert site.step("prompt=trees", "model=near/tiny")["code"] == "secret.missing"
    assert "NEAR_KEY is not set" in cli("doctor", cwd=site.folder).out


def test_only_providers_and_no_main_endpoint_is_a_config_too(site: Site) -> None:
    write(site.folder, "orchestrator.toml", site.config[site.config.index("[llm.providers.near]") :])
    assert site.step("prompt=trees", "model=near/tiny")["model"] == "near/tiny"
    error = site.step("prompt=trees")
    assert error["code"] == "llm.not_configured" and "near/" in error["message"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[llm.providers.near]\nmodel = "x"\n', "base_url"),
        ('[llm.providers.near]\nbase_url = "http://x"\nkey = "x"\n', '"near" has "key"'),
        ('[llm.providers.near]\nbase_url = "http://x"\napi_key = "sk-12"\n', "the name of a secret"),
    ],
)
def test_a_provider_that_is_misdescribed_is_a_finding(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, "orchestrator.toml", text)
    done = cli("plugin", "list", cwd=tmp_path)
    assert (done.code, said in done.err) == (3, True)


def test_a_prompt_file_is_filled_with_values(site: Site, models: tuple[ModelEndpoint, ModelEndpoint]) -> None:
    site.step("prompt_file=prompts/ask.md", 'values={"topic": "{topic} and {more}"}', "model=near/tiny")
    assert models[0].received[0].body["messages"][-1]["content"] == "Write about {topic} and {more}."
    missing = site.step("prompt_file=prompts/ask.md", "values={}", "model=near/tiny")
    assert missing["code"] == "text.missing"
    assert site.step("values={}", 'messages=[{"role": "user", "content": "x"}]')["code"] == "type.payload"


def test_a_flow_is_tested_with_recorded_answers(site: Site, models: tuple[ModelEndpoint, ModelEndpoint]) -> None:
    without = cli("test", cwd=site.folder)
    assert (without.code, "give it a mock" in without.out) == (1, True)
    models[0].reply_next("Oak.")
    assert cli("test", "--record", "answers.jsonl", cwd=site.folder).code == 0
    assert "Write about trees." in (site.folder / "answers.jsonl").read_text("utf-8")
    replayed = cli("test", "--replay", "answers.jsonl", cwd=site.folder)
    assert (replayed.code, len(models[0].received)) == (0, 1)


def test_a_question_that_was_not_recorded_fails_the_test(site: Site) -> None:
    assert cli("test", "--record", "answers.jsonl", cwd=site.folder).code == 0
    write(site.folder, "prompts/ask.md", "Write a poem about {topic}.")
    done = cli("test", "--replay", "answers.jsonl", cwd=site.folder)
    assert done.code == 1 and "has no answer to this request" in done.out
    assert cli("test", "--replay", "nothing.jsonl", cwd=site.folder).code == 6


LOOP = """\
flow: many
outputs: {count: int}
state: {count: {type: int, default: 0}}
steps:
  ask:
    on: Start
    for_each: "${{ [1, 2, 3, 4, 5] }}"
    concurrency: 1
    call: llm.chat
    with: {prompt: "Say ${{ item }}", model: near/tiny}
    emit: {event: Stop, with: {count: 1}}
"""


def test_a_run_that_has_spent_its_budget_stops_with_the_reason(
    site: Site, models: tuple[ModelEndpoint, ModelEndpoint]
) -> None:
    write(site.folder, "orchestrator.toml", site.config + "[limits]\nllm_cost = 0.000001\n")
    write(site.folder, "many.flow.yaml", LOOP)
    done = cli("run", "many.flow.yaml", "--store", "memory:", "--json", cwd=site.folder)
    error = done.json["data"]["error"]
    assert (done.code, error["code"]) == (1, "limit.llm_cost")
    assert "raise [limits] llm_cost" in error["message"] and len(models[0].received) == 1


TWICE = """\
flow: twice
outputs: {text: str}
steps:
  first:
    on: Start
    call: llm.chat
    with: {prompt: one, model: near/tiny}
    emit: look
  look:
    ask:
      title: Go on?
      form: {verdict: yes_please | no_thanks}
      to: {users: [kim]}
    emit: {yes_please: second, no_thanks: second}
  second:
    call: llm.chat
    with: {prompt: two, model: near/tiny}
    emit: {event: Stop, with: {text: "${{ result.text }}"}}
"""


def test_the_budget_of_a_run_holds_over_processes(site: Site, models: tuple[ModelEndpoint, ModelEndpoint]) -> None:
    write(site.folder, "orchestrator.toml", site.config + "[limits]\nllm_tokens = 3\n")
    write(site.folder, "twice.flow.yaml", TWICE)
    waiting = cli("run", "twice.flow.yaml", "--json", cwd=site.folder)
    assert waiting.code == 4, waiting.out
    done = cli("decide", waiting.json["data"]["run_id"], "yes_please", "--as", "kim", "--json", cwd=site.folder)
    assert done.json["data"]["error"]["code"] == "limit.llm_tokens"
    assert len(models[0].received) == 1


CACHED = FLOW.replace("    call: llm.chat\n", '    call: llm.chat\n    cache: {key: "${{ inputs.topic }}", ttl: 1h}\n')


def test_an_answer_is_cached_over_runs(site: Site, models: tuple[ModelEndpoint, ModelEndpoint]) -> None:
    write(site.folder, "ask.flow.yaml", CACHED.replace("MODEL", "near/tiny"))
    texts = {
        cli("run", "ask.flow.yaml", "-i", "topic=trees", "--json", cwd=site.folder).json["data"]["outputs"]["text"]
        for _ in "ab"
    }
    assert len(texts) == 1 and len(models[0].received) == 1
    cli("run", "ask.flow.yaml", "-i", "topic=birds", cwd=site.folder)
    assert len(models[0].received) == 2
