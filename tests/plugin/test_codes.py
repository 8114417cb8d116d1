"""Every example of the codes about plugins and the config: the bad one has its finding and no other, the good one has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.plugin.catalog import Catalog
from orchestrator.plugin.codes import CODES, CodeDoc
from orchestrator.plugin.config import load_config

CONFIG = '[plugins]\nfolder = "plugins"\n'
TRIED = sorted(code for code in CODES if code != "PLG004")  # that one needs an installed package; see test_packages.py


def found_in(doc: CodeDoc, text: str, folder: Path) -> set[str]:
    """The codes of everything that is wrong in a project with this config or plugin file."""
    (folder / "plugins").mkdir()
    if doc.form == "python":
        (folder / "plugins" / "site.py").write_text(text, "utf-8")
    (folder / "orchestrator.toml").write_text(text if doc.form == "toml" else CONFIG, "utf-8")
    config, findings = load_config(folder, {})
    return {finding.code for finding in findings} | {problem.code for problem in Catalog(config).problems()}


@pytest.mark.parametrize("code", TRIED)
def test_a_bad_example_has_its_finding_and_no_other(code: str, tmp_path: Path) -> None:
    assert found_in(CODES[code], CODES[code].bad, tmp_path) == {code}


@pytest.mark.parametrize("code", TRIED)
def test_a_good_example_has_no_finding(code: str, tmp_path: Path) -> None:
    assert found_in(CODES[code], CODES[code].good, tmp_path) == set()


def test_every_code_that_the_source_names_is_explained() -> None:
    import re

    import orchestrator

    package = Path(orchestrator.__file__).parent
    named = {
        code for file in package.rglob("*.py") for code in re.findall(r'"((?:CFG|PLG)\d{3})"', file.read_text("utf-8"))
    }
    assert named == set(CODES)
