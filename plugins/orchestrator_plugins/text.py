"""`text.*`: small pure functions over text. The same input gives the same output everywhere."""

from __future__ import annotations

import re
import unicodedata
from heapq import heapify, heappop, heapreplace
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from orchestrator.plugin import Plugin, ProjectFiles, StepError
from orchestrator_plugins._template import fill_template

Json = Any  # plain JSON
_SPELLED = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "þ": "th", "ð": "d", "ı": "i"}
plugin = Plugin("text", doc="Work with text.")


class Words(TypedDict):
    """How long a text is."""

    words: int
    characters: int
    sentences: int
    reading_minutes: float


@plugin.step(
    effect="none",
    inline=True,
    examples=[
        {"with": {"text": "Über uns: Straßen & Plätze!"}, "result": "uber-uns-strassen-platze"},
        {"with": {"text": "A long title", "max_length": 6}, "result": "a-long"},
    ],
)
def slug(
    text: Annotated[str, Field(description="The title.")],
    max_length: Annotated[int, Field(ge=1, le=500, description="Cut at a word that still fits.")] = 80,
) -> str:
    """Turn a title into a part of a URL: lower-case letters, digits and hyphens."""
    spelled = "".join(_SPELLED.get(c, c) for c in text.lower())
    plain = unicodedata.normalize("NFKD", spelled)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+", plain)
    kept = ""
    for word in words:
        longer = f"{kept}-{word}" if kept else word[:max_length]
        if len(longer) > max_length:
            break
        kept = longer
    return kept


@plugin.step(
    effect="none",
    inline=True,
    examples=[{"with": {"text": "The quick brown fox", "length": 12}, "result": "The quick …"}],
)
def truncate(
    text: Annotated[str, Field(description="The text.")],
    length: Annotated[int, Field(ge=1, description="Most characters, the ending included.")],
    ending: Annotated[str, Field(description="What shows that something was cut.")] = "…",
) -> str:
    """Cut a text at the end of a word."""
    if len(text) <= length:
        return text
    room = length - len(ending)
    if room <= 0:
        return text[:length]
    cut = text[: room + 1]
    space = max(cut.rfind(" "), cut.rfind("\n"))
    return (text[: space + 1] if space >= room // 2 else text[:room]) + ending


@plugin.step(
    effect="none",
    inline=True,
    examples=[
        {
            "with": {"text": "One two. Three!"},
            "result": {"words": 3, "characters": 15, "sentences": 2, "reading_minutes": 0.0},
        }
    ],
)
def words(text: Annotated[str, Field(description="The text.")]) -> Words:
    """Count words, characters and sentences, and estimate the time to read."""
    count = len(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text))
    sentences = sum(1 for part in re.split(r"[.!?。]+", text) if not part.isspace() and part)
    return Words(words=count, characters=len(text), sentences=sentences, reading_minutes=round(count / 230, 1))


@plugin.step(
    effect="none",
    inline=True,
    examples=[{"with": {"items": ["a", 1, None], "separator": "-"}, "result": "a-1"}],
)
def join(
    items: Annotated[list[str | int | float | bool | None], Field(description="The parts; null ones are left out.")],
    separator: str = ", ",
    last: Annotated[str | None, Field(description="What stands before the last part, such as ' and '.")] = None,
) -> str:
    """Put parts together to one text."""
    parts = [str(i).lower() if isinstance(i, bool) else str(i) for i in items if i is not None]
    if last is not None and len(parts) > 1:
        return separator.join(parts[:-1]) + last + parts[-1]
    return separator.join(parts)


@plugin.step(
    effect="none",
    inline=True,
    examples=[{"with": {"text": "a, b,,c", "separator": ","}, "result": ["a", "b", "c"]}],
)
def split(
    text: Annotated[str, Field(description="The text.")],
    separator: Annotated[str, Field(min_length=1)] = "\n",
    keep_empty: bool = False,
) -> list[str]:
    """Cut a text into parts without the space around them."""
    parts = [part.strip() for part in text.split(separator)]
    return parts if keep_empty else [part for part in parts if part]


@plugin.step(
    effect="none",  # not inline: a megabyte with hundreds of texts to find takes a second
    examples=[{"with": {"text": "Dear NAME", "replacements": {"NAME": "Kim"}}, "result": "Dear Kim"}],
)
def replace(
    text: Annotated[str, Field(description="The text.")],
    replacements: Annotated[
        dict[str, str], Field(description="Plain text to find, and what takes its place.", max_length=1_000)
    ],
) -> str:
    """Replace plain text, all at once: what was put in is not searched again. Of several at one place the longest is taken."""
    ahead = [(at, -len(key), key) for key in replacements if key and (at := text.find(key)) >= 0]
    heapify(ahead)
    parts: list[str] = []
    done = 0
    while ahead:  # each text to find looks ahead by itself, which is fast; one expression for all would not be
        at, _, key = ahead[0]
        if at >= done:
            parts += (text[done:at], replacements[key])
            done = at + len(key)
        following = text.find(key, done)
        if following < 0:
            heappop(ahead)
        else:
            heapreplace(ahead, (following, -len(key), key))
    return "".join(parts) + text[done:]


@plugin.step(
    errors=("text.missing", "files.not_found", "files.denied", "files.failed", "limit.file"),
    effect="none",
    inline=True,
    examples=[
        {"with": {"template": "Hi {user.name}, {{ok}}", "values": {"user": {"name": "Kim"}}}, "result": "Hi Kim, {ok}"}
    ],
)
def template(
    files: ProjectFiles,
    template: Annotated[
        str | None, Field(description="Text with {name} or {name.field}; {{ and }} are braces.")
    ] = None,
    file: Annotated[str | None, Field(description="A file of the project that holds the template.")] = None,
    values: Annotated[dict[str, Json] | None, Field(description="What the names stand for.")] = None,
) -> str:
    """Fill a template. Values are put in as they are and never read as a template again."""
    if (template is None) == (file is None):
        raise StepError("type.payload", "give either `template` or `file`")
    source = template if template is not None else files.read_bytes(str(file)).decode("utf-8", errors="replace")
    return fill_template(source, values or {})
