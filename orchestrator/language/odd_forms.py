"""Forms of YAML that its readers disagree about, or that only look like something: tabs between tokens, `? key`.

Runs after a file was composed, and only looks where the text holds such a character at all.
"""

from __future__ import annotations

import re

from orchestrator.language.composer import Composer
from orchestrator.language.findings import Findings
from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode, Style
from orchestrator.language.syntax import use_space

_QUESTION = re.compile(r"(?:^|(?<=[\s{\[,-]))\?(?=\s)", re.MULTILINE)


def report_odd_forms(composer: Composer, text: str, findings: Findings) -> None:
    """Report tabs outside of texts and comments, `? key`, and escapes of half characters."""
    has_tab, has_question = "\t" in text, _QUESTION.search(text) is not None
    if not has_tab and not has_question:
        return
    scalars = sorted(_scalars(composer.root), key=lambda node: node.start)
    gaps = _gaps(scalars, len(text))
    for start, end in gaps:
        gap = re.sub(r"(?:^|(?<=\s))#[^\n]*", lambda m: "#" * len(m.group()), text[start:end])
        for match in re.finditer(r"\t+", gap):
            tab = composer.source.span(start + match.start(), start + match.end())
            findings.error("FLW104", "a tab between the parts of a line", tab, help="use spaces", fix=use_space(tab))
        for match in _QUESTION.finditer(gap):
            findings.error(
                "FLW117",
                "`?` begins a key in YAML, and not every reader agrees how",
                composer.source.span(start + match.start(), start + match.end()),
                help="write `key: value`, or quote the text",
            )


def _scalars(root: Node | None) -> list[ScalarNode]:
    found: list[ScalarNode] = []
    seen: set[int] = set()
    pending: list[Node] = [] if root is None else [root]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MapNode):
            for entry in node.entries.values():
                found.append(entry.key)
                pending.append(entry.value)
        elif isinstance(node, SeqNode):
            pending.extend(node.items)
        else:
            found.append(node)
    return found


def _gaps(scalars: list[ScalarNode], length: int) -> list[tuple[int, int]]:
    gaps = []
    at = 0
    for node in scalars:
        if node.style is Style.PLAIN and node.text == "":
            continue
        if node.start > at:
            gaps.append((at, node.start))
        at = max(at, node.end)
    if at < length:
        gaps.append((at, length))
    return gaps
