"""Nothing that a user can do to the command line shows a traceback or hangs: odd files, gone readers, signals, full disks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.support import ENV, HELLO, ROOT, Done, cli, command, process, write

COMMANDS = (("check",), ("fmt", "--check"), ("graph",), ("test",), ("run", "-q", "--store", "memory:"))
ODD: dict[str, bytes] = {
    "empty": b"",
    "nul": b"\0" * 100,
    "not utf-8": b"flow: \xff\xfe\n",
    "bom": b"\xef\xbb\xbf" + HELLO.encode(),
    "brackets": b"[" * 30_000,
    "list": b"- 1\n- 2\n",
    "scalar": b"42\n",
    "no steps": b"flow: x\n",
    "steps as text": b"flow: x\nsteps: none\n",
    "huge": b"flow: x\nsteps:\n" + b"  # padding\n" * 100_000,
    "bomb": b"a: &a [1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c]\n",
    "surrogate": b'flow: "\\ud800"\nsteps: {}\n',
    "control": b"flow: \x1b[31mred\n",
}


def is_told(done: Done) -> bool:
    """Whether a command ended as commands end, with words and without a traceback."""
    return (
        "Traceback" not in done.err + done.out
        and "internal error" not in done.err
        and done.code in {0, 1, 2, 3, 4, 6, 10}
    )


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_findings(words: tuple[str, ...], name: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.flow.yaml"
    file.write_bytes(ODD[name])
    done = cli(*words, file)
    assert is_told(done), done.err
    assert "\x1b[31mred" not in done.out + done.err


def mutated(seed: int) -> bytes:
    """A real flow with a few random bytes, cuts and swaps."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(sorted((ROOT / "flows").glob("*.flow.yaml"))).read_bytes())
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                del data[place : place + chance.randint(1, 30)]
            case 2:
                data[place:place] = bytes(chance.choice(b"{}[]:,#&*!|>'\"%@`-?\n\t $") for _ in range(3))
            case _:
                data[place:place] = data[: chance.randint(1, 60)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(60))
def test_mutated_flows_are_findings(seed: int, tmp_path: Path) -> None:
    file = tmp_path / "odd.flow.yaml"
    file.write_bytes(mutated(seed))
    for words in COMMANDS:
        done = cli(*words, file)
        assert is_told(done), (words, done.err)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_folder_that_is_named_like_a_flow_is_told(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "x.flow.yaml").mkdir()
    assert cli(*words, tmp_path / "x.flow.yaml").code in (2, 6)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("path", ["", "a" * 5000, "/dev/null", "/proc/self/mem", "~nobody/x"])
def test_odd_paths_are_told(words: tuple[str, ...], path: str) -> None:
    assert is_told(cli(*words, path))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_file_name_that_is_no_text_is_shown_escaped(words: tuple[str, ...], tmp_path: Path) -> None:
    name = os.fsdecode(b"odd-\xff.flow.yaml")
    write(tmp_path, name, HELLO)
    done = process(*words, name, cwd=tmp_path)
    assert is_told(done)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_exit_10(tmp_path: Path) -> None:
    file = write(tmp_path, "a.flow.yaml", HELLO)
    file.chmod(0)
    done = cli("check", file)
    assert (done.code, "Permission denied" in done.err) == (10, True)


def test_one_unreadable_file_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "loop.flow.yaml").symlink_to(tmp_path / "loop.flow.yaml")
    write(tmp_path, "b.flow.yaml", "flow: b\nsteps: {a: {on: Start}}\n")
    done = cli("check", tmp_path / "b.flow.yaml", "/proc/self/mem")
    assert done.code == 3
    assert "b.flow.yaml" in done.out and "/proc/self/mem" in done.err


def test_a_reader_that_leaves_ends_the_command_in_silence() -> None:
    words = command("explain")
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert (child.wait(), said) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_exit_10() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command("explain"), stdout=full, stderr=subprocess.PIPE, env=ENV, check=False)
    assert done.returncode == 10
    assert b"Traceback" not in done.stderr


SLEEPS = """\
flow: sleeps
steps:
  rest:
    on: Start
    wait: 1h
    emit: Stop
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_130_and_a_way_on(number: signal.Signals, tmp_path: Path) -> None:
    write(tmp_path, "sleeps.flow.yaml", SLEEPS)
    child = subprocess.Popen(
        command("run", "sleeps.flow.yaml", "--run-id", "r1"), cwd=tmp_path, stderr=subprocess.PIPE, env=ENV, text=True
    )
    assert child.stderr is not None
    line = child.stderr.readline()
    assert "rest" in line
    child.send_signal(number)
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait(10) == 130
    assert said == "interrupted; `orchestrator resume r1` goes on where it was\n"


def test_a_closed_stderr_does_not_stop_a_run(tmp_path: Path) -> None:
    write(tmp_path, "hello.flow.yaml", HELLO)
    words = " ".join(command("run", "hello.flow.yaml", "-i", "name=Ada"))
    done = subprocess.run(f"{words} 2>&-", shell=True, cwd=tmp_path, capture_output=True, env=ENV, check=False)
    assert (done.returncode, b"hello-ada" in done.stdout) == (0, True)


def test_deep_json_on_the_command_line_is_told(tmp_path: Path) -> None:
    file = write(tmp_path, "hello.flow.yaml", HELLO)
    deep = "[" * 20_000
    assert cli("run", file, "-i", "name=A", "-i", f"count={deep}").code == 2
    assert cli("run", file, "-i", "name=A", "--answer", f"greet={deep}").code == 2


def test_a_store_that_is_no_database_is_exit_10(tmp_path: Path) -> None:
    write(tmp_path, "hello.flow.yaml", HELLO)
    write(tmp_path, "runs.db", "this is no database, but long enough to be taken for the header of one" * 20)
    began = time.monotonic()
    done = cli("run", "hello.flow.yaml", "-i", "name=A", "--store", "sqlite:///runs.db", cwd=tmp_path)
    assert (done.code, "Traceback" in done.err, time.monotonic() - began < 10) == (10, False, True)


def test_a_store_in_a_folder_that_cannot_be_made_is_exit_10(tmp_path: Path) -> None:
    write(tmp_path, "hello.flow.yaml", HELLO)
    write(tmp_path, "file", "")
    done = cli("run", "hello.flow.yaml", "-i", "name=A", "--store", "sqlite:///file/runs.db", cwd=tmp_path)
    assert (done.code, "--store memory:" in done.err) == (10, True)


OPERATING = (
    ("inbox",), ("decide", "x/y", "approve", "--as", "kim"), ("send", "x", "Paid"), ("cancel", "x"), ("retry", "x"),
    ("replay", "x"), ("resume", "x"), ("resume",), ("migrate", "hello.flow.yaml"), ("diff", "hello.flow.yaml"), ("runs",),
    ("runs", "ls", "--status", "odd"), ("runs", "show", "x"), ("runs", "events", "x"), ("runs", "logs", "x"),
    ("runs", "export", "x"), ("runs", "export"), ("runs", "import", "hello.flow.yaml"), ("runs", "import", "nowhere"),
    ("runs", "rm", "x"), ("runs", "verify"), ("doctor",), ("plugin", "list"), ("plugin", "check"), ("plugin", "docs"),
    ("plugin", "show", "x"), ("schema", "-o", "hello.flow.yaml/x"), ("explain", "x"), ("users", "list"), ("keys", "list"),
)  # fmt: skip


@pytest.mark.parametrize("words", OPERATING, ids=" ".join)
@pytest.mark.parametrize("store", ["none", "fresh", "broken", "folder", "memory"])
def test_operating_commands_tell_what_is_wrong(words: tuple[str, ...], store: str, tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "")
    write(tmp_path, "hello.flow.yaml", HELLO)
    match store:
        case "fresh":
            cli("run", "hello.flow.yaml", "-i", "name=A", "-q", cwd=tmp_path)
        case "broken":
            write(tmp_path, ".orchestrator/runs.db", "no database " * 500)
        case "folder":
            (tmp_path / ".orchestrator" / "runs.db").mkdir(parents=True)
        case "memory":
            write(tmp_path, "orchestrator.toml", '[store]\nurl = "memory:"\n')
    done = cli(*words, cwd=tmp_path)
    assert "Traceback" not in done.err + done.out and "internal error" not in done.err, done.err
    assert done.code in {0, 2, 3, 4, 6, 7, 10}


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{}\n", b'{"v": 1}\n', b'{"v": 2}\n', b"[" * 5000, b"null\n"])
def test_imports_of_anything_are_told(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(data)
    done = cli("runs", "import", "x.jsonl", cwd=tmp_path)
    assert "Traceback" not in done.err and "internal error" not in done.err, done.err
    assert done.code in {0, 2, 10}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (b'{"items":' * 30_000 + b"{}" + b"}" * 30_000, "nested deeper"),
        (b'{"$ref": "https://evil.example/x.json"}', "leads out of the schema"),
        (b'{"type": "string", "pattern": "^(a+)+$"}', "repeats a repeat"),
        (b'{"const": NaN}', "NaN is not JSON"),
        (b'{"type": "string", "type": "integer"}', "same key twice"),
        ('{"type": "string"}'.encode("utf-16"), "not UTF-8"),
        (b'"' + b"x" * 2_000_000 + b'"', "more than 1,000,000 bytes"),
    ],
    ids=["deep", "remote", "pattern", "nan", "twice", "utf-16", "huge"],
)
def test_a_hostile_schema_file_is_a_finding(schema: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "orchestrator.toml").touch()
    (tmp_path / "x.json").write_bytes(schema)
    file = write(
        tmp_path, "x.flow.yaml", "flow: x\ninputs:\n  a: {schema: ./x.json}\nsteps:\n  b: {on: Start, emit: Stop}\n"
    )
    done = cli("check", file)
    assert (done.code, said in done.out) == (3, True), done.out + done.err
