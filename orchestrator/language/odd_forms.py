"""Forms of YAML that its readers disagree about, or that only look like something: tabs between tokens, `? key`.

Runs after a file was composed, and only looks where the text holds such a character at all.
"""

from __future__ import annotations

import re

from orchestrator.language.comments import gaps, scalars
from orchestrator.language.composer import Composer
from orchestrator.language.findings import Findings
from orchestrator.language.syntax import use_space

_MARK = re.compile(r"\t|:[,\[\]{}]|(?:^|(?<=[\s{\[,-]))\?(?=\s)", re.MULTILINE)  # what may be one of the forms
_GLUED_COLON = re.compile(r":[,\[\]{}]")
_QUESTION = re.compile(r"(?:^|(?<=[\s{\[,-]))\?(?=\s)", re.MULTILINE)


def report_odd_forms(composer: Composer, text: str, findings: Findings) -> None:
    """Report tabs outside of texts and comments, `? key`, and escapes of half characters."""
    if _MARK.search(text) is None:
        return
    for node in scalars(composer.root):
        at = text.find("\t", node.start, node.end) if node.is_plain else -1
        if at >= 0:
            tab = composer.source.span(at, at + 1)
            findings.error("FLW104", "a tab inside an unquoted text", tab, help="use spaces", fix=use_space(tab))
    for start, end in gaps(composer.root, text):
        gap = re.sub(r"(?:^|(?<=\s))#[^\n]*", lambda m: "#" * len(m.group()), text[start:end])
        for match in re.finditer(r"\t+", gap):
            tab = composer.source.span(start + match.start(), start + match.end())
            findings.error("FLW104", "a tab between the parts of a line", tab, help="use spaces", fix=use_space(tab))
        for match in _GLUED_COLON.finditer(gap):
            findings.error(
                "FLW117",
                "a colon with nothing behind it is not read alike by all",
                composer.source.span(start + match.start(), start + match.end() - 1),
                help="write the value, or `null`",
            )
        for match in _QUESTION.finditer(gap):
            findings.error(
                "FLW117",
                "`?` begins a key in YAML, and not every reader agrees how",
                composer.source.span(start + match.start(), start + match.end()),
                help="write `key: value`, or quote the text",
            )
