"""What the tests of the documentation share: the pages, their blocks, and a shell that has the command line in it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md", "bench/*.md", "schemas/*.md", "changelog.d/*.md")
    for path in ROOT.glob(pattern)
)
MADE = (
    "docs/api.md",
    "docs/checks.md",
    "docs/cli.md",
    "docs/expressions.md",
)  # from tables in the code, whose tests try every example
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
_EXIT = re.compile(r"^(?P<command>.*?)\s+# exit (?P<code>\d+)\b.*$")
_HEAD = f"""\
set -euo pipefail
mkdir .bin && printf '#!/bin/sh\\nexec {sys.executable} -m orchestrator "$@"\\n' > .bin/orchestrator
chmod +x .bin/orchestrator && PATH="$PWD/.bin:$PATH"
curl() {{ command curl --silent --show-error --fail-with-body --retry 60 --retry-connrefused --retry-delay 1 "$@"; }}
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
"""


def text_of(page: str) -> str:
    """A page as it stands in the repository."""
    return (ROOT / page).read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [text for kind, text in _BLOCK.findall(text_of(page)) if kind == language]


def script_of(page: str) -> str:
    """All `sh` blocks of a page as one script: it stops at the first command whose exit code is not 0, or not its `# exit N`."""
    lines = []
    for line in "".join(blocks(page, "sh")).splitlines():
        wanted = _EXIT.match(line)
        if wanted is None:
            lines.append(line)
        else:
            command, code = wanted["command"], wanted["code"]
            lines.append(
                f'rc=0; {{ {command}; }} || rc=$?; [ $rc = {code} ] || {{ echo "exit $rc: {line!r}" >&2; exit 99; }}'
            )
    return _HEAD + "\n".join(lines) + "\n"


def run_script(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, as a user of an installed package would."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    env |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}", "NO_COLOR": "1"}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def free_port() -> str:
    """A port of 127.0.0.1 that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])
