"""Names that look like others: letters of several scripts in one word, or two names that look the same."""

from __future__ import annotations

import unicodedata

from orchestrator.analysis.facts import Facts
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report

# Letters of other scripts that look like Latin ones.
LOOKALIKES = str.maketrans(
    "аеіјорсухѕһԁԛԝАВЕІЈКМНОРСТУХΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανι",
    "aeijopcyxshdqwABEIJKMHOPCTYXABEZHIKMNOPTYXoavi",
)
MIXABLE = frozenset({"LATIN", "DIGIT", "LOW"})  # LOW LINE is the underscore


def check_spelling(facts: Facts, report: Report) -> None:
    """FLW708."""
    flow = facts.flow
    places: list[tuple[str, Path]] = [(name, ("steps", name)) for name in flow.steps]
    places += [(name, ("events", name)) for name in flow.events if "." not in name]
    for top, schema in (("inputs", flow.inputs), ("outputs", flow.outputs)):
        if isinstance(schema, dict):
            places += [(name, (top, name)) for name in schema.get("properties", {})]
    places += [(name, ("state", name)) for name in flow.state]
    if all(name.isascii() for name, _ in places):
        return
    plain = {name: path for name, path in places if name.isascii()}
    for name, path in places:
        if name.isascii():
            continue
        twin = name.translate(LOOKALIKES)
        scripts = sorted({_script(char) for char in name} - {"DIGIT", "LOW"})
        if twin in plain:
            report.add(
                "FLW708",
                f"`{name}` looks like `{twin}` but is written with letters of another script",
                path,
                help="write one of them anew",
                related=report.related(plain[twin], "the other one"),
            )
        elif len(scripts) > 1 and "LATIN" in scripts and twin.isascii():
            odd = next(char for char in name if _script(char) not in MIXABLE)
            report.add(
                "FLW708",
                f"`{name}` mixes letters of {' and '.join(s.capitalize() for s in scripts)}: `{odd}` is {_describe(odd)}",
                path,
                help=f"write it in one script, such as `{twin}`",
            )


def _script(char: str) -> str:
    return unicodedata.name(char, "UNKNOWN").split(" ", 1)[0]


def _describe(char: str) -> str:
    return unicodedata.name(char, "unknown").lower()
