"""`check`, `fmt`, `explain`, `graph`, `schema`, `new`: what they print, change and exit with."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml

from orchestrator.cli.manual import TOPICS, page
from tests.cli.support import FLOWS, HELLO, cli, write

ROOT = Path(__file__).parents[2]
BROKEN = HELLO.replace("text.slug", "text.slugg")


def test_a_clean_flow_has_no_output_and_exit_0(tmp_path: Path) -> None:
    done = cli("check", write(tmp_path, "hello.flow.yaml", HELLO))
    assert (done.code, done.out) == (0, "")
    assert done.err == "1 file checked: no findings\n"


def test_a_mistake_is_shown_at_its_place_with_exit_3(tmp_path: Path) -> None:
    file = write(tmp_path, "hello.flow.yaml", BROKEN)
    done = cli("check", file)
    assert done.code == 3
    assert done.out.startswith(f"{file}:10:11: error[FLW504]")
    assert "did you mean `text.slug`?" in done.out


def test_json_is_one_object_with_every_finding(tmp_path: Path) -> None:
    done = cli("check", write(tmp_path, "hello.flow.yaml", BROKEN), "--json")
    assert (done.code, done.json["v"], done.json["command"], done.json["ok"]) == (3, 1, "check", False)
    assert [(d["code"], d["line"], d["column"]) for d in done.json["diagnostics"]] == [("FLW504", 10, 11)]


def test_every_format_is_well_formed(tmp_path: Path) -> None:
    file = write(tmp_path, "hello.flow.yaml", BROKEN)
    assert json.loads(cli("check", file, "--format", "json").out)[0]["code"] == "FLW504"
    assert json.loads(cli("check", file, "--format", "sarif").out)["version"] == "2.1.0"
    assert ElementTree.fromstring(cli("check", file, "--format", "junit").out).get("failures") == "1"
    assert cli("check", file, "--format", "github").out.startswith("::error file=")


def test_the_safe_fix_is_applied(tmp_path: Path) -> None:
    file = write(tmp_path, "hello.flow.yaml", BROKEN)
    done = cli("check", file, "--fix")
    assert (done.code, file.read_text("utf-8")) == (0, HELLO)
    assert "1 fix applied" in done.err


def test_diff_shows_the_fix_and_changes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, "hello.flow.yaml", BROKEN)
    done = cli("check", file, "--diff")
    assert (done.code, file.read_text("utf-8")) == (3, BROKEN)
    assert "+    call: text.slug\n" in done.out


def test_a_fix_keeps_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "hello.flow.yaml"
    file.write_bytes(BROKEN.replace("\n", "\r\n").encode())
    cli("check", file, "--fix")
    assert file.read_bytes() == HELLO.replace("\n", "\r\n").encode()


def test_strict_fails_on_warnings(tmp_path: Path) -> None:
    text = HELLO.replace("steps:", "events:\n  Unused: {}\nsteps:", 1)
    file = write(tmp_path, "hello.flow.yaml", text)
    assert cli("check", file).code == 0
    assert cli("check", file, "--strict").code == 3


def test_standard_input_is_checked_against_the_project_here(tmp_path: Path) -> None:
    done = cli("check", "-", cwd=tmp_path, stdin=BROKEN.encode())
    assert done.code == 3
    assert done.out.startswith("<stdin>:10:11")


def test_two_flows_of_one_name_are_found(tmp_path: Path) -> None:
    write(tmp_path, "a.flow.yaml", HELLO)
    write(tmp_path, "b.flow.yaml", HELLO)
    done = cli("check", tmp_path, "--json")
    assert [d["code"] for d in done.json["diagnostics"]] == ["FLW522"]


def test_all_flows_of_the_project_are_checked_and_tool_folders_left_out(tmp_path: Path) -> None:
    write(tmp_path, "flows/a.flow.yaml", HELLO)
    write(tmp_path, ".venv/lib/b.flow.yaml", "nonsense")
    assert cli("check", "--json", cwd=tmp_path).json["data"]["files"] == ["flows/a.flow.yaml"]


def test_a_mistake_in_the_config_is_a_finding(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "[store]\nurll = 'x'\n")
    done = cli("check", write(tmp_path, "a.flow.yaml", HELLO))
    assert done.code == 3
    assert "orchestrator.toml:2:1: error[CFG002]" in done.err


def test_what_is_not_there_is_exit_6() -> None:
    assert cli("check", "no/such.flow.yaml").code == 6


def test_a_folder_without_flows_is_exit_6(tmp_path: Path) -> None:
    done = cli("check", tmp_path)
    assert done.code == 6
    assert "flow files end in .flow.yaml" in done.err


def test_formatting_twice_changes_nothing_more(tmp_path: Path) -> None:
    file = write(tmp_path, "hello.flow.yaml", "flow:   hello\n" + HELLO.partition("\n")[2])
    assert cli("fmt", file, "--check").code == 1
    cli("fmt", file)
    first = file.read_bytes()
    assert cli("fmt", file, "--check").code == 0
    assert file.read_bytes() == first


def test_fmt_check_names_the_file_and_leaves_it(tmp_path: Path) -> None:
    text = "flow:   hello\n" + HELLO.partition("\n")[2]
    file = write(tmp_path, "hello.flow.yaml", text)
    done = cli("fmt", file, "--check", "--json")
    assert (done.code, done.json["data"]["changed"]) == (1, [str(file)])
    assert file.read_text("utf-8") == text


def test_fmt_leaves_what_it_cannot_read(tmp_path: Path) -> None:
    file = write(tmp_path, "a.flow.yaml", "flow: [a\n")
    done = cli("fmt", file)
    assert done.code == 3
    assert "left as it is" in done.err


def test_fmt_of_standard_input_goes_to_standard_output(tmp_path: Path) -> None:
    done = cli("fmt", "-", cwd=tmp_path, stdin=b"flow:   hello\n" + HELLO.partition("\n")[2].encode())
    assert (done.code, done.out) == (0, HELLO)


def test_explain_shows_the_page_and_lists_all() -> None:
    assert "FLW504" in cli("explain", "flw504").out
    codes = [row["code"] for row in cli("explain", "--json").json["data"]]
    assert codes == sorted(codes) and "FLW101" in codes


def test_explain_shows_a_page_of_the_manual_or_a_part_of_it() -> None:
    whole = cli("explain", "config").out
    assert whole == (ROOT / "docs" / "config.md").read_text(encoding="utf-8").rstrip() + "\n"
    part = cli("explain", "config", "llm").out
    assert part.startswith("## [llm]") and "## [people]" not in part


def test_explain_of_a_part_that_is_not_there_lists_the_parts() -> None:
    done = cli("explain", "config", "lmm")
    assert done.code == 6
    assert "[llm]" in done.err


def test_every_page_of_the_manual_is_packed_into_the_wheel() -> None:
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {f"docs/{topic}.md" for topic in TOPICS} <= packed["force-include"].keys()
    assert all(page(topic) for topic in TOPICS)


def test_explain_of_an_unknown_code_suggests_one() -> None:
    done = cli("explain", "FLW50")
    assert done.code == 6
    assert "did you mean FLW50" in done.err


@pytest.mark.parametrize(
    ("form", "sign"),
    [("ascii", "review"), ("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg"), ("html", "<!doctype html>")],
)
def test_graphs_come_in_every_form(form: str, sign: str) -> None:
    done = cli("graph", FLOWS / "publish-post.flow.yaml", "--format", form)
    assert done.code == 0
    assert sign.lower() in done.out.lower()


def test_the_ending_of_the_output_chooses_the_form(tmp_path: Path) -> None:
    cli("graph", FLOWS / "publish-post.flow.yaml", "-o", tmp_path / "x.svg")
    assert ElementTree.parse(tmp_path / "x.svg").getroot().tag.endswith("svg")


def test_the_graph_as_json_is_the_ir() -> None:
    assert cli("graph", FLOWS / "publish-post.flow.yaml", "--json").json["data"]["name"] == "publish-post"


def test_the_graph_of_a_flow_that_cannot_be_read_is_its_findings(tmp_path: Path) -> None:
    done = cli("graph", write(tmp_path, "a.flow.yaml", "- 1\n"))
    assert (done.code, done.out) == (3, "")


@pytest.mark.parametrize("options", [[], ["--draft-07"]])
def test_the_schema_is_valid_and_accepts_the_flows(options: list[str], tmp_path: Path) -> None:
    schema = json.loads(cli("schema", *options, cwd=tmp_path).out)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    flow = yaml.load((FLOWS / "publish-post.flow.yaml").read_text("utf-8"), yaml.BaseLoader)
    assert [e.message for e in validator(schema).iter_errors(flow)] == []


def test_the_schema_knows_the_projects_own_steps(tmp_path: Path) -> None:
    cli("new", tmp_path / "blog")
    schema = json.loads((tmp_path / "blog/schemas/flow.schema.json").read_text("utf-8"))
    assert schema["$defs"]["with.site.address"]["required"] == ["title"]


def test_a_new_project_checks_tests_and_runs(tmp_path: Path) -> None:
    assert cli("new", tmp_path / "My Blog").code == 0
    project = tmp_path / "My Blog"
    assert cli("check", "--strict", cwd=project).code == 0
    assert cli("fmt", "--check", cwd=project).code == 0
    assert cli("test", cwd=project).code == 0
    done = cli(
        "run", "flows/my-blog.flow.yaml", "-i", "topic=Tea Time", "-i", "author=kim", "--store", "memory:",
        "--answer", 'review={"as": "lee", "verdict": "approve"}', "-q", cwd=project,
    )  # fmt: skip
    assert (done.code, json.loads(done.out)) == (0, {"status": "published", "slug": "tea-time"})


def test_new_never_touches_a_folder_that_holds_something(tmp_path: Path) -> None:
    write(tmp_path, "mine.txt", "x")
    assert cli("new", tmp_path, "--name", "blog").code == 7
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_new_refuses_a_name_that_no_flow_may_have(tmp_path: Path) -> None:
    assert cli("new", tmp_path / "x", "--name", "Über Flow").code == 2
