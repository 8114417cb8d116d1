"""A small, safe part of Markdown as HTML: what a stored text may look like on a page, and nothing it may do.

Headings, paragraphs, lists, quotes, code, tables, rules, emphasis and links to http and https. All else, HTML included, is
shown as it was written. Pictures become links: a page makes no request that the reader did not ask for.
Cost: linear in the text; depth is bounded by MAX_DEPTH.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from markupsafe import Markup, escape

MAX_CHARS = 200_000
MAX_DEPTH = 6
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*)")
_RULE = re.compile(r"[ ]{0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})\Z")
_ITEM = re.compile(r"([ ]*)([-*+]|\d{1,9}[.)])[ \t]+(.*)")
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})[ \t]*([^`\s]{0,40})[^`]*\Z")
_DIVIDER = re.compile(r"[ \t|:-]+\Z")
_STOPS = frozenset("\\`*_~[!<h")


def render_markdown(text: str, *, top_level: int = 3) -> Markup:
    """The text as HTML; its largest heading becomes `<h{top_level}>`.

    Returns: markup in which everything that came from the text is escaped.
    """
    if len(text) > MAX_CHARS:
        return Markup('<pre class="plain">{}</pre>').format(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4).split("\n")
    return Markup("\n").join(_blocks(lines, top_level, 0))


def _blocks(lines: Sequence[str], top: int, depth: int) -> list[Markup]:
    out: list[Markup] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif (fence := _FENCE.match(line)) is not None:
            at = _code(lines, at, fence, out)
        elif (heading := _HEADING.match(line)) is not None:
            level = min(6, top - 1 + len(heading[1]))
            out.append(Markup("<h{0}>{1}</h{0}>").format(level, inline(heading[2].rstrip().rstrip("#").rstrip())))
            at += 1
        elif _RULE.match(line) is not None:
            out.append(Markup("<hr>"))
            at += 1
        elif line.lstrip().startswith(">") and depth < MAX_DEPTH:
            at = _quote(lines, at, top, depth, out)
        elif _ITEM.match(line) is not None and depth < MAX_DEPTH:
            at = _list(lines, at, top, depth, out)
        elif "|" in line and at + 1 < len(lines) and _is_divider(line, lines[at + 1]):
            at = _table(lines, at, out)
        else:
            at = _paragraph(lines, at, depth, out)
    return out


def _code(lines: Sequence[str], at: int, fence: re.Match[str], out: list[Markup]) -> int:
    mark, kept = fence[1], []
    at += 1
    while at < len(lines):
        closing = lines[at].strip()
        if closing.startswith(mark) and not closing.strip(mark[0]):
            at += 1
            break
        kept.append(lines[at])
        at += 1
    out.append(Markup("<pre><code>{}</code></pre>").format("\n".join(kept)))
    return at


def _quote(lines: Sequence[str], at: int, top: int, depth: int, out: list[Markup]) -> int:
    kept: list[str] = []
    while at < len(lines) and lines[at].lstrip().startswith(">"):
        kept.append(lines[at].lstrip()[1:].removeprefix(" "))
        at += 1
    out.append(Markup("<blockquote>{}</blockquote>").format(Markup("\n").join(_blocks(kept, top, depth + 1))))
    return at


def _list(lines: Sequence[str], at: int, top: int, depth: int, out: list[Markup]) -> int:
    first = _ITEM.match(lines[at])
    assert first is not None
    is_ordered, base = first[2][0].isdigit(), len(first[1])
    items: list[Markup] = []
    while at < len(lines):
        item = _ITEM.match(lines[at])
        if item is None or item[2][0].isdigit() != is_ordered or len(item[1]) > base + 1 or len(item[1]) < base:
            break
        inner = item.start(3)
        kept = [item[3]]
        at += 1
        while at < len(lines):
            line = lines[at]
            indent = len(line) - len(line.lstrip(" "))
            if not line.strip():
                follows = lines[at + 1] if at + 1 < len(lines) else ""
                if not follows.strip() or len(follows) - len(follows.lstrip(" ")) <= base:
                    break
                kept.append("")
            elif indent <= base and (_ITEM.match(line) or _starts_block(line) or not kept[-1].strip()):
                break
            else:
                kept.append(line[min(indent, inner) :])
            at += 1
        items.append(Markup("<li>{}</li>").format(_tight(_blocks(kept, top, depth + 1))))
        if at + 1 < len(lines) and not lines[at].strip() and _ITEM.match(lines[at + 1]):
            at += 1
    tag = "ol" if is_ordered else "ul"
    start = int(first[2][:-1]) if is_ordered else 1
    number = Markup(' start="{}"').format(start) if start != 1 else ""
    out.append(Markup("<{0}{1}>{2}</{0}>").format(tag, number, Markup("").join(items)))
    return at


def _tight(blocks: list[Markup]) -> Markup:
    """The content of an item; a single paragraph goes without its tags."""
    if blocks and blocks[0].startswith("<p>"):
        blocks[0] = Markup(blocks[0][3:-4])
    return Markup("\n").join(blocks)


def _is_divider(header: str, line: str) -> bool:
    return "-" in line and _DIVIDER.match(line) is not None and len(_cells(header)) == len(_cells(line))


def _cells(line: str) -> list[str]:
    stripped = line.strip().removeprefix("|")
    if stripped.endswith("|") and not stripped.endswith("\\|"):
        stripped = stripped[:-1]
    return [cell.replace("\0", "|").strip() for cell in stripped.replace("\\|", "\0").split("|")]


def _table(lines: Sequence[str], at: int, out: list[Markup]) -> int:
    head = _cells(lines[at])
    at += 2
    rows: list[Markup] = []
    while at < len(lines) and "|" in lines[at] and lines[at].strip():
        cells = (_cells(lines[at]) + [""] * len(head))[: len(head)]
        rows.append(
            Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(inline(c)) for c in cells))
        )
        at += 1
    header = Markup("").join(Markup('<th scope="col">{}</th>').format(inline(cell)) for cell in head)
    out.append(
        Markup(
            '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table><thead><tr>{}</tr></thead>'
        ).format(header)
        + Markup("<tbody>{}</tbody></table></div>").format(Markup("").join(rows))
    )
    return at


def _starts_block(line: str) -> bool:
    return bool(
        _HEADING.match(line)
        or _FENCE.match(line)
        or _RULE.match(line)
        or _ITEM.match(line)
        or line.lstrip().startswith(">")
    )


def _paragraph(lines: Sequence[str], at: int, depth: int, out: list[Markup]) -> int:
    kept = [lines[at]]
    at += 1
    while at < len(lines) and lines[at].strip() and not (depth < MAX_DEPTH and _starts_block(lines[at])):
        kept.append(lines[at])
        at += 1
    parts: list[Markup] = []
    for number, line in enumerate(kept):
        is_last = number == len(kept) - 1
        is_broken = not is_last and (line.endswith("  ") or line.endswith("\\"))
        text = line.strip().removesuffix("\\") if is_broken else line.strip()
        parts.append(inline(text) + (Markup("<br>\n") if is_broken else "" if is_last else "\n"))
    out.append(Markup("<p>{}</p>").format(Markup("").join(parts)))
    return at


def inline(text: str, depth: int = 0) -> Markup:
    """One line's emphasis, code and links.

    Cost: linear in the text times the depth of nesting: every kind of mark is looked for ahead at most once in vain.
    """
    out: list[str | Markup] = []
    missing: set[str] = set()  # marks that do not come again on this line
    at = plain = 0
    while at < len(text):
        char = text[at]
        if char not in _STOPS:
            at += 1
            continue
        found = _span(text, at, char, depth, missing)
        if found is None:
            at += 2 if char == "\\" else 1
            continue
        out.append(escape(text[plain:at]))
        out.append(found[0])
        at = plain = found[1]
    out.append(escape(text[plain:]))
    return Markup("").join(out)


def _span(text: str, at: int, char: str, depth: int, missing: set[str]) -> tuple[Markup, int] | None:
    """The marked part that begins here and where it ends, or None."""
    match char:
        case "\\":
            is_mark = at + 1 < len(text) and text[at + 1] in "\\`*_~[]()<>#+-.!|{}"
            return (escape(text[at + 1]), at + 2) if is_mark else None
        case "`":
            return _code_span(text, at, missing)
        case "*" | "_" | "~":
            return _emphasis(text, at, char, depth, missing) if depth < MAX_DEPTH else None
        case "!":
            return _link(text, at + 1, depth, missing) if text.startswith("![", at) else None
        case "[":
            return _link(text, at, depth, missing)
        case "<":
            end = text.find(">", at, at + 2_000)
            url = text[at + 1 : end] if end > 0 else ""
            return (_anchor(url, escape(url)), end + 1) if safe_url(url) else None
        case _:
            return _bare_url(text, at)


def _code_span(text: str, at: int, missing: set[str]) -> tuple[Markup, int] | None:
    run = len(text[at:]) - len(text[at:].lstrip("`")) if text.startswith("``", at) else 1
    mark = "`" * min(run, 8)
    if mark in missing:
        return None
    end = text.find(mark, at + len(mark))
    if end < 0:
        missing.add(mark)
        return None
    return Markup("<code>{}</code>").format(text[at + len(mark) : end].strip() or " "), end + len(mark)


def _emphasis(text: str, at: int, char: str, depth: int, missing: set[str]) -> tuple[Markup, int] | None:
    mark = char * 2 if text.startswith(char * 2, at) else char
    if char == "~" and mark == "~":
        return None
    start = at + len(mark)
    is_inside_word = char == "_" and at > 0 and text[at - 1].isalnum()
    if mark in missing or start >= len(text) or text[start].isspace() or is_inside_word:
        return None
    end = text.find(mark, start + 1)
    while end > 0 and (text[end - 1].isspace() or (mark == char and text.startswith(char * 2, end))):
        end = text.find(mark, end + (2 if text.startswith(char * 2, end) else 1))
    if end < 0:
        missing.add(mark)
        return None
    tag = {"**": "strong", "__": "strong", "~~": "del"}.get(mark, "em")
    return Markup("<{0}>{1}</{0}>").format(tag, inline(text[start:end], depth + 1)), end + len(mark)


def _link(text: str, at: int, depth: int, missing: set[str]) -> tuple[Markup, int] | None:
    if "](" in missing or depth >= MAX_DEPTH:
        return None
    middle = text.find("](", at)
    if middle < 0:
        missing.add("](")
        return None
    end = text.find(")", middle, middle + 2_000)
    url = text[middle + 2 : end].strip().partition(" ")[0] if end > 0 else ""
    if not safe_url(url) or "[" in text[at + 1 : middle]:
        return None
    return _anchor(url, inline(text[at + 1 : middle], MAX_DEPTH) or escape(url)), end + 1


def _bare_url(text: str, at: int) -> tuple[Markup, int] | None:
    if not text.startswith(("http://", "https://"), at) or (at > 0 and text[at - 1].isalnum()):
        return None
    end = at
    while end < len(text) and not text[end].isspace() and text[end] not in "<>\"'`":
        end += 1
    while end > at and text[end - 1] in ".,;:!?)*_":
        end -= 1
    url = text[at:end]
    return (_anchor(url, escape(url)), end) if safe_url(url) else None


def safe_url(url: str) -> bool:
    """Whether a link may lead there: http or https, with a host, without credentials or control characters."""
    if len(url) > 2_000 or any(ord(c) < 33 or ord(c) == 127 for c in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _anchor(url: str, content: Markup) -> Markup:
    return Markup('<a href="{}" rel="noopener noreferrer nofollow" target="_blank">{}</a>').format(url, content)
