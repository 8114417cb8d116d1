"""A person at a real terminal: questions are asked while timers and other steps go on, and the screen stays in order."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.screen import Screen, cut, inert, width_of
from tests.cli.support import ASK, ENV, FLOWS, command, write

pty = pytest.importorskip("pty")
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
KNOCK = """\
flow: knock
outputs:
  verdict: str
events:
  Ticked: {}
  Asked:
    verdict: str
steps:
  begin:
    on: Start
    emit:
      all:
        - clock
        - ask
  clock:
    wait: 700ms
    emit: Ticked
  ask:
    ask:
      title: Who is there?
      form:
        verdict: friend | foe
      to:
        users: [kim]
    emit:
      event: Asked
      with:
        verdict: ${{ outcome }}
  end:
    on: [Ticked, Asked]
    collect: all
    emit:
      event: Stop
      with:
        verdict: ${{ events[1].verdict }}
"""


class Terminal:
    """A process whose keyboard and stderr are a terminal; its stdout is a pipe."""

    def __init__(self, *args: str | Path, cwd: Path) -> None:
        self._master, slave = pty.openpty()
        env = {**ENV, "TERM": "xterm"}
        self.child = subprocess.Popen(
            command(*args), cwd=cwd, stdin=slave, stderr=slave, stdout=subprocess.PIPE, env=env, start_new_session=True
        )
        os.close(slave)
        self.shown = ""

    def until(self, text: str, timeout_s: float = 20) -> str:
        """Read until a text is shown; gives everything shown so far, without colours."""
        deadline = time.monotonic() + timeout_s
        while text not in COLOURS.sub("", self.shown):
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} was not shown: {self.shown}"
            if select.select([self._master], [], [], left)[0]:
                self.shown += self._read()
        return COLOURS.sub("", self.shown)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def end(self) -> tuple[int, str]:
        """Wait for the end: the exit code and what stands on stdout."""
        assert self.child.stdout is not None
        while self.child.poll() is None:
            if select.select([self._master], [], [], 0.1)[0]:
                self.shown += self._read()
        out = self.child.stdout.read().decode()
        self.child.stdout.close()
        os.close(self._master)
        return self.child.returncode, out

    def kill(self) -> None:
        """End what a failed test left."""
        if self.child.poll() is None:
            self.child.kill()
            self.end()

    def _read(self) -> str:
        try:
            return os.read(self._master, 65536).decode("utf-8", "replace")
        except OSError:  # the other side is closed
            return ""


@pytest.fixture
def knock(tmp_path: Path) -> Iterator[Terminal]:
    write(tmp_path, "knock.flow.yaml", KNOCK)
    terminal = Terminal("run", "knock.flow.yaml", cwd=tmp_path)
    yield terminal
    terminal.kill()


def test_a_timer_goes_on_while_a_question_is_open(knock: Terminal) -> None:
    knock.until("your name:")
    knock.type("ki")
    shown = knock.until("clock  → Ticked")
    assert shown.index("your name:") < shown.index("clock  → Ticked")
    knock.type("m\r")
    knock.until("verdict [friend/foe]:")
    knock.type("fr\r")
    assert knock.end() == (0, json.dumps({"verdict": "friend"}, indent=2) + "\n")


def test_what_was_typed_is_shown_again_under_a_new_line(knock: Terminal) -> None:
    knock.until("your name:")
    knock.type("abc")
    shown = knock.until("clock  → Ticked")
    assert "your name: abc" in knock.until("your name: abc") or shown
    last = COLOURS.sub("", knock.shown).rpartition("Ticked")[2]
    assert "your name: abc" in last


def test_keys_edit_the_line_and_a_wrong_verdict_is_asked_again(knock: Terminal) -> None:
    knock.until("your name:")
    knock.type("kimx\x7f\x1b[A\r")
    knock.until("verdict [friend/foe]:")
    knock.type("maybe\r")
    knock.until("type one of friend, foe")
    knock.type("FOE\r")
    code, out = knock.end()
    assert (code, json.loads(out)) == (0, {"verdict": "foe"})


def test_somebody_who_may_not_answer_is_told_and_asked_for_another_name(knock: Terminal) -> None:
    knock.until("your name:")
    knock.type("eve\rfriend\r")
    knock.until("eve is not among those who may answer")
    knock.type("kim\rfoe\r")
    assert knock.end()[0] == 0


def test_ctrl_d_leaves_the_request_open(knock: Terminal) -> None:
    knock.until("your name:")
    knock.type("\x04")
    code, out = knock.end()
    assert (code, out) == (4, "")
    assert "waits: ask" in knock.shown


def test_ctrl_c_is_exit_130_and_the_terminal_is_as_before(tmp_path: Path) -> None:
    import termios

    write(tmp_path, "ask.flow.yaml", ASK)
    terminal = Terminal("run", "ask.flow.yaml", "-i", "title=T", cwd=tmp_path)
    terminal.until("your name:")
    assert not termios.tcgetattr(terminal._master)[3] & termios.ICANON
    os.killpg(terminal.child.pid, signal.SIGINT)
    terminal.until("interrupted; `orchestrator resume")
    assert termios.tcgetattr(terminal._master)[3] & termios.ICANON
    assert terminal.end()[0] == 130


def test_a_question_that_closes_meanwhile_is_taken_away(tmp_path: Path) -> None:
    text = ASK.replace("      to:\n", "      deadline: 600ms\n      to:\n").replace("verdict: ${{ outcome }}", "verdict: ${{ outcome or '' }}")  # fmt: skip
    write(tmp_path, "ask.flow.yaml", text)
    terminal = Terminal("run", "ask.flow.yaml", "-i", "title=T", cwd=tmp_path)
    terminal.until("your name:")
    terminal.until("this request is closed now")
    code, out = terminal.end()
    assert (code, json.loads(out)) == (0, {"verdict": "timeout"})


def test_a_fan_out_has_a_bar_with_counts(tmp_path: Path) -> None:
    flow = (FLOWS / "summarise-sections.flow.yaml").read_text("utf-8")
    slow = flow.replace("    concurrency: 4\n    call: llm.chat\n    with:\n      prompt: |\n        Summarise in one sentence: ${{ ev.text }}\n", "    wait: 600ms\n")  # fmt: skip
    write(tmp_path, "s.flow.yaml", slow.replace("${{ result.text }}", "x").partition("tests:")[0])
    terminal = Terminal("run", "s.flow.yaml", "-i", f"sections={json.dumps(['a'] * 12)}", cwd=tmp_path)
    shown = terminal.until("0 of 12")
    assert "░" in shown
    assert terminal.end()[0] == 0


def test_a_standing_region_is_erased_before_a_line_is_printed() -> None:
    import io

    stream = io.StringIO()
    screen = Screen(stream, is_live=True)
    screen.stand(["one", "two"])
    screen.line("told")
    screen.close()
    assert stream.getvalue() == "one\ntwo\n" + "\r\x1b[2A\x1b[J" + "told\none\ntwo\n" + "\r\x1b[2A\x1b[J"


def test_text_is_cut_by_cells_and_shown_inert() -> None:
    assert width_of(cut("日本語のテキスト", 7)) <= 7
    assert cut("plain", 5) == "plain"
    assert inert("a\x1b[2Jb\u202ec") == "a\ufffd[2Jb\ufffdc"
