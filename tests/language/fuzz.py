"""Feeds mutated flow files to the front half and says what breaks: `python tests/language/fuzz.py 100000 [seed]`.

A file fails when anything raises, takes over a second, when a finding lies outside of the text, when the C and the pure
parser accept it with different data, when the parser accepts what the schema refuses, or when formatting or fixing raises.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from functools import cache

import jsonschema

from orchestrator.diagnostics import has_errors
from orchestrator.diagnostics_text import render_text
from orchestrator.language.comments import scalars
from orchestrator.language.edits import apply_fixes
from orchestrator.language.flow_reader import ParsedFlow, parse_flow
from orchestrator.language.format import CannotFormat, format_flow
from orchestrator.language.nodes import to_plain
from orchestrator.language.reader import PureParser, read_yaml
from orchestrator.language.schema_files import flow_schema
from tests.language.mutations import corpus, mutate

SLOW_S = 1.0


@cache
def schema_validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(flow_schema())


def check_file(data: bytes, *, with_pure: bool, with_format: bool) -> str | None:
    """What is wrong with how this file is handled, or None."""
    start = time.process_time()
    parsed = parse_flow(data, "f.yaml")
    if time.process_time() - start > SLOW_S:
        return "slow"
    render_text(parsed.diagnostics, {"f.yaml": parsed.source.text})
    return (
        _places(parsed)
        or (_parsers(data) if with_pure else None)
        or _schema(parsed)
        or (_format(data) if with_format else None)
    )


def _places(parsed: ParsedFlow) -> str | None:
    count = parsed.source.text.count("\n") + 1
    for d in parsed.diagnostics:
        width = len(parsed.source.line_text(d.span.line))
        if not (1 <= d.span.line <= count and 1 <= d.span.column <= width + 2):
            return f"outside: {d}"
    fixes = [d.fix for d in parsed.diagnostics if d.fix is not None]
    apply_fixes(parsed.source.text, fixes, "f.yaml")
    return None


def _parsers(data: bytes) -> str | None:
    c, pure = read_yaml(data, "f.yaml"), read_yaml(data, "f.yaml", PureParser)
    if has_errors(c.diagnostics) != has_errors(pure.diagnostics):
        return f"only one parser accepts: {[str(d) for d in (*c.diagnostics, *pure.diagnostics)][:3]}"
    if has_errors(c.diagnostics) or c.root is None or pure.root is None:
        return None
    if to_plain(c.root) != to_plain(pure.root):
        return "the parsers differ in data"
    places = [
        [(node.start, node.end) for node in scalars(read.root) if node.is_plain and node.text] for read in (c, pure)
    ]
    return None if places[0] == places[1] else "the parsers differ in places"


def _schema(parsed: ParsedFlow) -> str | None:
    if has_errors(parsed.diagnostics) or parsed.tree is None:
        return None
    error = next(schema_validator().iter_errors(to_plain(parsed.tree)), None)
    return None if error is None else f"the schema refuses {list(error.absolute_path)}: {error.message[:200]}"


def _format(data: bytes) -> str | None:
    try:
        format_flow(data, "f.yaml")
    except CannotFormat as error:
        return f"format: {error}" if "report" in str(error) else None
    return None


def run(count: int, seed: int, *, with_pure: bool = True, with_format: bool = True) -> list[tuple[str, str]]:
    """Check that many mutated files; the problems, each with its file."""
    rng = random.Random(seed)
    texts = corpus()
    problems = []
    for _ in range(count):
        text = mutate(rng.choice(texts), rng, texts)
        try:
            problem = check_file(text.encode("utf-8"), with_pure=with_pure, with_format=with_format)
        except Exception as error:  # whatever it is, it is what this script looks for
            problem = f"raised {type(error).__name__}: {error}"
        if problem is not None:
            problems.append((problem, text))
    return problems


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    problems = run(count, seed)
    for problem, text in problems[:10]:
        print("-----", problem, repr(text)[:1500], sep="\n")
    print(Counter(problem.split(":")[0] for problem, _ in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
