"""The one built file of the pages is what its committed source gives, and nothing the pages load comes from elsewhere."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WEB = ROOT / "web"
STATIC = ROOT / "orchestrator" / "server" / "static"
BUNDLE = STATIC / "codemirror.js"


def test_the_bundle_was_made_of_the_committed_source() -> None:
    digest = hashlib.sha256()
    for name in ("editor.js", "package-lock.json"):
        digest.update((WEB / name).read_bytes())
    assert BUNDLE.read_text("utf-8").rstrip().endswith(f"/* made of web/ {digest.hexdigest()} */"), (
        "run `npm run build` in web/"
    )


def test_building_again_gives_the_same_bundle(tmp_path: Path) -> None:
    if not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("web/node_modules is not installed; `npm ci` in web/ does it")
    out = tmp_path / "codemirror.js"
    subprocess.run(["node", "build.mjs", str(out)], cwd=WEB, check=True, timeout=60)
    assert out.read_bytes() == BUNDLE.read_bytes()


def test_static_files_and_templates_name_no_other_host() -> None:
    files = [*STATIC.glob("*.js"), *STATIC.glob("*.css"), *(STATIC.parent / "templates").glob("*.html")]
    for file in files:
        if file == BUNDLE:
            continue
        hosts = set(re.findall(r"https?://[^\s\"'`)]+", file.read_text("utf-8"))) - {"http://www.w3.org/2000/svg"}
        assert hosts == set(), file.name


def test_templates_carry_no_script_or_style_of_their_own() -> None:
    for file in (STATIC.parent / "templates").glob("*.html"):
        text = file.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), file.name
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), file.name
        assert "| safe" not in text, file.name
