"""Mutated flow files, the same for the same seed: what a slip of the hand, a bad merge or an attacker would write."""

from __future__ import annotations

import random
import re
from pathlib import Path

from orchestrator.language.codes_reading import READING_CODES
from orchestrator.language.codes_shape import SHAPE_CODES

FLOWS = Path(__file__).parent / "flows"
_PIECES = (
    " ", "  ", "\n", "\t", ":", ": ", "#", " #", "- ", "{", "}", "[", "]", ",", ", ", "'", '"', "|", ">", "&a ", "*a", "!x ", "?",
    "? ", "%", "@", "`", "\\", "${{", "}}", "${{ x }}", "---\n", "...\n", "<<: ", "\r", "\r\n", "\x00", "\x07", "\x85", "\u2028",
    "\ufeff", "\u202e", "\u200b", "é", "日", "😀", "null", "~", "true", "1", "0x1f", "1e999", ".nan", "~", "=", "|-\n", ">+\n",
    "on", "steps", "emit", "call", "key: value", "a: b: c", "\n    x: y", "\n\n", "$", "(", ")", "\u00a0", "\u3000",
)  # fmt: skip


def corpus() -> list[str]:
    """Every flow that the tests know, good and bad."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(FLOWS.glob("*.flow.yaml"))]
    for info in (*READING_CODES.values(), *SHAPE_CODES.values()):
        texts += [info.bad, info.good]
    return texts


def mutate(text: str, rng: random.Random, others: list[str]) -> str:
    """The text after one to four random changes."""
    for _ in range(rng.randint(1, 4)):
        text = _change(text, rng, others)
    return text[:20_000]


def _change(text: str, rng: random.Random, others: list[str]) -> str:
    at = rng.randint(0, len(text))
    match rng.randint(0, 8):
        case 0 | 1 | 2:
            return text[:at] + rng.choice(_PIECES) + text[at:]
        case 3:
            return text[:at] + text[at + rng.randint(1, 4) :]
        case 4:
            return text[:at] + rng.choice(_PIECES) + text[at + 1 :]
        case 5:
            lines = text.split("\n")
            one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[one], lines[two] = lines[two], lines[one]
            return "\n".join(lines)
        case 6:
            lines = text.split("\n")
            one = rng.randrange(len(lines))
            lines[one] = rng.choice((" ", "  ", "", "\t")) + lines[one].removeprefix(rng.choice((" ", "  ", "")))
            return "\n".join(lines)
        case 7:
            other = rng.choice(others)
            start = rng.randint(0, len(other))
            return text[:at] + other[start : start + rng.randint(1, 80)] + text[at:]
        case _:
            words = re.findall(r"\w+", text) or ["x"]
            word = rng.choice(words)
            spot = rng.randrange(len(word))
            return text.replace(word, word[:spot] + rng.choice(("", "x", "_", "X")) + word[spot + 1 :], 1)
