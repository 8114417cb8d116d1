"""What `orchestrator.testing` offers, as somebody would use it who tests flows of their own."""

from __future__ import annotations

from pathlib import Path

from orchestrator import load
from orchestrator.testing import FakeModel, LoopbackServer, PostService, run_flow_tests
from tests.integration.support import write

FLOW = """
flow: post-it
inputs: {cms: str, title: str}
outputs: {id: str}
steps:
  post:
    on: Start
    call: http.post
    with: {url: "${{ inputs.cms }}/posts", json: {title: "${{ inputs.title }}"}}
    emit: {event: Stop, with: {id: "${{ result.json.id }}"}}
tests:
  - name: posts
    inputs: {cms: http://x.example, title: Tea}
    mocks: {post: {json: {id: "7"}}}
    expect: {outputs: {id: ID}}
"""


def test_the_tests_of_a_file_run_by_its_path_and_loaded(tmp_path: Path) -> None:
    good = run_flow_tests(write(tmp_path, "good", FLOW.replace("ID", '"7"')))
    bad = run_flow_tests(load(write(tmp_path, "bad", FLOW.replace("ID", '"8"'))))
    assert good.is_ok
    assert not bad.is_ok
    assert "8" in str(bad.results[0].problems[0])
    assert run_flow_tests(tmp_path / "good.flow.yaml", only="nothing").results == []


def test_a_flow_runs_against_a_real_server_on_this_machine(tmp_path: Path) -> None:
    service = PostService()
    (tmp_path / "orchestrator.toml").write_text('[http]\nallow_hosts = ["127.0.0.1"]\n', "utf-8")
    with LoopbackServer(service.app) as server:
        flow = load(write(tmp_path, "post", FLOW.replace("ID", '"1"')))
        assert flow.run_sync(cms=server.url, title="Tea") == {"id": "1"}
        assert flow.run_sync(cms=server.url, title="Milk") == {"id": "2"}
    assert [r.body["title"] for r in service.received] == ["Tea", "Milk"]


def test_the_fake_model_is_there() -> None:
    assert FakeModel(["hi"]).requests == []
