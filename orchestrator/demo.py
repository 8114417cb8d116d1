"""`make demo`: the content-approval flow end to end, offline, through a real HTTP service and a model endpoint on loopback.

Answers come from a script, or from you: `python -m orchestrator.demo --ask`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from orchestrator.testing.loopback import LoopbackServer, ModelEndpoint, PostService

FLOW = "content-approval.flow.yaml"
CONFIG = """\
[http]
allow_hosts = ["127.0.0.1"]

[llm]
base_url = "{model}/v1"
model = "loopback"

[people.groups]
editors = ["kim", "lee", "noa"]
"""
DRAFTS = (
    "Autumn is coming. It will be nice.",
    "Autumn paints the hills in copper and gold. Bring a warm coat and a slow afternoon.",
)
ANSWERS = (
    'review={"as": "kim", "verdict": "approve"}',  # the author: refused, and the request stays open
    'review={"as": "lee", "verdict": "rework", "notes": "say something one can see"}',
    'review={"as": "noa", "verdict": "approve"}',
)


async def _tone(request: Request) -> JSONResponse:
    text = str((await request.json()).get("text", ""))
    return JSONResponse({"tone": "plain" if len(text) < 50 else "vivid"})


def main() -> int:
    """Run the demo; gives the exit code."""
    asks = "--ask" in sys.argv[1:]
    posts = PostService()
    site = Starlette(routes=[Route("/tone", _tone, methods=["POST"]), Mount("/", posts.app)])
    model = ModelEndpoint(replies=DRAFTS)
    with LoopbackServer(site) as cms, LoopbackServer(model.app) as llm, tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "orchestrator.toml").write_text(CONFIG.format(model=llm.url), "utf-8")
        shutil.copy(_flow_file(), project / FLOW)
        command = [sys.executable, "-m", "orchestrator", "run", FLOW]
        command += ["-i", "topic=Autumn", "-i", "author=kim", "-i", f"cms={cms.url}"]
        if not asks:
            for answer in ANSWERS:
                command += ["--answer", answer]
        print(f"A content service listens on {cms.url}, a language model on {llm.url}.", flush=True)
        print("$ orchestrator " + " ".join(command[3:9]) + (" …" if not asks else ""), flush=True)
        code = subprocess.run(command, cwd=project, check=False).returncode
        if code == 0:
            post = next(iter(posts.posts.values()))
            print(f"\nPublished at {post['url']}, approved by {', '.join(post['approved_by'])}:\n\n  {post['body']}\n")
            print(
                "Next: `python -m orchestrator.demo --ask` asks you; `orchestrator new my-flows` makes a project of your own."
            )
        return code


def _flow_file() -> Path:
    """The demo's flow: in a checkout in flows/, in an installation beside this module."""
    checkout = Path(__file__).parent.parent / "flows" / FLOW
    return checkout if checkout.exists() else Path(__file__).parent / "flows" / FLOW


if __name__ == "__main__":
    sys.exit(main())
